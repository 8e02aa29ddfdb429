"""Histograms of times with fixed buckets: one that grows, and what it is at a moment."""

from __future__ import annotations

import bisect
from collections import deque
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


class RecentTally:
    """A histogram of the last ``span_s`` seconds, to a ``slots``-th of it: after months, how it is now."""

    def __init__(self, span_s: float = 300.0, slots: int = 30) -> None:
        self.span_s = span_s
        self._slot_ns = round(span_s / slots * 1e9)
        self._slots = slots
        self._held: deque[tuple[int, Tally]] = deque()

    def add(self, time_ms: float, now_ns: int) -> None:
        """Count one time, now; ``now_ns`` never goes back."""
        slot = now_ns // self._slot_ns
        if not self._held or self._held[-1][0] != slot:
            self._held.append((slot, Tally()))
            self._forget(slot)
        self._held[-1][1].add(time_ms)

    def snapshot(self, now_ns: int) -> Histogram:
        """What was counted within the span before ``now_ns``."""
        self._forget(now_ns // self._slot_ns)
        parts = [tally.snapshot() for _, tally in self._held]
        if not parts:
            return Histogram()
        counts = tuple(map(sum, zip(*(part.counts for part in parts))))
        largest_ms = max(part.largest_ms for part in parts)
        return Histogram(BOUNDS_MS, counts, sum(part.sum_ms for part in parts), largest_ms)

    def _forget(self, slot: int) -> None:
        while self._held and self._held[0][0] <= slot - self._slots:
            self._held.popleft()
