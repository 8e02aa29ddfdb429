"""Streams of different nodes and rates onto one regular time axis, causally, with every gap known.

Each stream is put onto a regular axis of its own nominal rate, on the host's clock, with row 0 of all streams at the
same time, so that the filter chains of the sensor contract can run over them (their last stage goes onto the model's
grid). Sample times come from :mod:`firmware_bridge.streams.clock`; crystals differ, so rows are interpolated between the two
samples about them. No row uses a sample later than the first one at or after it, and none is given out twice.

Samples may come late by up to the reorder window; after that a hole is a gap, and the declared policy fills it:

``hold``         the last value before the gap goes on
``interpolate``  a straight line across the gap: costs the gap's length in delay, so gaps longer than ``longest_gap_s`` are held
``invalidate``   the last value goes on, and the rows are marked so that no moment made from them is called ok

Whatever the policy, a row in a gap has ``valid`` False; ``invalidate`` only differs in what a consumer must do with it.
Everything depends on the samples and their times alone, never on a clock, so a replay gives the live rows again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
from toolkit.errors import UsageError

GapPolicy = Literal["hold", "interpolate", "invalidate"]

#: Neighbouring samples further apart than this many periods have a gap between them.
_GAP_PERIODS = 1.75
#: At most this many rows of a stream are given out at once, so that memory is bounded after a night without a link, or
#: when a node claims an absurd rate; the next calls give the others.
_MOST_ROWS = 100_000
#: And at most this many values, for streams of many channels: 16 MB.
_MOST_VALUES = 4_000_000


@dataclass(frozen=True)
class AlignmentSettings:
    """``reorder_s``: how long a missing sample is waited for. ``longest_gap_s``: the longest gap that is interpolated."""

    policy: GapPolicy = "hold"
    reorder_s: float = 0.02
    longest_gap_s: float = 0.1

    def __post_init__(self) -> None:
        if self.policy not in get_args(GapPolicy):
            raise UsageError(
                f"gap policy {self.policy!r} is unknown; allowed: {', '.join(get_args(GapPolicy))}"
            )
        if not (0 <= self.reorder_s <= 10 and 0 <= self.longest_gap_s <= 10):
            raise UsageError("reorder_s and longest_gap_s must be between 0 and 10 s")


class Rows(NamedTuple):
    """Consecutive rows of one stream: ``first`` is the row number, ``times_s`` (rows,) are epoch + number / rate.

    ``values`` is float32 (rows, channels); ``valid`` (rows,) is False where a gap was filled.
    """

    first: int
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    times_s: NDArray[np.float64]


class StreamAligner:
    """One stream's rows from its samples; see the module's text. ``epoch_s`` is the time of row 0 on the host's clock."""

    def __init__(self, spec: StreamSpec, epoch_s: float, settings: AlignmentSettings) -> None:
        self.spec = spec
        self.epoch_s = epoch_s
        self._settings = settings
        self._times = np.empty(0, np.float64)
        self._values = np.empty((0, len(spec.channels)), np.float32)
        self._next = 0
        self._most_rows = min(_MOST_ROWS, _MOST_VALUES // len(spec.channels))
        #: Samples that came after their row had been given out, and were dropped.
        self.late = 0

    def append(self, times_s: NDArray[np.float64], values: NDArray[np.floating]) -> None:
        """Take samples, shapes (n,) and (n, channels), in any order within the reorder window."""
        if not len(times_s):
            return
        new = values.astype(np.float32, copy=False)
        newest_s = self._times[-1] if len(self._times) else -np.inf
        # A time that is not a number is in no order with its neighbours.
        ordered = np.count_nonzero(times_s[1:] >= times_s[:-1]) == len(times_s) - 1
        if not (ordered and -np.inf < times_s[0] and newest_s <= times_s[0] and times_s[-1] < np.inf):
            self._sort_in(times_s, new)
            return
        self._times = np.concatenate([self._times, times_s])
        self._values = np.concatenate([self._values, new])

    def _sort_in(self, times_s: NDArray[np.float64], values: NDArray[np.float32]) -> None:
        """:meth:`append` of samples that come late, or in disorder."""
        if not np.isfinite(times_s).all():
            raise ValueError("sample times must be finite")
        if self._next and len(self._times):
            in_time = times_s >= self._times[0]
            self.late += int((~in_time).sum())
            times_s, values = times_s[in_time], values[in_time]
        times = np.concatenate([self._times, times_s])
        order = np.argsort(times, kind="stable")
        self._times, self._values = times[order], np.concatenate([self._values, values])[order]

    def rows(self, now_s: float) -> Rows:
        """The rows that are settled at ``now_s``, the host time of the newest arrival on any stream."""
        first = self._next
        times_s = self._candidates(now_s)
        if not len(times_s):
            return Rows(first, self._values[:0], np.empty(0, np.bool_), times_s)
        after = self._times.searchsorted(times_s)
        values, valid, settled = self._fill(times_s, after, now_s)
        count = int(np.count_nonzero(settled))
        if count < len(settled):
            count = int(np.argmin(settled))
            values, valid, times_s = values[:count], valid[:count], times_s[:count]
        self._next += count
        self._forget()
        return Rows(first, values, valid, times_s)

    def _candidates(self, now_s: float) -> NDArray[np.float64]:
        """Times of the rows that a sample has passed, or that silence has lasted long enough to fill."""
        if not len(self._times):
            return self._times
        silent_until = now_s - self._settings.reorder_s - self._gap_s - self._patience_s
        limit, rate_hz = max(float(self._times[-1]), silent_until), self.spec.rate_hz
        stop = min(math.floor((limit - self.epoch_s) * rate_hz) + 2, self._next + self._most_rows)
        # A product and a quotient round differently: what counts is the time that the row is given.
        while stop > self._next and self.epoch_s + (stop - 1) / rate_hz > limit:
            stop -= 1
        times: NDArray[np.float64] = self.epoch_s + np.arange(self._next, max(stop, self._next)) / rate_hz
        return times

    @property
    def _gap_s(self) -> float:
        return _GAP_PERIODS / self.spec.rate_hz

    @property
    def _patience_s(self) -> float:
        """How long the far side of a gap is worth waiting for."""
        return self._settings.longest_gap_s if self._settings.policy == "interpolate" else 0.0

    def _fill(
        self, times_s: NDArray[np.float64], after: NDArray[np.intp], now_s: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """Values, whether they are measured, and whether they are settled, for rows at ``times_s``."""
        if after[0] > 0 and after[-1] < len(self._times):
            low_s = self._times[after - 1]
            span = self._times[after] - low_s
            measured = (span > 0) & (span <= self._gap_s)
            if np.count_nonzero(measured) == len(measured):
                return self._between(after, (times_s - low_s) / span), measured, measured
        high = np.minimum(after, len(self._times) - 1)
        low = np.maximum(after - 1, 0)
        low_s, high_s = self._times[low], self._times[high]
        span = high_s - low_s
        close = (after > 0) & (after < len(self._times)) & (span <= self._gap_s)
        # Before the first sample (after == 0) its own value stands in; half a period early is as good as on time.
        head = (after == 0) & (high_s - times_s <= 0.5 / self.spec.rate_hz)
        nearest_s = np.minimum(np.abs(times_s - low_s), np.abs(high_s - times_s))
        on_sample = (after < len(self._times)) & (nearest_s <= 1e-9)
        valid = close | head | on_sample
        waited = now_s >= times_s + self._settings.reorder_s
        settled = valid | (waited & (after < len(self._times)))
        settled |= after == len(self._times)  # _candidates let these in only after the silence had lasted
        bridged = (self._settings.policy == "interpolate") & (span <= self._settings.longest_gap_s)
        weight = np.where(span > 0, (times_s - low_s) / np.where(span > 0, span, 1.0), 0.0)
        weight = np.where(valid | bridged, np.clip(weight, 0.0, 1.0), 0.0).astype(np.float32)[:, None]
        values = self._values[low] + weight * (self._values[high] - self._values[low])
        return values, valid, settled

    def _between(self, after: NDArray[np.intp], share: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values where nothing is missing, which is nearly always: as :meth:`_fill` makes them, with less work."""
        low = self._values.take(after - 1, axis=0)
        between: NDArray[np.float32] = self._values.take(after, axis=0)
        between -= low
        between *= share.astype(np.float32)[:, None]
        between += low
        return between

    def _forget(self) -> None:
        """Keep one sample at or before the next row, which it may have to be interpolated from."""
        next_s = self.epoch_s + self._next / self.spec.rate_hz
        keep = int(self._times.searchsorted(next_s, side="right")) - 1
        if keep > 0:
            self._times, self._values = self._times[keep:], self._values[keep:]


@dataclass
class Aligner:
    """All streams of a session on one epoch: the first time at which every stream has a sample.

    ``append`` samples in arrival order; ``rows`` gives, per stream, what is settled. Until all streams have spoken
    nothing is given out; at most ``start_patience_s`` of samples is kept meanwhile, and of a node whose clock stands still
    twice as many samples as fit into that time.
    """

    specs: Mapping[str, StreamSpec]
    settings: AlignmentSettings = field(default_factory=AlignmentSettings)
    start_patience_s: float = 5.0
    _waiting: dict[str, list[tuple[NDArray[np.float64], NDArray[np.floating]]]] = field(default_factory=dict)
    _streams: dict[str, StreamAligner] = field(default_factory=dict)
    _now_s: float = -math.inf

    def append(
        self, stream: str, times_s: NDArray[np.float64], values: NDArray[np.floating], arrival_s: float
    ) -> None:
        """A packet's samples of ``stream``: their own times (n,) and the packet's arrival, all on the host's clock."""
        self._now_s = max(self._now_s, arrival_s)
        if self._streams:
            self._streams[stream].append(times_s, values)
            return
        kept = self._waiting.setdefault(stream, [])
        kept.append((times_s, values))
        most = 1_000 + 2 * self.start_patience_s * self.specs[stream].rate_hz
        count = sum(len(times) for times, _ in kept) if len(kept) > most / 255 else 0
        while kept[0][0][-1] < times_s[-1] - self.start_patience_s or count > most:
            count -= len(kept.pop(0)[0])
        if len(self._waiting) == len(self.specs):
            self._start()

    @property
    def epoch_s(self) -> float | None:
        """Host time of row 0, once all streams have spoken."""
        return next(iter(self._streams.values())).epoch_s if self._streams else None

    def tick(self, now_s: float) -> None:
        """Say that time has passed without an arrival, so that silence becomes a gap."""
        self._now_s = max(self._now_s, now_s)

    def rows(self, only: Collection[str] | None = None) -> dict[str, Rows]:
        """The newly settled rows of every stream that has some; of ``only`` these streams if given (the others may wait)."""
        names = self._streams if only is None else only
        settled = {name: self._streams[name].rows(self._now_s) for name in names if name in self._streams}
        return {name: rows for name, rows in settled.items() if len(rows.values)}

    @property
    def late(self) -> dict[str, int]:
        """Samples dropped per stream because their row had been given out."""
        return {name: stream.late for name, stream in self._streams.items()}

    def _start(self) -> None:
        epoch = max(min(float(times_s.min()) for times_s, _ in kept) for kept in self._waiting.values())
        for name, spec in self.specs.items():
            self._streams[name] = StreamAligner(spec, epoch, self.settings)
            for times_s, values in self._waiting[name]:
                self._streams[name].append(times_s, values)
        self._waiting.clear()
