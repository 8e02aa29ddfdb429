"""Raw rows of one input of the model to filtered features on the grid, each with what it rests on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.pipeline.intake import InputRows
from runtime.pipeline.resampling import LastGood
from toolkit.contract import FilterStage, ModelInput
from toolkit.filtering.chain import Chain
from toolkit.filtering.stages import rational

#: Filtered and normalised rows, (rows, channels).
Features = NDArray[np.float32]


class RowFilter(Protocol):
    """Takes raw rows in order, gives the grid rows that are then known."""

    def push(self, samples: NDArray[np.float32]) -> Features:
        """See :meth:`toolkit.filtering.chain.Chain.push`."""
        ...


#: Makes the filter of an input, the stages of a session's calibration first.
FilterOf = Callable[[ModelInput, float, tuple[FilterStage, ...]], RowFilter]


class InputFeatures:
    """One input of the model: its chain, its features that wait for the other inputs, and where each grid row comes from."""

    def __init__(
        self,
        item: ModelInput,
        grid_rate_hz: float,
        before: tuple[FilterStage, ...] = (),
        filter_of: FilterOf = Chain.of,
    ) -> None:
        self._item, self._grid_rate_hz, self._before = item, grid_rate_hz, before
        self._filter_of = filter_of
        self._step: Fraction = rational(item.stream.rate_hz) / rational(grid_rate_hz)
        self.reset()

    def reset(self) -> None:
        """The next row is row 0."""
        self._chain = self._filter_of(self._item, self._grid_rate_hz, self._before)
        channels = len(self._item.stream.channels)
        self._held = LastGood(channels)
        self.features: Features = np.empty((0, channels), np.float32)
        self.findings: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.source_s: NDArray[np.float64] = np.empty(0, np.float64)
        self._row = 0  # of the grid, the next to come out of the chain
        self._raw_findings = np.empty(0, np.uint8)
        self._raw_source_s = np.empty(0, np.float64)
        self._raw_first = 0

    def filter_rows(self, rows: InputRows) -> None:
        """Filter rows; what comes out waits in ``features``."""
        values = self._held.hold(rows.values)
        features = self._chain.push(values)
        self._raw_findings = np.concatenate([self._raw_findings, rows.findings])
        self._raw_source_s = np.concatenate([self._raw_source_s, rows.source_s])
        if not len(features):
            return
        findings, source_s = self._on_grid(len(features))
        self.features = np.concatenate([self.features, features]) if len(self.features) else features
        self.findings = np.concatenate([self.findings, findings])
        self.source_s = np.concatenate([self.source_s, source_s])

    def drop(self, count: int) -> None:
        """``count`` rows of the grid were paired."""
        self.features, self.findings = self.features[count:], self.findings[count:]
        self.source_s = self.source_s[count:]

    def _on_grid(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Findings of the raw rows that the next ``count`` grid rows took in, and the time of the newest of them."""
        number = self._row + np.arange(-1, count)
        last = -(
            (-number * self._step.numerator) // self._step.denominator
        )  # the later neighbour, rounded up
        self._row += count
        ends = last - self._raw_first
        flags = [
            int(np.bitwise_or.reduce(self._raw_findings[max(low + 1, 0) : high + 1], initial=0))
            for low, high in itertools.pairwise(ends)
        ]
        source_s = self._raw_source_s[ends[1:]]
        # Rows behind the newest grid row belong to the next; that row itself may be a neighbour once more.
        keep = int(ends[-1])
        self._raw_findings, self._raw_source_s = self._raw_findings[keep:], self._raw_source_s[keep:]
        self._raw_first += keep
        return np.array(flags, np.uint8), source_s
