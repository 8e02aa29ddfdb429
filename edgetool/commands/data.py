"""``edgetool data``: what a data source holds; a thin face of :func:`edgetool.data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
    described = description["recordings"]
    masked = any(one["valid_s"] is not None for one in described)
    lacking = any(one["missing"] for one in described)
    table = Table(box=None, pad_edge=False)
    for heading in ("recording", "task", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("kg", "s", *(["valid s"] if masked else []), "strides", *(["live"] if lacking else [])):
        table.add_column(heading, justify="right")
    for one in described:
        row = [f"{one['mass_kg']:.1f}", f"{one['seconds']:.1f}"]
        row += [f"{_valid_s(one):.2f}"] if masked else []
        row += [str(one["strides"])] + ([_live(one)] if lacking else [])
        table.add_row(one["name"], one["task"], one["kind"], *row)
    shown = console()
    shown.print(table)
    streams = {
        "; ".join(f"{n} {s['rate_hz']:g} Hz x {len(s['channels'])}" for n, s in one["streams"].items())
        for one in described
    }
    seconds = sum(one["seconds"] for one in described)
    people = len({recording.person for recording in recordings})
    counted = f"{count(len(recordings), 'recording', 'recordings')}, {count(people, 'person', 'people')}"
    shown.print(f"{counted}, {seconds:.0f} s. Streams: {terminal_text(' | '.join(sorted(streams)))}")
    if masked:
        some = [one for one in described if _valid_s(one) > 0]
        valid = sum(map(_valid_s, some))
        shown.print(f"Moments are true in {valid:.1f} s of {count(len(some), 'recording', 'recordings')}.")
    if lacking:
        whole = [recording for recording in recordings if not recording.missing]
        shown.print(
            f"All channels are live in {len(whole)} of {count(len(recordings), 'recording', 'recordings')}."
        )


def _valid_s(one: dict[str, Any]) -> float:
    """Seconds in which the moments are true."""
    spans = one["valid_s"]
    return float(one["seconds"] if spans is None else sum(stop - start for start, stop in spans))


def _live(one: dict[str, Any]) -> str:
    """Live channels of the streams that lack some in any recording, "emg 3/4"; all channels where none is missing."""
    streams = {name: stream for name, stream in one["streams"].items() if name != "moments"}
    named = one["missing"] or {}
    parts = [
        f"{name} {len(streams[name]['channels']) - len(gone)}/{len(streams[name]['channels'])}"
        for name, gone in named.items()
    ]
    return ", ".join(parts) or "all"
