"""A node described a stream anew, with another number of channels, and its data came in the same read.

The samples were appended to an axis of the old width: ValueError, and the daemon ended with exit code 1. Data that came in
that read before the descriptor were read with the new scale.
"""

from __future__ import annotations

import numpy as np

from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import Session
from tests.regression.sensors import Node, data, described
from toolkit.contract import Channel, StreamSpec


def speaking(session: Session, node: Node, until_s: float) -> None:
    """Described at once, then a sample each 10 ms."""
    session.process(node.chunk(0.0, [described("leg")]))
    for place in range(round(until_s * 100)):
        session.process(node.chunk(0.01 * (place + 1), [data(place)]))


def test_whoever_chose_the_streams_is_told_and_nothing_raises() -> None:
    session, node = Session(by_hand=True), Node()
    session.process(node.chunk(0.0, [described("leg")]))
    place, spec = (NodeKey(0, 1), 0), described("leg").streams[0].spec
    session.align({place: "imu"}, {"imu": spec})
    speaking(session, node, 1.0)
    step = session.process(node.chunk(1.02, [described("leg", channels=3), data(101, channels=3)]))
    assert [each.values.shape for each in step.samples] == [(1, 3)]
    assert all(rows.values.shape[1] == 2 for rows in step.rows.values())


def test_without_a_chooser_the_rows_begin_anew_in_the_new_form() -> None:
    session, node = Session(), Node()
    speaking(session, node, 1.0)
    assert session.aligner is not None
    widths = set()
    for place in range(101, 250):
        packets = [described("leg", channels=3)] if place == 101 else []
        step = session.process(node.chunk(0.01 * place, [*packets, data(place, channels=3)]))
        widths |= {rows.values.shape[1] for rows in step.rows.values()}
    assert widths == {3}
    assert session.aligner is not None and len(session.aligner.specs["imu"].channels) == 3


def test_a_wanted_stream_of_another_width_is_not_taken() -> None:
    wanted = StreamSpec("imu", 100.0, tuple(Channel(f"c{place}", "m/s^2") for place in range(3)))
    session, node = Session(wanted={"imu": wanted}), Node()
    speaking(session, node, 1.0)
    assert session.aligner is None


def test_data_before_the_new_descriptor_keep_their_scale() -> None:
    session, node = Session(by_hand=True), Node()
    speaking(session, node, 0.5)
    packets = [data(51), described("leg", scale=100.0), data(52)]
    step = session.process(node.chunk(0.52, packets))
    assert [float(np.max(each.values)) for each in step.samples] == [1.0, 100.0]
