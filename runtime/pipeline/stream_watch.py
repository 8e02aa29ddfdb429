"""What is wrong with the samples of one stream, and when: losses, saturation, dead channels, uncertain times.

Findings are kept as spans of time and put onto the rows of the stream's regular axis when those are given out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.packets import StreamDescriptor
from firmware_bridge.protocol.table import Format
from firmware_bridge.streams.alignment import Rows
from firmware_bridge.streams.session import TimedSamples
from runtime.pipeline.states import LARGEST, Finding, Rules

_TURN = 1 << 32
#: Rates are measured over this long.
_RATE_S = 2.0
#: The largest raw values that are not yet the end of the scale.
_LIMITS = {Format.INT16: (1 << 15) - 1, Format.INT24: (1 << 23) - 1}
#: A value this near full scale, as a share of it, is at full scale: scales are single precision.
_NEAR = 1e-6


@dataclass
class _Span:
    """From ``start_s`` to ``stop_s`` the samples have ``finding``. ``missing``: the numbers of lost samples, if it is that."""

    start_s: float
    stop_s: float
    finding: Finding
    missing: tuple[int, int, int] | None = None


@dataclass(eq=False)
class StreamWatch:
    """Fed with every packet of one stream, then asked about rows; ``descriptor`` gives scales and full scales."""

    descriptor: StreamDescriptor
    rules: Rules
    samples: int = 0
    rows: int = 0
    rows_in_gaps: int = 0
    rows_saturated: int = 0
    rows_not_finite: int = 0
    #: Arrival of the newest packet, None before the first.
    heard_ns: int | None = None
    last: NDArray[np.float64] | None = None
    error_s: float = float("inf")
    _spans: deque[_Span] = field(default_factory=deque)
    _boot: int | None = None
    _clock_restarts: int = 0
    _next: int = 0
    _newest_s: float = 0.0
    _changed_s: NDArray[np.float64] | None = None
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        limit = _LIMITS.get(self.descriptor.format, np.inf)
        channels = self.descriptor.channels
        ends = [min(c.full_scale or np.inf, abs(c.scale) * limit) for c in channels]
        self._ends = np.array(ends) * (1 - _NEAR)
        self._can_be_odd = self.descriptor.format is Format.FLOAT32
        self._period_s = 1.0 / self.descriptor.rate_hz

    def inspect(self, samples: TimedSamples, arrival_ns: int, clock_restarts: int = 0) -> None:
        """Look at one packet. Late packets fill the loss that was noted for them.

        ``clock_restarts``: how often the node's clock was learnt anew; where that happens times before and after do not fit.
        """
        self.samples += len(samples.values)
        self.heard_ns = arrival_ns
        self._measure(len(samples.values), arrival_ns * 1e-9)
        if not self._in_order(samples):
            return
        start_s, stop_s = float(samples.times_s[0]), float(samples.times_s[-1])
        if clock_restarts != self._clock_restarts:
            self._clock_restarts = clock_restarts
            self._note(*self._between(stop_s), Finding.CLOCK)
        self.error_s = samples.error_s
        ahead_s = stop_s - samples.error_s - arrival_ns * 1e-9
        if samples.error_s * 1e3 > self.rules.clock_ms or ahead_s > 0:
            self._note(start_s, stop_s, Finding.CLOCK)
        values = samples.values
        if self._can_be_odd and not (np.abs(values) <= LARGEST).all():
            self._note(start_s, stop_s, Finding.NOT_FINITE)
        ended = np.abs(values) >= self._ends
        if np.count_nonzero(ended):
            odd = np.flatnonzero(ended.any(axis=1))
            self._note(float(samples.times_s[odd[0]]), float(samples.times_s[odd[-1]]), Finding.SATURATED)
        self._look_for_life(values, start_s, stop_s)
        self.last = values[-1]
        self._newest_s = stop_s

    def findings(self, rows: Rows, epoch_s: float) -> NDArray[np.uint8]:
        """Findings of rows that were given out, (rows,): gaps as the aligner saw them, and all that was noted."""
        flags: NDArray[np.uint8] = np.zeros(len(rows.valid), np.uint8)
        if np.count_nonzero(rows.valid) < len(flags):
            flags[~rows.valid] = int(Finding.GAP)
        first_s = epoch_s + rows.first * self._period_s
        spans = self._spans
        for span in spans:
            # A row is interpolated between the two samples about it, so a span reaches one period to either side.
            low = int(np.floor((span.start_s - first_s) / self._period_s)) - 1
            high = int(np.ceil((span.stop_s - first_s) / self._period_s)) + 2
            if high > 0 and low < len(flags):
                flags[max(low, 0) : high] |= int(span.finding)
        last_s = first_s + (len(flags) - 1) * self._period_s
        while spans and spans[0].stop_s < last_s - 4 * self._period_s:
            spans.popleft()
        flat = rows.values.ravel()
        # A small sum of squares proves small values, fastest; another may have many terms, so look again.
        if not np.vdot(flat, flat) <= LARGEST:
            flags[~(np.abs(rows.values) <= LARGEST).all(axis=1)] |= int(Finding.NOT_FINITE)
        self._count(flags)
        return flags

    def forget(self) -> None:
        """The rows start anew: what was noted before is not about them."""
        self._spans.clear()

    @property
    def measured_hz(self) -> float | None:
        """Samples a second over the last two seconds; None before there is enough."""
        if len(self._recent) < 2:
            return None
        span_s = self._recent[-1][0] - self._recent[0][0]
        # The first packet's samples were taken before the span began.
        return sum(count for _, count in list(self._recent)[1:]) / span_s if span_s > _RATE_S / 4 else None

    def _in_order(self, samples: TimedSamples) -> bool:
        """Note what is missing before these samples; False for a packet that comes late."""
        boot, first, count = samples.boot, samples.data.first, len(samples.values)
        start_s = float(samples.times_s[0])
        if self._boot is None or boot != self._boot:
            if self._boot is not None:
                self._note(*self._between(start_s), Finding.REBOOT)
            self._boot, self._next = boot, (first + count) % _TURN
            return True
        ahead = (first - self._next + _TURN // 2) % _TURN - _TURN // 2
        if ahead < 0 and float(samples.times_s[-1]) <= self._newest_s + self._period_s / 2:
            self._fill(first, count)
            return False
        if (
            ahead < 0
        ):  # taken later and numbered lower: it counts anew without a reboot, or says the same again and again
            self._note(*self._between(start_s), Finding.REBOOT)
            self._next = (first + count) % _TURN
            return True
        if ahead:
            self._add(_Span(*self._between(start_s), Finding.GAP, (boot, self._next, first)))
        self._next = (first + count) % _TURN
        return True

    def _between(self, start_s: float) -> tuple[float, float]:
        """From the newest sample to the next, which another boot session's clock may place earlier: rows between are gone."""
        return min(self._newest_s, start_s), max(self._newest_s, start_s)

    def _fill(self, first: int, count: int) -> None:
        """A late packet: if it closes a whole noted loss, there was none. (Half of one stays noted: safe, and rare.)"""
        whole = (self._boot, first, (first + count) % _TURN)
        for span in self._spans:
            if span.missing == whole:
                self._spans.remove(span)
                return

    def _look_for_life(self, values: NDArray[np.float64], start_s: float, stop_s: float) -> None:
        """Real sensors have noise: a channel whose value never changes is cut off, and so is a whole sensor."""
        if self.last is None or self._changed_s is None:
            self._changed_s = np.full(values.shape[1], stop_s)
            return
        # A channel that ends elsewhere than the packet before did has changed on the way.
        if np.count_nonzero(values[-1] != self.last) == len(self.last):
            self._changed_s[:] = stop_s
            return
        changed = (values[1:] != values[:-1]).any(axis=0) | (values[0] != self.last)
        self._changed_s[changed] = stop_s
        flat = (stop_s - self._changed_s) * 1e3 > self.rules.flat_ms
        if flat.any():
            self._note(start_s, stop_s, Finding.SENSOR_OFF if flat.all() else Finding.FLAT)

    def _note(self, start_s: float, stop_s: float, finding: Finding) -> None:
        newest = self._spans[-1] if self._spans else None
        if newest is not None and newest.finding is finding and start_s - newest.stop_s < 3 * self._period_s:
            newest.stop_s = max(newest.stop_s, stop_s)
            return
        self._add(_Span(start_s, stop_s, finding))

    def _add(self, span: _Span) -> None:
        if len(self._spans) >= _MOST_SPANS:  # nothing takes rows out: the first of all streams has not come
            self._spans.popleft()
        self._spans.append(span)

    def _measure(self, count: int, arrival_s: float) -> None:
        self._recent.append((arrival_s, count))
        while arrival_s - self._recent[0][0] > _RATE_S:
            self._recent.popleft()

    def _count(self, flags: NDArray[np.uint8]) -> None:
        self.rows += len(flags)
        if np.count_nonzero(flags):
            self.rows_in_gaps += int(np.count_nonzero(flags & Finding.GAP))
            self.rows_saturated += int(np.count_nonzero(flags & Finding.SATURATED))
            self.rows_not_finite += int(np.count_nonzero(flags & Finding.NOT_FINITE))


#: Spans kept when nobody asks about rows.
_MOST_SPANS = 10_000
