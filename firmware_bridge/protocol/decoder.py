"""Bytes of one link to packets: incremental, bounded in memory, in step again after any damage.

Nothing that a link can send raises here: what is no packet is counted, in the ledger and by reason.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_bridge.protocol.framing import (
    Frame,
    FrameError,
    OtherVersionError,
    decode_frame,
)
from firmware_bridge.protocol.ledger import (
    Balance,
    BootSession,
    DamagePool,
    NodeLedger,
    Verdict,
    drop,
)
from firmware_bridge.protocol.packets import (
    Command,
    Data,
    Descriptor,
    Status,
    SyncReply,
    SyncRequest,
)
from firmware_bridge.protocol.table import (
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_OPEN_MESSAGES,
    PacketType,
)
from firmware_bridge.protocol.target_packets import Reply, Request
from toolkit.errors import LinkError

AnyPacket = Descriptor | Data | SyncRequest | SyncReply | Status | Command | Request | Reply

#: What nodes send, and how it is read.
NODE_PACKETS: dict[int, Callable[[bytes], AnyPacket]] = {
    PacketType.DATA: Data.from_bytes,
    PacketType.DESCRIPTOR: Descriptor.from_bytes,
    PacketType.SYNC_REPLY: SyncReply.from_bytes,
    PacketType.STATUS: Status.from_bytes,
    PacketType.REPLY: Reply.from_bytes,
}
#: What hosts send: a node (simulated) reads these with the same decoder.
HOST_PACKETS: dict[int, Callable[[bytes], AnyPacket]] = {
    PacketType.SYNC_REQUEST: SyncRequest.from_bytes,
    PacketType.COMMAND: Command.from_bytes,
    PacketType.REQUEST: Request.from_bytes,
}
#: Incomplete messages kept for all nodes of a link together: at most 1 MiB.
_MAX_OPEN_OF_LINK = 64


class Received(NamedTuple):
    """A packet, who sent it, its number (of its first part), the node's clock, and when its last byte had come."""

    node: int
    boot: int
    sequence: int
    device_us: int
    arrival_ns: int
    late: bool
    packet: AnyPacket


@dataclass(eq=False)
class _Open:
    """A message of which parts have come."""

    kind: int
    count: int
    size: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    booked: list[tuple[BootSession, Verdict]] = field(default_factory=list)


class BlockSplitter:
    """Cuts a byte stream at the delimiters. Keeps at most one frame; what is longer is skipped to the next delimiter."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def split(self, data: bytes) -> list[bytes]:
        """The blocks that ``data`` ends, empty ones left out; a block that was too long is ``b"\\0"``, which no block is."""
        blocks = (self._rest + data).split(b"\0")
        self._rest = blocks.pop()
        if self._skipping and blocks:
            blocks[0] = b"\0"
            self._skipping = False
        if len(self._rest) >= MAX_FRAME_BYTES:
            self._skipping = True
        if self._skipping:
            self._rest = b""
        return [block for block in blocks if block]

    def cut(self) -> bool:
        """Forget the unfinished block (the link went down); whether there was one."""
        unfinished = bool(self._rest) or self._skipping
        self._rest, self._skipping = b"", False
        return unfinished


class LinkDecoder:
    """Decodes one link. ``packets`` says which side's packets are expected; others are counted as ``foreign``."""

    def __init__(self, packets: dict[int, Callable[[bytes], AnyPacket]] | None = None) -> None:
        self._packets = NODE_PACKETS if packets is None else packets
        self._others = (NODE_PACKETS.keys() | HOST_PACKETS.keys()) - self._packets.keys()
        self._splitter = BlockSplitter()
        self._pool = DamagePool()
        self._open: OrderedDict[tuple[int, int, int], _Open] = OrderedDict()
        #: Ledgers by node.
        self.nodes: dict[int, NodeLedger] = {}
        #: Why frames and messages were not handed on: reason -> count. Reasons are few and fixed.
        self.rejected: Counter[str] = Counter()
        #: Intact frames so far, duplicates and foreign ones included.
        self.frames = 0

    def feed(self, data: bytes, arrival_ns: int) -> list[Received]:
        """What ``data``, which arrived at ``arrival_ns`` (host monotonic), completes; in order of arrival."""
        received: list[Received] = []
        for block in self._splitter.split(data):
            try:
                frame = decode_frame(block)
            except OtherVersionError:
                self.rejected["other version"] += 1
            except FrameError:
                self._pool.add()
            else:
                self._frame(frame, arrival_ns, received)
        return received

    def link_down(self) -> None:
        """The link was lost: an unfinished frame counts as damaged."""
        if self._splitter.cut():
            self._pool.add()

    def dropped(self, received: Received) -> None:
        """The consumer had to drop a packet of one frame that was handed to it: book it as dropped_in_host."""
        self.nodes[received.node].dropped(received.boot, received.late)
        self.rejected["full queue"] += 1

    @property
    def damaged(self) -> int:
        """Damaged blocks so far."""
        return self._pool.damaged

    @property
    def noise(self) -> int:
        """Damaged blocks that no missing frame explains."""
        return self._pool.noise

    def balance(self) -> Balance:
        """The ledger of all nodes of this link together."""
        return sum((ledger.balance() for ledger in self.nodes.values()), Balance())

    def _frame(self, frame: Frame, arrival_ns: int, received: list[Received]) -> None:
        self.frames += 1
        if frame.type in self._others:
            self.rejected["foreign"] += 1
            return
        self._pool.good()
        ledger = self.nodes.get(frame.node)
        if ledger is None:
            ledger = self.nodes[frame.node] = NodeLedger(self._pool)
        verdict, boot_session = ledger.book(frame.boot, frame.sequence)
        if verdict is Verdict.DUPLICATE:
            return
        if frame.parts > 1:
            self._part(frame, verdict, boot_session, arrival_ns, received)
            return
        self._message(frame, [(boot_session, verdict)], arrival_ns, received)

    def _message(
        self,
        frame: Frame,
        booked: list[tuple[BootSession, Verdict]],
        arrival_ns: int,
        received: list[Received],
    ) -> None:
        """Read a whole message; what is against the page is dropped."""
        read = self._packets.get(frame.type)
        if read is None:
            self._drop(booked, "unknown type")
            return
        try:
            packet = read(frame.payload)
        except LinkError:
            self._drop(booked, "bad payload")
            return
        late = booked[-1][1] is Verdict.LATE
        received.append(
            Received(frame.node, frame.boot, frame.sequence, frame.device_us, arrival_ns, late, packet)
        )

    def _drop(self, booked: list[tuple[BootSession, Verdict]], reason: str) -> None:
        for boot_session, verdict in booked:
            drop(boot_session, verdict)
        self.rejected[reason] += 1

    def _part(
        self,
        frame: Frame,
        verdict: Verdict,
        boot_session: BootSession,
        arrival_ns: int,
        received: list[Received],
    ) -> None:
        """Keep one part; hand the message on when it is the last that was missing."""
        start = (frame.sequence - frame.part) & 0xFFFFFFFF
        key = (frame.node, frame.boot, start)
        message = self._open.get(key)
        if message is None:
            message = self._open[key] = _Open(frame.type, frame.parts)
            self._give_up_old(frame.node)
        message.booked.append((boot_session, verdict))
        message.parts[frame.part] = frame.payload
        message.size += len(frame.payload)
        if (frame.type, frame.parts) != (message.kind, message.count) or message.size > MAX_MESSAGE_BYTES:
            del self._open[key]
            self._drop(message.booked, "parts that do not fit")
        elif len(message.parts) == message.count:
            del self._open[key]
            payload = b"".join(message.parts[index] for index in range(message.count))
            whole = frame._replace(sequence=start, payload=payload, part=0, parts=1)
            self._message(whole, message.booked, arrival_ns, received)

    def _give_up_old(self, node: int) -> None:
        """Drop the oldest incomplete messages beyond what may be kept, of this node and of the link."""
        of_node = [key for key in self._open if key[0] == node]
        surplus = of_node[: max(0, len(of_node) - MAX_OPEN_MESSAGES)]
        while surplus or len(self._open) > _MAX_OPEN_OF_LINK:
            key = surplus.pop(0) if surplus else next(iter(self._open))
            self._drop(self._open.pop(key).booked, "incomplete message")
