"""Mains hum on raw EMG: how strong its line and harmonics are, and the notch that takes them out. numpy only.

The line is looked for in the spectrum of a few seconds (Hann window): its power against that of its neighbourhood, because EMG
is noise and has power at 50 Hz as well. What stands out clearly is a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import FilterStage
from toolkit.errors import ContractError

Float = NDArray[np.float64]

#: Frequencies of mains, Hz.
MAINS_HZ = (50, 60)
#: Harmonics that are looked for: odd ones of what the cable catches, the second of a rectifier.
HARMONICS = (1, 2, 3, 5, 7)
#: Seconds of samples that a spectrum needs: mains keeps within 0.2 Hz, and the window's line is 1 Hz wide.
SPECTRUM_S = 4.0
#: A line is within this of its frequency; its neighbourhood begins and ends so far away, Hz.
_LINE_HZ, _NEAR_HZ, _FAR_HZ = 0.75, 2.0, 9.0
#: Power of a line over that of its neighbourhood. Of EMG without hum (synthetic; 1,080 spectra of 4 s, 10 lines each) the
#: largest was 11.3.
CLEAR = 12.0
#: The notch is so wide (3 dB), Hz: it takes off 20 dB within 0.1 Hz, and 0.5 % of what an EMG amplifier passes.
NOTCH_WIDTH_HZ = 2.0
#: EMG has nothing above this; harmonics there are left.
_HIGHEST_HZ = 450.0


@dataclass(frozen=True, eq=False)
class Hum:
    """Mains hum of ``line_hz``: the ``amplitudes`` of its harmonics (:func:`harmonics_hz`, channels), in the channels' unit; 0
    where no line stands out."""

    line_hz: int
    amplitudes: Float


def harmonics_hz(line_hz: float, rate_hz: float) -> tuple[float, ...]:
    """The harmonics that can be seen at ``rate_hz``, with their neighbourhood."""
    highest = min(rate_hz / 2, _HIGHEST_HZ)
    return tuple(n * line_hz for n in HARMONICS if n * line_hz + _FAR_HZ < highest)


def find_hum(samples: Float, rate_hz: float) -> tuple[Hum, ...]:
    """Hum in ``samples`` (rows, channels) of raw EMG, at least :data:`SPECTRUM_S` of them, one for each line of mains.

    Empty where the rate is too low to see a line at all.
    """
    count = len(samples)
    window = np.hanning(count)[:, None]
    # Mean square of each frequency's part.
    scale = 2.0 / (count * float(np.sum(window**2)))
    turned = np.fft.rfft((samples - samples.mean(axis=0)) * window, axis=0)
    power = (scale * np.abs(turned) ** 2).astype(np.float64)
    frequency = np.fft.rfftfreq(count, 1.0 / rate_hz).astype(np.float64)
    found = []
    for line_hz in MAINS_HZ:
        centres = harmonics_hz(line_hz, rate_hz)
        if centres:
            found.append(Hum(line_hz, np.stack([_line(power, frequency, hz) for hz in centres])))
    return tuple(found)


def _line(power: Float, frequency: Float, centre_hz: float) -> Float:
    """The amplitude of each channel's line at ``centre_hz``; 0 where it does not stand out."""
    away = np.abs(frequency - centre_hz)
    near = away <= _LINE_HZ
    around = power[(away >= _NEAR_HZ) & (away <= _FAR_HZ)].mean(axis=0)
    mean = power[near].mean(axis=0)
    clear = mean > CLEAR * around
    amplitude: Float = np.sqrt(2.0 * np.maximum(mean - around, 0.0) * int(near.sum())) * clear
    return amplitude


def mean_response(stages: Sequence[FilterStage], channels: int, line_hz: float, rate_hz: float) -> Float:
    """What ``stages`` make of a line of amplitude 1 at ``line_hz``, (channels,): its mean once it is rectified (2 / pi of what
    then comes through), else its amplitude."""
    gain = np.ones(channels)
    turn = np.exp(-2j * np.pi * line_hz / rate_hz)
    for stage in stages:
        if stage.kind == "sections":
            for b0, b1, b2, a1, a2 in np.asarray(stage.parameters["coefficients"], np.float64):
                gain *= abs((b0 + b1 * turn + b2 * turn**2) / (1 + a1 * turn + a2 * turn**2))
        elif stage.kind == "scale":
            gain *= np.abs(np.asarray(stage.parameters["gain"], np.float64))
        elif stage.kind == "rectify":
            gain *= 2.0 / np.pi
            turn = np.complex128(1.0)  # from here on its mean counts, which is at 0 Hz
    return gain


def notch(line_hz: float, rate_hz: float) -> FilterStage:
    """Notches at ``line_hz`` and its odd harmonics, as second-order sections of a filter chain, for ``rate_hz``.

    A notch is the bilinear transform of the analogue one (Orfanidis, Introduction to Signal Processing, section 11.3).
    ContractError where the rate is too low for the line.
    """
    lines = [n * line_hz for n in HARMONICS if n % 2 and n * line_hz < min(0.45 * rate_hz, _HIGHEST_HZ)]
    if not lines:
        raise ContractError(
            f"a notch at {line_hz:g} Hz needs a rate above {line_hz / 0.45:.0f} Hz, not {rate_hz:g} Hz"
        )
    gain = 1.0 / (1.0 + math.tan(math.pi * NOTCH_WIDTH_HZ / rate_hz))
    rows = []
    for hz in lines:
        middle = -2.0 * math.cos(2.0 * math.pi * hz / rate_hz) * gain
        rows.append([float(np.float32(value)) for value in (gain, middle, gain, middle, 2.0 * gain - 1.0)])
    text = ", ".join(f"{hz:g}" for hz in lines)
    design = f"notch {text} Hz, {NOTCH_WIDTH_HZ:g} Hz wide, at {rate_hz:g} Hz"
    return FilterStage("sections", {"coefficients": rows, "design": design})
