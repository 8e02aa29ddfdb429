"""``edgetool data``: what a data source holds; a thin face of :func:`edgetool.data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgetool.commands.shared import PATH, SETTINGS, count, json_option, wrote

if TYPE_CHECKING:
    from toolkit.records import Recording


@click.command(
    name="data",
    epilog="Example: edgetool data synthetic:people=2,seconds=6 --plot curves.png",
    context_settings=SETTINGS,
)
@click.argument("source")
@click.option("--out", type=PATH, metavar="FOLDER", help="Export the recordings there.")
@click.option(
    "--format",
    default="npz",
    type=click.Choice(["npz", "csv"]),
    help="Format of the export. Both are read back as --data FOLDER.",
)
@click.option(
    "--plot",
    type=PATH,
    metavar="FILE",
    help="Draw the joint moments over the gait cycle: .png, .svg or .pdf.",
)
@json_option("Also write every stream and channel with its range.")
def command(
    source: str, out: Path | None, format: Literal["npz", "csv"], plot: Path | None, json: Path | None
) -> None:
    """List, export or plot the recordings of a data source.

    SOURCE is synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder of them, as for --data of the other commands.
    """
    from edgetool.api.learn import data
    from toolkit.terminal import say

    recordings = data(source, out=out, format=format, plot=plot, json=json)
    _show(recordings)
    wrote(json)
    if out is not None:
        say(f"Wrote {count(len(recordings), 'recording', 'recordings')} to {out}")
    wrote(plot)


def _show(recordings: Sequence[Recording]) -> None:
    """One row a recording, then the streams of the first, in 80 columns."""
    from rich.table import Table

    from toolkit.data.describe import describe
    from toolkit.printable import terminal_text
    from toolkit.terminal import console

    description = describe(recordings)
    table = Table(box=None, pad_edge=False)
    for heading in ("recording", "task", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("kg", "s", "strides"):
        table.add_column(heading, justify="right")
    for one in description["recordings"]:
        row = (f"{one['mass_kg']:.1f}", f"{one['seconds']:.1f}", str(one["strides"]))
        table.add_row(one["name"], one["task"], one["kind"], *row)
    shown = console()
    shown.print(table)
    streams = {
        "; ".join(f"{n} {s['rate_hz']:g} Hz x {len(s['channels'])}" for n, s in one["streams"].items())
        for one in description["recordings"]
    }
    seconds = sum(one["seconds"] for one in description["recordings"])
    people = len({recording.person for recording in recordings})
    counted = f"{count(len(recordings), 'recording', 'recordings')}, {count(people, 'person', 'people')}"
    shown.print(f"{counted}, {seconds:.0f} s. Streams: {terminal_text(' | '.join(sorted(streams)))}")
