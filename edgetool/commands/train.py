"""``edgetool train``: recordings in, a checkpoint out; a thin wrapper around :func:`edgetool.train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    html_option,
    json_option,
    progress,
    wrote,
)

if TYPE_CHECKING:
    from toolkit.learning.train import Trained


@click.command(
    name="train",
    epilog="Example: edgetool train --data synthetic --out model.safetensors --epochs 20",
    context_settings=SETTINGS,
)
@click.option("--data", required=True, metavar="SOURCE", help=f"{SOURCE}.")
@click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="FILE",
    help="Checkpoint to write (.safetensors).",
)
@click.option(
    "--seed", default=0, metavar="N", help="Seed for weights, the order of windows and drawn people."
)
@click.option(
    "--split",
    metavar="SPLIT",
    help="by-subject, chronological, chronological:TRAIN,VALIDATION,TEST (fractions) or FILE.json. "
    "Default: by-subject for three people or more, else chronological:0.6,0.1,0.3.",
)
@click.option(
    "--epochs", default=30, metavar="N", help="Train for at most N epochs; stops early without progress."
)
@click.option(
    "--patience", default=8, metavar="N", help="Stop after N epochs without a better validation loss."
)
@click.option("--batch", default=128, metavar="N", help="Windows per step.")
@click.option("--learning-rate", default=3e-3, metavar="X", help="Peak of the learning-rate schedule.")
@click.option("--weight-decay", default=1e-2, metavar="X", help="Decoupled weight decay, as in AdamW.")
@click.option("--stride", default=2, metavar="N", help="Use every N-th window to train and validate.")
@click.option("--hidden", default=64, metavar="N", help="LSTM units per stream.")
@click.option("--layers", default=1, metavar="N", help="LSTM layers per stream.")
@click.option(
    "--heads", default=1, metavar="N", help="Attention heads in each direction; N must divide --hidden."
)
@click.option(
    "--norm", default="layer", type=click.Choice(["layer", "none"]), help="Normalisation after the residual."
)
@click.option("--head-hidden", default=64, metavar="N", help="Units of the fully connected layer.")
@click.option("--window", default=64, metavar="N", help="Samples of the grid that the model sees at once.")
@click.option("--rate-hz", default=100.0, metavar="HZ", help="Rate of the grid.")
@click.option(
    "--horizon-ms", default=0.0, metavar="MS", help="How far ahead of the newest sample to predict."
)
@click.option(
    "--notch-hz",
    default=0,
    metavar="HZ",
    help="50 or 60: a notch for mains hum among the filters of raw EMG; 0: none.",
)
@click.option(
    "--joints",
    metavar="NAMES",
    help="Joint moments to estimate, separated by commas. Default: all in the data.",
)
@click.option(
    "--weights",
    default="float32",
    type=click.Choice(["float32", "float16"]),
    help="Type of the weights in the file; float16 halves it.",
)
@click.option(
    "--calibration",
    default="none",
    type=click.Choice(["none", "walk"]),
    help="walk: calibrate every person on a walk; the model then needs a calibration for each session.",
)
@click.option(
    "--sequence",
    default=1,
    metavar="N",
    help="Train on sequences of N windows, the state carried over as when live; 1: on windows, each from a zero state.",
)
@click.option(
    "--augment",
    metavar="SIZES",
    help="Vary how the sensors are worn in every batch: default, or rotation_deg=6,gain=0.15,bias=0.05,"
    "channel=0.01,sensor=0.01,stream=0.005,shift=1.",
)
@click.option(
    "--init",
    type=PATH,
    metavar="CHECKPOINT",
    help="Start from these weights, and keep their filters and normaliser.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Resume a training that was stopped; the result is the same, byte for byte.",
)
@click.option("--device", default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:N.")
@click.option(
    "--threads",
    default=1,
    metavar="N",
    help="Processor threads. Another number changes the last digits.",
)
@json_option("Also write scores and losses.")
@html_option("Also write a page with learning curves.")
@click.option("--card", type=PATH, metavar="FILE", help="Also write a model card.")
def command(out: Path, json: Path | None, html: Path | None, card: Path | None, **options: Any) -> None:
    """Train a Cross-LSTM on recordings and write a checkpoint.

    Filters and normaliser are fitted on the training split only, and no window crosses into another split. The same
    seed gives the same file. After each better epoch FILE holds the best weights so far. Prints RMSE and R2 of each
    joint on the test split, which training never saw.
    """
    from edgetool.api.learn import train
    from toolkit.terminal import say

    with progress() as shown:
        try:
            trained = train(out=out, json=json, html=html, card=card, **options, progress=shown)
        except (KeyboardInterrupt, SystemExit) as stopped:
            shown.stop()
            say(*getattr(stopped, "__notes__", ()), err=True)
            raise
    _show(trained, out)
    wrote(json, html, card)


def _show(trained: Trained, out: Path) -> None:
    """Scores on the test split in a table that fits 80 columns."""
    from rich.table import Table

    from toolkit.terminal import console, say

    test = trained.metrics["test"]
    kinds = ", ".join(trained.checkpoint.provenance["data"]["kinds"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("moment")
    table.add_column("RMSE Nm/kg", justify="right")
    table.add_column("R2", justify="right")
    for name, values in test["per_joint"].items():
        shown = "-" if values["r2"] is None else f"{values['r2']:.3f}"
        table.add_row(name, f"{values['rmse']:.4f}", shown)
    table.add_row("all", f"{test['rmse']:.4f}", "")
    screen = console()
    screen.print(f"Test split: {test['windows']:,} windows, {kinds} data")
    screen.print(table)
    run = len(trained.history)
    weights = trained.checkpoint.config.parameter_count
    _show_worst(trained)
    if len(streams := trained.checkpoint.config.streams) == 1:
        say(f"The data have one stream: the model estimates from {streams[0].upper()} alone.")
    say(f"Epoch {trained.best_epoch} of {run} was the best. {weights:,} weights.")
    for text in trained.warnings:
        say(f"Warning: {text}")
    if trained.rising:
        say(
            "Warning: validation loss rose after the first epoch: what was learnt since then does",
            "not generalise. Try a smaller --learning-rate, fewer --hidden, more people.",
        )
    say(f"Wrote {out} ({out.stat().st_size / 1000:.0f} kB)")


def _show_worst(trained: Trained) -> None:
    """Scores of the test people one by one are in the JSON; the terminal shows who is worst served."""
    from toolkit.terminal import say

    people = {name: scores["rmse"] for name, scores in trained.people.items()}
    if len(people) > 1:
        worst = max(people, key=lambda name: people[name])
        say(f"Of {len(people)} test people, {worst} has the largest RMSE: {people[worst]:.4f} Nm/kg.")
