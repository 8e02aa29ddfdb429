"""Latency figures on a clock that the test turns by hand."""

from __future__ import annotations

import gc

import pytest

from benchmarks.evaluation.latency import (
    Plan,
    measure,
    percentile,
    summarise,
)


class HandClock:
    """Nanoseconds that move only when a call moves them."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_percentiles_are_times_that_occurred() -> None:
    latency = summarise([1000 * v for v in range(1, 101)], rate_hz=100)
    assert (latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us) == (50, 90, 99, 100)
    assert latency.n == 100 and latency.label == "measured"
    # 100 Hz leaves 10,000 us between samples.
    assert latency.p50_share_pct == pytest.approx(0.5)
    assert latency.p99_share_pct == pytest.approx(0.99)
    assert percentile([7.0], 99) == 7.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], 51) == 2.0
    with pytest.raises(ValueError, match="no times"):
        summarise([], 100)


def test_warm_up_is_not_counted_and_engines_take_turns() -> None:
    clock = HandClock()
    order: list[str] = []

    def engine(name: str, first_ns: int, later_ns: int):
        def call() -> None:
            clock.now += first_ns if order.count(name) == 0 else later_ns
            order.append(name)

        return call

    plan = Plan(rounds=2, warm_up=1, calls=3, least=3, round_s=1.0)
    got = measure({"a": engine("a", 9_000_000, 1000), "b": engine("b", 8_000_000, 2000)}, plan, clock)
    assert got == {"a": [1000] * 6, "b": [2000] * 6}
    assert order == ["a"] * 4 + ["b"] * 4 + ["a"] * 4 + ["b"] * 4


def test_a_slow_engine_stops_at_its_time_but_not_before_the_least() -> None:
    clock = HandClock()

    def slow() -> None:
        clock.now += 100_000_000

    got = measure({"slow": slow}, Plan(rounds=1, warm_up=0, calls=1000, least=4, round_s=0.6), clock)
    assert len(got["slow"]) == 6
    got = measure({"slow": slow}, Plan(rounds=1, warm_up=0, calls=1000, least=9, round_s=0.6), clock)
    assert len(got["slow"]) == 9


def test_garbage_collection_comes_back_even_after_a_failure() -> None:
    def broken() -> None:
        assert not gc.isenabled()
        raise RuntimeError("engine broke")

    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="engine broke"):
        measure({"broken": broken})
    assert gc.isenabled()
