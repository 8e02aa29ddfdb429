"""What a daemon does by the clock, beside reading and estimating: it tells silence, writes and syncs the recording, feeds the
service manager's watchdog, and keeps the log of states and faults.
"""

from __future__ import annotations

import asyncio
import time

from runtime.daemon.snapshot import ADVANCING_S, Parts
from runtime.daemon.worker import ModelWorker
from runtime.log.faults import FaultLog
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.log.state_log import StateLog


class Housekeeper:
    """Each of its coroutines runs for ever; the daemon has them supervised. ``tick_s``, ``fsync_s``: how often it looks."""

    def __init__(
        self, parts: Parts, journal: Journal, notifier: Notifier, tick_s: float, fsync_s: float
    ) -> None:
        self._parts, self._journal, self._notifier = parts, journal, notifier
        self._tick_s, self._fsync_s = tick_s, fsync_s
        self._states = StateLog(journal, notifier)
        self._faults = FaultLog(journal)
        self._dropped = 0

    async def tell_silence(self) -> None:
        """Nothing is silently stale: say so when no estimates come."""
        parts = self._parts
        while True:
            parts.stand_in.beat()
            if not parts.clock.hurried:
                parts.publisher.tick(parts.clock.now_ns(), parts.reader.mismatch)
            await asyncio.sleep(self._tick_s)

    async def keep_logs(self) -> None:
        """Write what waits for the recording; tell changes of state, and faults."""
        parts = self._parts
        while True:
            if parts.recorder is not None:
                with parts.supervisor.cover("recording"):
                    parts.recorder.tick(time.monotonic_ns())
            now_s, intake = time.monotonic(), parts.reader.intake
            doubts = [doubt.text for doubt in parts.worker.estimator.doubts]
            self._states.look(now_s, parts.publisher.newest, intake.trouble, intake.missing, doubts)
            self._faults.look(now_s, self._found(parts.worker))
            await asyncio.sleep(self._tick_s)

    async def sync(self) -> None:
        """Put the recording on the disk, off the event loop: a slow disk must not delay reading."""
        while True:
            await asyncio.sleep(self._fsync_s)
            if self._parts.recorder is not None:
                await asyncio.to_thread(self._parts.recorder.sync)

    async def watch_disks(self, every_s: float) -> None:
        """Let recordings go that are too old or too many, and see how much room there is."""
        parts = self._parts
        while True:
            if parts.recorder is not None:
                for path in await asyncio.to_thread(parts.recorder.prune):
                    self._journal.info("recording deleted", file=str(path))
            await asyncio.to_thread(parts.disks.look)
            await asyncio.sleep(every_s)

    async def feed_watchdog(self) -> None:
        """Feed the watchdog of the service manager only while samples and estimates both advance."""
        assert self._notifier.watchdog_s is not None
        while True:
            if self._parts.advancing:
                self._notifier.watchdog()
            # Often: with half of a long limit one look at an unlucky moment would leave the next for too late.
            await asyncio.sleep(min(self._notifier.watchdog_s, ADVANCING_S))

    def _found(self, worker: ModelWorker) -> dict[str, str | None]:
        """What is in trouble beside the estimates themselves, and what is not."""
        outlet, recorder = self._parts.outlet, self._parts.recorder
        found = {outlet.name(sink): sink.trouble for sink in outlet.sinks}
        if recorder is not None:
            found["recording"] = recorder.trouble
        dropped, self._dropped = worker.dropped - self._dropped, worker.dropped
        found["queue to the model"] = "full; batches are dropped" if dropped else None
        return found
