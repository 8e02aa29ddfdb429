"""``edgetool train``: recordings in, a checkpoint out; a thin face of ``toolkit.model.train.train``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from toolkit.model.fit import Progress
    from toolkit.model.train import Trained


@click.command(
    name="train",
    epilog="Example: edgetool train --data synthetic --out model.safetensors --epochs 20",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.option(
    "--data", required=True, metavar="SOURCE", help="synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Checkpoint to write (.safetensors).",
)
@click.option("--seed", default=0, help="Of weights, order of windows and drawn people.")
@click.option(
    "--split",
    metavar="SPLIT",
    help="by-subject, chronological, chronological:TRAIN,VALIDATION,TEST (fractions) or FILE.json. "
    "Not given: by-subject for three people or more, else chronological 0.6, 0.1, 0.3.",
)
@click.option("--epochs", default=30, help="At most; training stops early without progress.")
@click.option("--patience", default=8, help="Epochs without a better validation loss before stopping.")
@click.option("--batch", default=128, help="Windows a step.")
@click.option("--learning-rate", default=3e-3, help="Highest of the schedule.")
@click.option("--weight-decay", default=1e-2, help="Decoupled, as in AdamW.")
@click.option("--stride", default=2, help="Use every how manyth window to train and validate.")
@click.option("--hidden", default=64, help="LSTM units a stream.")
@click.option("--layers", default=1, help="LSTM layers a stream.")
@click.option("--heads", default=1, help="Attention heads each way; they divide --hidden.")
@click.option("--norm", default="layer", type=click.Choice(["layer", "none"]), help="After the residual.")
@click.option("--head-hidden", default=64, help="Units of the dense layer.")
@click.option("--window", default=64, help="Samples of the grid that the model sees.")
@click.option("--rate-hz", default=100.0, help="Rate of the grid.")
@click.option("--horizon-ms", default=0.0, help="How far ahead of the newest sample to predict.")
@click.option(
    "--joints", metavar="NAMES", help="Moments to estimate, with commas. Not given: all of the data."
)
@click.option(
    "--weights", default="float32", type=click.Choice(["float32", "float16"]), help="float16 halves the file."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write scores and losses.",
)
@click.option(
    "--card", "card_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write a model card."
)
def command(json_file: Path | None, card_file: Path | None, joints: str | None, **options: Any) -> None:
    """Train a Cross-LSTM on recordings and write a checkpoint.

    Filters and normaliser are fitted on the train part only, and no window crosses into another part. The same
    seed gives the same file. Prints RMSE and R2 of each joint on the test part, which training never saw.
    """
    from toolkit.files import write_bytes, write_json
    from toolkit.model.card import card
    from toolkit.model.train import train

    outputs = [name.strip() for name in joints.split(",")] if joints else None
    with _bar() as progress:
        trained = train(**options, outputs=outputs, progress=progress)
    _print(trained, options["out"])
    if json_file is not None:
        write_json(json_file, trained.to_json())
        click.echo(f"Wrote {json_file}")
    if card_file is not None:
        write_bytes(card_file, card(trained.checkpoint, _command_line()).encode())
        click.echo(f"Wrote {card_file}")


def _command_line() -> str:
    """The options that differ from their defaults, as they would be typed again."""
    context = click.get_current_context()
    words = ["edgetool train"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if value is not None and value != parameter.get_default(context):
            text = value.name if isinstance(value, Path) and value.is_absolute() else str(value)
            words.append(f"{parameter.opts[0]} {text}")
    return " ".join(words)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A progress bar on stderr with the losses; nothing when stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading and filtering data", total=None)

        def show(state: Progress) -> None:
            done = (state.epoch - 1) * state.steps + state.step
            text = f"epoch {state.epoch}/{state.epochs}  loss {state.train_loss:.4f}"
            if state.validation_loss == state.validation_loss:  # NaN before the first epoch has ended
                text += f"  validation {state.validation_loss:.4f} (best: epoch {state.best_epoch})"
            bar.update(task, total=state.epochs * state.steps, completed=done, description=text)

        yield show


def _print(trained: Trained, out: Path) -> None:
    """Scores of the test part in a table that fits 80 columns."""
    from rich.console import Console
    from rich.table import Table

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
    console = Console(width=80, markup=False, highlight=False)
    console.print(f"Test part: {test['windows']:,} windows, {kinds} data")
    console.print(table)
    run = len(trained.history)
    weights = trained.checkpoint.config.parameter_count
    click.echo(f"Epoch {trained.best_epoch} of {run} was the best. {weights:,} weights.")
    click.echo(f"Wrote {out} ({out.stat().st_size / 1000:.0f} kB)")
