"""A node failed, and a spare with another number was plugged in on the same link; the daemon never took its streams.

The dead node's descriptor was kept for ever, so that each stream was one "of 2 nodes", though only one of them spoke. Two
nodes that both speak under one name shared one axis: their samples were mixed, or, of different width, raised ValueError.
"""

from __future__ import annotations

from firmware_bridge.items import LinkChange, NodeDescriptor, Snapshot
from firmware_bridge.streams.receiver import NodeKey, Receiver
from firmware_bridge.streams.session import Session
from tests.regression.sensors import BEGUN_NS, Node, data, described

OLD, SPARE = NodeKey(0, 1), NodeKey(0, 2)


def replaced(name: str, silent_s: float) -> Receiver:
    """The first node speaks for 2 s; ``silent_s`` later the spare does, and says what it is every 5 s."""
    receiver, old, spare = Receiver(), Node(1), Node(2)
    receiver.decode(old.chunk(0.0, [described("leg")]))
    for place in range(200):
        receiver.decode(old.chunk(0.01 * (place + 1), [data(place)]))
    receiver.decode(LinkChange(0, BEGUN_NS, False, "unplugged"))
    begun_s = 2.0 + silent_s
    for place in range(600):
        if place % 500 == 0:
            receiver.decode(spare.chunk(begun_s + 0.01 * place, [described(name)]))
        receiver.decode(spare.chunk(begun_s + 0.01 * place, [data(place)]))
    return receiver


def test_the_spare_takes_the_place_of_the_node_that_is_silent() -> None:
    for name in ("leg", "another leg"):
        for silent_s in (0.5, 60.0):
            assert set(replaced(name, silent_s).descriptors) == {SPARE}, (name, silent_s)


def test_snapshots_of_a_recording_do_not_bring_the_dead_node_back() -> None:
    receiver = replaced("leg", 0.5)
    known = NodeDescriptor(0, 1, 1, bytes(described("leg")))
    receiver.decode(Snapshot(0, 0, ("port",), (known,)))
    assert set(receiver.descriptors) == {SPARE}


def test_a_node_that_is_out_of_reach_for_a_while_is_not_forgotten_for_its_neighbours_sake() -> None:
    receiver, thigh, shank = Receiver(), Node(1), Node(2)
    for place in range(2_000):
        now_s = 0.01 * place
        nodes = [(thigh, "thigh")] if place < 200 else []
        for node, name in [*nodes, (shank, "shank")]:
            if place % 500 == 0:
                receiver.decode(node.chunk(now_s, [described(name)]))
            receiver.decode(node.chunk(now_s, [data(place)]))
    assert set(receiver.descriptors) == {OLD, SPARE}


def test_two_nodes_of_one_name_have_an_axis_each() -> None:
    session, nodes = Session(), (Node(1), Node(2))
    names: set[str] = set()
    for place in range(200):
        for width, node in enumerate(nodes, 2):
            packets = [described("leg", channels=width)] if place == 0 else []
            step = session.process(node.chunk(0.01 * place, [*packets, data(place, channels=width)]))
            for name, rows in step.rows.items():
                names.add(name)
                assert session.aligner is not None
                assert rows.values.shape[1] == len(session.aligner.specs[name].channels)
    assert names == {"leg (link 0, node 1)/imu", "leg (link 0, node 2)/imu"}
