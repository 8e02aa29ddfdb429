"""Sensors in, estimates out, until told to stop: reading on the event loop, the model on a thread, sinks, reload, watchdog.

daemon = Daemon(settings)
await daemon.run()
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firmware_bridge.items import Item, LinkChange
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from runtime.daemon.model import LoadedModel, load_model
from runtime.daemon.recorder import Recorder
from runtime.daemon.snapshot import Counters, snapshot
from runtime.daemon.source_keeper import SourceKeeper
from runtime.daemon.worker import ModelWorker
from runtime.log.faults import FaultLog
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.log.state_log import StateLog
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import still
from runtime.pipeline.publisher import Publisher
from runtime.pipeline.states import MISMATCH
from runtime.server import server_class
from runtime.settings import Settings
from runtime.sinks import open_sink
from runtime.sinks.interface import Sink
from runtime.status.status import DaemonStatus
from toolkit.errors import EdgetoolError

if TYPE_CHECKING:
    from runtime.server.app import DashboardServer

#: How often it is looked whether estimates have stopped coming.
_TICK_S = 0.02
_FSYNC_S = 1.0
#: At the end what is on its way has this long.
_END_S = 5.0
_REPLAY_END_S = 600.0
#: Samples and estimates must both be newer than this for the watchdog to be fed.
_ADVANCING_S = 1.0
#: How often a bundle on the disk is looked at with ``watch``.
_WATCH_S = 2.0
#: Python hands the interpreter from thread to thread this often (5 ms by default, as long as an estimate may take).
_SWITCH_S = 0.0005


class Daemon:
    """One daemon; :meth:`run` once. ``opener`` makes sources of URLs; ``extra_sinks`` are published to as well."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal | None = None,
        notifier: Notifier | None = None,
        opener: Callable[[str], Source] = open_source,
        extra_sinks: Sequence[Sink] = (),
    ) -> None:
        self.settings = settings
        self.journal = journal or Journal(settings.log.level, settings.log.form)
        self.notifier = notifier or Notifier()
        self.keeper = SourceKeeper(settings.sources, self.journal, self._links_changed, opener)
        self.counters = Counters(started_ns=time.monotonic_ns())
        self.sinks: list[Sink] = []
        self._extra_sinks = tuple(extra_sinks)
        recording = settings.recording
        self.recorder = Recorder(recording.folder, recording.prefix) if recording is not None else None
        self._stop = asyncio.Event()
        self._subscribers: set[asyncio.Queue[Estimate]] = set()
        self._failure: BaseException | None = None
        self._newest_ns = self._newest_seen_ns = 0
        self._foreign = self._links_new = False
        self._hurried = self.keeper.hurried
        self._reloading: asyncio.Task[bool] | None = None
        self._states = StateLog(self.journal, self.notifier)
        self._faults = FaultLog(self.journal)
        self._dropped = 0
        self.server: DashboardServer | None = None

    async def run(self, seconds: float | None = None) -> None:
        """Work until :meth:`stop`, the end of all sources, or for ``seconds``.

        Raises an EdgetoolError for what can never work: a bundle, engine, source URL or sink that is wrong.
        """
        sys.setswitchinterval(_SWITCH_S)
        self._loop = asyncio.get_running_loop()
        self.model = await asyncio.to_thread(load_model, self.settings.model)
        self._assemble()
        try:
            await self._open_sinks()
            await self._serve()
            self.worker.start()
            gc.collect()
            gc.freeze()  # what is there now stays: a collection need not look at it
            self.journal.info("started", **self.model.words(), sources=" ".join(self.settings.sources))
            self.notifier.ready()
            await self._work(seconds)
            await self._drain()
        finally:
            if self.server is not None:
                await self.server.stop()
            await asyncio.gather(*(sink.close() for sink in self.sinks), return_exceptions=True)
            if self.recorder is not None:
                self.recorder.close(self.intake.session.receiver.ledger())
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Drain and end; :meth:`run` returns."""
        self._stop.set()

    def status(self) -> DaemonStatus:
        """A snapshot of everything; valid while :meth:`run` works."""
        return snapshot(self)

    def subscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """Put every estimate into ``queue`` from now on; a full queue loses its oldest."""
        self._subscribers.add(queue)

    def unsubscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """No more."""
        self._subscribers.discard(queue)

    def now_ns(self) -> int:
        """Now, on the clock of the arrival times. A replay goes on from its newest item, or jumps from one to the next."""
        if not self._foreign:
            return time.monotonic_ns()
        if self._hurried:
            return self._newest_ns
        return self._newest_ns + time.monotonic_ns() - self._newest_seen_ns

    @property
    def advancing(self) -> bool:
        """Whether samples and estimates both have come within the last second."""
        limit_ns = time.monotonic_ns() - round(_ADVANCING_S * 1e9)
        return min(self.counters.sample_ns, self.counters.estimate_ns) >= limit_ns

    async def reload(self) -> bool:
        """Load the bundle again and put it in place; False, and the old one goes on, if it cannot be used."""
        self.notifier.reloading(time.monotonic_ns())
        try:
            fresh = await asyncio.to_thread(load_model, self.settings.model)
            fresh.require_same_sensors(self.model)
        except (
            Exception
        ) as error:  # also what a bundle does that is being written just now: the old model goes on
            words = str(error) if isinstance(error, EdgetoolError) else f"{type(error).__name__}: {error}"
            self.counters.reloads_refused += 1
            self.counters.reload_trouble = words
            self.journal.error("reload refused", reason=words, **self.model.words())
            return False
        finally:
            self.notifier.ready()
        estimator = self._estimator(fresh)
        future = await asyncio.to_thread(self.worker.exchange, estimator)
        continued = await asyncio.wrap_future(future)
        self.model = fresh
        if not continued:
            self.intake.realign()
        self.counters.reloads += 1
        self.counters.reload_trouble = None
        self.journal.info("reloaded", continued=continued, **fresh.words())
        return True

    def ask_for_reload(self) -> None:
        """Reload in the background; for a signal handler."""
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self.reload())

    def _assemble(self) -> None:
        settings = self.settings
        contract = self.model.bundle.contract
        self.intake = Intake(contract, settings.inputs, settings.alignment, settings.rules)
        self.publisher = Publisher(
            settings.rules, 1e3 / contract.grid_rate_hz, time.monotonic_ns(), self._give
        )
        self.worker = ModelWorker(
            self._estimator(self.model),
            self._delivered,
            self._failed,
        )

    def _delivered(self, estimates: Sequence[RowEstimate], costs_s: Sequence[float]) -> None:
        """On the model's thread."""
        self._loop.call_soon_threadsafe(self._publish, estimates, costs_s)

    def _failed(self, error: BaseException) -> None:
        """On the model's thread."""
        self._loop.call_soon_threadsafe(self._fail, error)

    def _estimator(self, model: LoadedModel) -> Estimator:
        # A replay waits for the model, so there is no such thing as an engine that is too slow.
        clock = still if self._foreign else time.perf_counter
        return Estimator(model.bundle.contract, model.engine, self.settings.rules, clock)

    async def _serve(self) -> None:
        if self.settings.server is None:
            return
        server = server_class()(self, self.settings.server, journal=self.journal)
        await server.start()
        self.server = server
        self.journal.info("dashboard", url=server.url)

    async def _open_sinks(self) -> None:
        outputs = self.model.bundle.contract.outputs
        self.sinks = [open_sink(where, outputs) for where in self.settings.sinks] + list(self._extra_sinks)
        for sink in self.sinks:
            await sink.open()

    async def _work(self, seconds: float | None) -> None:
        """Until the first of: told to stop, sources at their end, time over, a failure."""
        jobs = [self._read(), self._tick(), self._stop.wait()]
        jobs += [self._fsync()] if self.recorder is not None else []
        jobs += [self._watch()] if self.settings.model.watch else []
        jobs += [self._feed()] if self.notifier.watchdog_s is not None else []
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.keeper.stop()
            await asyncio.wait(tasks[:1], timeout=_END_S)  # what the sources gave is read to the end
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            if not task.cancelled():
                task.result()

    async def _read(self) -> None:
        async for item in self.keeper:
            self._saw(item)
            batch = self.intake.decode(item)
            self._record(item)
            if self.intake.step.samples:
                self.counters.sample_ns = time.monotonic_ns()
            if batch is None:
                continue
            while self._foreign and self.worker.full:
                await asyncio.sleep(0.001)
            if not self.worker.put(batch):
                self.intake.realign()
            await asyncio.sleep(
                0
            )  # estimates that are ready go out before the next of a burst of packets is decoded
        self.journal.info("sources ended")

    def _record(self, item: Item) -> None:
        """A file has its links at its head: with new ones a new file begins, when the first item after them has come."""
        if self.recorder is None:
            return
        if self._links_new:
            self._links_new = False
            origin_ns = self.keeper.origin_ns
            start_ns = item.arrival_ns if origin_ns is None else origin_ns
            self.recorder.start(self.keeper.links, start_ns, self.intake.session.receiver.ledger())
        self.recorder.append(item, self.intake.step, time.monotonic_ns())

    def _saw(self, item: Item) -> None:
        if item.arrival_ns >= self._newest_ns:
            self._newest_ns, self._newest_seen_ns = item.arrival_ns, time.monotonic_ns()
        if isinstance(item, LinkChange):
            link = self.keeper.links[item.link] if item.link < len(self.keeper.links) else str(item.link)
            self.journal.warning("link up" if item.up else "link down", link=link, reason=item.reason)

    def _links_changed(self) -> None:
        origin_ns = self.keeper.origin_ns
        if origin_ns is not None and not self._foreign:
            self._foreign = True
            self._newest_ns, self._newest_seen_ns = origin_ns, time.monotonic_ns()
            self.publisher.begin(origin_ns)
            self.worker.estimator.decimation.rule_out()
        self._links_new = True

    def _publish(self, estimates: Sequence[RowEstimate], costs_s: Sequence[float]) -> None:
        self.counters.estimate_ns = time.monotonic_ns()
        for cost_s in costs_s:
            self.counters.engine_time.add(cost_s * 1e3)
        now_ns = self.now_ns()
        if self._hurried:
            now_ns = estimates[-1].arrival_ns
            self.publisher.catch_up(now_ns, self._trouble)
        self.publisher.publish(estimates, now_ns)
        if self.counters.first_usable_ns is None and self.publisher.first_usable_ns is not None:
            self.counters.first_usable_ns = self.counters.estimate_ns

    def _give(self, estimate: Estimate) -> None:
        for sink in self.sinks:
            sink.publish(estimate)
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(estimate)

    def _fail(self, error: BaseException) -> None:
        self.journal.error("model thread failed", reason=repr(error))
        self._failure = error
        self._stop.set()

    async def _tick(self) -> None:
        while True:
            if not self._hurried:
                self.publisher.tick(self.now_ns(), self._trouble)
            if self.recorder is not None:
                self.recorder.tick(time.monotonic_ns())
            now_s = time.monotonic()
            self._states.look(now_s, self.publisher.newest, self.intake.trouble, self.intake.missing)
            self._faults.look(now_s, self._found())
            await asyncio.sleep(_TICK_S)

    def _found(self) -> dict[str, str | None]:
        """What is in trouble beside the estimates themselves, and what is not."""
        found = {f"sink {place} {sink.name}": sink.trouble for place, sink in enumerate(self.sinks, 1)}
        if self.recorder is not None:
            found["recording"] = self.recorder.trouble
        dropped, self._dropped = self.worker.dropped - self._dropped, self.worker.dropped
        found["queue to the model"] = "full; batches are dropped" if dropped else None
        return found

    @property
    def _trouble(self) -> tuple[State, str] | None:
        return (State.INVALID, MISMATCH) if self.intake.trouble is not None else None

    async def _fsync(self) -> None:
        """Off the event loop: a slow disk must not delay reading."""
        while True:
            await asyncio.sleep(_FSYNC_S)
            if self.recorder is not None:
                await asyncio.to_thread(self.recorder.sync)

    async def _watch(self) -> None:
        """Reload when the manifest on the disk is another one, and has been for two looks."""
        loaded = seen = self.model.stamp()
        while True:
            await asyncio.sleep(_WATCH_S)
            now = await asyncio.to_thread(self.model.stamp)
            if now == seen and now != loaded:
                loaded = now
                await self.reload()
            seen = now

    async def _feed(self) -> None:
        """Feed the watchdog of the service manager only while samples and estimates both advance."""
        assert self.notifier.watchdog_s is not None
        while True:
            if self.advancing:
                self.notifier.watchdog()
            # Often: with half of a long limit one look at an unlucky moment would leave the next for too late.
            await asyncio.sleep(min(self.notifier.watchdog_s, _ADVANCING_S))

    async def _drain(self) -> None:
        """Publish what is on its way."""
        self.notifier.stopping()
        # A replay has no deadline: what it holds is worked off, however slow the machine.
        patience_s = _REPLAY_END_S if self._foreign else _END_S
        if not await asyncio.to_thread(self.worker.stop, patience_s):
            self.journal.error("model thread does not end")
        await asyncio.sleep(0)  # deliveries that the thread has asked for come first
        if self._hurried:
            self.publisher.catch_up(self.now_ns(), self._trouble)
        newest = self.publisher.newest
        self.journal.info("stopped", moments=newest.sequence + 1 if newest is not None else 0)
