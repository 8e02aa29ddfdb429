"""Strides of a walk from what IMUs read, however they are mounted.

Everything here is made of norms of vectors, which no rotation of a sensor changes: the same walk gives the same strides
whatever the mounting, and a calibration that is made of them turns with the sensor exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.heel_strikes import peaks

Float = NDArray[np.float64]

#: A stride of a person who walks lies between these, in s (running is shorter, a shuffle longer).
SHORTEST_STRIDE_S = 0.6
LONGEST_STRIDE_S = 2.4
#: Points that a stride is resampled to.
PHASES = 32
#: A stride differs from the median by less than this fraction, or it is a turn, a stop or a stumble.
_DEVIATION = 0.25
#: Cut-off of the moving average that the swings are looked for in, in s.
_SMOOTHING_S = 0.12


@dataclass(frozen=True, eq=False)
class Strides:
    """Strides of one walk: ``rows`` (n, 2) of the first and one past the last row of each, ``period_s`` the median."""

    rows: NDArray[np.int64]
    period_s: float

    def __len__(self) -> int:
        return len(self.rows)

    def resampled(self, signal: Float) -> Float:
        """``signal`` (rows, channels) as (strides, PHASES, channels): each stride on a common phase axis, linearly."""
        result = np.empty((len(self.rows), PHASES, signal.shape[1]))
        for index, (first, last) in enumerate(self.rows):
            at = first + (last - first) * np.arange(PHASES) / PHASES
            below = at.astype(np.int64)
            part = (at - below)[:, None]
            above = np.minimum(below + 1, len(signal) - 1)
            result[index] = (1.0 - part) * signal[below] + part * signal[above]
        return result


def find_strides(gyroscopes: Float, rate_hz: float) -> Strides:
    """Strides in ``gyroscopes`` (rows, sensors, 3), rad/s, of sensors on one leg (and the trunk).

    All of a leg's segments turn fastest in swing, once a stride. A stride begins where the summed angular speed, each
    sensor's over its own root mean square, has its peak. No stride is found in a recording without a regular walk.
    """
    speed = np.linalg.norm(gyroscopes, axis=2)
    scale = np.sqrt(np.mean(speed**2, axis=0))
    activity = (speed / np.maximum(scale, 1e-9)).mean(axis=1)
    width = max(1, round(_SMOOTHING_S * rate_hz))
    smooth = np.convolve(
        activity, np.hanning(width + 2)[1:-1] / np.hanning(width + 2)[1:-1].sum(), mode="same"
    )
    period = _period(smooth, rate_hz)
    if period is None:
        return Strides(np.empty((0, 2), np.int64), 0.0)
    found = peaks(smooth, round(0.7 * period), float(np.percentile(smooth, 75)))
    lengths = np.diff(found)
    if not len(lengths):
        return Strides(np.empty((0, 2), np.int64), 0.0)
    median = float(np.median(lengths))
    regular = np.abs(lengths - median) <= _DEVIATION * median
    rows = np.stack([found[:-1], found[1:]], axis=1)[regular]
    return Strides(rows.astype(np.int64), median / rate_hz)


def _period(activity: Float, rate_hz: float) -> float | None:
    """The stride's length in rows: the first clear peak of the autocorrelation between the bounds; None without one."""
    centred = activity - activity.mean()
    size = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum), size)[: len(centred)]
    correlation /= np.maximum(np.arange(len(centred), 0, -1), 1)
    correlation /= max(correlation[0], 1e-12)
    low, high = round(SHORTEST_STRIDE_S * rate_hz), round(LONGEST_STRIDE_S * rate_hz)
    part = correlation[low : min(high, len(correlation) // 2)]
    if not len(part):
        return None
    best = float(part.max())
    if best < 0.3:
        return None
    inner = (
        np.flatnonzero((part[1:-1] >= part[:-2]) & (part[1:-1] > part[2:]) & (part[1:-1] >= 0.85 * best)) + 1
    )
    return float(low + (inner[0] if len(inner) else int(part.argmax())))
