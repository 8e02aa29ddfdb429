"""The columns of a table on a regular time axis: which time column, in what unit, and what is mended, as it was declared.

Nothing is mended that the dataset does not declare, and what is mended is counted:

``fill_rows``  so many rows in a row may be missing, or values not be numbers. A sensor's last value is held, as the daemon
               holds it; a moment, which may look ahead, lies on the straight line between its neighbours.
``jitter_ms``  times may be so far off the regular axis: time stamps of arrival, of samples that were taken regularly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.data.dataset_file import TIME_UNITS, StreamUse
from toolkit.data.readers.table import TIME_TOLERANCE, Table, runs
from toolkit.errors import RecordingError

Float = NDArray[np.float64]
#: What ``time`` says for a table that has no time column.
NO_TIME = "none"


@dataclass(frozen=True, eq=False)
class Regular:
    """A table whose rows are regular from ``times`` on, all in seconds. ``note`` says what was mended; empty: nothing."""

    table: Table
    times: Float
    note: str = ""


def regular(table: Table, use: StreamUse, names: Sequence[str]) -> Regular:
    """Columns ``names`` of ``table`` with the time axis of ``use``. RecordingError for what its declarations do not cover."""
    if use.time == NO_TIME:
        times = np.arange(len(table.values)) / use.rate_hz
    else:
        place, repeated = _time_column(table, use.time, names)
        table = _without_end(table, [place, *([table.index(name) for name in names] if repeated else [])])
        times = table.values[:, place] * TIME_UNITS[use.time_unit]
    used = tuple(dict.fromkeys(names))  # several channels may be of one column
    timed = Table(
        table.path,
        ("time", *used),
        np.column_stack([times, *(table.values[:, table.index(n)] for n in used)]),
    )
    if not use.fill_rows and use.jitter_ms is None:
        return Regular(timed, timed.time_axis("time", use.rate_hz))
    return _mended(timed, use)


def _time_column(table: Table, name: str, columns: Sequence[str]) -> tuple[int, bool]:
    """The place of the time column, and whether its name is repeated: then it is the last one left of all ``columns``."""
    found = [place for place, one in enumerate(table.names) if one.lower() == name.lower()]
    if len(found) < 2 or not columns:
        return table.index(table.names[found[0]] if found else name), False
    first = min(table.index(column) for column in columns)
    left = [place for place in found if place < first]
    if not left:
        raise RecordingError(
            f"{table.path} has {len(found)} columns named {name!r}, and none left of column {table.names[first]!r}"
        )
    return left[-1], True


def _without_end(table: Table, places: Sequence[int]) -> Table:
    """Without the rows at the end in which one of the columns has nothing: slower streams of one table end earlier."""
    known = np.flatnonzero(np.isfinite(table.values[:, list(places)]).all(axis=1))
    stop = int(known[-1]) + 1 if len(known) else len(table.values)
    return replace(table, values=table.values[:stop])


def _mended(table: Table, use: StreamUse) -> Regular:
    given = table.values
    if len(given) < 2 or not np.isfinite(given[:, 0]).all():
        raise RecordingError(f"{table.path}: it needs at least 2 rows, and a time in each")
    allowed = max(TIME_TOLERANCE, (use.jitter_ms or 0.0) * 1e-3 * use.rate_hz)
    rows, off = _places((given[:, 0] - given[0, 0]) * use.rate_hz, allowed, use.fill_rows)
    wrong = np.flatnonzero(~(np.abs(off) <= allowed))
    if len(wrong):
        row = int(wrong[0])
        raise RecordingError(
            f"{table.path}: row {row} (time {given[row, 0]:.6g} s) is {1e3 * off[row] / use.rate_hz:.3g} ms off "
            f"{use.rate_hz:g} Hz, more than fill_rows = {use.fill_rows} and jitter_ms = {use.jitter_ms or 0:g} mend; "
            "cut the recording there"
        )
    values = np.full((int(rows[-1]) + 1, given.shape[1]), np.nan)
    values[rows] = given
    values[:, 0] = given[0, 0] + np.arange(len(values)) / use.rate_hz
    filled = _fill(values[:, 1:], use.fill_rows, straight=use.name == "moments")
    missing = len(values) - len(given)
    late = float(np.abs(off).max()) * 1e3 / use.rate_hz
    width = max(1, given.shape[1] - 1)
    notes = [f"{missing} missing rows filled"] if missing else []
    notes += (
        [f"{filled - missing * width} values that are no numbers filled"] if filled > missing * width else []
    )
    notes += [f"times up to {late:.3g} ms off"] if late > TIME_TOLERANCE * 1e3 / use.rate_hz else []
    return Regular(replace(table, values=values), values[:, 0].copy(), ", ".join(notes))


def _places(lag: Float, allowed: float, most: int) -> tuple[NDArray[np.int64], Float]:
    """The row on the axis of each given row, and how far off it is, in periods. ``lag`` is in periods since the first row.

    Rows are missing where all that follow are late by more than jitter explains; so where one is late, the least late of the
    next few tells how many.
    """
    rows = np.arange(len(lag), dtype=np.int64)
    off = lag - rows
    if np.abs(off).max() <= allowed:
        return rows, off
    start = 0
    while most:
        late = np.flatnonzero(off[start:] > max(0.5, allowed))
        if not len(late):
            break
        row = start + int(late[0])
        missing = int(np.rint(off[row : row + 8].min()))
        if not 1 <= missing <= most:
            break
        rows[row:] += missing
        off[row:] -= missing
        start = row + 1
    return rows, off


def _fill(values: Float, most: int, straight: bool) -> int:
    """Fill runs of at most ``most`` that are not numbers, in place, and count the values; longer ones stay, to be refused."""
    count = 0
    for column in values.T:
        for start, stop in runs(~np.isfinite(column)):
            if stop - start > most or start == 0:
                continue
            after = column[stop] if straight and stop < len(column) else column[start - 1]
            share = np.arange(1, stop - start + 1) / (stop - start + 1)
            column[start:stop] = column[start - 1] + share * (after - column[start - 1])
            count += stop - start
    return count
