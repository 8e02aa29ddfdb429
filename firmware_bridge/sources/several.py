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

    A source that fails while others go on becomes a LinkChange with its error. When all have ended, the error is raised if
    all have failed, or if it was none that a link can have (a damaged recording, a bug).
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__(SourceUrl(" ".join(source.url.text for source in sources), "several", ""))
        self._sources = tuple(sources)
        self._first: tuple[int, ...] = ()
        self._counts: tuple[int, ...] = ()

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
        self._counts = tuple(len(source.links) for source in self._sources)
        self._first = tuple(sum(self._counts[:place]) for place in range(len(self._counts)))

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
        failed: list[Exception] = []
        tasks = [asyncio.create_task(self._pump(place, queue, failed)) for place in range(len(self._sources))]
        running = len(tasks)
        try:
            while running:
                item = await queue.get()
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
        graver = [error for error in failed if not isinstance(error, LinkError)]
        if graver or len(failed) == len(tasks):
            raise (graver or failed)[-1]

    async def _pump(self, place: int, queue: asyncio.Queue[Item | None], failed: list[Exception]) -> None:
        first = self._first[place]
        try:
            async for item in self._sources[place]:
                await queue.put(replace(item, link=item.link + first))
        except Exception as error:  # what one source does is that source's trouble: the others go on
            failed.append(error)
            reason = str(error) if isinstance(error, EdgetoolError) else f"{type(error).__name__}: {error}"
            for link in range(self._counts[place]):
                await queue.put(LinkChange(first + link, time.monotonic_ns(), False, reason))
        await queue.put(None)
