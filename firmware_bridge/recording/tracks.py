"""The samples of a recording, stream by stream, in order and in time: what exports are made of."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.items import Chunk, Lost, Marker
from firmware_bridge.protocol.decoder import Received
from firmware_bridge.protocol.packets import Data, StreamDescriptor, SyncReply
from firmware_bridge.protocol.table import LEDGER_DAMAGE_FRAMES
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.streams.clock import ClockMap, TickEvent, TickUnwrapper
from firmware_bridge.streams.node_clock import SyncFilter
from firmware_bridge.streams.receiver import NodeKey, Receiver

Float = NDArray[np.float64]
_TURN = 1 << 32
#: What a chunk takes in the file besides its bytes (docs/RECORDING.md); progress is told once in so many.
_RECORD_BYTES, _REPORT = 16, 500


@dataclass(frozen=True, eq=False)
class Track:
    """One stream of one node. Rows are the samples that came, in order of their numbers, boot session after boot session.

    ``values`` (rows, channels) are in the channels' units. ``host_s`` (rows,) is when each was taken, on the host's
    clock, s since the recording began. ``time_s`` is the same on the node's own count: start of the boot session + number /
    rate, so it is regular but for what is missing. ``boot_session`` numbers them from 0; ``number`` counts samples within one.
    """

    link: int
    node: int
    node_name: str
    stream: StreamDescriptor
    values: Float
    number: NDArray[np.int64]
    boot_session: NDArray[np.int64]
    time_s: Float
    host_s: Float

    @property
    def missing(self) -> int:
        """Samples that are not there between the first and the last of each boot session."""
        return sum(int(self.number[rows][-1] - self.number[rows][0]) + 1 for rows in self.sessions()) - len(
            self.number
        )

    def sessions(self) -> list[slice]:
        """The rows of each boot session, in order."""
        return _runs(self.boot_session)


@dataclass(frozen=True)
class Tracks:
    """All tracks of a recording, and what could not become one."""

    tracks: tuple[Track, ...]
    started_wall_ns: int
    closed: bool
    lost_bytes: int
    #: Packets of streams without a (fitting) descriptor.
    undescribed_packets: int
    receiver: Receiver
    #: Seconds since the recording began, and what was said to have happened then.
    markers: tuple[tuple[float, str], ...] = ()
    #: What the recording is of: person, trial, ...
    about: Mapping[str, str] = field(default_factory=dict)


class _StampClock:
    """Host times of one boot session of a node."""

    def __init__(self) -> None:
        self._ticks = TickUnwrapper()
        self._map = ClockMap()
        self._replies = SyncFilter()

    def observe(self, received: Received, origin_ns: int) -> float:
        """Take a packet as an observation; return the host time of its stamp, s since ``origin_ns``.

        A clock that is not set maps to the arrival, which is the best that is known.
        """
        arrival_s = (received.arrival_ns - origin_ns) * 1e-9
        event, count = self._ticks.unwrap(received.device_us, arrival_s, received.late)
        if event is TickEvent.ZERO or received.device_us == 0:
            return arrival_s
        if event is TickEvent.REBOOT:
            self._map, self._replies = ClockMap(), SyncFilter()
        if isinstance(received.packet, SyncReply):
            reply = received.packet
            sent_s = (reply.token - origin_ns) * 1e-9
            taken = count - (received.device_us - reply.received_us) % _TURN
            if self._replies.accept(sent_s, arrival_s):
                self._map.sync(sent_s, taken, count, arrival_s)
                return self._map.map(count).time_s
        self._map.arrival(count, arrival_s)
        return self._map.map(count).time_s


@dataclass(eq=False)
class _Pieces:
    """Packets of one stream as they came."""

    data: list[Data] = field(default_factory=list)
    boot_session: list[int] = field(default_factory=list)
    newest_s: list[float] = field(default_factory=list)


class _BootSessions:
    """Boot sessions of a node in order, each with its clock; late packets go to the one before, as in the ledger."""

    def __init__(self) -> None:
        #: The newest two: number in order of appearance, boot, clock.
        self._newest: deque[tuple[int, int, _StampClock]] = deque(maxlen=2)
        self._count = 0
        self._since_boot = 0

    def of(self, boot: int) -> tuple[int, _StampClock]:
        """Number and clock of the boot session that a packet with this ``boot`` belongs to."""
        self._since_boot += 1
        for number, known, clock in reversed(self._newest):
            newest = number == self._count - 1
            if known == boot and (newest or self._since_boot <= LEDGER_DAMAGE_FRAMES):
                return number, clock
        self._newest.append((self._count, boot, _StampClock()))
        self._count += 1
        self._since_boot = 0
        return self._count - 1, self._newest[-1][2]


def _runs(values: NDArray[np.int64]) -> list[slice]:
    """Where ``values`` (n,) stay the same."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges) if stop > start]


def load_tracks(recording: Path, progress: Callable[[int, int], None] | None = None) -> Tracks:
    """Decode ``recording`` whole. RecordingError if it is none, or damaged in the middle.

    ``progress`` is told now and then how many of the file's bytes are done.
    """
    reader = RecordingReader.open(recording)
    size, done = recording.stat().st_size, 0
    origin_ns = reader.snapshot.started_monotonic_ns
    receiver = Receiver()
    nodes: dict[NodeKey, _BootSessions] = {}
    pieces: dict[tuple[NodeKey, int], _Pieces] = {}
    lost, markers = 0, list[tuple[float, str]]()
    for count, item in enumerate(reader.items()):
        if isinstance(item, Lost):
            lost += item.size
        elif isinstance(item, Marker):
            markers.append(((item.arrival_ns - origin_ns) * 1e-9, item.text))
        done += len(item.data) + _RECORD_BYTES if isinstance(item, Chunk) else 0
        if progress is not None and count % _REPORT == 0:
            progress(min(done, size), size)
        for received in receiver.decode(item):
            assert isinstance(item, Chunk)
            key = NodeKey(item.link, received.node)
            boot_session, clock = nodes.setdefault(key, _BootSessions()).of(received.boot)
            stamp_s = clock.observe(received, origin_ns)
            if isinstance(received.packet, Data):
                piece = pieces.setdefault((key, received.packet.stream), _Pieces())
                piece.data.append(received.packet)
                piece.boot_session.append(boot_session)
                piece.newest_s.append(stamp_s)
    tracks, undescribed = [], 0
    for (key, number), piece in sorted(pieces.items(), key=lambda entry: entry[0]):
        descriptor = receiver.descriptors.get(key)
        stream = descriptor.stream(number) if descriptor else None
        fitting = [i for i, data in enumerate(piece.data) if stream is not None and stream.fits(data)]
        undescribed += len(piece.data) - len(fitting)
        if stream is not None and fitting:
            tracks.append(_track(key, receiver.name(key), stream, piece, fitting))
    return Tracks(
        tuple(tracks),
        reader.snapshot.started_wall_ns,
        reader.closed,
        lost,
        undescribed,
        receiver,
        tuple(markers),
        reader.snapshot.about,
    )


def _track(key: NodeKey, name: str, stream: StreamDescriptor, piece: _Pieces, fitting: list[int]) -> Track:
    counts = np.array([piece.data[i].samples for i in fitting])
    boot_session = np.repeat(np.array([piece.boot_session[i] for i in fitting], np.int64), counts)
    ahead = np.concatenate([np.arange(count) for count in counts])
    first = np.repeat(_unwrapped([(piece.boot_session[i], piece.data[i].first) for i in fitting]), counts)
    number = first + ahead
    newest = np.repeat(np.array([piece.newest_s[i] for i in fitting]), counts)
    host = newest - (np.repeat(counts, counts) - 1 - ahead) / stream.rate_hz
    values = stream.physical(np.concatenate([piece.data[i].values() for i in fitting]))
    # In order of boot session and number; of a number that came twice (a reboot that was not declared) the first counts.
    order = np.lexsort((np.arange(len(number)), number, boot_session))
    keep = np.ones(len(order), bool)
    keep[1:] = (np.diff(number[order]) != 0) | (np.diff(boot_session[order]) != 0)
    order = order[keep]
    boot_session, number, host = boot_session[order], number[order], host[order]
    return Track(
        key.link,
        key.node,
        name,
        stream,
        values[order],
        number,
        boot_session,
        _regular(boot_session, number, host, stream.rate_hz),
        host,
    )


def _unwrapped(packets: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Sample numbers without their turn-over: each within half a turn of the one before it in its boot session."""
    last: dict[int, int] = {}
    result = []
    for boot_session, first in packets:
        before = last.get(boot_session, first)
        last[boot_session] = before + (first - before + _TURN // 2) % _TURN - _TURN // 2
        result.append(last[boot_session])
    return np.array(result, np.int64)


def _regular(
    boot_session: NDArray[np.int64], number: NDArray[np.int64], host_s: Float, rate_hz: float
) -> Float:
    """The start of the boot session + number / rate. The start is the median over its first second, rounded to 1 us."""
    time_s = np.empty(len(number))
    for rows in _runs(boot_session):
        count = (number[rows] - number[rows][0]) / rate_hz
        early = count < 1.0
        time_s[rows] = round(float(np.median(host_s[rows][early] - count[early])), 6) + count
    return time_s
