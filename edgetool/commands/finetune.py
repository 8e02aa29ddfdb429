"""``edgetool finetune``: a few strides adapt a checkpoint to a person; a thin wrapper around :func:`edgetool.finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    count,
    file_of,
    html_option,
    json_option,
    pool_options,
    print_json,
    progress,
    show_table,
    tables,
    tell,
    wrote,
)

if TYPE_CHECKING:
    from benchmarks.learning.transfer import OnePerson


@click.command(
    name="finetune",
    epilog="Example: edgetool finetune m.safetensors --data new.npz --out own.safetensors",
    context_settings=SETTINGS,
)
@click.argument("checkpoint")
@click.option(
    "--data", required=True, metavar="SOURCE", help=f"{SOURCE}; people who were not in its training."
)
@click.option("--strides", default=5, metavar="N", help="Adapt to the first N strides.")
@click.option("--person", metavar="NAME", help="Whose strides, if the data has several people.")
@click.option(
    "--policy",
    default="auto",
    type=click.Choice(["auto", "all", "fusion-and-head", "head", "normaliser", "none"]),
    help="What is adapted; auto chooses by cross-validation within the given strides.",
)
@click.option("--seed", default=0, metavar="N", help="Seed for the order of windows.")
@click.option("--out", type=PATH, metavar="FILE", help="Adapted checkpoint to write (.safetensors).")
@click.option(
    "--curve",
    type=PATH,
    metavar="FOLDER",
    help="Instead, adapt to every person with 1, 2, 5, 10 and 20 strides; one file each in FOLDER.",
)
@pool_options(" of --curve")
@json_option("Also write every figure; - is standard output.")
@html_option("Also write a page with the learning curve (with --curve).")
def command(json: Path | None, html: Path | None, **options: Any) -> None:
    """Adapt a checkpoint to a new person or task with a few strides.

    CHECKPOINT is a file or the word pretrained; with --curve also the folder of a comparison, whose fold without the
    person is used. How long to train, and with --policy auto what to adapt, is decided on the given strides alone, parts of
    which are held out in turn. Weights are pulled towards the source's. With one stride, or unless every held-out part
    gains, --policy auto changes nothing.
    """
    from benchmarks.learning import transfer_report as report
    from benchmarks.learning.transfer import OnePerson
    from edgetool.api.transfer import finetune

    with progress() as shown:
        result = finetune(json=file_of(json), html=html, **options, progress=shown)
    screen = tables(json)
    if isinstance(result, OnePerson):
        _show(result, json)
        print_json(json, result.to_json)
        wrote(options["out"], json)
        return
    show_table(screen, None, report.HEAD, report.rows(result))
    screen.print(report.NOTE, style="dim")
    show_table(screen, None, report.GAIN_HEAD, report.gain_rows(result))
    screen.print(report.GAIN_NOTE, style="dim")
    print_json(json, lambda: report.to_json(result))
    tell(json, *report.sentences(result))
    wrote(json, html)


def _show(result: OnePerson, json: Path | None) -> None:
    """What was adapted, and what it gained on the strides that were left."""
    asked = count(result.strides, "stride", "strides")
    done = "nothing: the checkpoint stays as it is" if result.policy == "none" else result.policy
    tell(json, f"Adapted to {asked} of {result.person}: {done}.")
    if result.rmse is None:
        tell(json, "No stride was left to test on.")
        return
    rows = [
        [name, f"{value:.4f}", f"{result.rmse['adapted'][name]:.4f}"]
        for name, value in result.rmse["general"].items()
    ]
    show_table(
        tables(json), f"RMSE, Nm/kg, on the other {result.left}", ["moment", ">general", ">adapted"], rows
    )
