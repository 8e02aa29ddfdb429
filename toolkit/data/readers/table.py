"""A table read from a file: named columns on a regular time axis, checked before anything uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import RecordingError
from toolkit.reading import read_file
from toolkit.records import TIME_TOLERANCE_S

Float = NDArray[np.float64]
#: Spans (start, stop) in seconds, both ends included.
Spans = tuple[tuple[float, float], ...]

#: A row may be this share of a sample period off the regular axis: rounding in a text file, not a gap.
TIME_TOLERANCE = 0.3


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one file. ``values`` is (rows, columns); ``in_degrees`` is what an OpenSim header says."""

    path: Path
    names: tuple[str, ...]
    values: Float
    in_degrees: bool | None = None

    def index(self, name: str) -> int:
        """Place of column ``name``; RecordingError names the columns that exist."""
        if name not in self.names:
            shown = ", ".join(self.names[:40]) + (", ..." if len(self.names) > 40 else "")
            raise RecordingError(f"{self.path} has no column {name!r}; it has {shown}")
        if self.names.count(name) > 1:
            raise RecordingError(
                f"{self.path} has {self.names.count(name)} columns named {name!r}; give each its own name"
            )
        return self.names.index(name)

    def time_axis(self, column: str, rate_hz: float) -> Float:
        """The time column, s, once it is known to be regular at ``rate_hz``; RecordingError if it is not."""
        names = [n for n in self.names if n.lower() == column.lower()]
        times = self.values[:, self.index(names[0] if names else column)]
        if len(times) < 2:
            raise RecordingError(f"{self.path} has {len(times)} rows; it needs at least 2")
        bad = np.flatnonzero(~np.isfinite(times))
        if len(bad):
            raise RecordingError(
                f"{self.path}: time of row {bad[0]} is {times[bad[0]]}; times must be numbers"
            )
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # times near the largest float64 are off all the same
            off = np.abs(times - times[0] - np.arange(len(times)) / rate_hz) * rate_hz
            steps = np.diff(times)
        if not off.max() <= TIME_TOLERANCE:
            row = int(np.argmax(~(off <= TIME_TOLERANCE)))
            actual = 1.0 / float(np.median(steps)) if np.median(steps) > 0 else float("nan")
            raise RecordingError(
                f"{self.path}: row {row} has time {times[row]:.6g} s, where {rate_hz:g} Hz from {times[0]:.6g} s "
                f"gives {times[0] + row / rate_hz:.6g} s; the median rate is {actual:.6g} Hz: correct rate_hz, "
                "or cut the recording at the gap"
            )
        return times

    def columns(self, names: Sequence[str], times: Float, spans: Spans | None = None) -> Float:
        """Columns ``names`` as (rows, len(names)); RecordingError names the first value that is not finite.

        With ``spans`` the values outside them mean nothing: there, those that are not finite become 0.
        """
        chosen = self.values[:, [self.index(name) for name in names]]
        if spans is not None:
            outside = np.ones(len(times), np.bool_)
            for rows in span_rows(times, spans):
                outside[rows] = False
            chosen[outside[:, None] & ~np.isfinite(chosen)] = 0.0
        bad = np.argwhere(~np.isfinite(chosen))
        if len(bad):
            row, column = (int(v) for v in bad[0])
            raise RecordingError(
                f"{self.path}: column {names[column]!r}, row {row} (time {times[row]:.6g} s) is "
                f"{chosen[row, column]}; values must be finite: cut or repair the recording there"
            )
        return chosen


def span_rows(times: Float, spans: Spans) -> list[slice]:
    """The rows of ascending ``times`` that lie in each span, ends included; spans without a row are left out."""
    tolerance = TIME_TOLERANCE_S
    found = (
        slice(
            int(np.searchsorted(times, start - tolerance, "left")),
            int(np.searchsorted(times, stop + tolerance, "right")),
        )
        for start, stop in spans
    )
    return [rows for rows in found if rows.stop > rows.start]


def runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Each run of true in ``on`` (n,), as its first row and the row after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int64), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 with or without a mark; RecordingError if it cannot be read."""
    return decode_utf8(path, read_file(path, "a table", RecordingError))


def decode_utf8(path: Path, content: bytes) -> str:
    """``content`` of ``path`` as text, with or without a mark; RecordingError names the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is not text: byte {error.start} is not UTF-8") from None


def parse_rows(path: Path, names: Sequence[str], rows: Sequence[list[str]], first_line: int) -> Float:
    """Cells as float64 (rows, columns); RecordingError names the line and column of the first bad one.

    ``first_line`` is the line number of ``rows[0]`` in the file, from 1.
    """
    for offset, cells in enumerate(rows):
        if len(cells) != len(names):
            if len(cells) > len(names):
                why = "; are its decimals written with commas? They must be points"
            else:
                why = "; the file is cut short" if offset == len(rows) - 1 else ""
            raise RecordingError(
                f"{path}: line {first_line + offset} has {len(cells)} values for {len(names)} columns{why}"
            )
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    except ValueError:
        pass
    for offset, cells in enumerate(rows):
        for name, cell in zip(names, cells):
            try:
                float(cell)
            except ValueError:
                raise RecordingError(
                    f"{path}: line {first_line + offset}, column {name!r} is {cell!r}; it must be a number"
                ) from None
    raise AssertionError("a row failed as a whole and every cell of it parsed")
