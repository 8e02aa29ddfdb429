"""Where published estimates go: to the sinks of the config, and to whoever subscribes. None of them can hold up another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from runtime.daemon.supervisor import Supervisor
from runtime.pipeline.estimate import Estimate
from runtime.sinks.interface import Sink
from toolkit.errors import EdgetoolError


class Outlet:
    """``open`` once, then ``give`` estimates, then ``close``. What a sink raises is the ``supervisor``'s to count.

    ``run`` is which start of the daemon this is; :meth:`identify` says which model.
    """

    def __init__(self, supervisor: Supervisor, run: str = "") -> None:
        self._supervisor, self._run, self._model = supervisor, run, ""
        self.sinks: list[Sink] = []
        self._opening: list[asyncio.Task[None]] = []
        self._subscribers: set[asyncio.Queue[Estimate]] = set()

    async def open(self, sinks: Sequence[Sink]) -> None:
        """Open all; raises what a sink that can never work raises. What is a mistake of ours is tried again and again."""
        for sink in sinks:
            self.sinks.append(sink)
            name = self.name(sink)
            sink.report = lambda error, name=name: self._supervisor.failed(name, error)  # type: ignore[misc]
            try:
                sink.identify(self._run, self._model)
                await sink.open()
            except EdgetoolError:
                raise
            except Exception as error:
                self._supervisor.failed(name, error, self._supervisor.pauses.first_s)
                await asyncio.sleep(0)
                self._opening.append(self._supervisor.start(name, sink.open))

    def identify(self, model: str) -> None:
        """Tell all sinks, also those that are opened later, of which model the estimates are from now on."""
        self._model = model
        for sink in self.sinks:
            try:
                sink.identify(self._run, model)
            except Exception as error:
                self._supervisor.failed(self.name(sink), error)

    def name(self, sink: Sink) -> str:
        """What the log and the supervisor call it: two sinks may have one name."""
        return f"sink {self.sinks.index(sink) + 1} {sink.name}"

    def give(self, estimate: Estimate) -> None:
        """To all sinks and subscribers; a subscriber whose queue is full loses its oldest."""
        for sink in self.sinks:
            try:
                sink.publish(estimate)
            except Exception as error:  # a sink promises not to; this one is mistaken
                sink.dropped += 1
                sink.trouble = f"cannot take estimates: {type(error).__name__}"
                self._supervisor.failed(self.name(sink), error)
        for queue in list(self._subscribers):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(estimate)

    def give_from_thread(self, estimate: Estimate) -> None:
        """To those sinks that can take one from another thread than the event loop's; the others miss it, and count it."""
        for sink in self.sinks:
            try:
                sink.publish_from_thread(estimate)
            except Exception as error:
                sink.dropped += 1
                self._supervisor.failed(self.name(sink), error)

    def subscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """Put every estimate into ``queue`` from now on."""
        self._subscribers.add(queue)

    def unsubscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """No more."""
        self._subscribers.discard(queue)

    async def close(self) -> None:
        """Let every sink send what it holds."""
        for task in self._opening:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        done = await asyncio.gather(*(sink.close() for sink in self.sinks), return_exceptions=True)
        for sink, error in zip(self.sinks, done):
            if isinstance(error, Exception):
                self._supervisor.failed(self.name(sink), error)
