"""Curves over the gait cycle and over stance, and smooth random drift. numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class CycleCurve:
    """A periodic curve through control points at equal steps of the gait cycle, as a Fourier series.

    ``harmonics`` bounds the series; Winter (2009, ch. 3) finds that the 6th harmonic holds the last of
    walking's kinematic power.
    """

    def __init__(self, points: Sequence[float], harmonics: int = 8) -> None:
        spectrum = np.fft.rfft(np.asarray(points, dtype=np.float64)) / len(points)
        order = np.arange(min(harmonics + 1, len(spectrum)))
        taper = np.exp(-0.5 * (order / (harmonics + 1)) ** 4)
        self.coefficients = spectrum[: len(order)] * taper * np.where(order == 0, 1.0, 2.0)
        self.order = order

    @property
    def mean(self) -> float:
        """The mean over the cycle, in the points' unit."""
        return float(self.coefficients[0].real)

    def __call__(self, phase: Float) -> Float:
        """Values at ``phase`` (cycles; only the fraction matters), shape as ``phase``."""
        turns = np.exp(2j * np.pi * np.multiply.outer(phase, self.order))
        values: Float = (turns @ self.coefficients).real
        return values


def interpolate(x: Float, knots: Sequence[float], values: Sequence[float]) -> Float:
    """Monotone cubic interpolation (Fritsch and Carlson 1980): smooth, with no overshoot between knots.

    Outside the knots the end values hold.
    """
    k = np.asarray(knots, dtype=np.float64)
    v = np.asarray(values, dtype=np.float64)
    width = np.diff(k)
    slope = np.diff(v) / width
    inner = np.zeros(len(k) - 2)
    same = slope[:-1] * slope[1:] > 0
    weight = (2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        harmonic = (weight[0] + weight[1]) / (weight[0] / slope[:-1] + weight[1] / slope[1:])
    inner[same] = harmonic[same]
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    i = np.clip(np.searchsorted(k, x, side="right") - 1, 0, len(width) - 1)
    t = np.clip((x - k[i]) / width[i], 0.0, 1.0)
    result: Float = (
        (1 + 2 * t) * (1 - t) ** 2 * v[i]
        + t * (1 - t) ** 2 * width[i] * tangent[i]
        + t**2 * (3 - 2 * t) * v[i + 1]
        + t**2 * (t - 1) * width[i] * tangent[i + 1]
    )
    return result


def drift(
    rng: np.random.Generator, time_s: Float, deviation: float, bandwidth_hz: float, terms: int = 10
) -> Float:
    """A smooth random process of standard deviation ``deviation`` and no power above ``bandwidth_hz``."""
    frequency = rng.uniform(0.02, bandwidth_hz, terms)
    phase = rng.uniform(0.0, 2 * np.pi, terms)
    size = rng.rayleigh(1.0, terms)
    size *= deviation * np.sqrt(2.0 / np.sum(size**2))
    result: Float = np.sin(2 * np.pi * np.multiply.outer(time_s, frequency) + phase) @ size
    return result


def after_each(time_s: Float, starts_s: Float, decay_s: float) -> Iterator[tuple[slice, Float]]:
    """For each of ``starts_s`` the rows of ``time_s`` (ascending) in which a pulse from it counts, and s since then.

    A pulse that decays by e in ``decay_s`` ends after 60 of them, at 1e-26 of its size: below a rounding of any sum.
    """
    first = np.searchsorted(time_s, starts_s)
    last = np.searchsorted(time_s, np.asarray(starts_s) + 60.0 * decay_s)
    for start, begin, end in zip(starts_s, first, last):
        yield slice(begin, end), time_s[begin:end] - start
