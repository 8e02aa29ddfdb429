"""A clock's line that is drawn anew must not tear a gap between two packets of which nothing is missing."""

from __future__ import annotations

import numpy as np

from firmware_bridge.packets import Data
from firmware_bridge.protocol_table import Format
from firmware_bridge.session import LifeClock


def _data(first: int, samples: int = 20) -> Data:
    return Data.of(1, Format.INT16, first, np.zeros((samples, 1), np.int16))


def test_a_step_of_the_clock_is_spread_over_the_packet() -> None:
    clock = LifeClock()
    first = clock.spread(_data(0), 1.0, 1000.0)
    assert np.allclose(first, 1.0 - np.arange(19, -1, -1) / 1000)
    # 20 ms later, and the line has moved by 1 ms: 20 samples over 21 ms instead of a hole of 2 ms before 19.
    second = clock.spread(_data(20), 1.021, 1000.0)
    assert np.allclose(np.diff(np.concatenate([first[-1:], second])), 21e-3 / 20)
    assert second[-1] == 1.021


def test_a_lost_packet_stays_a_hole() -> None:
    clock = LifeClock()
    clock.spread(_data(0), 1.0, 1000.0)
    after = clock.spread(_data(40), 1.04, 1000.0)
    assert np.allclose(after, 1.04 - np.arange(19, -1, -1) / 1000)


def test_a_step_too_large_to_be_a_correction_is_not_hidden() -> None:
    clock = LifeClock()
    clock.spread(_data(0), 1.0, 1000.0)
    after = clock.spread(_data(20), 1.2, 1000.0)
    assert np.allclose(after, 1.2 - np.arange(19, -1, -1) / 1000)


def test_a_late_packet_does_not_become_the_newest() -> None:
    clock = LifeClock()
    clock.spread(_data(0), 1.0, 1000.0)
    clock.spread(_data(40), 1.04, 1000.0)
    clock.spread(_data(20), 1.02, 1000.0)  # comes after its successor
    following = clock.spread(_data(60), 1.061, 1000.0)
    assert np.allclose(np.diff(following), 21e-3 / 20)


def test_sample_numbers_that_begin_anew_after_2_to_the_32() -> None:
    clock = LifeClock()
    clock.spread(_data((1 << 32) - 20), 1.0, 1000.0)
    following = clock.spread(_data(0), 1.021, 1000.0)
    assert np.allclose(np.diff(following), 21e-3 / 20)
