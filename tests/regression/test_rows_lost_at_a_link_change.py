"""When any link went up or down, rows of the other streams that were just settled were given out to nobody.

The session gave rows with that item, and the intake looks at those of bytes only: the stream's later rows were then a few
places early beside those of the other streams, and stayed so until the rows began anew.
"""

from __future__ import annotations

from firmware_bridge.items import Chunk, LinkChange
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import Session
from tests.regression.sensors import BEGUN_NS, Node, data, described


def test_rows_that_come_with_bytes_follow_one_another() -> None:
    session, talking, silent = Session(by_hand=True), Node(1), Node(2)
    places = {(NodeKey(0, 1), 0): "a", (NodeKey(0, 2), 0): "b"}
    spec = described("leg").streams[0].spec
    session.process(talking.chunk(0.0, [described("leg")]))
    session.process(silent.chunk(0.0, [described("arm")]))
    session.align(places, {"a": spec, "b": spec})
    following = {"a": 0, "b": 0}
    for place in range(1, 100):
        now_s = 0.01 * place
        items: list[Chunk | LinkChange] = [talking.chunk(now_s, [data(place)])]
        if place < 50 or place % 10 == 0:
            items.append(silent.chunk(now_s, [data(place)]))
        if place > 50 and place % 3 == 0:
            items.append(LinkChange(7, BEGUN_NS + round(now_s * 1e9), True, "somebody else's"))
        for item in items:
            for name, rows in session.process(item).rows.items():
                if isinstance(item, Chunk):
                    assert rows.first == following[name], (name, place)
                    following[name] += len(rows.times_s)
    assert min(following.values()) > 80
