"""How long a session waits for late packets: kept up packet by packet, and equal to looking at every aligned node each time."""

from __future__ import annotations

import math

import pytest

from benchmarks.studies.bridge_nodes import programme
from firmware_bridge.items import Chunk
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import SyncRequest
from firmware_bridge.protocol.table import ANY_NODE
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.streams.session import Session
from tests.firmware_bridge.simulator.test_faults import MIXED

NODES = 3


class Looked(Session):
    """Compares each answer with the definition: the longest packet and the largest finite bar of the aligned nodes."""

    compared = 0
    seen: set[float]

    def _slack_s(self) -> float:
        packet_s = worst_s = 0.0
        for place in self.names:
            packet_s = max(packet_s, self._packet_s.get(place, 0.0))
            clocks = self._clocks.get(place[0])
            error_s = clocks.newest.error_s if clocks is not None else 0.0
            if worst_s < error_s < math.inf:
                worst_s = error_s
        found = super()._slack_s()
        assert found == min(packet_s + worst_s, 1.0)
        self.compared += 1
        self.seen = {*getattr(self, "seen", set()), found}
        return found


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_look_at_every_node(seed: int) -> None:
    """Nodes that restart, stall, fall silent and lose their link, whose bars grow and shrink, one of them joining late."""
    origin_ns = 7_000_000_000_000
    links = [
        VirtualLink(VirtualNode(programme(i), i, MIXED, 10 * seed + i), i, origin_ns) for i in range(NODES)
    ]
    session, host = Looked(), FrameWriter(ANY_NODE, 1, 64)
    rows = 0
    for step in range(1, 500):
        items = [item for link in links[: 2 if step < 200 else NODES] for item in link.advance(step / 100)]
        for item in sorted(items, key=lambda item: item.arrival_ns):
            done = session.process(item)
            rows += sum(len(each.valid) for each in done.rows.values())
            assert isinstance(item, Chunk) or not done.rows
        if step % 50 == 10:
            for link in links:
                link.node.hear(
                    host.frames(SyncRequest(origin_ns + step * 10_000_000), 0)[0], step / 100 + 0.0005
                )
    assert session.compared > 300 and len(session.seen) > 10 and rows > 500
