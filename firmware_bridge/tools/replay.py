"""A recording once more through the decoder: what was in it, and whether the ledger is what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_bridge.items import Chunk, Lost, Marker, Recorded, Snapshot
from firmware_bridge.protocol.decoder import Received
from firmware_bridge.protocol.packets import Data
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.sources.replay import paced
from firmware_bridge.streams.receiver import NodeKey, Receiver


@dataclass
class StreamCount:
    """Samples of one stream: those that came, and those missing by its sample numbers (not the tail of a boot session)."""

    node: str
    stream: str
    rate_hz: float | None
    samples: int = 0
    missing: int = 0


@dataclass(frozen=True)
class ReplaySummary:
    """What a recording holds. ``as_recorded`` says whether the ledger equals that of its end block (None without end)."""

    seconds: float
    chunks: int
    bytes: int
    links: tuple[str, ...]
    closed: bool
    cut_bytes: int
    lost_bytes: int
    markers: int
    about: dict[str, str]
    streams: tuple[StreamCount, ...]
    ledger: dict[str, dict[str, Any]]
    as_recorded: bool | None
    #: What whoever holds them against a model says of the sensors; None if nobody does.
    sensors: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**value, "links": list(self.links), "streams": [vars(stream) for stream in self.streams]}


class _Counter:
    """Counts samples by stream from the packets' sample numbers."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._seen: dict[tuple[NodeKey, int], StreamCount] = {}
        self._span: dict[tuple[NodeKey, int, int], list[int]] = {}  # first, next, samples of one boot session

    def count(self, link: int, received: Received) -> None:
        data = received.packet
        if not isinstance(data, Data):
            return
        key = NodeKey(link, received.node)
        entry = self._seen.setdefault((key, data.stream), StreamCount("", f"stream {data.stream}", None))
        entry.samples += data.samples
        span = self._span.setdefault((key, data.stream, received.boot), [data.first, data.first, 0])
        behind = (data.first - span[1] + (1 << 31)) % (1 << 32) - (1 << 31)
        begin = span[1] + behind
        span[0] = min(span[0], begin)
        span[1] = max(span[1], begin + data.samples)
        span[2] += data.samples

    def streams(self) -> tuple[StreamCount, ...]:
        """The counts, with the names that the descriptors give."""
        for (key, number), entry in self._seen.items():
            descriptor = self._receiver.descriptors.get(key)
            stream = descriptor.stream(number) if descriptor else None
            entry.node = self._receiver.name(key)
            if stream is not None:
                entry.stream, entry.rate_hz = stream.name, stream.rate_hz
            entry.missing = sum(
                span[1] - span[0] - span[2]
                for boot_session, span in self._span.items()
                if boot_session[:2] == (key, number)
            )
        return tuple(self._seen[key] for key in sorted(self._seen))


def replay(
    recording: Path,
    speed: float = float("inf"),
    on_packet: Callable[[int, Received], None] | None = None,
    progress: Callable[[float], None] | None = None,
    on_item: Callable[[Recorded], None] | None = None,
) -> ReplaySummary:
    """Decode ``recording`` at ``speed`` times real time (infinite: as fast as it can).

    ``on_packet(link, received)`` gets every packet, ``on_item`` every item, ``progress`` seconds of the recording. Raises
    RecordingError if the file is no recording, or damaged in the middle.
    """
    return asyncio.run(_replay(recording, speed, on_packet, progress, on_item))


async def _replay(
    recording: Path,
    speed: float,
    on_packet: Callable[[int, Received], None] | None,
    progress: Callable[[float], None] | None,
    on_item: Callable[[Recorded], None] | None,
) -> ReplaySummary:
    reader = RecordingReader.open(recording)
    receiver = Receiver()
    counter = _Counter(receiver)
    chunks = size = lost = markers = 0
    start_ns, newest_ns = reader.snapshot.started_monotonic_ns, reader.snapshot.started_monotonic_ns
    async for item in paced(reader, speed):
        if on_item is not None:
            on_item(item)
        if isinstance(item, Lost):
            lost += item.size
        elif isinstance(item, Marker):
            markers += 1
        elif not isinstance(item, Snapshot):
            chunks += 1
            newest_ns = max(newest_ns, item.arrival_ns)
            size += len(item.data) if isinstance(item, Chunk) else 0
            if progress is not None:
                progress((newest_ns - start_ns) * 1e-9)
        for received in receiver.decode(item):
            assert isinstance(item, Chunk)
            counter.count(item.link, received)
            if on_packet is not None:
                on_packet(item.link, received)
    ledger = receiver.ledger()
    return ReplaySummary(
        seconds=(newest_ns - start_ns) * 1e-9,
        chunks=chunks,
        bytes=size,
        links=reader.snapshot.links,
        closed=reader.closed,
        cut_bytes=reader.cut_bytes,
        lost_bytes=lost,
        markers=markers,
        about=dict(reader.snapshot.about),
        streams=counter.streams(),
        ledger=ledger,
        as_recorded=reader.end.get("ledger") == ledger if reader.closed and not lost else None,
    )
