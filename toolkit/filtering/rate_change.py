"""From one regular rate to another with an anti-alias filter, causal, in chunks of any size: for sensors of another rate.

A windowed-sinc low-pass (Kaiser 1974; Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.6) evaluated at the
times of the output rows. Output row k is at the time of the first input row plus k / to_hz, so streams of different rates stay
in step; it is given out when the newest input row that it rests on has come, and that is all the delay there is. The filter
chain's own ``resample`` stage, which interpolates linearly, goes from the contract's rate to the grid and is part of the
model; this one stands before the contract.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import FilterStage, ModelInput
from toolkit.errors import ContractError
from toolkit.filtering.stages import rational

#: What is left of what would alias: 50 dB below, and as much ripple (0.3 %) where the filter passes.
ATTENUATION_DB = 50.0
#: Of the lower of the two rates: what can be passed, with room for the filter to fall before its mirror image begins.
_PASS_SHARE = 0.4
#: If the contract needs no more than this of it, the filter falls from here on and is short.
_SHORT_SHARE = 0.25
#: A contract's filters may ask for content up to this share of a sensor's rate (as the usual chains do, filtering.design).
_WANTED_SHARE = 0.45
#: Filters between two neighbouring input rows; between them coefficients are interpolated, to 1e-5 of the largest.
_PHASES = 256


class RateChange:
    """Rows (rows, channels) at ``from_hz`` to rows at ``to_hz``.

    What is below ``pass_hz`` passes, and what would fold onto it does not. ContractError for rates that leave no room for
    a filter.
    """

    def __init__(self, from_hz: float, to_hz: float, pass_hz: float) -> None:
        step = rational(from_hz) / rational(to_hz)
        self._numerator, self._denominator = step.numerator, step.denominator
        low_hz = min(from_hz, to_hz)
        self.pass_hz = min(pass_hz, _PASS_SHARE * low_hz)
        self._table = _coefficients(self.pass_hz, low_hz - self.pass_hz, from_hz)
        #: Input rows after its own time that an output row waits for.
        self.ahead: int = self._table.shape[1] // 2
        #: The longest that an output row waits for them, s.
        self.delay_s = self.ahead / from_hz
        self.reset()

    def reset(self) -> None:
        """The next input row is row 0 of both rates."""
        self._rows: NDArray[np.float32] | None = None
        self._first = 0  # the input row that is at the front of _rows
        self._next = 0  # the output row that is due

    def push(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next rows; the rows that are now known, float32. Any chunking gives the same bits."""
        if not len(rows):
            return rows
        if self._rows is None:  # before the first row its values stand in
            self._rows = np.repeat(rows[:1], self.ahead, axis=0)
            self._first = -self.ahead
        self._rows = np.concatenate([self._rows, rows])
        due = self._due()
        place, rest = due * self._numerator // self._denominator, due * self._numerator % self._denominator
        phase = rest * (_PHASES / self._denominator)
        below = phase.astype(np.intp)
        share = (phase - below)[:, None]
        taps = self._table[below] * (1.0 - share) + self._table[below + 1] * share
        begin = place - self.ahead + 1 - self._first
        result = np.zeros((len(due), rows.shape[1]))
        for tap in range(taps.shape[1]):  # in this order whatever the chunk, so that the sums are the same
            result += taps[:, tap, None] * self._rows[begin + tap]
        self._next += len(due)
        keep = self.oldest - self._first
        self._rows, self._first = self._rows[keep:], self._first + keep
        return result.astype(np.float32)

    @property
    def oldest(self) -> int:
        """The first input row that the next output row rests on; below 0 at the beginning."""
        return int(self._next * self._numerator // self._denominator) - self.ahead + 1

    def newest(self, outputs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last input row that each of these output rows rests on."""
        result: NDArray[np.int64] = outputs * self._numerator // self._denominator + self.ahead
        return result

    @property
    def reach(self) -> int:
        """How many input rows one output row rests on."""
        return 2 * self.ahead

    def _due(self) -> NDArray[np.int64]:
        """Numbers of the output rows whose newest input row is there."""
        assert self._rows is not None
        last = self._first + len(self._rows) - 1 - self.ahead
        # The largest k with floor(k * numerator / denominator) <= last.
        stop = ((last + 1) * self._denominator - 1) // self._numerator + 1 if last >= 0 else 0
        return np.arange(self._next, max(stop, self._next), dtype=np.int64)


def _coefficients(pass_hz: float, stop_hz: float, rate_hz: float) -> NDArray[np.float64]:
    """Taps of the filter at each phase between two input rows, (phases + 1, taps); the sum of each phase's taps is 1."""
    width = (stop_hz - pass_hz) / rate_hz
    if not width > 0:
        raise ContractError(f"{rate_hz:g} Hz leaves no room for a filter that passes {pass_hz:g} Hz")
    beta = 0.5842 * (ATTENUATION_DB - 21) ** 0.4 + 0.07886 * (ATTENUATION_DB - 21)
    half = (ATTENUATION_DB - 8) / (2.285 * 2 * math.pi * width) / 2
    ahead = max(math.ceil(half), 1)
    offsets = np.arange(-ahead + 1, ahead + 1)[None, :] - (np.arange(_PHASES + 1) / _PHASES)[:, None]
    inside = np.clip(1.0 - (offsets / max(half, 1.0)) ** 2, 0.0, None)
    window = np.i0(beta * np.sqrt(inside)) * (inside > 0)
    cutoff = (pass_hz + stop_hz) / rate_hz
    taps = np.sinc(cutoff * offsets) * window
    result: NDArray[np.float64] = taps / taps.sum(axis=1, keepdims=True)
    return result


def passed_hz(item: ModelInput, floor: float = 0.1) -> float:
    """Up to which frequency the filters of ``item`` pass at least ``floor`` of their largest gain, Hz.

    Filters up to the first one that is not linear count: after that, all frequencies below it have been mixed.
    """
    rate_hz = item.stream.rate_hz
    frequency = np.linspace(0.0, rate_hz / 2, 2049)
    turn = np.exp(-2j * np.pi * frequency / rate_hz)
    gain = np.ones(len(frequency))
    for stage in _linear(item.filters):
        for b0, b1, b2, a1, a2 in np.asarray(stage.parameters["coefficients"], np.float64):
            gain = gain * np.abs((b0 + b1 * turn + b2 * turn**2) / (1 + a1 * turn + a2 * turn**2))
    return float(frequency[np.flatnonzero(gain >= floor * gain.max())[-1]])


def _linear(filters: tuple[FilterStage, ...]) -> list[FilterStage]:
    kinds = [stage.kind for stage in filters]
    stop = next((i for i, kind in enumerate(kinds) if kind in ("rectify", "resample")), len(kinds))
    return [stage for stage in filters[:stop] if stage.kind == "sections"]


def rate_change(item: ModelInput, from_hz: float, where: str) -> RateChange | None:
    """What brings a sensor of ``from_hz`` to the rate of ``item``; None if it has that rate.

    ContractError, in one line, if the sensor is too slow for what the contract's filters let through.
    """
    to_hz = item.stream.rate_hz
    if abs(from_hz - to_hz) <= 1e-6 * to_hz:
        return None
    needed_hz = min(passed_hz(item, math.sqrt(0.5)), _WANTED_SHARE * to_hz)
    if _WANTED_SHARE * from_hz < needed_hz * (1 - 1e-3):
        raise ContractError(
            f"{where}: {from_hz:g} Hz is too slow for the model: its filters pass up to {needed_hz:.0f} Hz, which "
            f"needs at least {needed_hz / _WANTED_SHARE:.0f} Hz; choose a faster mode of the sensor, or a model that was "
            "trained at its rate"
        )
    # A filter that falls slowly is short, and a slow sensor's samples are long: what the contract hardly passes may go.
    pass_hz = min(passed_hz(item), max(_SHORT_SHARE * min(from_hz, to_hz), needed_hz))
    return RateChange(from_hz, to_hz, pass_hz)
