"""A frame that a link had held back for more than 2 s was taken for a reboot of its node.

Its sequence number said that it was late, but the clock looked at its stamp alone: the learnt clock was thrown away, and
the frame's samples lay 2 s off under an error bar of 15 ms. Seeds 9071, 9142 and 9179 of the mixed faults showed it.
"""

from __future__ import annotations

import pytest

from firmware_bridge.streams.clock import TickEvent, TickUnwrapper
from tests.firmware_bridge.simulator.test_faults import MIXED, check_ledger, run


@pytest.mark.parametrize("seed", [9071, 9142, 9179])
def test_mixed_faults(seed: int) -> None:
    check_ledger(run(MIXED, seed))


def test_a_late_frame_says_nothing_about_a_reboot() -> None:
    ticks = TickUnwrapper()
    ticks.unwrap(900_000_000, 900.0)
    assert ticks.unwrap(897_500_000, 900.1, late=True) == (TickEvent.REORDERED, 897_500_000)
    assert ticks.unwrap(900_200_000, 900.2) == (TickEvent.NORMAL, 900_200_000)
    # Not late, the same stamp is one.
    assert ticks.unwrap(897_500_000, 900.3)[0] is TickEvent.REBOOT


def test_a_late_frame_from_before_the_counters_turn() -> None:
    ticks = TickUnwrapper()
    ticks.unwrap(500, 10.0)
    assert ticks.unwrap((1 << 32) - 3_000_000, 10.1, late=True) == (TickEvent.REORDERED, -3_000_000)
