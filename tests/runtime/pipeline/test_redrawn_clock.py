"""A clock's line that is drawn anew must not tear a gap between two packets of which nothing is missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.packets import Data
from firmware_bridge.protocol.table import Format
from firmware_bridge.streams.clock import HostTime
from firmware_bridge.streams.node_clock import BootClock


def _data(first: int, samples: int = 20) -> Data:
    return Data.of(1, Format.INT16, first, np.zeros((samples, 1), np.int16))


def spread(clock: BootClock, data: Data, newest_s: float) -> NDArray[np.float64]:
    return clock.spread(data, HostTime(newest_s, 0.001), 1000.0)[0]


def test_a_step_of_the_clock_is_spread_over_the_packet() -> None:
    clock = BootClock()
    first = spread(clock, _data(0), 1.0)
    assert np.allclose(first, 1.0 - np.arange(19, -1, -1) / 1000)
    # 20 ms later, and the line has moved by 1 ms: 20 samples over 21 ms instead of a hole of 2 ms before 19.
    second = spread(clock, _data(20), 1.021)
    assert np.allclose(np.diff(np.concatenate([first[-1:], second])), 21e-3 / 20)
    assert second[-1] == 1.021


def test_a_lost_packet_stays_a_hole() -> None:
    clock = BootClock()
    spread(clock, _data(0), 1.0)
    after = spread(clock, _data(40), 1.04)
    assert np.allclose(after, 1.04 - np.arange(19, -1, -1) / 1000)


def test_a_step_too_large_to_be_a_correction_is_not_hidden() -> None:
    clock = BootClock()
    spread(clock, _data(0), 1.0)
    after = spread(clock, _data(20), 1.2)
    assert np.allclose(after, 1.2 - np.arange(19, -1, -1) / 1000)


def test_a_late_packet_does_not_become_the_newest() -> None:
    clock = BootClock()
    spread(clock, _data(0), 1.0)
    spread(clock, _data(40), 1.04)
    spread(clock, _data(20), 1.02)  # comes after its successor
    following = spread(clock, _data(60), 1.061)
    assert np.allclose(np.diff(following), 21e-3 / 20)


def test_sample_numbers_that_begin_anew_after_2_to_the_32() -> None:
    clock = BootClock()
    spread(clock, _data((1 << 32) - 20), 1.0)
    following = spread(clock, _data(0), 1.021)
    assert np.allclose(np.diff(following), 21e-3 / 20)


def test_what_is_spread_is_as_uncertain_as_the_worse_of_its_ends() -> None:
    clock = BootClock()
    assert clock.spread(_data(0), HostTime(1.0, 0.015), 1000.0)[1] == 0.015
    # The line has been drawn anew and is better known; the oldest samples still lean on what was known before.
    assert clock.spread(_data(20), HostTime(1.021, 0.002), 1000.0)[1] == 0.015
    assert clock.spread(_data(40), HostTime(1.041, 0.002), 1000.0)[1] == 0.002
    # Behind a hole nothing leans on the packet before.
    clock.spread(_data(60), HostTime(1.061, 0.015), 1000.0)
    assert clock.spread(_data(100), HostTime(1.1, 0.002), 1000.0)[1] == 0.002
