"""The first frames of a node that had just started were held up for 36 ms, those right behind them for 18 ms.

Without a sync reply the error bar rests on the fastest frame having taken at most 30 ms. The clock's line was drawn from the
first frame, and kept for a quarter of a second, though the faster ones came in the same instant: times were 21 ms off
under a bar of 15 ms. Seed 61289 of the mixed faults showed it, and seeds 2 and 38 of jitter alone.
"""

from __future__ import annotations

import pytest

from firmware_bridge.streams.session import Session
from tests.firmware_bridge.simulator.test_faults import ALONE, MIXED, check_ledger, run
from tests.regression.sensors import BEGUN_NS, Node, data, described


@pytest.mark.parametrize("fault, seed", [("mixed", 61289), ("jitter", 2), ("jitter", 38)])
def test_seeds(fault: str, seed: int) -> None:
    check_ledger(run(MIXED if fault == "mixed" else ALONE[fault], seed))


def test_a_faster_frame_counts_at_once() -> None:
    """Stamps are of when a frame was sent; all come at 0.04 s, so the last took 5 ms."""
    session, node = Session(by_hand=True), Node()
    for place, sent_s in enumerate((0.0, 0.01, 0.02, 0.035)):
        packets = [described("leg"), data(0)] if place == 0 else [data(place)]
        step = session.process(node.chunk(0.04, packets, stamp_s=sent_s))
    (last,) = step.samples
    assert abs(last.times_s[-1] - (BEGUN_NS * 1e-9 + 0.035)) <= last.error_s


def test_frames_that_are_each_faster_than_the_last_cost_a_bounded_number_of_fits() -> None:
    session, node, drawn = Session(by_hand=True), Node(), 0
    session.process(node.chunk(0.0, [described("leg")]))
    clock = session.clock(next(iter(session.receiver.descriptors)))
    assert clock is not None
    real = clock._draw

    def counted(count: int, arrival_s: float) -> None:
        nonlocal drawn
        drawn += 1
        real(count, arrival_s)

    clock._draw = counted  # type: ignore[method-assign]
    for place in range(4_000):
        now_s = 0.001 * (place + 1)
        session.process(node.chunk(now_s, [data(place)], stamp_s=now_s - 0.1 + 1e-5 * place))
    # Fifty at once, 20 a second, and one each quarter of a second anyhow.
    assert drawn <= 50 + 4 * 20 + 4 * 4 + 2
