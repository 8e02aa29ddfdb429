"""``edgetool reduce``: what fewer sensors cost; a thin wrapper around :func:`edgetool.reduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    file_of,
    folds_option,
    html_option,
    json_option,
    pool_options,
    print_json,
    progress,
    show_table,
    tables,
    wrote,
)


@click.command(
    name="reduce",
    epilog="Example: edgetool reduce compared --data synthetic:people=12 --out reduced",
    context_settings=SETTINGS,
)
@click.argument("checkpoint")
@click.option("--data", required=True, metavar="SOURCE", help=f"{SOURCE}.")
@click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="FOLDER",
    help="Folder for the data and trainings of each choice.",
)
@folds_option
@click.option("--epochs", default=16, metavar="N", help="Train for at most N epochs.")
@click.option(
    "--stride", type=int, metavar="N", help="Use every N-th window. Default: as in edgetool compare."
)
@click.option("--core", metavar="CORE", help="Also run each choice on this emulated core, such as cortex-m4.")
@click.option("--seed", default=0, metavar="N", help="Seed for training.")
@pool_options()
@json_option("Also write every figure; - is standard output.")
@html_option("Also write a page with the Pareto plot.")
def command(json: Path | None, html: Path | None, **options: Any) -> None:
    """Retrain with fewer and fewer sensors, dropping the least important first.

    CHECKPOINT is a file, the word pretrained, or the folder of edgetool compare; its sizes are used, and its
    sensors' shares (edgetool explain) decide which go first. In a model of one stream, attention is over that
    stream's own states. Each choice's network of the first fold is FOLDER/choice-N/model.safetensors.
    """
    from benchmarks.learning import reduce_report as report
    from edgetool.api.transfer import reduce

    with progress() as shown:
        result = reduce(json=file_of(json), html=html, **options, progress=shown)
    screen = tables(json)
    show_table(screen, None, report.head(result), report.rows(result))
    screen.print(report.NOTE, style="dim")
    for told in (report.order(result), report.exactness(result)):
        if told:
            screen.print(told)
    print_json(json, result.to_json)
    wrote(json, html)
