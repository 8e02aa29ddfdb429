"""``replay://FILE``: a recording as a source, in real time, faster, or as fast as it can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from firmware_bridge.items import Chunk, Item, LinkChange, Lost, Marker, Recorded
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.sources.base import Source, SourceUrl
from toolkit.errors import LinkError, UsageError

#: As fast as it can: yield to other tasks after this many items.
_TURN = 256


def parse_speed(text: str) -> float:
    """``max`` (infinite) or a number above 0; UsageError otherwise."""
    if text == "max":
        return float("inf")
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1e6:
        raise UsageError(f"speed is {text!r}; it must be max, or a number above 0 and up to 1000000")
    return speed


class ReplaySource(Source):
    """Gives the items of a recording with the arrival times of then, paced by ``speed`` (1: real time; max: not at all)."""

    def __init__(self, url: SourceUrl) -> None:
        super().__init__(url)
        url.allow("speed")
        self._speed = parse_speed(url.options.get("speed", "1"))
        self._reader: RecordingReader | None = None

    @property
    def links(self) -> tuple[str, ...]:
        """The links of the recording."""
        return self._opened().snapshot.links

    @property
    def origin_ns(self) -> int | None:
        """The start of the recording, on the clock of then."""
        return self._opened().snapshot.started_monotonic_ns

    async def open(self) -> None:
        """Read the first snapshot; RecordingError if there is none."""
        self._reader = RecordingReader.open(Path(self.url.address))

    async def close(self) -> None:
        """End the iteration."""
        self._reader = None

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for item in paced(self._opened(), self._speed):
            if self._reader is None:
                return
            if isinstance(item, Lost):
                for link in range(len(self.links)):
                    yield LinkChange(link, 0, False, f"{item.size} bytes of the recording were lost")
            elif isinstance(item, Chunk | LinkChange):
                yield item

    def _opened(self) -> RecordingReader:
        if self._reader is None:
            raise LinkError(f"source {self.url.text!r} is not open")
        return self._reader


async def paced(reader: RecordingReader, speed: float) -> AsyncIterator[Recorded]:
    """Everything in a recording, each item when it is due at ``speed``."""
    first_ns = reader.snapshot.started_monotonic_ns
    started_ns = time.monotonic_ns()
    for count, item in enumerate(reader.items()):
        if isinstance(item, Chunk | LinkChange | Marker) and speed < float("inf"):
            ahead_s = (item.arrival_ns - first_ns) * 1e-9 / speed - (time.monotonic_ns() - started_ns) * 1e-9
            if ahead_s > 0.001:
                await asyncio.sleep(ahead_s)
        if count % _TURN == 0:
            await asyncio.sleep(0)
        yield item
