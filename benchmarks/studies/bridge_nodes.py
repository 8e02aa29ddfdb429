"""The nodes of :mod:`benchmarks.studies.bridge_load` and what carrying their load cost, for both ways of measuring it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firmware_bridge.items import Item
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Descriptor,
    StreamDescriptor,
    SyncRequest,
)
from firmware_bridge.protocol.table import ANY_NODE, Format
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import PACKET_S, Programme, VirtualNode


@dataclass(frozen=True)
class Load:
    """What carrying the load cost."""

    nodes: int
    seconds: float
    frames_sent: int
    frames_delivered: int
    rows: int
    core_share: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    #: Processor time of the whole host process over the time, transport and event loop included; None in simulated time.
    process_share: float | None = None
    #: Resident memory of the host process after a tenth of the time and at the end, MB, without this benchmark's own log.
    memory_mb: tuple[float, float] | None = None
    #: From the host's read of a chunk to its rows, 99th percentile; None in simulated time.
    read_p99_ms: float | None = None


def programme(node: int) -> Programme:
    """Seeded noise over the whole range; its values cost the host nothing more or less than a person's would."""
    random = np.random.default_rng(node)
    imu = tuple(ChannelDescriptor(f"imu{i}", "m/s^2", 0.0048) for i in range(6))
    emg = tuple(ChannelDescriptor(f"emg{i}", "uV", 0.2) for i in range(4))
    streams = (
        StreamDescriptor(0, "imu", Format.INT16, 200.0, imu),
        StreamDescriptor(1, "emg", Format.INT16, 1000.0, emg),
    )
    tables = {
        s.stream: random.integers(-30_000, 30_000, (4000, len(s.channels)), dtype=np.int32) for s in streams
    }
    return Programme(Descriptor(f"node {node}", streams), tables)


class Nodes:
    """The load's nodes: :meth:`step` gives what arrives in the next 10 ms. Two sync exchanges a second; 0 is ``origin_ns``."""

    STEP_S = 0.01

    def __init__(self, count: int, origin_ns: int = 0, keep_sent: bool = False) -> None:
        faults = Faults(drift_ppm=30.0, jitter_ms=2.0)
        made = [VirtualNode(programme(i), i, faults, i) for i in range(count)]
        # Nobody switches eight sensors on in the same millisecond: each begins somewhere in a packet's length.
        begin_ns = origin_ns + np.random.default_rng(count).integers(0, round(PACKET_S * 1e9), count)
        self.links = [VirtualLink(node, i, int(begin_ns[i]), keep_sent) for i, node in enumerate(made)]
        self._origin_ns, self._steps = origin_ns, 0
        self._writer = FrameWriter(ANY_NODE, 1, 64)

    @property
    def now_s(self) -> float:
        """How far the steps have come."""
        return self._steps * self.STEP_S

    def step(self) -> list[Item]:
        """Items of all links, in order within each link."""
        self._steps += 1
        items: list[Item] = []
        for link in self.links:
            if self._steps % 50 == 25:
                asked = SyncRequest(self._origin_ns + round(self.now_s * 1e9))
                link.node.hear(self._writer.frames(asked, 0)[0], self.now_s + 0.001)
            items += link.advance(self.now_s)
        return items
