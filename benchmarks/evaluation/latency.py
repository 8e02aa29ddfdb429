"""How long one inference takes: measured on this machine, one call at a time, engines taking turns."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Clock = Callable[[], int]
Call = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Times of single calls in microseconds. Percentiles are nearest-rank: each is a time that occurred.

    ``label`` says how the numbers came about: "measured" (wall clock), "emulated" or "estimated".
    ``sample_period_us`` is the time between two samples of the model's grid: what a live system has. ``processor`` is what
    the calls ran on.
    """

    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    n: int
    sample_period_us: float
    label: str = "measured"
    processor: str = ""
    samples_us: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @property
    def p50_share_pct(self) -> float:
        """The median as a share of the sample period, in percent."""
        return 100.0 * self.p50_us / self.sample_period_us

    @property
    def p99_share_pct(self) -> float:
        """The 99th percentile as a share of the sample period, in percent."""
        return 100.0 * self.p99_us / self.sample_period_us


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value with at least ``percent`` of all values at or below it (nearest rank)."""
    return ordered[max(1, math.ceil(percent / 100.0 * len(ordered))) - 1]


def summarise(samples_ns: Sequence[int], rate_hz: float, processor: str = "") -> Latency:
    """The percentiles of single call times in nanoseconds on ``processor``; ``rate_hz`` is the model's grid rate."""
    if not samples_ns:
        raise ValueError("no times were measured")
    ordered = sorted(value / 1000.0 for value in samples_ns)
    p50, p90, p99 = (percentile(ordered, p) for p in (50, 90, 99))
    return Latency(
        *(p50, p90, p99, ordered[-1], len(ordered), 1e6 / rate_hz),
        processor=processor,
        samples_us=tuple(ordered),
    )


@dataclass(frozen=True)
class Plan:
    """How much to measure: in each round every engine warms up and is then called in a row.

    Engines take turns, so that a slow second of the machine falls on all of them. A round of one engine ends
    after ``calls`` calls, or after ``round_s`` seconds once ``least`` calls are done.
    """

    rounds: int = 5
    warm_up: int = 10
    calls: int = 200
    least: int = 40
    round_s: float = 0.4


def measure(
    engines: Mapping[str, Call], plan: Plan | None = None, clock: Clock = time.perf_counter_ns
) -> dict[str, list[int]]:
    """Nanoseconds of each single call, by engine. Python's garbage collector rests meanwhile."""
    plan = plan or Plan()
    times: dict[str, list[int]] = {name: [] for name in engines}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(plan.rounds):
            for name, call in engines.items():
                times[name].extend(_round(call, plan, clock))
    finally:
        if collecting:
            gc.enable()
    return times


def _round(call: Call, plan: Plan, clock: Clock) -> list[int]:
    for _ in range(plan.warm_up):
        call()
    times: list[int] = []
    spent = 0
    while len(times) < plan.calls and (len(times) < plan.least or spent < plan.round_s * 1e9):
        before = clock()
        call()
        times.append(clock() - before)
        spent += times[-1]
    return times
