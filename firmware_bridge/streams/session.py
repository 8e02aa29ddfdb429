"""Items of a source to rows on a regular time axis: decoder, clocks and aligner in one, for live streams and replays alike.

All that happens follows from the items (bytes and arrival times) alone, so a recording replayed gives the live rows
bit for bit. Nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.items import Chunk, Item, Lost, Snapshot
from firmware_bridge.protocol.decoder import Received
from firmware_bridge.protocol.packets import (
    Data,
    Status,
    StreamDescriptor,
)
from firmware_bridge.streams.alignment import Aligner, AlignmentSettings, Rows
from firmware_bridge.streams.node_clock import BootClock, BootClocks
from firmware_bridge.streams.receiver import NodeKey, Receiver
from toolkit.contract import StreamSpec

#: Streams without new samples are looked at this often (of arrival).
_ALL_NS = 50_000_000
#: Streams that speak within this time (s of arrival) of the first descriptor are aligned together.
SETTLE_S = 0.5


class TimedSamples(NamedTuple):
    """The samples of one packet: physical values (n, channels), host times (n,) in s, and the error bar of the times."""

    key: NodeKey
    boot: int
    stream: StreamDescriptor
    data: Data
    times_s: NDArray[np.float64]
    error_s: float
    values: NDArray[np.float64]


class SessionStep(NamedTuple):
    """What one item brought: packets, their samples in time, and the rows that are settled since."""

    received: tuple[Received, ...]
    samples: tuple[TimedSamples, ...]
    rows: Mapping[str, Rows]


@dataclass(eq=False)
class Session:
    """``wanted``: the streams to align, by name (the inputs of a contract); None: all that speak in the first half second.

    A stream's name is its own if it is unique in the session, else ``NODE/STREAM``. With ``by_hand`` nothing is aligned
    until :meth:`align` says what.
    """

    settings: AlignmentSettings = field(default_factory=AlignmentSettings)
    wanted: Mapping[str, StreamSpec] | None = None
    by_hand: bool = False
    receiver: Receiver = field(default_factory=Receiver)
    #: Packets whose samples could not be used: no descriptor yet (or another format), no time yet.
    undescribed: int = 0
    untimed: int = 0
    status: dict[NodeKey, Status] = field(default_factory=dict)
    aligner: Aligner | None = None
    names: dict[tuple[NodeKey, int], str] = field(default_factory=dict)
    _clocks: dict[NodeKey, BootClocks] = field(default_factory=dict)
    _settled_ns: int | None = None
    _packet_s: float = 0.0
    _all_ns: int = -(1 << 62)

    def process(self, item: Item | Snapshot | Lost) -> SessionStep:
        """Decode, place in time and align one item."""
        received = self.receiver.decode(item)
        if not isinstance(item, Chunk):
            return SessionStep((), (), self.aligner.rows() if self.aligner is not None else {})
        samples = [each for packet in received if (each := self._time_samples(item.link, packet)) is not None]
        if self.aligner is None and not self.by_hand:
            self._choose(item.arrival_ns)
        pushed: set[str] = set()
        if self.aligner is not None:
            now_s = item.arrival_ns * 1e-9 - self._slack_s()
            self.aligner.tick(now_s)
            for each in samples:
                name = self.names.get((each.key, each.stream.stream))
                if name is not None:
                    pushed.add(name)
                    self.aligner.append(name, each.times_s, each.values, now_s)
        return SessionStep(tuple(received), tuple(samples), self._rows(pushed, item.arrival_ns))

    def align(self, names: Mapping[tuple[NodeKey, int], str], specs: Mapping[str, StreamSpec]) -> None:
        """Align these streams (node and stream number -> name -> form) from the next item on, from a new row 0.

        What an earlier call aligned is forgotten, so that nobody has to fill the rows of a long silence.
        """
        self.names = dict(names)
        self.aligner = Aligner(dict(specs), self.settings) if names else None

    def clock(self, key: NodeKey) -> BootClock | None:
        """The clock of the node's present boot session."""
        clocks = self._clocks.get(key)
        return clocks.newest if clocks is not None else None

    def _slack_s(self) -> float:
        """How much older than its arrival a packet's first sample may seem though nothing is missing.

        That is the longest packet, and what the clocks may be wrong by. Silence is counted from behind that.
        """
        worst_s = 0.0
        for clocks in self._clocks.values():
            error_s = clocks.newest.error_s
            if worst_s < error_s < math.inf:
                worst_s = error_s
        return self._packet_s + worst_s

    def _rows(self, pushed: Collection[str], arrival_ns: int) -> Mapping[str, Rows]:
        """Rows of the streams that have new samples; now and then of all, so that silence becomes a gap."""
        if self.aligner is None:
            return {}
        if arrival_ns - self._all_ns >= _ALL_NS:
            self._all_ns = arrival_ns
            return self.aligner.rows()
        return self.aligner.rows(sorted(pushed)) if pushed else {}

    def _time_samples(self, link: int, received: Received) -> TimedSamples | None:
        key = NodeKey(link, received.node)
        clocks = self._clocks.get(key)
        if clocks is None:
            clocks = self._clocks[key] = BootClocks(received.boot)
        clock = clocks.of(received.boot)
        count = clock.observe(received)
        data = received.packet
        if isinstance(data, Status):
            self.status[key] = data
        if not isinstance(data, Data):
            return None
        descriptor = self.receiver.descriptors.get(key)
        stream = descriptor.stream(data.stream) if descriptor is not None else None
        if stream is None or not stream.fits(data):
            self.undescribed += 1
            return None
        newest = clock.newest(received, count, stream.rate_hz)
        if newest is None:
            self.untimed += 1
            return None
        self._packet_s = max(self._packet_s, data.samples / stream.rate_hz)
        times_s, error_s = clock.spread(data, newest, stream.rate_hz)
        return TimedSamples(
            key, received.boot, stream, data, times_s, error_s, stream.physical(data.values())
        )

    def _choose(self, arrival_ns: int) -> None:
        """Fix which streams are aligned, once: all wanted ones are described, or the time to settle is over."""
        found = self._found()
        if self.wanted is not None:
            if set(self.wanted) <= set(found.values()):
                self.names = {place: name for place, name in found.items() if name in self.wanted}
                self.aligner = Aligner(dict(self.wanted), self.settings)
            return
        if found and self._settled_ns is None:
            self._settled_ns = arrival_ns + round(SETTLE_S * 1e9)
        if self._settled_ns is None or arrival_ns < self._settled_ns:
            return
        self.names = found
        specs: dict[str, StreamSpec] = {}
        for (key, number), name in found.items():
            stream = self.receiver.descriptors[key].stream(number)
            assert stream is not None
            specs[name] = stream.spec
        self.aligner = Aligner(specs, self.settings)

    def _found(self) -> dict[tuple[NodeKey, int], str]:
        descriptors = sorted(self.receiver.descriptors.items())
        plain = [stream.name for _, descriptor in descriptors for stream in descriptor.streams]
        return {
            (key, stream.stream): stream.name
            if plain.count(stream.name) == 1
            else f"{descriptor.name}/{stream.name}"
            for key, descriptor in descriptors
            for stream in descriptor.streams
        }
