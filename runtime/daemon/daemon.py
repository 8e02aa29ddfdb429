"""Sensors in, estimates out, until told to stop: reading on the event loop, the model on a thread, sinks, reload, watchdog.

daemon = Daemon(settings)
await daemon.run()
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from runtime.daemon.calibrator import Calibrator
from runtime.daemon.clock import SourceClock
from runtime.daemon.disks import Disks
from runtime.daemon.housekeeping import Housekeeper
from runtime.daemon.markers import record_markers
from runtime.daemon.model import LoadedModel, load_model, opened_again
from runtime.daemon.outlet import Outlet
from runtime.daemon.reader import Reader
from runtime.daemon.recorder import Recorder
from runtime.daemon.reload import Reloader
from runtime.daemon.snapshot import Counters, Parts, snapshot
from runtime.daemon.source_keeper import SourceKeeper
from runtime.daemon.stand_in import StandIn
from runtime.daemon.supervisor import Pauses, Supervisor
from runtime.daemon.worker import ModelWorker
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.pipeline.estimate import Estimate
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import still
from runtime.pipeline.publisher import Publisher
from runtime.server import server_class
from runtime.server.limits import Limits
from runtime.settings import ModelSettings, Settings
from runtime.sinks import open_sink
from runtime.sinks.interface import Sink
from runtime.status.status import DaemonStatus
from toolkit.contract import Channel, SensorContract
from toolkit.errors import EdgetoolError

if TYPE_CHECKING:
    from runtime.server.app import DashboardServer

#: Exit code of what may work the next time (EX_TEMPFAIL of sysexits.h): a service manager tries again.
TEMPORARY = 75
#: Python hands the interpreter from thread to thread this often (5 ms by default, as long as an estimate may take).
_SWITCH_S = 0.0005


@dataclass(frozen=True)
class Timing:
    """How often a daemon does what it does by itself, in s.

    ``tick_s``: looks whether estimates have stopped coming, and writes what waits for the recording. ``fsync_s``: puts the
    recording on the disk. ``watch_s``: looks at the bundle on the disk (``model.watch``). ``machine_s``: reads the computer's
    health for the dashboard. ``disks_s``: looks for room on the disks. ``record_again_s``: until a recording is tried again
    after an error of the disk. At the end what is on its way has ``end_s``, and in a replay, which has no deadline,
    ``replay_end_s``. ``pauses``: until a part that has raised is begun again.
    """

    tick_s: float = 0.02
    fsync_s: float = 1.0
    watch_s: float = 2.0
    machine_s: float = 5.0
    disks_s: float = 10.0
    record_again_s: float = 10.0
    end_s: float = 5.0
    replay_end_s: float = 600.0
    pauses: Pauses = field(default_factory=Pauses)


class Daemon:
    """One daemon; :meth:`run` once. ``opener`` makes sources of URLs and ``load`` the model; ``extra_sinks`` are published to
    as well."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal | None = None,
        notifier: Notifier | None = None,
        opener: Callable[[str], Source] = open_source,
        extra_sinks: Sequence[Sink] = (),
        load: Callable[[ModelSettings], LoadedModel] = load_model,
        timing: Timing | None = None,
    ) -> None:
        self.settings = settings
        self.timing = timing or Timing()
        self.journal = journal or Journal(settings.log.level, settings.log.form)
        self.notifier = notifier or Notifier()
        self.supervisor = Supervisor(self.journal, self.timing.pauses)
        self.keeper = SourceKeeper(
            settings.sources, self.journal, self._links_changed, opener, self.supervisor
        )
        self.clock = SourceClock(self.keeper.hurried)
        #: In every estimate of this run, in the status and in the log.
        self.run_id = uuid.uuid4().hex[:12]
        self.outlet = Outlet(self.supervisor, self.run_id)
        self.server: DashboardServer | None = None
        #: Called once when everything is there and reading begins.
        self.when_ready: Callable[[], None] = lambda: None
        self._load = load
        self._extra_sinks = tuple(extra_sinks)
        self._counters = Counters(started_ns=time.monotonic_ns())
        recording = settings.recording
        self.recorder = (
            Recorder(
                recording.folder,
                recording.prefix,
                self.timing.record_again_s,
                recording.max_gb,
                recording.keep_days,
                {"run": self.run_id},
            )
            if recording is not None
            else None
        )
        self._stop = asyncio.Event()
        self._reload_asked = asyncio.Event()

    async def run(self, seconds: float | None = None) -> None:
        """Work until :meth:`stop`, the end of all sources, or for ``seconds``.

        Raises an EdgetoolError for what can never work: a bundle, engine, source URL or sink that is wrong. What goes wrong
        later is the trouble of the part that it happens in (:mod:`runtime.daemon.supervisor`).
        """
        sys.setswitchinterval(_SWITCH_S)
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self.supervisor.stray)
        await self._assemble()
        try:
            try:
                await self._open()
            except EdgetoolError as error:  # a disk that is not mounted yet, a port that is still taken
                error.exit_code = TEMPORARY
                raise
            self.worker.start()
            gc.collect()
            gc.freeze()  # what is there now stays: a collection need not look at it
            self.journal.info(
                "started",
                run=self.run_id,
                **self.reloader.model.words(),
                sources=" ".join(self.settings.sources),
            )
            self.when_ready()
            self.notifier.ready()
            await self._work(seconds)
            await self._drain()
        finally:
            await self._close()

    def stop(self) -> None:
        """Drain and end; :meth:`run` returns."""
        self._stop.set()

    def ask_for_reload(self) -> None:
        """Load the bundle again soon; for a signal handler."""
        self._reload_asked.set()

    def status(self) -> DaemonStatus:
        """A snapshot of everything; valid while :meth:`run` works."""
        return snapshot(self._parts)

    def mark(self, text: str) -> bool:
        """See Noted."""
        if self.recorder is None:
            return False
        self.recorder.mark(text, self.clock.now_ns())
        self.journal.info("marker", text=text)
        return True

    def describe(self, about: Mapping[str, str]) -> bool:
        """See Noted."""
        if self.recorder is None:
            return False
        self.recorder.about |= about
        self.reader.begin_file()
        self.journal.info("session", about=", ".join(f"{name} {text}" for name, text in about.items()))
        return True

    def subscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """Put every estimate into ``queue`` from now on; a full queue loses its oldest."""
        self.outlet.subscribe(queue)

    def unsubscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """No more."""
        self.outlet.unsubscribe(queue)

    @property
    def advancing(self) -> bool:
        """Whether samples and estimates both have come within the last second."""
        return self._parts.advancing

    async def _assemble(self) -> None:
        settings = self.settings
        model = await asyncio.to_thread(self._load, settings.model)
        contract = model.bundle.contract
        _identify(self.outlet, self.recorder, model)
        self.publisher = _publisher(self, contract)
        self.reader = Reader(
            self.keeper,
            lambda: _intake(contract, settings, lambda: self.reloader.model.nodes),
            self.recorder,
            self.clock,
            self.supervisor,
            self.journal,
        )
        self.worker = ModelWorker(
            self._estimator(model),
            deliver=lambda estimates, costs_s: self._on_loop(self._publish, estimates, costs_s),
            failed=lambda error, pause_s: self._on_loop(self.supervisor.failed, "model", error, pause_s),
            resumed=lambda: self._on_loop(self._model_resumed),
            renew=lambda: self._estimator(opened_again(self.reloader.model)),
            pauses=self.timing.pauses,
        )
        self.reloader = Reloader(
            model,
            lambda: self._load(settings.model),
            self._estimator,
            self.worker,
            lambda: self.reader.intake.choose_streams_again(),
            lambda model: _identify(self.outlet, self.recorder, model),
            self.journal,
            self.notifier,
            self._reload_asked,
        )
        self.calibrator = _calibrator(self)
        self._parts = Parts(
            settings,
            self._counters,
            self.clock,
            self.keeper,
            self.reader,
            self.worker,
            self.reloader,
            self.publisher,
            self.outlet,
            self.recorder,
            StandIn(
                self.publisher,
                self.clock.now_ns,
                self.outlet,
                lambda error: self.supervisor.failed("stand-in", error),
            ),
            Disks(_folders(settings, contract.outputs)),
            self.supervisor,
            self.calibrator,
        )

    def _estimator(self, model: LoadedModel) -> Estimator:
        # A replay waits for the model, so there is no such thing as an engine that is too slow.
        clock = still if self.clock.foreign else time.perf_counter
        return Estimator(
            model.bundle.contract,
            model.engine,
            self.settings.rules,
            clock,
            model.calibration,
            model.watch(),
            model.hash[:12],
            model.bundle.error_bars,
        )

    async def _open(self) -> None:
        if self.settings.recording is not None and self.settings.recording.markers:
            from firmware_bridge.sources.lsl import load_pylsl

            await asyncio.to_thread(load_pylsl)
        outputs = self.reloader.model.bundle.contract.outputs
        sinks = [open_sink(where, outputs) for where in self.settings.sinks]
        for sink in sinks:
            sink.mass_kg = self.settings.person.mass_kg
        await self.outlet.open([*sinks, *self._extra_sinks])
        if self.settings.server is None:
            return
        limits = Limits(machine_s=self.timing.machine_s)
        server = server_class()(
            self, self.settings.server, journal=self.journal, start=self.supervisor.start, limits=limits
        )
        await server.start()
        self.server = server
        self.journal.info("dashboard", url=server.url)

    async def _work(self, seconds: float | None) -> None:
        """Until the first of: told to stop, sources at their end, time over, a source that can never work."""
        start, timing = self.supervisor.start, self.timing
        reading = start("reader", lambda: self.reader.run(self.worker), fatal=EdgetoolError)
        house = Housekeeper(self._parts, self.journal, self.notifier, timing.tick_s, timing.fsync_s)
        others = [
            start("silence", house.tell_silence),
            start("logs", house.keep_logs),
            start("reload", self.reloader.serve),
            start("disks", lambda: house.watch_disks(timing.disks_s)),
        ]
        if self.recorder is not None:
            others.append(start("fsync", house.sync))
            for name in self.settings.recording.markers if self.settings.recording is not None else ():
                keep = partial(record_markers, name, self.recorder, self.clock, self.journal)
                others.append(start(f"markers {name}", keep))
        if self.settings.model.watch:
            others.append(start("watch", lambda: self.reloader.watch(timing.watch_s)))
        if self.notifier.watchdog_s is not None:
            others.append(start("watchdog", house.feed_watchdog))
        if not self.clock.hurried:
            self._parts.stand_in.start()
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({reading, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._parts.stand_in.stop()
            self.keeper.stop()
            await asyncio.wait({reading}, timeout=timing.end_s)  # what the sources gave is read to the end
            tasks = [reading, stopping, *others]
            ended = reading.done()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if ended and not reading.cancelled():
            reading.result()

    def _links_changed(self) -> None:
        origin_ns = self.keeper.origin_ns
        if origin_ns is not None and not self.clock.foreign:
            self.clock.begin(origin_ns)
            self.publisher.begin(origin_ns)
            self.worker.estimator.decimation.rule_out()
        self.reader.begin_file()

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        """From the model's thread, which may outlive the loop."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _publish(self, estimates: Sequence[RowEstimate], costs_s: Sequence[float]) -> None:
        with self.supervisor.cover("publisher"):
            counters = self._counters
            counters.estimate_ns = time.monotonic_ns()
            for cost_s in costs_s:
                counters.engine_time.add(cost_s * 1e3)
            now_ns = self.clock.now_ns()
            if self.clock.hurried:
                now_ns = estimates[-1].arrival_ns
                self.publisher.catch_up(now_ns, self.reader.mismatch)
            self.publisher.publish(estimates, now_ns)
            if counters.first_usable_ns is None and self.publisher.first_usable_ns is not None:
                counters.first_usable_ns = counters.estimate_ns

    def _model_resumed(self) -> None:
        self.supervisor.begun("model")
        self.reader.intake.realign()

    async def _drain(self) -> None:
        """Publish what is on its way."""
        self.notifier.stopping()
        # A replay has no deadline: what it holds is worked off, however slow the machine.
        patience_s = self.timing.replay_end_s if self.clock.foreign else self.timing.end_s
        if not await asyncio.to_thread(self.worker.stop, patience_s):
            self.journal.error("model thread does not end")
        await asyncio.sleep(0)  # deliveries that the thread has asked for come first
        if self.clock.hurried:
            self.publisher.catch_up(self.clock.now_ns(), self.reader.mismatch)
        newest = self.publisher.newest
        self.journal.info("stopped", moments=newest.sequence + 1 if newest is not None else 0)

    async def _close(self) -> None:
        self.calibrator.cancel()
        if self.server is not None:
            with self.supervisor.cover("server"):
                await self.server.stop()
        await self.outlet.close()
        if self.recorder is not None:
            with self.supervisor.cover("recording"):
                self.recorder.close(self.reader.intake.session.receiver.ledger())


def _identify(outlet: Outlet, recorder: Recorder | None, model: LoadedModel) -> None:
    """Tell who says it other than in each estimate which model runs now; a recording's next file says it."""
    outlet.identify(model.hash[:12])
    if recorder is not None:
        recorder.about["model"] = model.hash[:12]


def _publisher(daemon: Daemon, contract: SensorContract) -> Publisher:
    """What numbers the estimates and gives them out."""
    settings = daemon.settings
    return Publisher(
        settings.rules,
        1e3 / contract.grid_rate_hz,
        time.monotonic_ns(),
        daemon.outlet.give,
        daemon.run_id,
        settings.person.mass_kg,
    )


def _calibrator(daemon: Daemon) -> Calibrator:
    """What calibrates the session while the daemon runs; the reader shows it what the model gets."""
    reader, reloader = daemon.reader, daemon.reloader
    calibrator = Calibrator(
        daemon.settings.model.calibration,
        lambda: reloader.model.bundle.contract,
        lambda: reader.intake,
        reloader.reload,
        daemon.journal,
    )
    reader.tap = calibrator.take
    return calibrator


def _folders(settings: Settings, outputs: Sequence[Channel]) -> list[Path]:
    """Where a daemon writes files."""
    sinks = [open_sink(where, outputs).folder for where in settings.sinks]
    recordings = [] if settings.recording is None else [settings.recording.folder]
    return recordings + [folder for folder in sinks if folder is not None]


def _intake(
    contract: SensorContract, settings: Settings, calibrated: Callable[[], Mapping[str, str]]
) -> Intake:
    """The rows of the model's inputs, of the nodes that the session was ``calibrated`` with."""
    return Intake(contract, settings.inputs, settings.alignment, settings.rules, calibrated)
