"""The LSL outlet stamped from "now", so that 24 of 999 stamps of an even stream went backwards.

Each stamp was LSL's clock at the time of sending less the estimate's latency: what the event loop did between publishing and
sending came on top, more at one estimate than at the next. One offset between the two clocks is measured once; stamps then
keep the distances of the source times.
"""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import pytest

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks.lsl import LslSink
from runtime.sinks.settings import SinkSettings
from tests.runtime.sinks.harness import OUTPUTS


class Outlet:
    """Takes samples, as liblsl's outlet does."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def push_sample(self, _: Any, stamp: float) -> None:
        self.stamps.append(stamp)


def _stamps(base_ns: int, ahead_s: float) -> list[float]:
    """Of 1,000 estimates 5 ms apart, sent up to 20 ms after they were published; LSL's clock is ``ahead_s`` of ours."""
    sink, outlet, draw, late_s = LslSink(SinkSettings.of("lsl://x"), OUTPUTS), Outlet(), random.Random(1), 0.0
    sink._outlet = outlet
    sink._clock = lambda: time.monotonic() + ahead_s + late_s
    for number in range(1000):
        late_s = draw.uniform(0.0, 0.02)
        source_ns = base_ns + number * 5_000_000
        sink.send(
            Estimate(number, source_ns, 0.1, source_ns, source_ns + 3_000_000, State.OK, (), (0.0, 0.0))
        )
    return outlet.stamps


@pytest.mark.parametrize("replayed", [False, True])
def test_stamps_keep_the_distances_of_the_source_times(replayed: bool) -> None:
    base_ns = 7_000_000_000 if replayed else time.monotonic_ns()
    stamps = _stamps(base_ns, 1000.0)
    steps = [after - before for before, after in itertools.pairwise(stamps)]
    assert min(steps) > 0 and max(abs(step - 0.005) for step in steps) < 1e-6
    if not replayed:  # on LSL's clock, within what one look at it may be late
        assert abs(stamps[0] - (base_ns * 1e-9 + 1000.0)) < 0.021
