"""Second-order Butterworth low-pass: forward only for what may become a model's input, both ways for labels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import RecordingError

Float = NDArray[np.float64]


def _coefficients(cutoff_hz: float, rate_hz: float, raised: float = 1.0) -> tuple[float, float, float]:
    """b0 (b1 = 2 b0, b2 = b0), a1, a2 of the bilinear design, its warp undone; ``raised`` lifts the cut-off."""
    if not 0 < cutoff_hz < rate_hz / 2:
        raise RecordingError(
            f"low-pass at {cutoff_hz:g} Hz does not fit a rate of {rate_hz:g} Hz; "
            f"it must be above 0 and below {rate_hz / 2:g} Hz"
        )
    warped = raised * math.tan(math.pi * cutoff_hz / rate_hz)
    scale = 1.0 / (1.0 + math.sqrt(2.0) * warped + warped**2)
    return (
        warped**2 * scale,
        2.0 * (warped**2 - 1.0) * scale,
        (1.0 - math.sqrt(2.0) * warped + warped**2) * scale,
    )


def _forward(values: Float, coefficients: tuple[float, float, float]) -> Float:
    b0, a1, a2 = coefficients
    result = np.empty_like(values)
    x1 = x2 = y1 = y2 = values[0]
    for row, x in enumerate(values):
        y = b0 * (x + 2.0 * x1 + x2) - a1 * y1 - a2 * y2
        result[row] = y
        x2, x1, y2, y1 = x1, x, y1, y
    return result


def causal_low_pass(values: Float, cutoff_hz: float, rate_hz: float) -> Float:
    """Filter (rows, columns) forward; row k depends on rows <= k. Starts in the first row's steady state."""
    return _forward(values, _coefficients(cutoff_hz, rate_hz))


def zero_phase_low_pass(values: Float, cutoff_hz: float, rate_hz: float) -> Float:
    """Filter (rows, columns) forward and backward: no delay, fourth order in all, -3 dB at ``cutoff_hz``.

    The cut-off of each pass is raised by (sqrt(2) - 1)^(-1/4) so that both together have theirs where it
    was asked for (Winter 2009, ch. 3). Ends are mirrored about their value. For labels only.
    """
    coefficients = _coefficients(cutoff_hz, rate_hz, (math.sqrt(2.0) - 1.0) ** -0.25)
    pad = min(len(values) - 1, math.ceil(2.0 * rate_hz / cutoff_hz))
    before = 2.0 * values[0] - values[pad:0:-1]
    after = 2.0 * values[-1] - values[-2 : -2 - pad : -1]
    forward = _forward(np.concatenate([before, values, after]), coefficients)
    both = _forward(forward[::-1], coefficients)[::-1]
    return np.ascontiguousarray(both[pad : pad + len(values)])
