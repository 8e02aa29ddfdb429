"""``edgetool record``: what sensors send, to a file; a thin face of ``firmware_bridge.tools.record.record``."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from firmware_bridge.recording.file import RecordingWriter
    from firmware_bridge.streams.receiver import Receiver
    from firmware_bridge.tools.record import RecordSummary


@click.command(
    name="record",
    epilog="Example: edgetool record --source sim://synthetic --out run.etl --seconds 10",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--source", "sources", multiple=True, required=True, metavar="URL", help="A source; may be repeated."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The new recording; never overwritten.",
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after this long.")
@click.option(
    "--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the totals and the ledger."
)
def command(sources: tuple[str, ...], out: Path, seconds: float | None, json: Path | None) -> None:
    """Record what sensors send, byte for byte, until Ctrl-C or the sources end.

    Killing it at any moment loses at most a tenth of a second (docs/RECORDING.md).
    """
    from edgetool.commands.ledger_table import show_ledger
    from toolkit.files import write_json

    summary = asyncio.run(_record(sources, out, seconds))
    show_ledger(summary.ledger)
    click.echo(f"Wrote {out}: {summary.seconds:.1f} s, {summary.chunks} chunks, {summary.bytes} bytes")
    if summary.dropped_bytes:
        click.echo(
            f"The sources had to drop {summary.dropped_bytes} bytes: this machine was too slow", err=True
        )
    if json is not None:
        write_json(json, vars(summary))


async def _record(sources: tuple[str, ...], out: Path, seconds: float | None) -> RecordSummary:
    from firmware_bridge.tools.record import record

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    show = _status_line() if sys.stderr.isatty() else None
    summary = await record(sources, out, seconds, stop, show)
    if show is not None:
        click.echo(err=True)
    return summary


def _status_line() -> Callable[[float, Receiver, RecordingWriter], None]:
    """A line on stderr that is renewed four times a second."""
    shown = -1.0

    def show(elapsed_s: float, receiver: Receiver, writer: RecordingWriter) -> None:
        nonlocal shown
        if elapsed_s - shown < 0.25:
            return
        shown = elapsed_s
        total = receiver.balance()
        lost = total.sent - total.delivered - total.reordered - total.duplicate
        text = f"{elapsed_s:7.1f} s  {writer.bytes / 1000:9.1f} kB  {total.delivered} frames, {lost} lost"
        click.echo(f"\r{text:<78}", nl=False, err=True)

    return show
