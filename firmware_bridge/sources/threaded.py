"""Sources whose library blocks: one thread of their own reads it, the event loop only takes items from a bounded queue."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.sources.base import Source, SourceUrl
from toolkit.errors import LinkError

#: Items that wait for the consumer; what comes while they are so many is dropped and counted.
QUEUE_ITEMS = 4_096
_LONGEST_BACKOFF_S = 2.0
#: How long close waits for the library to come back.
_JOIN_S = 5.0


class ThreadedSource(Source):
    """What is common: opening, the reading thread, reconnecting with a pause that doubles up to 2 s, closing.

    A subclass says how to connect, to read and to disconnect; all three may block and run off the event loop.
    """

    def __init__(self, url: SourceUrl, backoff_s: float = 0.1, queue_items: int = QUEUE_ITEMS) -> None:
        super().__init__(url)
        self._backoff_s = backoff_s
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(queue_items)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        #: Set when the source is closed; reading must then end within a fraction of a second.
        self.stopping = threading.Event()

    @abstractmethod
    def connect(self) -> None:
        """Find and open; LinkError or another EdgetoolError says what is the matter."""

    @abstractmethod
    def read(self) -> Iterator[bytes]:
        """Frames as they come, none of them (b"") when there is nothing for a while; stops at the source's end.

        LinkError says that the link is lost.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Let go of everything; must not raise."""

    async def open(self) -> None:
        """Connect, then start reading."""
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self.connect)
        except BaseException:
            self.stopping.set()  # if this was cancelled, connecting goes on in its thread
            await asyncio.to_thread(self.disconnect)
            raise
        self._thread = threading.Thread(target=self._run, name=f"edgetool {self.url.scheme}", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End the thread and the iteration."""
        self.stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join, _JOIN_S)
        self._end()

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            item = await self._queue.get()
            if item is None:
                if self._failure is not None:
                    raise self._failure
                return
            yield item

    def _run(self) -> None:
        """The reading thread."""
        try:
            while not self.stopping.is_set() and not self._follow():
                self._again()
        except Exception as error:
            self._failure = error
        finally:
            self.disconnect()
            self._call(self._end)

    def _follow(self) -> bool:
        """Hand on what comes; True at the source's end, False when the link was lost."""
        try:
            for data in self.read():
                if self.stopping.is_set():
                    return True
                if data:
                    self._call(self._put, Chunk(0, time.monotonic_ns(), data))
        except LinkError as error:
            self._call(self._put, LinkChange(0, time.monotonic_ns(), False, str(error)))
            return False
        return True

    def _again(self) -> None:
        self.disconnect()
        wait_s = self._backoff_s
        while not self.stopping.wait(wait_s):
            wait_s = min(2 * wait_s, _LONGEST_BACKOFF_S)
            try:
                self.connect()
            except LinkError:
                self.disconnect()
                continue
            up = LinkChange(0, time.monotonic_ns(), True, f"{self.links[0]} is connected again")
            self._call(self._put, up)
            return

    def _call(self, action: object, *arguments: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(action, *arguments)  # type: ignore[arg-type]

    def _put(self, item: Item) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.dropped_bytes += len(item.data) if isinstance(item, Chunk) else 0

    def _end(self) -> None:
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
