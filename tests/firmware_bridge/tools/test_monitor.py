"""What the monitor shows, as values."""

from __future__ import annotations

from benchmarks.studies.bridge_nodes import programme
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.streams.session import Session
from firmware_bridge.tools.monitor import Health


def test_streams_and_nodes_are_in_order_whichever_came_first() -> None:
    health = Health(Session())
    links = [VirtualLink(VirtualNode(programme(place), place), place) for place in (1, 0)]
    for step in range(1, 50):
        for link in links:
            for item in link.advance(step * 0.02):
                health.count(item, health.session.process(item))
    shown = health.to_json()
    assert [(each["node"], each["stream"]) for each in shown["streams"]] == [
        ("node 0", "imu"),
        ("node 0", "emg"),
        ("node 1", "imu"),
        ("node 1", "emg"),
    ]
    assert list(shown["nodes"]) == ["0/0", "1/1"]
    assert next(each.node for each in health.streams.values()) == "node 1"
