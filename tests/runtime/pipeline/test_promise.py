"""Never a silent stale estimate, over random sequences of faults in simulated time."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.simulator.faults import Faults
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.states import Rules
from tests.runtime.pipeline.harness import (
    GRID_HZ,
    WINDOW,
    Bench,
    node,
)

SECONDS = 7.0
STRICT = Rules(short_gap_ms=0.0)
_times = st.one_of(st.just(0.0), st.floats(1.0, 6.0))
_shares = st.one_of(st.just(0.0), st.floats(0.0005, 0.05))


@st.composite
def fault_sets(draw: st.DrawFn) -> Faults:
    return Faults(
        flip=draw(_shares),
        drop=draw(_shares),
        burst=draw(st.one_of(st.just(0.0), st.floats(0.001, 0.01))),
        duplicate=draw(_shares),
        reorder=draw(_shares),
        reboot_s=draw(_times),
        zero_stamp=draw(_shares),
        drift_ppm=draw(st.floats(-100.0, 100.0)),
        stall_s=draw(_times),
        stall_for_s=draw(st.floats(0.01, 2.0)),
        silent_s=draw(_times),
        link_loss_s=draw(_times),
        link_loss_for_s=draw(st.floats(0.01, 2.0)),
        jitter_ms=draw(st.one_of(st.just(0.0), st.floats(0.1, 8.0))),
    )


def _whole(times: Any, from_s: float, to_s: float, period_s: float, rules: Rules) -> bool:
    """Whether samples are there all the way between the two times, but for what the rules let pass.

    Told that every gap counts: no further apart than a period (plus a crystal's error). Else a hole may be as long as a
    short gap and what a row of the grid hides at its ends, and all holes together fill no more than their share.
    """
    low, high = bisect.bisect_left(times, from_s), bisect.bisect_right(times, to_s)
    steps = np.diff([from_s, *times[low:high], to_s])
    if rules.short_gap_ms == 0:
        return bool(steps.max() <= 1.01 * period_s)
    holes = steps[steps > 1.01 * period_s]
    hidden_s, limit_s = 1 / GRID_HZ, rules.short_gap_ms * 1e-3
    together_s = np.maximum(holes - hidden_s, 0).sum()
    return bool(
        holes.max(initial=0) <= limit_s + hidden_s + period_s
        and together_s <= rules.gap_share * WINDOW / GRID_HZ
    )


def _judge(bench: Bench, estimates: list[tuple[float, Estimate]]) -> int:
    """Compare every estimate that was the newest at some time, and ok, with what was truly measured and came."""
    streams = []
    for link in range(len(bench.nodes)):
        described = bench.nodes[link].programme.descriptor
        for number, times in bench.delivered(link).items():
            streams.append((times, 1 / described.stream(number).rate_hz))
    checked = 0
    for now_s, estimate in estimates:
        assert estimate.state is State.OK
        assert estimate.reasons == () and len(estimate.values) == 1
        source_s, bar_s = estimate.source_ns * 1e-9, estimate.source_error_ms * 1e-3
        # Younger than the bound: stale_ms, and one tick until the timer speaks. Times are known to the error bar.
        assert now_s - source_s <= bench.rules.stale_ms * 1e-3 + bench.step_s + 1e-6
        # The grid row lies at the newest sample of the input that is furthest behind, or less than a row before it.
        reach_s = (WINDOW - 1) / GRID_HZ
        for times, period_s in streams:
            known = times[times[:, 1] <= now_s + 1e-9, 0]
            newest_s = source_s - bar_s - 1 / GRID_HZ
            assert _whole(
                known, newest_s - reach_s + 2 * bar_s + 2 / GRID_HZ, newest_s, period_s, bench.rules
            )
        checked += 1
    return checked


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    imu=fault_sets(), emg=fault_sets(), seed=st.integers(0, 1000), sync=st.booleans(), strict=st.booleans()
)
def test_newest_ok_moment_is_young_and_its_window_whole(
    imu: Faults, emg: Faults, seed: int, sync: bool, strict: bool
) -> None:
    """``strict``: every gap counts. Otherwise short gaps pass, as they do by default, and no others."""
    bench = Bench(
        [
            node(0, {"imu": (100.0, 2, "rad/s")}, imu, seed),
            node(1, {"emg": (200.0, 1, "mV")}, emg, seed + 1),
        ],
        sync=sync,
        rules=STRICT if strict else Rules(),
    )
    newest_ok = []
    for now_s in bench.run(SECONDS):
        newest = bench.publisher.newest
        if newest is not None and newest.state is State.OK:
            newest_ok.append((now_s, newest))
        # Something is always said: at the least stale_hz times a second once the first limit is over.
        if now_s > 0.2:
            assert newest is not None
            bound_s = 1 / bench.rules.stale_hz + bench.rules.stale_ms * 1e-3 + 2 * bench.step_s
            assert now_s - newest.published_ns * 1e-9 <= bound_s
    _judge(bench, newest_ok)


def test_a_good_link_gives_ok_moments() -> None:
    """So that the promise is not kept by never saying ok."""
    bench = Bench([node(0, {"imu": (100.0, 2, "rad/s")}), node(1, {"emg": (200.0, 1, "mV")})])
    newest_ok = []
    for now_s in bench.run(SECONDS):
        newest = bench.publisher.newest
        if newest is not None and newest.state is State.OK:
            newest_ok.append((now_s, newest))
    # 7 s less half a second of descriptors and filling, less 0.4 s of warm-up, in steps of 5 ms.
    assert _judge(bench, newest_ok) > 1200
    states = [estimate.state for estimate in bench.estimates]
    assert set(states[states.index(State.OK) :]) == {State.OK}


def test_the_judge_sees_a_hole() -> None:
    """An estimate that is called ok although samples are missing must not get past the test above."""
    bench = Bench(
        [node(0, {"imu": (100.0, 2, "rad/s")}, Faults(drop=0.05)), node(1, {"emg": (200.0, 1, "mV")})],
        rules=STRICT,
    )
    bench.until(SECONDS)
    degraded = [m for m in bench.estimates if m.reasons == ("gap",)]
    lies = [
        (m.published_ns * 1e-9, Estimate(**{**vars(m), "state": State.OK, "reasons": ()})) for m in degraded
    ]
    assert len(lies) > 20
    found = 0
    for lie in lies:
        try:
            _judge(bench, [lie])
        except AssertionError:
            found += 1
    # Not all: the judge leaves out what the error bar and the grid leave open at both ends of the window.
    assert found > 0.6 * len(lies)


def test_the_judge_sees_an_outage_when_short_gaps_pass() -> None:
    bench = Bench(
        [
            node(
                0,
                {"imu": (100.0, 2, "rad/s"), "emg": (200.0, 1, "mV")},
                Faults(link_loss_s=3.0, link_loss_for_s=0.12),
            )
        ]
    )
    bench.until(SECONDS)
    degraded = [m for m in bench.estimates if m.reasons == ("gap",)]
    assert len(degraded) > 10
    middle = degraded[len(degraded) // 2]  # the hole lies within its window, not at an edge
    lie = Estimate(**{**vars(middle), "state": State.OK, "reasons": ()})
    with pytest.raises(AssertionError):
        _judge(bench, [(lie.published_ns * 1e-9, lie)])
