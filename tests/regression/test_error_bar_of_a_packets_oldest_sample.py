"""The error bar of a packet was that of its newest sample, though its oldest ones lean on the packet before.

When a node's clock was drawn anew and became better known, the samples of the next packet were spread from where the
packet before had been placed, with its larger error, and given the new, smaller bar: with 10 ms of jitter 2.1 ms off at a
stated 1.8 ms. The fault tests looked at each packet's newest sample only.
"""

from __future__ import annotations

import pytest

from tests.firmware_bridge.simulator.test_faults import ALONE, check_ledger, run


@pytest.mark.parametrize("seed", [0, 1])
def test_both_ends_of_every_packet_lie_within_the_bar(seed: int) -> None:
    check_ledger(
        run(ALONE["jitter"], seed)
    )  # run() compares the oldest and the newest sample of each packet with the truth
