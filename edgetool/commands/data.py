"""``edgetool data``: what a data source holds; a thin face of ``toolkit.data``'s describe, export and plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from toolkit.records import Recording


@click.command(
    name="data",
    epilog="Example: edgetool data synthetic:people=2,seconds=6 --plot curves.png",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Export the recordings there.")
@click.option(
    "--format",
    "kind",
    default="npz",
    type=click.Choice(["npz", "csv"]),
    help="Of the export. Both are read back as --data FOLDER.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the moments over the gait cycle: .png, .svg or .pdf.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write every stream and channel with its range.",
)
def command(
    source: str, out: Path | None, kind: Literal["npz", "csv"], plot: Path | None, json_file: Path | None
) -> None:
    """List, export or plot the recordings of a data source.

    SOURCE is synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder of them, as for --data of the other commands.
    """
    from toolkit.data import load
    from toolkit.data.describe import describe, plot_cycles
    from toolkit.data.export import export
    from toolkit.files import write_json

    recordings = load(source)
    description = describe(recordings)
    _print(recordings, description)
    if json_file is not None:
        write_json(json_file, description)
        click.echo(f"Wrote {json_file}")
    if out is not None:
        export(recordings, out, kind)
        click.echo(f"Wrote {_count(len(recordings), 'recording', 'recordings')} to {out}")
    if plot is not None:
        plot_cycles(recordings, plot)
        click.echo(f"Wrote {plot}")


def _print(recordings: Sequence[Recording], description: dict[str, Any]) -> None:
    """One row a recording, then the streams of the first, in 80 columns."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("recording", "task", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("kg", "s", "strides"):
        table.add_column(heading, justify="right")
    for one in description["recordings"]:
        row = (f"{one['mass_kg']:.1f}", f"{one['seconds']:.1f}", str(one["strides"]))
        table.add_row(one["name"], one["task"], one["kind"], *row)
    console = Console(width=80, highlight=False)
    console.print(table)
    streams = {
        "; ".join(f"{n} {s['rate_hz']:g} Hz x {len(s['channels'])}" for n, s in one["streams"].items())
        for one in description["recordings"]
    }
    seconds = sum(one["seconds"] for one in description["recordings"])
    people = len({recording.person for recording in recordings})
    counted = f"{_count(len(recordings), 'recording', 'recordings')}, {_count(people, 'person', 'people')}"
    console.print(f"{counted}, {seconds:.0f} s. Streams: {' | '.join(sorted(streams))}")


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
