"""All links of a session, each with its decoder: what live streams, recordings and exports have in common."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from firmware_bridge.items import Chunk, LinkChange, Lost, NodeDescriptor, Recorded, Snapshot
from firmware_bridge.protocol.decoder import LinkDecoder, Received
from firmware_bridge.protocol.ledger import Balance
from firmware_bridge.protocol.packets import Descriptor
from toolkit.errors import LinkError

#: A node that has said nothing for so long is off, or out of reach: one that streams sends a status every second.
SILENT_NS = 5_000_000_000


class NodeKey(NamedTuple):
    """A node: numbers are unique on a link only."""

    link: int
    node: int


class Receiver:
    """Feeds items to the decoder of their link and remembers the newest descriptor of each node.

    A node that is silent yields to one that takes its place: one of the same name, or one that came to the same link after
    it and has a stream of the same name (a spare with another number). Its descriptor is forgotten until it speaks again.
    """

    def __init__(self) -> None:
        self.links: dict[int, LinkDecoder] = {}
        self.descriptors: dict[NodeKey, Descriptor] = {}
        #: Arrival of the first and of the newest packet of each node.
        self._first_ns: dict[NodeKey, int] = {}
        self._newest_ns: dict[NodeKey, int] = {}
        self._replaced: set[NodeKey] = set()

    def decode(self, item: Recorded) -> list[Received]:
        """The packets that ``item`` completes; a link that goes down, or lost bytes, complete nothing."""
        if isinstance(item, Chunk):
            received = self._decoder(item.link).feed(item.data, item.arrival_ns)
            for packet in received:
                key = NodeKey(item.link, packet.node)
                self._first_ns.setdefault(key, packet.arrival_ns)
                self._newest_ns[key] = packet.arrival_ns
                if isinstance(packet.packet, Descriptor):
                    self._describe(key, packet.packet, packet.arrival_ns)
            return received
        if isinstance(item, Snapshot):
            self._learn(item.descriptors)
        elif isinstance(item, Lost):
            for decoder in self.links.values():
                decoder.link_down()
        elif isinstance(item, LinkChange):
            self._decoder(item.link).link_down()
        return []

    def dropped(self, link: int, received: Received) -> None:
        """A consumer's queue was full and ``received`` was dropped: book it as dropped_in_host."""
        self.links[link].dropped(received)

    def balance(self) -> Balance:
        """The ledger of all nodes together."""
        return sum((decoder.balance() for decoder in self.links.values()), Balance())

    def ledger(self) -> dict[str, dict[str, Any]]:
        """The balance of each node as JSON values, by "link/node", and of each link what belongs to no node."""
        result: dict[str, dict[str, Any]] = {}
        for link in sorted(self.links):
            decoder = self.links[link]
            for node in sorted(decoder.nodes):
                result[f"{link}/{node}"] = asdict(decoder.nodes[node].balance())
            result[f"{link}"] = {
                "damaged": decoder.damaged,
                "noise": decoder.noise,
                "rejected": dict(sorted(decoder.rejected.items())),
            }
        return result

    def name(self, key: NodeKey) -> str:
        """The node's own name, or its numbers."""
        descriptor = self.descriptors.get(key)
        return descriptor.name if descriptor else f"link {key.link} node {key.node}"

    def _describe(self, key: NodeKey, descriptor: Descriptor, now_ns: int) -> None:
        self._replaced.discard(key)
        self.descriptors[key] = descriptor
        names = {stream.name for stream in descriptor.streams}
        for other, known in list(self.descriptors.items()):
            heard_ns = self._newest_ns.get(other, -SILENT_NS)  # a snapshot alone knows of it
            if other == key or now_ns - heard_ns < SILENT_NS:
                continue
            came_after = other.link == key.link and self._first_ns[key] > heard_ns
            if known.name == descriptor.name or (
                came_after and names & {each.name for each in known.streams}
            ):
                del self.descriptors[other]
                self._first_ns.pop(other, None)
                self._replaced.add(other)

    def _decoder(self, link: int) -> LinkDecoder:
        decoder = self.links.get(link)
        if decoder is None:
            decoder = self.links[link] = LinkDecoder()
        return decoder

    def _learn(self, descriptors: tuple[NodeDescriptor, ...]) -> None:
        """Descriptors of a snapshot, for nodes whose own has not come (or was lost)."""
        for each in descriptors:
            key = NodeKey(each.link, each.node)
            if key not in self.descriptors and key not in self._replaced:
                try:
                    self.descriptors[key] = Descriptor.from_bytes(each.payload)
                except LinkError:
                    continue
