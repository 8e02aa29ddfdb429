"""How long work shows where it stands: a bar on a terminal, a line a stage where there is none, nothing on request."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from toolkit.printable import terminal_text
from toolkit.terminal import console

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

#: Told what is done: the stage in words, and how much of how much of it. A total of 0: it is not known.
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Shows nothing."""


class Shown:
    """Progress on a stream; :meth:`stop` takes a bar away, so that what comes next has the terminal to itself."""

    def __init__(self, stream: TextIO, bar: RichProgress | None) -> None:
        self._stream, self._bar = stream, bar
        self._task = None if bar is None else bar.add_task("starting", total=None)
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` of ``stage`` is done."""
        new, self._stage = stage != self._stage, stage
        if self._bar is not None and self._task is not None:
            if new:
                self._bar.reset(self._task)
            self._bar.update(
                self._task, description=terminal_text(stage), completed=done, total=total or None
            )
        elif new:
            self._stream.write(f"{terminal_text(stage)} ...\n")
            self._stream.flush()

    def stop(self) -> None:
        """End the bar before its block ends."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[Shown]:
    """Show progress on standard error within the block; with ``quiet`` nowhere.

    It writes to a copy of the descriptor: while native libraries run, descriptor 2 leads to nowhere.
    """
    if quiet:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            yield Shown(nowhere, None)
        return
    with _copy_of(sys.stderr) as stream:
        if not stream.isatty():
            yield Shown(stream, None)
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console(width=None, file=stream), transient=True) as bar:
            yield Shown(stream, bar)


def status_line(*, quiet: bool = False, every_s: float = 0.25) -> Callable[[str], None] | None:
    """What rewrites one line on standard error, at most once in ``every_s`` seconds; None with ``quiet`` or no terminal."""
    if quiet or not sys.stderr.isatty():
        return None
    shown_at = float("-inf")

    def show(text: str) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at >= every_s:
            shown_at = now
            sys.stderr.write(f"\r{terminal_text(text):<78}")
            sys.stderr.flush()

    return show


@contextmanager
def _copy_of(stream: TextIO) -> Iterator[TextIO]:
    """``stream`` on a descriptor of its own; ``stream`` itself if it has none (it is captured)."""
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        yield stream
        return
    with os.fdopen(descriptor, "w", errors="backslashreplace") as copy:
        yield copy
