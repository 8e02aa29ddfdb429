"""``edgetool record``: what sensors send, to a file; a thin wrapper around :func:`edgetool.record`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetool.commands.shared import PATH, SETTINGS, json_option, seconds_option
from toolkit.errors import UsageError
from toolkit.printable import terminal_text

if TYPE_CHECKING:
    from firmware_bridge.recording.file import RecordingWriter
    from firmware_bridge.streams.receiver import Receiver
    from firmware_bridge.tools.record import Marks


@click.command(
    name="record",
    epilog="Example: edgetool record --source sim://synthetic --out run.etl --seconds 10",
    context_settings=SETTINGS,
)
@click.option("--source", multiple=True, required=True, metavar="URL", help="A source; may be repeated.")
@click.option("--out", required=True, type=PATH, metavar="FILE", help="The new recording; never overwritten.")
@click.option(
    "--about",
    multiple=True,
    metavar="NAME=TEXT",
    help="A note on the recording (person=S01, trial=3); may be repeated.",
)
@click.option(
    "--markers",
    multiple=True,
    metavar="lsl://NAME",
    help="LSL stream of event markers to record as well; may be repeated.",
)
@seconds_option
@json_option("Write the totals and the ledger.")
def command(
    source: tuple[str, ...],
    out: Path,
    about: tuple[str, ...],
    markers: tuple[str, ...],
    seconds: float | None,
    json: Path | None,
) -> None:
    """Record what sensors send, byte for byte, until Ctrl-C or the sources end.

    Each line that you type meanwhile is stored as a marker, with the time you pressed Enter. If the program is killed, at most
    the last tenth of a second is lost (docs/RECORDING.md).
    """
    from edgetool.api.sensors import record
    from edgetool.commands.ledger_table import show_ledger
    from firmware_bridge.tools.record import Marks
    from toolkit.terminal import say

    show, marks = _status_line(), Marks()
    if sys.stdin.isatty():
        threading.Thread(target=_mark_lines, args=(marks,), daemon=True).start()
    summary = record(
        source=source,
        out=out,
        seconds=seconds,
        json=json,
        progress=show,
        marks=marks,
        about=_named(about),
        markers=markers,
    )
    if show is not None:
        say("", err=True)
    show_ledger(summary.ledger)
    say(f"Wrote {out}: {summary.seconds:.1f} s, {summary.chunks} chunks, {summary.bytes} bytes")
    if summary.dropped_bytes:
        say(f"The sources had to drop {summary.dropped_bytes} bytes: this machine was too slow", err=True)


def _mark_lines(marks: Marks) -> None:
    for line in sys.stdin:
        marks.mark(line)


def _named(about: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for entry in about:
        name, separator, text = entry.partition("=")
        if not (separator and name.strip() and text.strip()) or name.strip() in named:
            raise UsageError(
                f"--about {entry!r}: it must be NAME=TEXT, each name once, as in --about person=S01"
            )
        named[name.strip()] = terminal_text(text.strip())
    return named


def _status_line() -> Callable[[float, Receiver, RecordingWriter], None] | None:
    """Seconds, bytes and losses so far, on a line that is rewritten; None without a terminal."""
    from toolkit.progress import status_line

    line = status_line(quiet=bool(click.get_current_context().find_root().params.get("quiet")))
    if line is None:
        return None

    def show(elapsed_s: float, receiver: Receiver, writer: RecordingWriter) -> None:
        total = receiver.balance()
        lost = total.sent - total.delivered - total.reordered - total.duplicate
        line(f"{elapsed_s:7.1f} s  {writer.bytes / 1000:9.1f} kB  {total.delivered} frames, {lost} lost")

    return show
