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
    SyncReply,
)
from firmware_bridge.protocol.table import LEDGER_DAMAGE_FRAMES
from firmware_bridge.streams.alignment import Aligner, AlignmentSettings, Rows
from firmware_bridge.streams.clock import (
    ClockMap,
    HostTime,
    TickEvent,
    TickUnwrapper,
)
from firmware_bridge.streams.receiver import NodeKey, Receiver
from toolkit.contract import StreamSpec

_TURN = 1 << 32
#: A clock's line is drawn anew this often (s of arrival): the fit costs more than decoding a packet does.
_REFIT_S = 0.25
#: Streams without new samples are looked at this often (of arrival).
_ALL_NS = 50_000_000
#: Streams that speak within this time (s of arrival) of the first descriptor are aligned together.
SETTLE_S = 0.5


class LifeClock:
    """Host times of one life of a node: :class:`ClockMap`, drawn as a line that holds for a quarter of a second."""

    def __init__(self) -> None:
        self._ticks = TickUnwrapper()
        self._map = ClockMap()
        self._drawn_s = -np.inf
        self._before = 0
        self._count = 0
        self._base = HostTime(0.0, 0.0)
        self._slope = 1e-6
        #: The newest mapping's error bar, in s.
        self.error_s = float("inf")
        #: Whether a sync reply has come. Until then the bar rests on the assumption that the fastest frame took at most 30 ms.
        self.synced = False
        #: Stream -> next sample number and time of the newest sample.
        self._newest: dict[int, tuple[int, HostTime]] = {}
        self._anchors: dict[
            int, tuple[int, int]
        ] = {}  # stream -> (next sample number, count of the newest sample)

    @property
    def skew_ppm(self) -> float:
        """Rate of the host's clock against the node's."""
        return self._map.skew_ppm

    @property
    def restarts(self) -> int:
        """How often the node's clock contradicted itself (it was stepped) and was learnt anew."""
        return self._before + self._map.restarts

    def observe(self, received: Received) -> int | None:
        """Take a packet's times; its unwrapped count, or None if its stamp is not set."""
        arrival_s = received.arrival_ns * 1e-9
        event, count = self._ticks.push(received.device_us, arrival_s)
        if event is TickEvent.ZERO or received.device_us == 0:
            return None
        if event is TickEvent.REBOOT:
            self._before += self._map.restarts + 1
            self._map, self._drawn_s = ClockMap(), -np.inf
            self._anchors.clear()
            self._newest.clear()
            self.synced = False
        if isinstance(received.packet, SyncReply):
            reply = received.packet
            sent_s = reply.token * 1e-9
            taken = count - (received.device_us - reply.received_us) % _TURN
            if 0 <= arrival_s - sent_s < 10:
                self._map.sync(sent_s, taken, count, arrival_s)
                self._drawn_s, self.synced = -np.inf, True
                return count
        self._map.arrival(count, arrival_s)
        if arrival_s - self._drawn_s >= _REFIT_S:
            self._draw(count, arrival_s)
        return count

    def newest(self, received: Received, count: int | None, rate_hz: float) -> HostTime | None:
        """When the newest sample of a data packet was taken. A packet without a stamp is placed by its sample numbers."""
        data = received.packet
        assert isinstance(data, Data)
        after = data.first + data.samples
        if count is None:
            anchor = self._anchors.get(data.stream)
            if anchor is None:
                return None
            ahead = (after - anchor[0] + _TURN // 2) % _TURN - _TURN // 2
            count = anchor[1] + round(ahead / rate_hz * 1e6)
        elif not received.late:
            self._anchors[data.stream] = (after, count)
        if self._drawn_s == -np.inf:
            self._draw(count, received.arrival_ns * 1e-9)
        return HostTime(self._base.time_s + (count - self._count) * self._slope, self.error_s)

    def spread(self, data: Data, newest: HostTime, rate_hz: float) -> tuple[NDArray[np.float64], float]:
        """Times of a packet's samples and their error bar; evenly from the packet before, if it continues that one.

        So a line that is drawn anew bends the times within a packet a little, instead of tearing a gap between two packets
        of which nothing is missing. What lies between two ends is known as well as the worse of them.
        """
        before, samples = self._newest.get(data.stream), data.samples
        after = (data.first + samples) % _TURN
        if before is None or (after - before[0] + _TURN // 2) % _TURN >= _TURN // 2:
            self._newest[data.stream] = (after, newest)
        if before is not None and before[0] == data.first:
            step_s = newest.time_s - before[1].time_s
            if 0.5 < step_s * rate_hz / samples < 1.5:
                share: NDArray[np.float64] = np.arange(1.0, samples + 1.0)
                share *= step_s / samples
                share += before[1].time_s
                return share, max(before[1].error_s, newest.error_s)
        return newest.time_s - np.arange(samples - 1, -1, -1) / rate_hz, newest.error_s

    def _draw(self, count: int, arrival_s: float) -> None:
        self._base = self._map.map(count)
        later = self._map.map(count + 1_000_000)
        self._count, self._slope = count, (later.time_s - self._base.time_s) * 1e-6
        # Between two drawings the line is followed for a while and may be followed back to late packets.
        self.error_s = max(self._base.error_s, later.error_s)
        self._drawn_s = arrival_s


class _Lives:
    """Clocks of a node's two newest lives; late packets go to the life before, as in the ledger."""

    def __init__(self, boot: int) -> None:
        self._boot = boot
        self._before: tuple[int, LifeClock] | None = None
        self._since_boot = 0
        self.newest = LifeClock()

    def of(self, boot: int) -> LifeClock:
        if boot == self._boot:
            self._since_boot += 1
            return self.newest
        self._since_boot += 1
        before = self._before
        if before is not None and before[0] == boot and self._since_boot <= LEDGER_DAMAGE_FRAMES:
            return before[1]
        self._before = self._boot, self.newest
        self._boot, self.newest, self._since_boot = boot, LifeClock(), 0
        return self.newest


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
    _lives: dict[NodeKey, _Lives] = field(default_factory=dict)
    _settled_ns: int | None = None
    _packet_s: float = 0.0
    _all_ns: int = -(1 << 62)

    def take(self, item: Item | Snapshot | Lost) -> SessionStep:
        """Decode, place in time and align one item."""
        received = self.receiver.take(item)
        if not isinstance(item, Chunk):
            return SessionStep((), (), self.aligner.rows() if self.aligner is not None else {})
        samples = [each for packet in received if (each := self._place(item.link, packet)) is not None]
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
                    self.aligner.push(name, each.times_s, each.values, now_s)
        return SessionStep(tuple(received), tuple(samples), self._rows(pushed, item.arrival_ns))

    def align(self, names: Mapping[tuple[NodeKey, int], str], specs: Mapping[str, StreamSpec]) -> None:
        """Align these streams (node and stream number -> name -> form) from the next item on, from a new row 0.

        What an earlier call aligned is forgotten, so that nobody has to fill the rows of a long silence.
        """
        self.names = dict(names)
        self.aligner = Aligner(dict(specs), self.settings) if names else None

    def clock(self, key: NodeKey) -> LifeClock | None:
        """The clock of the node's present life."""
        lives = self._lives.get(key)
        return lives.newest if lives is not None else None

    def _slack_s(self) -> float:
        """How much older than its arrival a packet's first sample may seem though nothing is missing.

        That is the longest packet, and what the clocks may be wrong by. Silence is counted from behind that.
        """
        worst_s = 0.0
        for lives in self._lives.values():
            error_s = lives.newest.error_s
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

    def _place(self, link: int, received: Received) -> TimedSamples | None:
        key = NodeKey(link, received.node)
        lives = self._lives.get(key)
        if lives is None:
            lives = self._lives[key] = _Lives(received.boot)
        clock = lives.of(received.boot)
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
