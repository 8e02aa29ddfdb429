"""Histograms of times with fixed buckets: one that grows, and what it is at a moment."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

#: Upper bounds of the buckets of every histogram of times, in ms; one more bucket holds what is above the last.
BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


@dataclass(frozen=True)
class Histogram:
    """Counts of times: ``counts[i]`` lie above ``bounds_ms[i - 1]`` and at or below ``bounds_ms[i]``; the last has no bound."""

    bounds_ms: tuple[float, ...] = BOUNDS_MS
    counts: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)
    sum_ms: float = 0.0
    largest_ms: float = 0.0

    @property
    def count(self) -> int:
        """All times that were counted."""
        return sum(self.counts)

    def quantile_ms(self, share: float) -> float | None:
        """The bound of the bucket that holds the quantile: the true one is at or below it. None when nothing is counted."""
        wanted, seen = share * self.count, 0
        for bound, count in zip((*self.bounds_ms, self.largest_ms), self.counts):
            seen += count
            if count and seen >= wanted:
                return min(bound, self.largest_ms)
        return None


class Tally:
    """A histogram that grows."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_MS) + 1)
        self._sum_ms = 0.0
        self._largest_ms = 0.0

    def add(self, time_ms: float) -> None:
        """Count one time."""
        self._counts[bisect.bisect_left(BOUNDS_MS, time_ms)] += 1
        self._sum_ms += time_ms
        self._largest_ms = max(self._largest_ms, time_ms)

    def snapshot(self) -> Histogram:
        """As it is now."""
        return Histogram(BOUNDS_MS, tuple(self._counts), self._sum_ms, self._largest_ms)
