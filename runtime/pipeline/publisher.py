"""Numbers estimates, gives them to whoever wants them, counts their states, and speaks up when none come.

Time is injected, so that the promise "never a silent stale estimate" can be tested in simulated time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.estimator import RowEstimate
from runtime.pipeline.histogram import RecentTally, Tally
from runtime.pipeline.states import (
    SILENT,
    WAITING,
    Rules,
    Verdict,
)


class Publisher:
    """``give`` takes every estimate. ``started_ns`` and every ``now_ns`` are on the clock of the arrival times."""

    def __init__(
        self,
        rules: Rules,
        period_ms: float,
        started_ns: int,
        give: Callable[[Estimate], None],
        run: str = "",
        mass_kg: float = 0.0,
    ) -> None:
        self.run, self._mass_kg = run, mass_kg
        #: Held while anything is published: the event loop does, and the thread that stands in for it when it hangs.
        self.lock = threading.RLock()
        self.rules = rules
        self._period_ms = period_ms
        self._give = give
        self._started_ns = started_ns
        self._sequence = 0
        self._said_ns = started_ns
        self._since_ns = started_ns
        self._seen_ns = started_ns
        self.newest: Estimate | None = None
        #: The newest estimate that rests on a row, not on silence.
        self.estimated: Estimate | None = None
        self.age, self.source_age = Tally(), Tally()
        #: Ages of the last minutes, and those of them that were above a period.
        self.recent_age, self.recent_missed = RecentTally(), RecentTally()
        self.deadlines_missed = 0
        self.counts = dict.fromkeys(State, 0)
        self._seconds = dict.fromkeys(State, 0.0)
        self.first_usable_ns: int | None = None

    def begin(self, started_ns: int) -> None:
        """The clock of the arrival times is another one, and this is now. Only before the first estimate."""
        self._started_ns = self._said_ns = self._since_ns = self._seen_ns = started_ns

    def publish(self, estimates: Iterable[RowEstimate], now_ns: int) -> None:
        """Number them and give them out, in order."""
        with self.lock:
            self._publish(estimates, now_ns)

    def _publish(self, estimates: Iterable[RowEstimate], now_ns: int) -> None:
        for row in estimates:
            estimate = row.published(self._sequence, now_ns, self.rules, self.run, self._mass_kg)
            self.age.add(estimate.age_ms)
            self.recent_age.add(estimate.age_ms, now_ns)
            self.source_age.add((now_ns - estimate.source_ns) * 1e-6)
            if estimate.age_ms > self._period_ms:
                self.deadlines_missed += 1
                self.recent_missed.add(estimate.age_ms, now_ns)
            self.estimated = estimate
            if estimate.values and self.first_usable_ns is None:
                self.first_usable_ns = now_ns
            self._out(estimate)

    def tick(self, now_ns: int, trouble: tuple[State, str] | None = None) -> None:
        """Call it often: when the newest estimate is too old it is said that nothing comes, ``stale_hz`` times a second.

        ``trouble``: a state and reason that the pipeline knows of, such as a contract that does not fit.
        """
        with self.lock:
            if self._due(now_ns):
                self._out(self._silence(now_ns, trouble))

    def stand_in(self, now_ns: int, give: Callable[[Estimate], None], patience_s: float) -> bool:
        """:meth:`tick` from another thread, to ``give``; whether anything was said. It waits ``patience_s`` for the lock."""
        if not self.lock.acquire(timeout=patience_s):
            return False
        try:
            if not self._due(now_ns):
                return False
            mine, self._give = self._give, give
            try:
                self._out(self._silence(now_ns, None))
            finally:
                self._give = mine
            return True
        finally:
            self.lock.release()

    def _due(self, now_ns: int) -> bool:
        newest, estimated = self.newest, self.estimated
        since_ns = estimated.published_ns if estimated is not None else self._started_ns
        if newest is not None and newest.values:
            return now_ns - newest.source_ns > self.rules.stale_ms * 1e6
        long = estimated is None or now_ns - since_ns > self.rules.stale_ms * 1e6
        return long and now_ns - self._said_ns >= 1e9 / self.rules.stale_hz

    def catch_up(self, now_ns: int, trouble: tuple[State, str] | None = None) -> None:
        """All ticks up to ``now_ns`` at once, for a clock that jumps from item to item."""
        step_ns = round(1e9 / self.rules.stale_hz)
        at_ns = self._said_ns + step_ns
        while at_ns < now_ns:
            self.tick(at_ns, trouble)
            at_ns += step_ns

    def seconds(self, now_ns: int) -> dict[State, float]:
        """How long each state has lasted in all."""
        result = dict(self._seconds)
        if self.newest is not None:
            result[self.newest.state] += max(0, now_ns - self._seen_ns) * 1e-9
        return result

    def in_state_s(self, now_ns: int) -> float:
        """How long the newest state has lasted without a break."""
        return (now_ns - self._since_ns) * 1e-9

    def _silence(self, now_ns: int, trouble: tuple[State, str] | None) -> Estimate:
        known = self.estimated
        reason = SILENT if known is not None else WAITING
        source_ns = known.source_ns if known is not None else self._started_ns
        long = (now_ns - source_ns) * 1e-6 > self.rules.silence_ms
        verdict = Verdict(State.INVALID if long else State.STALE, (reason,))
        if trouble is not None:
            verdict = verdict.and_also(*trouble)
        arrival_ns = known.arrival_ns if known is not None else self._started_ns
        error_ms = known.source_error_ms if known is not None else 0.0
        return Estimate(
            self._sequence,
            source_ns,
            error_ms,
            arrival_ns,
            now_ns,
            verdict.state,
            verdict.reasons,
            (),
            now_ns,
            self.run,
            known.model if known is not None else "",
        )

    def _out(self, estimate: Estimate) -> None:
        before = self.newest
        if before is not None:
            self._seconds[before.state] += max(0, estimate.published_ns - self._seen_ns) * 1e-9
        if before is None or before.state is not estimate.state:
            self._since_ns = estimate.published_ns
        self._seen_ns = self._said_ns = estimate.published_ns
        self.counts[estimate.state] += 1
        self._sequence += 1
        self.newest = estimate
        self._give(estimate)
