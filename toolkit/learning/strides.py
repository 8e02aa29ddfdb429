"""Windows by the gait cycle that their newest sample lies in: the unit in which a person gives data to adapt to."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from toolkit.records import Windows

Rows = NDArray[np.int64]

#: A cycle outside these bounds, in seconds, is a missed heel strike or a pause.
_CYCLE_S = (0.4, 2.5)
#: A cycle of which fewer than this share of windows has a label is no stride to learn from.
LEAST_SHARE = 0.5


def strides(windows: Windows) -> list[Rows]:
    """The rows of each stride, the first of every recording first, then the second of every recording, and so on.

    So that few strides come from as many recordings, and with them tasks and speeds, as they can. A stride has labels for at
    least half of its time; windows outside any are in none.
    """
    by_recording: list[list[Rows]] = []
    for index, recording in enumerate(windows.recordings):
        rows = np.flatnonzero(windows.recording == index)
        time = windows.time_s[rows]
        if len(rows) < 2:
            continue
        step = float(np.diff(time).min())
        found = []
        for start, stop in pairwise(recording.heel_strikes_s):
            own = rows[(time >= start - 1e-9) & (time < stop - 1e-9)]
            if _CYCLE_S[0] <= stop - start <= _CYCLE_S[1] and len(own) * step >= LEAST_SHARE * (stop - start):
                found.append(own)
        by_recording.append(found)
    longest = max(map(len, by_recording), default=0)
    return [found[turn] for turn in range(longest) for found in by_recording if turn < len(found)]


def apart(windows: Windows, used: Rows, window_s: float) -> Rows:
    """The rows whose window shares no sample with a label time of ``used``: what may be tested after learning from those."""
    keep = np.ones(len(windows), np.bool_)
    for index in np.unique(windows.recording[used]):
        own = np.flatnonzero(windows.recording == index)
        times = np.sort(windows.time_s[used[windows.recording[used] == index]])
        # The nearest used label at or before a window's newest sample must lie before its oldest.
        place = np.searchsorted(times, windows.time_s[own] + 1e-9) - 1
        before = np.where(place >= 0, times[np.maximum(place, 0)], -np.inf)
        keep[own] = windows.time_s[own] - before > window_s
    keep[used] = False
    return np.flatnonzero(keep)
