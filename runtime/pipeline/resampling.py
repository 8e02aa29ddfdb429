"""Rows of one stream at a sensor's rate to rows at the contract's, each with the findings and the age of what it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.pipeline.states import LARGEST
from toolkit.filtering.rate_change import RateChange

Values = NDArray[np.float32]


class LastGood:
    """Holds the last good value of a channel where one is not finite, or no measurement: a filter would keep it for ever."""

    def __init__(self, channels: int) -> None:
        self._good: Values = np.zeros(channels, np.float32)

    def hold(self, values: Values) -> Values:
        """``values`` (rows, channels), itself if all of it is good."""
        good = np.abs(values) <= LARGEST
        if not good.all():
            values = values.copy()
            for row in range(len(values)):
                values[row] = np.where(good[row], values[row], self._good)
                self._good = values[row]
        self._good = values[-1]
        return values


class StreamResampler:
    """Takes rows in order; ``epoch_s`` + k / ``to_hz`` is the time of output row k."""

    def __init__(self, change: RateChange, channels: int, to_hz: float) -> None:
        self._change, self._channels, self._to_hz = change, channels, to_hz
        self.reset()

    def reset(self) -> None:
        """The next row is row 0."""
        self._change.reset()
        self._held = LastGood(self._channels)
        self._findings = np.empty(0, np.uint8)
        self._source_s = np.empty(0, np.float64)
        self._first = 0  # the input row at the front of both
        self._next = 0

    def resample(
        self, values: Values, findings: NDArray[np.uint8], source_s: NDArray[np.float64], epoch_s: float
    ) -> tuple[Values, NDArray[np.uint8], NDArray[np.float64]]:
        """The rows that are known now: findings of all rows that each rests on, and the time of the newest measured one, or
        its own if that is earlier."""
        output = self._change.push(self._held.hold(values))
        self._findings = np.concatenate([self._findings, findings])
        self._source_s = np.concatenate([self._source_s, source_s])
        numbers = np.arange(self._next, self._next + len(output), dtype=np.int64)
        self._next += len(output)
        newest = self._change.newest(numbers) - self._first
        flags = np.zeros(len(output), np.uint8)
        for back in range(self._change.reach):
            flags |= self._findings[np.maximum(newest - back, 0)]
        times_s = np.minimum(epoch_s + numbers / self._to_hz, self._source_s[newest])
        keep = max(self._change.oldest - self._first, 0)
        self._findings, self._source_s = self._findings[keep:], self._source_s[keep:]
        self._first += keep
        return output, flags, times_s
