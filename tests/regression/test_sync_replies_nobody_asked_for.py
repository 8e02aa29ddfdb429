"""A node answered sync requests that nobody had sent: any token was believed, hundreds a second.

Replies whose times lie on a parabola make each of them a corner of the envelope that the clock is fitted to, and every pair
of corners was tried: 37 ms and 120 MB for each reply, so that one node held up all others.
"""

from __future__ import annotations

import tracemalloc

import numpy as np

from firmware_bridge.protocol.packets import SyncReply
from firmware_bridge.streams import clock as clock_module
from firmware_bridge.streams.clock import ClockMap
from firmware_bridge.streams.node_clock import SyncFilter
from firmware_bridge.streams.session import Session
from tests.regression.sensors import BEGUN_NS, Node, data, described


def test_a_flood_of_replies_counts_as_what_could_have_been_asked() -> None:
    session, node = Session(by_hand=True), Node()
    session.process(node.chunk(0.0, [described("leg")]))
    synced = 0
    real = ClockMap.sync

    def counted(self: ClockMap, sent_s: float, received_us: int, replied_us: int, arrived_s: float) -> None:
        nonlocal synced
        synced += 1
        real(self, sent_s, received_us, replied_us, arrived_s)

    ClockMap.sync = counted  # type: ignore[method-assign]
    try:
        for place in range(1_000):
            now_s = 0.01 * (place + 1)
            token = BEGUN_NS + round((now_s - 0.003) * 1e9)
            session.process(node.chunk(now_s, [SyncReply(token, round(now_s * 1e6) + 998_000), data(place)]))
    finally:
        ClockMap.sync = real  # type: ignore[method-assign]
    # 10 s, a quarter of a second apart at the least.
    assert 0 < synced <= 40


def test_requests_from_the_future_of_long_ago_or_said_twice_do_not_count() -> None:
    replies = SyncFilter()
    assert not replies.accept(100.5, 100.4)
    assert not replies.accept(89.0, 100.0)
    assert replies.accept(99.9, 100.0)
    assert not replies.accept(99.9, 100.1) and not replies.accept(99.0, 100.2)
    assert replies.accept(100.4, 100.5)


def test_times_on_a_parabola_cost_no_more_memory_than_others() -> None:
    """Every observation is a corner of its envelope: the largest arrays are those of 64 corners, 2,144 lines."""
    mapped = ClockMap()
    tracemalloc.start()
    for place in range(260):
        device_s = 0.5 * place
        bend_s = 1e-6 * (place - 130) ** 2 * 0.5
        mapped.sync(device_s - 0.02 - bend_s, round(device_s * 1e6), round(device_s * 1e6), device_s + bend_s)
        time_s, error_s = mapped.map(round(device_s * 1e6))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6
    # What is left of the envelope still bounds the time.
    assert abs(time_s - device_s) <= error_s and error_s < 0.02


def test_an_envelope_with_fewer_corners_is_never_tighter() -> None:
    many = ClockMap()
    for place in range(260):
        device_s = 0.5 * place
        many.arrival(round(device_s * 1e6), device_s + 1e-7 * (place - 130) ** 2)
    few = clock_module._hull(many._arrivals, 0.0, lower=True)
    assert len(few) == clock_module._MOST_CORNERS
    points = np.array([(x, y) for _, x, y in many._arrivals])
    # A line below the kept corners may pass above others; a line below all is below the kept ones.
    assert set(map(tuple, few.tolist())) <= set(map(tuple, points.tolist()))
