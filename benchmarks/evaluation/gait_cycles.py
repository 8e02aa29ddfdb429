"""Which gait cycle each window belongs to: the unit of peaks, of the bootstrap and of the plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.heel_strikes import WHOLE_CYCLE
from toolkit.records import Recording, Windows

#: A cycle outside these bounds, in seconds, is a missed heel strike or a pause, not a stride.
_SHORTEST_S, _LONGEST_S = 0.4, 2.5
#: Without heel strikes, windows are grouped in blocks of this length in seconds: about one stride.
_BLOCK_S = 1.0
#: With fewer people there are under 40 different resamples of them, too few for a 95 % interval.
PEOPLE_FOR_BOOTSTRAP = 5


@dataclass(frozen=True, eq=False)
class Units:
    """How n windows group. ``cycle`` (n,) numbers gait cycles, parts of cycles, or blocks of 1 s.

    ``whole[c]`` tells whether cycle c is complete: at least 90 % of the windows that its duration would hold;
    ``phase`` (n,) is a window's place in its cycle, 0 to 1;
    ``resample`` (n,) numbers the units of the bootstrap, whose kind is ``over``.
    """

    cycle: NDArray[np.int64]
    whole: NDArray[np.bool_]
    phase: NDArray[np.float64]
    resample: NDArray[np.int64]
    over: str
    strides: bool = True

    def take(self, rows: NDArray[np.int64]) -> Units:
        """The same grouping of the windows at ``rows`` only."""
        return Units(
            self.cycle[rows], self.whole, self.phase[rows], self.resample[rows], self.over, self.strides
        )

    def whole_rows(self) -> Iterator[NDArray[np.int64]]:
        """The rows of each whole cycle, in order; of every cycle or block if none is whole."""
        present, first = np.unique(self.cycle, return_index=True)
        chosen = [c for c in present[np.argsort(first)] if self.whole[c]]
        for cycle in chosen or present:
            yield np.flatnonzero(self.cycle == cycle)

    @property
    def whole_cycles(self) -> int:
        """Number of complete gait cycles among the windows; 0 without heel strikes."""
        return int(sum(self.whole[c] for c in np.unique(self.cycle)) if self.strides else 0)


def group(windows: Windows, horizon_ms: float = 0.0) -> Units:
    """Group windows by the time of their label (newest sample plus horizon) in their recording's gait cycles."""
    cycle = np.zeros(len(windows), np.int64)
    phase = np.zeros(len(windows))
    whole: list[bool] = []
    label_s = windows.time_s + horizon_ms / 1000.0
    strides = any(len(recording.heel_strikes_s) >= 2 for recording in windows.recordings)
    for index, recording in enumerate(windows.recordings):
        rows = np.flatnonzero(windows.recording == index)
        if not len(rows):
            continue
        edges = _edges(recording, label_s[rows])
        place = np.searchsorted(edges, label_s[rows] + 1e-9) - 1
        step = float(np.median(np.diff(label_s[rows]))) if len(rows) > 1 else np.inf
        for number in np.unique(place):
            own = rows[place == number]
            inner = 0 <= number < len(edges) - 1
            duration = edges[number + 1] - edges[number] if inner else 0.0
            cycle[own] = len(whole)
            if inner:
                phase[own] = (label_s[own] - edges[number]) / duration
            whole.append(
                bool(
                    inner
                    and _SHORTEST_S <= duration <= _LONGEST_S
                    and len(own) * step >= WHOLE_CYCLE * duration
                )
            )
    resample, over = _resampled(windows, cycle, strides)
    return Units(cycle, np.array(whole, bool), phase, resample, over, strides)


def _edges(recording: Recording, label_s: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(recording.heel_strikes_s) >= 2:
        return np.asarray(recording.heel_strikes_s, np.float64)
    blocks = max(1, int(np.ceil((label_s[-1] - label_s[0]) / _BLOCK_S)))
    return np.asarray(label_s[0] + _BLOCK_S * np.arange(blocks + 1), np.float64)


def _resampled(windows: Windows, cycle: NDArray[np.int64], strides: bool) -> tuple[NDArray[np.int64], str]:
    people = [windows.recordings[i].person for i in windows.recording]
    names = sorted(set(people))
    if len(names) >= PEOPLE_FOR_BOOTSTRAP:
        number = {name: i for i, name in enumerate(names)}
        return np.array([number[p] for p in people], np.int64), "people"
    return cycle, "gait cycles" if strides else "blocks of 1 s"


def spread(windows: Windows, units: Units, limit: int) -> NDArray[np.int64]:
    """Rows of at most about ``limit`` windows: whole gait cycles, spread evenly over each recording.

    Every recording that has windows keeps at least one cycle, so that no task or person is lost; the
    limit is exceeded rather than that. All rows if they are few enough.
    """
    if len(windows) <= limit:
        return np.arange(len(windows))
    per_recording: list[list[NDArray[np.int64]]] = []
    for index in range(len(windows.recordings)):
        rows = np.flatnonzero(windows.recording == index)
        if len(rows):
            part = units.take(rows)
            per_recording.append([rows[own] for own in part.whole_rows()])
    share = limit / len(per_recording)
    chosen = [rows for cycles in per_recording for rows in _evenly(cycles, share)]
    return np.sort(np.concatenate(chosen))


def _evenly(cycles: Sequence[NDArray[np.int64]], share: float) -> list[NDArray[np.int64]]:
    mean = float(np.mean([len(rows) for rows in cycles]))
    number = min(len(cycles), max(1, round(share / mean)))
    places = np.unique(np.round((np.arange(number) + 0.5) * len(cycles) / number - 0.5).astype(int))
    return [cycles[p] for p in places]


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean and standard deviation of a moment over whole gait cycles at 0, 1, ... 100 % of the cycle, Nm/kg."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    cycles: int


def curve(values: NDArray[np.float64], units: Units) -> Curve | None:
    """The curve of ``values`` (n,) over ``units``; None if there is no whole gait cycle."""
    if not units.whole_cycles:
        return None
    grid = np.linspace(0.0, 1.0, 101)
    table = []
    for rows in units.whole_rows():
        ordered = rows[np.argsort(units.phase[rows])]
        table.append(np.interp(grid, units.phase[ordered], values[ordered]))
    stack = np.array(table)
    return Curve(stack.mean(axis=0), stack.std(axis=0), len(stack))
