"""What calibration should not believe: dead channels, and windows with an outlier.

Inputs are normalised, so that 1 is a channel's deviation in training. One bad sample of a raw signal is not one value here:
causal filters smear it over tenths of a second, and windows that overlap hold it many times. So windows are judged, by a
measure that holds while less than half of a channel's values are bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A value this many times its channel's usual magnitude is an outlier. The usual magnitude is the median, and at least 1,
#: so that channels that mostly rest (EMG) have none. Measured: synthetic gait and the walking trial stay below 8.
_FAR = 20.0
#: In a channel with an outlier, what a filter makes of it decays through lesser values: down to here it is left out too.
_TAIL = 10.0
#: A largest value this many times the 99.9th percentile is worth a word, though no window is left out for it.
_RARE = 6.0


@dataclass(frozen=True, eq=False)
class Findings:
    """``sound`` (windows,) is False for windows that hold an outlier; ``warnings`` are for people."""

    sound: NDArray[np.bool_]
    warnings: tuple[str, ...]


def find(inputs: Mapping[str, NDArray[np.floating[Any]]]) -> Findings:
    """Judge the normalised windows ``inputs`` {stream: (N, T, C)}, finite, of all streams.

    If half of the windows or more hold an outlier, all count as sound and a warning says so: what is in most windows
    is what the sensor gives.
    """
    count = len(next(iter(inputs.values())))
    bad = {name: _bad_windows(values) for name, values in inputs.items()}
    sound = ~np.any([each.any(axis=1) for each in bad.values()], axis=0)
    left_out = 2 * int(sound.sum()) > count
    warnings: list[str] = []
    for name, values in inputs.items():
        warnings += _warnings(name, values.astype(np.float64), bad[name], left_out)
    return Findings(sound if left_out else np.ones(count, np.bool_), tuple(warnings))


def _bad_windows(values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """(N, C): True where a window's channel holds an outlier."""
    magnitudes = np.abs(values.astype(np.float64))
    usual = np.maximum(np.median(magnitudes, axis=(0, 1)), 1.0)
    peaks = magnitudes.max(axis=1) / usual
    result: NDArray[np.bool_] = peaks > np.where((peaks > _FAR).any(axis=0), _TAIL, np.inf)
    return result


def _warnings(name: str, values: NDArray[np.float64], bad: NDArray[np.bool_], left_out: bool) -> list[str]:
    """For one stream: ``values`` (N, T, C), ``bad`` (N, C)."""
    flat = values.reshape(-1, values.shape[-1])
    dead = [int(channel) for channel in np.flatnonzero(np.ptp(flat, axis=0) == 0)]
    warnings = []
    if dead:
        warnings.append(f"stream {name}: channel {', '.join(map(str, dead))} is constant in all windows")
    usual, most, peak = np.percentile(np.abs(flat), (50, 99.9, 100), axis=0)
    for channel in range(flat.shape[1]):
        says = f"stream {name}: channel {channel} peaks at {_number(peak[channel])}"
        if bad[:, channel].any():
            held = f"{says} training deviations, an outlier in {int(bad[:, channel].sum())} of {len(bad)} windows"
            warnings.append(
                f"{held}: percentile and mse ranges leave these windows out, a min-max range is widened by them"
                if left_out
                else f"{held}, too many to leave out: int8 has few steps for the rest; repair the recordings"
            )
        elif usual[channel] > _FAR:
            warnings.append(
                f"{says} and is usually at {_number(usual[channel])} training deviations: its unit, its zero or its sensor is "
                "not that of the training data, and the other channels of the stream are left few steps of int8"
            )
        elif channel not in dead and peak[channel] > _RARE * max(most[channel], 1e-6):
            warnings.append(
                f"{says}, {peak[channel] / max(most[channel], 1e-6):.0f} times its 99.9th percentile: an outlier would "
                "widen a min-max range; percentile and mse ranges survive it"
            )
    return warnings


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 1e6 else f"{value:.2g}"
