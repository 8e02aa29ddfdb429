"""Record what sources give, until told to stop: ``edgetool record`` and any notebook."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_bridge.items import Marker, NodeDescriptor
from firmware_bridge.protocol.packets import Descriptor
from firmware_bridge.recording.file import RecordingWriter
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source, require_seconds
from firmware_bridge.sources.host import Host
from firmware_bridge.sources.lsl_markers import follow_markers, stream_name
from firmware_bridge.sources.several import SeveralSources
from firmware_bridge.streams.receiver import Receiver
from toolkit.printable import terminal_text

#: How often waiting chunks are looked at; RecordingWriter decides whether to write.
_TICK_S = 0.01
_FSYNC_S = 1.0

Progress = Callable[[float, Receiver, RecordingWriter], None]


class Marks:
    """Marks what happens while :func:`record` runs: call :meth:`mark` from any thread, as a key or a request comes."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._waiting: deque[Marker] = deque(maxlen=10_000)

    def mark(self, text: str, at_ns: int | None = None) -> None:
        """``text`` happened at ``at_ns``, or now. What is written is printable and at most 200 characters."""
        when_ns = self._clock_ns() if at_ns is None else at_ns
        self._waiting.append(Marker(when_ns, terminal_text(text.strip())[:200]))

    def collect(self) -> list[Marker]:
        """Those since the last call."""
        found = []
        while self._waiting:
            found.append(self._waiting.popleft())
        return found


@dataclass(frozen=True)
class RecordSummary:
    """What was recorded: seconds of the sources' time up to the last item, as a replay says them, chunks, bytes, and the
    balance of each node as JSON values."""

    seconds: float
    chunks: int
    bytes: int
    dropped_bytes: int
    ledger: dict[str, dict[str, Any]]


async def record(
    sources: Sequence[str] | Source,
    out: Path,
    seconds: float | None = None,
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
    marks: Marks | None = None,
    about: Mapping[str, str] | None = None,
    markers: Sequence[str] = (),
) -> RecordSummary:
    """Record ``sources`` (URLs, or one opened-to-be source) to the new file ``out``.

    ``about`` says what is recorded (person, trial, ...); what is said to ``marks`` is written among the items, and so is
    what the LSL streams of ``markers`` (``lsl://NAME``) send. Ends after
    ``seconds``, when ``stop`` is set, or when the sources end; the file is closed in order then. Raises
    LinkError when a source cannot be opened or all fail, OutputError when ``out`` exists or the disk is full.
    """
    require_seconds(seconds)
    names = [stream_name(url) for url in dict.fromkeys(markers)]
    marks = Marks() if marks is None and names else marks
    source = sources if isinstance(sources, Source) else SeveralSources([open_source(url) for url in sources])
    async with source:
        origin_ns = source.origin_ns
        start_ns = time.monotonic_ns() if origin_ns is None else origin_ns
        writer = RecordingWriter(out, source.links, time.time_ns(), start_ns, about)
        receiver, foreign = Receiver(), origin_ns is not None
        started = time.monotonic()
        tasks = [
            asyncio.create_task(_pump(source, writer, receiver)),
            asyncio.create_task(_keep(writer, receiver, progress, started, marks, foreign)),
            asyncio.create_task(_fsync(writer)),
        ]
        if marks is not None:
            tasks += [asyncio.create_task(follow_markers(name, marks.mark)) for name in names]
        if stop is not None:
            tasks.append(asyncio.create_task(_until(stop)))
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _write_marks(writer, marks, foreign)
            writer.close(receiver.ledger())
        for task in done:
            task.result()
        return RecordSummary(
            writer.seconds, writer.chunks, writer.bytes, source.dropped_bytes, receiver.ledger()
        )


async def _pump(source: Source, writer: RecordingWriter, receiver: Receiver) -> None:
    """Write every item, then look into it for descriptors and the ledger."""
    host = Host(source)
    asking = asyncio.create_task(host.ask()) if source.writable else None
    try:
        async for item in source:
            writer.append(item, time.monotonic_ns())
            if asking is not None:
                await host.heard(item)
            for received in receiver.decode(item):
                if isinstance(received.packet, Descriptor):
                    writer.describe(
                        NodeDescriptor(item.link, received.node, received.boot, bytes(received.packet))
                    )
    finally:
        if asking is not None:
            asking.cancel()


async def _keep(
    writer: RecordingWriter,
    receiver: Receiver,
    progress: Progress | None,
    started: float,
    marks: Marks | None,
    foreign: bool,
) -> None:
    while True:
        _write_marks(writer, marks, foreign)
        writer.tick(time.monotonic_ns())
        if progress is not None:
            progress(time.monotonic() - started, receiver, writer)
        await asyncio.sleep(_TICK_S)


def _write_marks(writer: RecordingWriter, marks: Marks | None, foreign: bool) -> None:
    """On the recording's clock: in a replay, which has another, a mark is as late as the newest item."""
    for marker in marks.collect() if marks is not None else ():
        at_ns = writer.newest_ns if foreign else marker.arrival_ns
        writer.append(Marker(at_ns, marker.text), time.monotonic_ns())


async def _fsync(writer: RecordingWriter) -> None:
    """Off the event loop: a slow disk must not delay reading."""
    while True:
        await asyncio.sleep(_FSYNC_S)
        await asyncio.to_thread(writer.sync)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
