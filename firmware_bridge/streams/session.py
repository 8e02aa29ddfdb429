"""Items of a source to rows on a regular time axis: decoder, clocks and aligner in one, for live streams and replays alike.

All that happens follows from the items (bytes and arrival times) alone, so a recording replayed gives the live rows
bit for bit. Nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.items import Chunk, Recorded
from firmware_bridge.protocol.decoder import Received
from firmware_bridge.protocol.packets import (
    Data,
    Descriptor,
    Status,
    StreamDescriptor,
)
from firmware_bridge.streams.alignment import Aligner, AlignmentSettings, Rows
from firmware_bridge.streams.node_clock import BootClock, BootClocks
from firmware_bridge.streams.receiver import NodeKey, Receiver
from toolkit.contract import StreamSpec

#: Nominal rates that are put on an axis, in Hz: beyond them the rows of a second, or of a packet, are without end.
PLAUSIBLE_HZ = (0.01, 20_000.0)
#: Streams that a session chooses to align by itself.
_MOST_STREAMS = 512
#: What a session has chosen itself it chooses anew after this long (of arrival) at the earliest, however often nodes
#: describe themselves.
_CHOOSE_AGAIN_NS = 1_000_000_000
#: Silence of all streams is counted from at most this long (s) behind now, however long one node's packets claim to be.
_MOST_SLACK_S = 1.0
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
class _Slack:
    """The largest of the aligned nodes' error bars ``errors_s`` and their longest packet, kept up with what packets change: to
    look at all nodes for each packet of each costs the square of their number."""

    errors_s: dict[NodeKey, float] = field(default_factory=dict)
    packet_s: float = 0.0
    #: Nodes whose clocks have seen a packet since.
    touched: set[NodeKey] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.worst_s = max(self.errors_s.values(), default=0.0)

    def take(self, key: NodeKey, error_s: float) -> None:
        """The bar of a node's clock is now ``error_s``; of one that is not aligned nobody waits for it."""
        before_s = self.errors_s.get(key)
        if before_s is None or before_s == error_s:
            return
        self.errors_s[key] = error_s
        if error_s >= self.worst_s:
            self.worst_s = error_s
        elif before_s == self.worst_s:
            self.worst_s = max(self.errors_s.values())


@dataclass(eq=False)
class Session:
    """``wanted``: the streams to align, by name (the inputs of a contract); None: all that speak in the first half second.

    A stream's name is its own if it is unique in the session, else ``NODE/STREAM``, and with the numbers of link and node if
    two nodes have the same name. With ``by_hand`` nothing is aligned until :meth:`align` says what. Otherwise another
    descriptor of an aligned stream begins the rows anew.

    Nothing that a node can send raises here, and what is kept of it is bounded.
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
    _chosen_ns: int = -(1 << 62)
    _chosen: dict[tuple[NodeKey, int], StreamDescriptor] = field(default_factory=dict)
    #: Nodes as the packets so far described them: data that came in one read with a new descriptor may be older than it.
    _described: dict[NodeKey, Descriptor] = field(default_factory=dict)
    _aligned: dict[tuple[NodeKey, int], StreamSpec] = field(default_factory=dict)
    #: The longest packet of each stream, in s.
    _packet_s: dict[tuple[NodeKey, int], float] = field(default_factory=dict)
    _all_ns: int = -(1 << 62)
    _slack: _Slack = field(default_factory=lambda: _Slack())

    def process(self, item: Recorded) -> SessionStep:
        """Decode, place in time and align one item."""
        received = self.receiver.decode(item)
        if not isinstance(item, Chunk):
            return SessionStep(
                (), (), {}
            )  # rows come with the next bytes: no consumer has to look for them here
        with np.errstate(over="ignore", invalid="ignore"):  # a scale may make values beyond float32
            samples = [
                each for packet in received if (each := self._time_samples(item.link, packet)) is not None
            ]
            if not self.by_hand:
                nodes = {NodeKey(item.link, p.node) for p in received if isinstance(p.packet, Descriptor)}
                self._choose(item.arrival_ns, nodes)
            return SessionStep(tuple(received), tuple(samples), self._align(samples, item.arrival_ns))

    def align(self, names: Mapping[tuple[NodeKey, int], str], specs: Mapping[str, StreamSpec]) -> None:
        """Align these streams (node and stream number -> name -> form) from the next item on, from a new row 0.

        What an earlier call aligned is forgotten, so that nobody has to fill the rows of a long silence.
        """
        self.names = dict(names)
        self._aligned = {place: specs[name] for place, name in names.items()}
        self.aligner = Aligner(dict(specs), self.settings) if names else None
        self._slack = _Slack(
            {key: self._error_s(key) for key, _ in names},
            max((self._packet_s.get(place, 0.0) for place in names), default=0.0),
        )

    def clock(self, key: NodeKey) -> BootClock | None:
        """The clock of the node's present boot session."""
        clocks = self._clocks.get(key)
        return clocks.newest if clocks is not None else None

    def _slack_s(self) -> float:
        """How much older than its arrival a packet's first sample may seem though nothing is missing.

        That is the longest packet, and what the clocks may be wrong by. Silence is counted from behind that.
        """
        for key in self._slack.touched:
            self._slack.take(key, self._error_s(key))
        self._slack.touched.clear()
        return min(self._slack.packet_s + self._slack.worst_s, _MOST_SLACK_S)

    def _error_s(self, key: NodeKey) -> float:
        """The bar of a node's clock as far as one waits for it: none before there is one."""
        clocks = self._clocks.get(key)
        error_s = clocks.newest.error_s if clocks is not None else 0.0
        return error_s if 0.0 < error_s < math.inf else 0.0

    def _align(self, samples: list[TimedSamples], arrival_ns: int) -> Mapping[str, Rows]:
        """Append what belongs to aligned streams; the rows that are settled since."""
        if self.aligner is None:
            return {}
        appended: set[str] = set()
        now_s = arrival_ns * 1e-9 - self._slack_s()
        self.aligner.tick(now_s)
        for each in samples:
            place = (each.key, each.stream.stream)
            spec = self._aligned.get(place)
            # A descriptor may have changed the stream; whoever chose the streams chooses anew, and drops these rows.
            if spec is not None and len(spec.channels) == each.values.shape[1]:
                name = self.names[place]
                appended.add(name)
                self.aligner.append(name, each.times_s, each.values, now_s)
        return self._rows(appended, arrival_ns)

    def _rows(self, appended: Collection[str], arrival_ns: int) -> Mapping[str, Rows]:
        """Rows of the streams that have new samples; now and then of all, so that silence becomes a gap."""
        if self.aligner is None:
            return {}
        if arrival_ns - self._all_ns >= _ALL_NS:
            self._all_ns = arrival_ns
            return self.aligner.rows()
        return self.aligner.rows(sorted(appended)) if appended else {}

    def _time_samples(self, link: int, received: Received) -> TimedSamples | None:
        key = NodeKey(link, received.node)
        self._slack.touched.add(key)
        clocks = self._clocks.get(key)
        if clocks is None:
            clocks = self._clocks[key] = BootClocks(received.boot)
        clock = clocks.of(received.boot)
        count = clock.observe(received)
        data = received.packet
        if isinstance(data, Status):
            self.status[key] = data
        elif isinstance(data, Descriptor):
            self._described[key] = data
        if not isinstance(data, Data):
            return None
        descriptor = self._described.get(key) or self.receiver.descriptors.get(key)
        stream = descriptor.stream(data.stream) if descriptor is not None else None
        if stream is None or not stream.fits(data):
            self.undescribed += 1
            return None
        newest = clock.newest(received, count, stream.rate_hz)
        if newest is None:
            self.untimed += 1
            return None
        place = (key, data.stream)
        longest_s = self._packet_s[place] = max(self._packet_s.get(place, 0.0), data.samples / stream.rate_hz)
        if longest_s > self._slack.packet_s and place in self.names:
            self._slack.packet_s = longest_s
        times_s, error_s = clock.spread(data, newest, stream.rate_hz)
        return TimedSamples(
            key, received.boot, stream, data, times_s, error_s, stream.physical(data.values())
        )

    def _choose(self, arrival_ns: int, described: set[NodeKey]) -> None:
        """Fix which streams are aligned: all wanted ones are described, or the time to settle is over."""
        if self.aligner is not None:
            if self._still_aligned(described):
                return
            self.align({}, {})
            self._settled_ns = max(arrival_ns + round(SETTLE_S * 1e9), self._chosen_ns + _CHOOSE_AGAIN_NS)
        if self.wanted is None and self._settled_ns is not None and arrival_ns < self._settled_ns:
            return
        found = self._found()
        if self.wanted is not None:
            fitting = {place: name for place, (name, stream) in found.items() if self._fits(name, stream)}
            if set(self.wanted) <= set(fitting.values()):
                self._chosen = {place: found[place][1] for place in fitting}
                self.align(fitting, self.wanted)
            return
        if found and self._settled_ns is None:
            self._settled_ns = arrival_ns + round(SETTLE_S * 1e9)
        if self._settled_ns is None or arrival_ns < self._settled_ns:
            return
        self._chosen_ns = arrival_ns
        self._chosen = {place: stream for place, (_, stream) in found.items()}
        self.align(
            {place: name for place, (name, _) in found.items()},
            {name: stream.spec for name, stream in found.values()},
        )

    def _fits(self, name: str, stream: StreamDescriptor) -> bool:
        """Whether a stream is the wanted one of that name, as far as rows can be made of it."""
        assert self.wanted is not None
        return name in self.wanted and len(self.wanted[name].channels) == len(stream.channels)

    def _still_aligned(self, described: set[NodeKey]) -> bool:
        """Whether the aligned streams are what they were when they were chosen; ``described``: nodes that have said so.

        A node is forgotten when another describes itself, and at no other time.
        """
        if not described:
            return True
        for (key, number), known in self._chosen.items():
            descriptor = self.receiver.descriptors.get(key)
            if descriptor is None:
                return False
            if key in described:
                stream = descriptor.stream(number)
                if stream is None or (
                    stream != known and not (self.wanted and self._fits(self.names[key, number], stream))
                ):
                    return False
        return True

    def _found(self) -> dict[tuple[NodeKey, int], tuple[str, StreamDescriptor]]:
        """All streams that can be put on an axis, each under a name of its own."""
        streams = [
            (key, descriptor.name, stream)
            for key, descriptor in sorted(self.receiver.descriptors.items())
            for stream in descriptor.streams
            if PLAUSIBLE_HZ[0] <= stream.rate_hz <= PLAUSIBLE_HZ[1]
        ][:_MOST_STREAMS]
        claims = Counter(stream.name for _, _, stream in streams)
        claims.update(f"{node}/{stream.name}" for _, node, stream in streams)
        found: dict[tuple[NodeKey, int], tuple[str, StreamDescriptor]] = {}
        for key, node, stream in streams:
            names = (stream.name, f"{node}/{stream.name}")
            numbered = f"{node} (link {key.link}, node {key.node})/{stream.name}"
            name = next((each for each in names if claims[each] == 1), numbered)
            claims[numbered] += name == numbered
            while claims[name] > 1:  # a node may call itself so
                name += "'"
                claims[name] += 1
            found[key, stream.stream] = (name, stream)
        return found
