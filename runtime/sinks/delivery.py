"""The two ways a sink delivers, with the counts that both keep: published + dropped = given, once the sink is closed.

A direct sink's transport never blocks (a datagram, a socket that takes what it can), so it sends from the event loop. A
queued sink's may (a disk, a pipe, a TLS handshake), so a thread of its own sends, behind a queue of bounded length.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections import deque

from runtime.pipeline.estimate import Estimate
from runtime.sinks.interface import Sink

#: Estimates that wait for a sink's thread: 5 s at 200 Hz. More are no news to anybody.
QUEUE_LIMIT = 1000
#: How long close() waits for what is queued (see Sink.close).
CLOSE_S = 1.0


def one_line(error: BaseException) -> str:
    """What an error says, for :attr:`Sink.trouble`: one line, its class if it says nothing."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(words).split())[:200]


class DirectSink(Sink):
    """Sends from the event loop. :meth:`send` may raise: that is a drop, with the error as trouble."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def send(self, estimate: Estimate) -> bool:
        """Send without blocking; False if the estimate was not taken (``trouble`` then says why, or it is None)."""

    def publish(self, estimate: Estimate) -> None:
        """See Sink."""
        try:
            taken = self.send(estimate)
        except (
            Exception
        ) as error:  # whatever a transport raises, the daemon goes on; the count and trouble tell
            self.trouble, taken = one_line(error), False
            if not isinstance(error, OSError):
                self.report(error)
        if taken:
            self.published += 1
        else:
            self.dropped += 1


class QueuedSink(Sink):
    """Sends from a thread. When the queue is full the oldest estimate goes, because the newest is worth most."""

    def __init__(self, name: str, limit: int = QUEUE_LIMIT) -> None:
        self.name = name
        self._limit = limit
        self._queue: deque[Estimate] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        #: After close() has given up, what the thread still does is no longer counted.
        self._settled = False
        self._held = 0

    @property
    def queued(self) -> int:
        """Given and neither published nor dropped yet."""
        return len(self._queue) + self._held

    async def open(self) -> None:
        """See Sink."""
        await asyncio.to_thread(self.prepare)
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def publish(self, estimate: Estimate) -> None:
        """See Sink. Encoding and sending are the thread's."""
        with self._changed:
            if self._settled or self._closing:
                self.dropped += 1
                return
            if len(self._queue) >= self._limit:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(estimate)
            if len(self._queue) == 1:
                self._changed.notify()
                self.wake()

    def publish_from_thread(self, estimate: Estimate) -> None:
        """See Sink."""
        self.publish(estimate)

    async def close(self) -> None:
        """See Sink. A thread that hangs in a write is left behind; it ends with the process."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            self.wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_S)
        with self._changed:
            if not self._settled:
                self._settled = True
                self.dropped += self.queued
                self._queue.clear()
                self._held = 0

    def prepare(self) -> None:
        """Open what must be there at the start, in a thread; may raise what Sink.open may."""

    def wake(self) -> None:
        """Called with the first estimate of an empty queue and at the end, for a thread that waits for more than the queue."""

    @abstractmethod
    def work(self) -> None:
        """The thread: settle what :meth:`next_estimates` gives until it is empty and ``closing`` is set. Lets go of all."""

    def next_estimates(self, most: int, wait_s: float) -> list[Estimate]:
        """Up to ``most`` estimates, waiting at most ``wait_s`` for the first. Each must be settled afterwards."""
        with self._changed:
            if not self._queue and not self._closing and wait_s > 0:
                self._changed.wait(wait_s)
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self._held += len(taken)
            return taken

    def pause(self, seconds: float) -> None:
        """Wait before trying again; ends at once when the sink is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)

    @property
    def closing(self) -> bool:
        """Whether close() was called: deliver what is queued, then end."""
        return self._closing

    def settle(self, published: int = 0, dropped: int = 0) -> None:
        """Moments that were taken have been delivered, or never will be."""
        with self._changed:
            if not self._settled:
                self._held -= published + dropped
                self.published += published
                self.dropped += dropped

    def _work(self) -> None:
        while True:
            try:
                self.work()
                return
            except Exception as error:  # as in DirectSink: a sink's bug must not end the daemon
                self.trouble = one_line(error)
                self.report(error)
                with self._changed:
                    lost, self._held = self._held, 0
                    self.dropped += 0 if self._settled else lost
                if self._closing:
                    return
                self.pause(1.0)
