"""The way from a virtual node to the host, with delays and faults, in injected time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.simulator.faults import FaultyLink
from firmware_bridge.simulator.virtual_node import Sent, VirtualNode

#: What the fastest frame takes.
BASE_DELAY_S = 0.001
#: How long a silent link stays silent where a host has nothing to reconnect. Over BLE it lasts until the host connects anew.
SILENT_FOR_S = 2.0


@dataclass(eq=False)
class VirtualLink:
    """Gives the items of one link. ``origin_ns`` is the host's monotonic clock at simulated time 0."""

    node: VirtualNode
    link: int = 0
    origin_ns: int = 0
    #: What the node sent, if ``keep_sent``: the truth that tests compare with.
    keep_sent: bool = False
    #: How long the fault ``silent_s`` lasts; 0: whoever carries the chunks acts it out.
    silent_for_s: float = SILENT_FOR_S
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._way = FaultyLink(self.node.faults, self.node.seed * 257 + self.node.node)
        self._random = np.random.default_rng([self.node.seed, self.node.node, 2])
        self._waiting: list[tuple[float, Item]] = []
        self._arrived_s = 0.0
        faults = self.node.faults
        if faults.link_loss_s:
            back_s = faults.link_loss_s + faults.link_loss_for_s
            self._changes = [(faults.link_loss_s, False), (back_s, True)]
        else:
            self._changes = []

    @property
    def way(self) -> FaultyLink:
        """What was done to the frames."""
        return self._way

    def advance(self, now_s: float) -> list[Item]:
        """What arrives up to ``now_s``, in order of arrival."""
        for each in self.node.advance(now_s):
            if self.keep_sent:
                self.sent.append(each)
            for frame in each.frames:
                self._carry(frame, each.time_s)
        for when, up in [change for change in self._changes if change[0] <= now_s]:
            reason = "simulated: the link is back" if up else "simulated: the link was lost"
            self._waiting.append((when, LinkChange(self.link, self._ns(when), up, reason)))
            self._changes.remove((when, up))
        self._waiting.sort(key=lambda entry: entry[0])
        ready = [item for when, item in self._waiting if when <= now_s]
        self._waiting = [entry for entry in self._waiting if entry[0] > now_s]
        return ready

    def _carry(self, frame: bytes, time_s: float) -> None:
        if self._down(time_s):
            return
        for arriving in self._way.send(frame):
            delay_s = BASE_DELAY_S
            if self.node.faults.jitter_ms:
                delay_s += float(self._random.exponential(self.node.faults.jitter_ms * 1e-3))
            # A byte stream keeps its order: what was sent later arrives later.
            self._arrived_s = max(self._arrived_s, time_s + delay_s)
            if not self._down(self._arrived_s):
                chunk = Chunk(self.link, self._ns(self._arrived_s), arriving)
                self._waiting.append((self._arrived_s, chunk))

    def _down(self, host_s: float) -> bool:
        faults = self.node.faults
        lost = 0 < faults.link_loss_s <= host_s < faults.link_loss_s + faults.link_loss_for_s
        return lost or 0 < faults.silent_s <= host_s < faults.silent_s + self.silent_for_s

    def _ns(self, host_s: float) -> int:
        return self.origin_ns + round(host_s * 1e9)
