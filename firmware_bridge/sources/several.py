"""Several sources as one: their links one after the other, their items as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from firmware_bridge.items import Item, LinkChange
from firmware_bridge.sources.base import Source, SourceUrl
from toolkit.errors import EdgetoolError, LinkError

#: Items between the sources and the consumer; when it is full the sources wait (and count what they must drop).
_QUEUE = 4_096


class SeveralSources(Source):
    """Links are numbered through: those of the first source first. Ends when all of them have ended.

    A source that fails while others go on becomes a LinkChange with its error; the last one's error is raised.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__(SourceUrl(" ".join(source.url.text for source in sources), "several", ""))
        self._sources = tuple(sources)
        self._first: tuple[int, ...] = ()

    @property
    def links(self) -> tuple[str, ...]:
        """The links of all, in order."""
        return tuple(name for source in self._sources for name in source.links)

    @property
    def writable(self) -> bool:
        """Whether any of them is."""
        return any(source.writable for source in self._sources)

    @property
    def origin_ns(self) -> int | None:
        """The earliest start if all are replays."""
        origins = [source.origin_ns for source in self._sources]
        known = [origin for origin in origins if origin is not None]
        return min(known) if len(known) == len(origins) else None

    async def open(self) -> None:
        """Open all at once; if one fails, close the others and raise its error."""
        results = await asyncio.gather(*(source.open() for source in self._sources), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                await self.close()
                raise result
        counts = [len(source.links) for source in self._sources]
        self._first = tuple(sum(counts[:place]) for place in range(len(counts)))

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(source.close() for source in self._sources))
        self.dropped_bytes = sum(source.dropped_bytes for source in self._sources)

    async def write(self, data: bytes, link: int = 0) -> None:
        """Send to the nodes of ``link``."""
        place = max(i for i, first in enumerate(self._first) if first <= link)
        await self._sources[place].write(data, link - self._first[place])

    async def __aiter__(self) -> AsyncIterator[Item]:
        queue: asyncio.Queue[Item | None] = asyncio.Queue(_QUEUE)
        failed: list[EdgetoolError] = []
        tasks = [asyncio.create_task(self._pump(place, queue, failed)) for place in range(len(self._sources))]
        running = len(tasks)
        try:
            while running:
                item = await queue.get()
                if item is None:
                    running -= 1
                else:
                    yield item
            for task in tasks:
                await task
        finally:
            for task in tasks:
                task.cancel()
        if len(failed) == len(tasks):
            raise failed[-1]

    async def _pump(self, place: int, queue: asyncio.Queue[Item | None], failed: list[EdgetoolError]) -> None:
        first = self._first[place]
        try:
            async for item in self._sources[place]:
                await queue.put(replace(item, link=item.link + first))
        except LinkError as error:
            failed.append(error)
            for link in range(len(self._sources[place].links)):
                await queue.put(LinkChange(first + link, time.monotonic_ns(), False, str(error)))
        except Exception:
            await queue.put(None)  # the consumer wakes, and gets the error from this task
            raise
        await queue.put(None)
