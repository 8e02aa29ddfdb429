"""Heel strikes from what a recording holds, to cut it into gait cycles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

#: No two right heel strikes are closer together than this, s: running at a sprint takes 0.45 s a stride.
SHORTEST_STRIDE_S = 0.45

#: A strike found in the motion and one seen by a force plate are the same if they are this close, s.
_SAME_STRIKE_S = 0.1

#: A gait cycle of which at least this share is known counts as whole.
WHOLE_CYCLE = 0.9


def from_foot(forward_m: Float, rate_hz: float, start_s: float = 0.0) -> tuple[float, ...]:
    """Times, s, at which the foot is farthest ahead of the pelvis.

    Zeni, Richards and Higginson (2008), Gait Posture 27:710: right on a treadmill and over ground.
    ``forward_m`` (n,) is the foot's place ahead of the pelvis.
    """
    spread = float(np.ptp(forward_m))
    return _times(
        peaks(forward_m, _reach(rate_hz), float(forward_m.mean()) + 0.15 * spread), rate_hz, start_s
    )


def from_shank(gyroscope: Float, rate_hz: float, start_s: float = 0.0) -> tuple[float, ...]:
    """Times, s, of the first downward zero crossing of shank pitch rate after each swing.

    Swing is the large positive peak of the shank's angular velocity about z; the shank then stops about
    when the heel lands (Aminian et al. 2002, J Biomech 35:689). On synthetic gait it stops 10 to 65 ms
    before contact, by the same within a few ms in each stride of a trial: enough to cut cycles, too
    coarse to time contact itself. ``gyroscope`` (n,) in rad/s.
    """
    smooth = np.convolve(gyroscope, np.ones(width := max(1, round(0.03 * rate_hz))) / width, mode="same")
    swings = peaks(smooth, _reach(rate_hz), 0.4 * float(np.percentile(smooth, 99.5)))
    strikes = []
    for swing in swings:
        falling = np.flatnonzero((smooth[swing:-1] > 0) & (smooth[swing + 1 :] <= 0))
        if len(falling):
            strikes.append(int(swing + falling[0] + 1))
    return _times(np.unique(np.array(strikes, dtype=np.int64)), rate_hz, start_s)


def refined(found: Sequence[float], known: Sequence[float]) -> tuple[float, ...]:
    """Strikes ``found`` in the motion, each moved to the one of ``known`` (events, force plates) that is within 0.1 s of it.

    A known strike with none near it is added where no other is within the shortest stride.
    """
    result = list(found)
    for t in known:
        near = [i for i, other in enumerate(result) if abs(other - t) <= _SAME_STRIKE_S]
        if near:
            result[near[0]] = float(t)
        elif all(abs(other - t) >= SHORTEST_STRIDE_S for other in result):
            result.append(float(t))
    return tuple(sorted(set(result)))


def peaks(values: Float, reach: int, least: float) -> NDArray[np.int64]:
    """Rows of local maxima of at least ``least``, each the largest within ``reach`` rows each way."""
    inner = values[1:-1]
    rows = np.flatnonzero((inner > values[:-2]) & (inner >= values[2:]) & (inner >= least)) + 1
    kept: list[int] = []
    for row in sorted(rows, key=lambda r: -values[r]):
        if all(abs(row - other) >= reach for other in kept):
            kept.append(int(row))
    return np.array(sorted(kept), dtype=np.int64)


def _reach(rate_hz: float) -> int:
    """Rows that two heel strikes of one foot lie apart at least."""
    return max(1, round(SHORTEST_STRIDE_S * rate_hz))


def _times(rows: NDArray[np.int64], rate_hz: float, start_s: float) -> tuple[float, ...]:
    return tuple(float(start_s + row / rate_hz) for row in rows)
