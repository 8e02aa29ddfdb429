"""Where a foot stands alone on a force plate: there, and through the swing after it, joint moments are true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.data.readers.c3d import C3d
from toolkit.data.readers.table import runs
from toolkit.errors import RecordingError

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: A vertical force above this, in N, is a foot's: the noise of an empty plate stays below.
LEAST_N = 20.0
#: A contact shorter than this, in s, is no step.
_SHORTEST_S = 0.2
#: A foot that stands moves no faster than this, in m/s; in swing it moves at two to four times the speed of walking.
_STANDS_M_S = 0.4
#: Rows that another foot may seem to stand on the plate: where it leaves it, or lands beside it.
_ROWS_ALLOWED = 2


def valid_spans(
    trial: C3d,
    up: str,
    scale_m: float,
    foot: Sequence[str],
    other: Sequence[str],
    strikes_s: Sequence[float],
) -> tuple[tuple[float, float], ...]:
    """Spans (start, stop), s, from contact with a plate to the last row before the next of ``strikes_s``.

    A contact counts if all points of ``foot`` are over the plate in its middle, and no point of ``other`` stands on that plate
    meanwhile. One that had begun before the first frame does not count; one without a strike after it ends with the recording.
    """
    if not trial.plates:
        why = f" ({trial.plates_fault})" if trial.plates_fault else ""
        raise RecordingError(
            f"{trial.path} has no force plate that can be read{why}; leave [force_plates] out, or give valid_s"
        )
    axis = "xyz".index(up)
    level = [i for i in range(3) if i != axis]
    own = [trial.point(name)[:, level] for name in foot]
    others = [trial.point(name)[:, level] for name in other]
    rate = trial.point_rate_hz
    last_s = trial.first_s + (len(own[0]) - 1) / rate
    spans = []
    for plate in trial.plates:
        force = _at_frames(trial, plate.force[:, axis], len(own[0]))
        corners = plate.corners[:, level]
        standing = [
            _inside(points, corners) & (_speed(points, rate) * scale_m < _STANDS_M_S) for points in others
        ]
        for first, stop in runs(np.asarray(np.abs(force) > LEAST_N)):
            last = stop - 1
            middle = (first + last) // 2
            alone = all(stands[first : last + 1].sum() <= _ROWS_ALLOWED for stands in standing)
            here = all(_inside(points[middle : middle + 1], corners)[0] for points in own)
            if first == 0 or last - first < _SHORTEST_S * rate or not (alone and here):
                continue
            after = [t for t in strikes_s if t > trial.first_s + last / rate]
            until_s = min([t - 1.0 / rate for t in after[:1]] + [last_s])
            spans.append((trial.first_s + first / rate, until_s))
    return _apart(spans)


def _apart(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Ascending and disjoint; what overlaps is joined."""
    result: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return tuple(result)


def _at_frames(trial: C3d, values: Float, frames: int) -> Float:
    """An analog signal at the time of each frame."""
    rows = np.rint(np.arange(frames) * trial.analog_rate_hz / trial.point_rate_hz).astype(np.int64)
    return np.asarray(values[np.minimum(rows, len(values) - 1)], np.float64)


def _speed(points: Float, rate_hz: float) -> Float:
    """Speed (n,) in the points' unit per second, over two rows each way where there are as many."""
    reach = min(2, (len(points) - 1) // 2)
    padded = np.pad(points, ((reach, reach), (0, 0)), mode="edge")
    steps = padded[2 * reach :] - padded[: len(padded) - 2 * reach]
    return np.asarray(np.linalg.norm(steps, axis=1) * rate_hz / max(1, 2 * reach), np.float64)


def _inside(points: Float, corners: Float) -> Bools:
    """Whether each of ``points`` (n, 2) lies in the convex quadrilateral ``corners`` (4, 2)."""
    edges = np.roll(corners, -1, axis=0) - corners
    relative = points[:, None, :] - corners[None]
    side = edges[None, :, 0] * relative[..., 1] - edges[None, :, 1] * relative[..., 0]
    return np.asarray(np.all(side >= 0, axis=1) | np.all(side <= 0, axis=1), np.bool_)
