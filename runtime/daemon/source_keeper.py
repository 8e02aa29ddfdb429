"""All sources of a daemon as one stream of items, each kept alive: what cannot be opened or dies is tried again.

A sensor that is not plugged in when the daemon starts is no reason to end, and neither is anything that a sensor, its cable or
its driver makes a source raise. A recording that is damaged, or a source that cannot be had here, is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from firmware_bridge.sources.host import Host
from runtime.daemon.supervisor import Pauses, Supervisor, describe
from runtime.log.journal import Journal
from toolkit.errors import EdgetoolError, LinkError

#: Items between the sources and the daemon; when it is full the sources wait, and count what they must drop.
_QUEUE = 4_096
#: A sensor that is back is not to be waited for long; a source that ran for 10 s is begun again with the shortest pause.
PAUSES = Pauses(0.25, 5.0, 10.0)


@dataclass(eq=False)
class _Kept:
    """One source: its place in the numbering of links (None before it was first open), and its words to the nodes."""

    url: str
    source: Source | None = None
    first_link: int | None = None
    count: int = 0
    done: bool = False
    #: Whether it has given anything, and whether it plays what was recorded.
    heard: bool = False
    replay: bool = False

    @property
    def name(self) -> str:
        """What the supervisor calls it."""
        return f"source {self.url}"


class SourceKeeper:
    """``async for item in keeper``; ends when every source is at its end (recordings), or after :meth:`stop`.

    ``changed`` is called when links were added. ``opener`` makes a source of a URL. What is not a :class:`LinkError` is the
    ``supervisor``'s to count.
    """

    def __init__(
        self,
        urls: Sequence[str],
        journal: Journal,
        changed: Callable[[], None],
        opener: Callable[[str], Source] = open_source,
        supervisor: Supervisor | None = None,
        pauses: Pauses = PAUSES,
    ) -> None:
        self._kept = [_Kept(url) for url in urls]
        self._journal, self._changed, self._opener = journal, changed, opener
        self._supervisor, self._pauses = supervisor or Supervisor(journal), pauses
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(_QUEUE)
        self._tasks: list[asyncio.Task[None]] = []
        self._dropped = 0
        #: What each link is, to people.
        self.links: list[str] = []
        # A URL that is wrong is an error now, not after the first reconnect.
        sources = [opener(each.url) for each in self._kept]
        self._all_hurried = all(source.url.options.get("speed") == "max" for source in sources)

    @property
    def dropped_bytes(self) -> int:
        """Bytes that sources had to drop."""
        return self._dropped + sum(each.source.dropped_bytes for each in self._kept if each.source)

    @property
    def origin_ns(self) -> int | None:
        """Where arrival times begin if all sources have a clock of another time (replays); known once they are open."""
        origins = [each.source.origin_ns if each.source else None for each in self._kept]
        known = [origin for origin in origins if origin is not None]
        return min(known) if len(known) == len(origins) else None

    @property
    def hurried(self) -> bool:
        """Whether all sources go as fast as they can: then there is no now, only the times of the items."""
        return bool(self._kept) and self._all_hurried

    async def __aiter__(self) -> AsyncIterator[Item]:
        self._tasks = [asyncio.create_task(self._keep(each)) for each in self._kept]
        try:
            while (item := await self._queue.get()) is not None:
                yield item
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """End the iteration after what has already come."""
        for task in self._tasks:
            task.cancel()
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)
            return
        self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def _keep(self, kept: _Kept) -> None:
        pause_s = None
        while True:
            began_s, resting = time.monotonic(), False
            try:
                await self._run(kept)
                break
            except LinkError as error:
                pause_s = self._pauses.after(pause_s, time.monotonic() - began_s)
                reason = str(error)
            except Exception as error:
                if self._can_never_work(kept, error):
                    self._end()  # the consumer wakes and gets the error from this task
                    raise
                pause_s = self._pauses.after(pause_s, time.monotonic() - began_s)
                reason, resting = describe(error), True
                self._supervisor.failed(kept.name, error, pause_s)
            await self._lost(kept, reason)
            await asyncio.sleep(pause_s)
            if resting:
                self._supervisor.begun(kept.name)
        kept.done = True
        if all(each.done for each in self._kept):
            await self._queue.put(None)

    @staticmethod
    def _can_never_work(kept: _Kept, error: Exception) -> bool:
        """A wrong URL, a package that is missing, a damaged file: said at once. What once gave something is tried again."""
        return isinstance(error, EdgetoolError) and (kept.replay or not kept.heard)

    async def _run(self, kept: _Kept) -> None:
        source = self._opener(kept.url)
        async with source:
            kept.source, kept.replay = source, source.origin_ns is not None
            self._number(kept, source)
            host = Host(source) if source.writable else None
            talk = f"talk to {kept.url}"
            asking = self._supervisor.start(talk, host.ask) if host is not None else None
            try:
                async for item in source:
                    kept.heard = True
                    await self._queue.put(self._numbered(kept, item))
                    if host is not None:
                        with self._supervisor.cover(talk):
                            await host.heard(item)
            finally:
                if asking is not None:
                    asking.cancel()
                self._dropped += source.dropped_bytes
                kept.source = None if not kept.done else source

    def _number(self, kept: _Kept, source: Source) -> None:
        """Links keep their numbers through reconnects; a source that has more links than before gets new ones."""
        names = source.links
        if kept.first_link is None or len(names) > kept.count:
            kept.first_link, kept.count = len(self.links), len(names)
            self.links += names
            self._changed()
        else:
            self._journal.info("source open again", source=kept.url)

    def _numbered(self, kept: _Kept, item: Item) -> Item:
        if not kept.first_link:
            return item
        link = item.link + kept.first_link
        if isinstance(item, Chunk):  # nearly always, and replace() takes its time
            return Chunk(link, item.arrival_ns, item.data)
        return replace(item, link=link)

    async def _lost(self, kept: _Kept, reason: str) -> None:
        self._journal.warning("source lost", source=kept.url, reason=reason)
        for link in range(kept.count):
            assert kept.first_link is not None
            change = LinkChange(kept.first_link + link, time.monotonic_ns(), False, reason)
            await self._queue.put(change)
