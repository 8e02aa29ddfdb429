"""Whatever a part of the daemon raises is its own trouble: begun again, counted, shown in status, metrics, health and log."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.items import Item
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from firmware_bridge.sources.host import Host
from runtime.daemon.daemon import Timing
from runtime.daemon.disks import Disks
from runtime.daemon.housekeeping import Housekeeper
from runtime.daemon.model import LoadedModel, load_model
from runtime.daemon.recorder import Recorder
from runtime.daemon.supervisor import OTHERS, Pauses, Supervisor
from runtime.log.faults import FaultLog
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.log.state_log import StateLog
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.intake import Intake
from runtime.pipeline.publisher import Publisher
from runtime.pipeline.states import Rules
from runtime.server.feed import Feed
from runtime.server.health import health
from runtime.settings import ModelSettings, RecordingSettings, ServerSettings, Settings
from runtime.sinks import open_sink
from runtime.sinks.delivery import QueuedSink
from runtime.sinks.interface import Sink
from runtime.sinks.udp import UdpSink
from runtime.status.metrics import Metrics
from runtime.status.pi_health import PiHealth
from tests.runtime.daemon.harness import Collect, Running, during, settings
from toolkit.contract import Channel

GOOD = "sim://synthetic"
TIMING = Timing(
    watch_s=0.05,
    machine_s=0.05,
    disks_s=0.05,
    fsync_s=0.05,
    record_again_s=0.05,
    pauses=Pauses(0.02, 0.1, 60.0),
)
#: A busy machine makes nothing stale: that is not what these tests are about.
PATIENT = Rules(stale_ms=2000.0, silence_ms=4000.0)


class Fault(Exception):
    """No error that anybody foresaw."""


def _run(given: Settings, part: str, times: int = 1, **more: Any) -> Running:
    """A daemon until ``part`` has failed ``times`` times and estimates are fine again; all that shows it has shown it."""

    async def work(running: Running) -> None:
        def failures() -> int:
            return sum(each.failures for each in running.daemon.status().parts if part in each.name)

        await running.until(lambda: failures() >= times)
        status = running.daemon.status()
        assert any(each.trouble is not None for each in status.parts if part in each.name)
        assert any(part in warning for warning in health(status)[1]["warnings"])
        text = Metrics(running.daemon.status, lambda: PiHealth({}, None)).text().decode()
        (line,) = [s for s in text.splitlines() if s.startswith("edgetool_part_failures_total") and part in s]
        assert float(line.rpartition(" ")[2]) >= times
        first = len(running.estimates)
        await running.until(lambda: sum(e.state is State.OK for e in running.estimates[first:]) > 20)

    async def all_of_it() -> Running:
        running = Running(replace(given, rules=PATIENT), timing=TIMING, **more)
        await during(running, work)
        return running

    running = asyncio.run(all_of_it())
    said = [event for event in running.event("part failed") if part in event["part"]]
    assert said and all(event["level"] == "error" for event in said)
    assert "Fault: injected" in said[0]["reason"] and said[0]["at"].startswith("test_supervision.py:")
    assert running.event("stopped")
    assert [e.sequence for e in running.estimates] == list(range(len(running.estimates)))
    return running


def _raises(times: int, otherwise: Any = None, after: int = 0) -> Callable[..., Any]:
    """A function that raises ``times`` times, after ``after`` calls of ``otherwise``; then it is ``otherwise``."""
    count = 0

    def call(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if after < count <= after + times:
            raise Fault("injected")
        return otherwise(*arguments, **more) if otherwise is not None else None

    return call


class Faulty(Source):
    """A source that works, but for what it is told to raise."""

    def __init__(self, inner: Source, fault: Callable[[], None]) -> None:
        super().__init__(inner.url)
        self._inner, self._fault = inner, fault

    @property
    def links(self) -> tuple[str, ...]:
        return self._inner.links

    @property
    def writable(self) -> bool:
        return self._inner.writable

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def write(self, data: bytes, link: int = 0) -> None:
        await self._inner.write(data, link)

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for item in self._inner:
            self._fault()
            yield item


def test_a_source_that_raises() -> None:
    fault = _raises(2, after=50)
    running = _run(settings(GOOD), f"source {GOOD}", 2, opener=lambda url: Faulty(open_source(url), fault))
    assert len(running.event("source open again")) == 2
    assert running.event("link down")[0]["reason"] == "Fault: injected"


def test_a_source_that_raises_when_it_is_opened() -> None:
    fault = _raises(2)

    class Late(Faulty):
        async def open(self) -> None:
            fault()
            await super().open()

    _run(settings(GOOD), f"source {GOOD}", 2, opener=lambda url: Late(open_source(url), lambda: None))


@pytest.mark.parametrize("word", ["ask", "heard"])
def test_what_is_said_to_the_nodes(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = getattr(Host, word)
    fault = _raises(2)

    async def faulty(self: Host, *arguments: Any) -> None:
        fault()
        await inner(self, *arguments)

    monkeypatch.setattr(Host, word, faulty)
    _run(settings(GOOD), f"talk to {GOOD}", 2)


def test_an_item_that_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link rests, the intake is made anew, and the recording has every byte."""
    monkeypatch.setattr(Intake, "decode", _raises(2, Intake.decode, after=80))
    running = _run(settings(GOOD), "link ", 2)
    assert running.daemon.reader.passed_over > 0


def test_one_link_of_two_that_cannot_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spare node's link raises at every item, for ever; the model's node is read all the while."""
    from runtime.pipeline.input_from import InputFrom

    decode = Intake.decode

    def hostile(self: Intake, item: Any) -> Any:
        if item.link == 1:
            raise Fault("injected")
        return decode(self, item)

    monkeypatch.setattr(Intake, "decode", hostile)
    ours = {name: InputFrom((f"virtual 0/{name}",)) for name in ("imu", "emg")}
    given = settings(GOOD, f"{GOOD}?nodes=1", inputs=ours)
    timing = replace(TIMING, pauses=Pauses(0.02, 60.0, 1000.0))

    async def all_of_it() -> Running:
        running = Running(replace(given, rules=PATIENT), timing=timing)

        async def work(_: Running) -> None:
            await running.until(lambda: running.daemon.reader.passed_over > 50)
            await running.until(lambda: sum(e.state is State.OK for e in running.estimates) > 100)

        await during(running, work)
        return running

    running = asyncio.run(all_of_it())
    assert {event["part"] for event in running.event("part failed")} == {
        f"link {running.daemon.keeper.links[1]}"
    }


@pytest.mark.parametrize("word", ["append", "tick", "sync"])
def test_the_recording(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, word, _raises(2, getattr(Recorder, word), after=3))
    part = "fsync" if word == "sync" else "recording"
    _run(settings(GOOD, recording=RecordingSettings(tmp_path)), part, 2)
    assert list(tmp_path.glob("*.etl"))


class OpensLate(Collect):
    name = "opens late"

    def __init__(self, fault: Callable[[], None]) -> None:
        super().__init__()
        self._fault = fault

    async def open(self) -> None:
        self._fault()


def test_a_sink_that_cannot_be_opened_yet() -> None:
    sink = OpensLate(_raises(3))
    _run(settings(GOOD), "opens late", 3, extra_sinks=(sink,))
    assert sink.estimates


class Mistaken(Collect):
    name = "mistaken"

    def __init__(self) -> None:
        super().__init__()
        self._fault = _raises(5, after=10)

    def publish(self, estimate: Estimate) -> None:
        self._fault()
        super().publish(estimate)


def test_a_sink_that_raises_at_an_estimate() -> None:
    sink = Mistaken()
    running = _run(settings(GOOD), "mistaken", 5, extra_sinks=(sink,))
    assert sink.dropped == 5 and sink.published + sink.dropped == len(running.estimates)


class Thread(QueuedSink):
    """Its thread raises twice."""

    def __init__(self) -> None:
        super().__init__("thread")
        self._fault = _raises(2, after=2)

    def work(self) -> None:
        while not self.closing:
            taken = self.next_estimates(10, 0.05)
            self._fault()
            self.settle(published=len(taken))


def test_a_sinks_thread() -> None:
    _run(settings(GOOD), "thread", 2, extra_sinks=(Thread(),))


def test_a_sinks_own_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of a UDP sink's host."""
    monkeypatch.setattr(UdpSink, "_connect", _raises(2, UdpSink._connect))
    sink = open_sink("udp://127.0.0.1:9", [Channel("m", "Nm/kg")], look_up_s=0.05)
    _run(settings(GOOD), "udp://127.0.0.1:9", 2, extra_sinks=(sink,))


@pytest.mark.parametrize("part", ["dashboard feed", "dashboard machine"])
def test_the_servers_tasks(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    if part == "dashboard feed":
        monkeypatch.setattr(Feed, "_read_queue", _raises(2, Feed._read_queue, after=1))
    else:
        from runtime.server.machine import Machine

        monkeypatch.setattr(Machine, "look", _raises(2, Machine.look, after=1))
    _run(settings(GOOD, server=ServerSettings(port=0)), part, 2)


def test_the_watch_on_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadedModel, "stamp", _raises(2, LoadedModel.stamp, after=2))
    given = settings(GOOD)
    _run(replace(given, model=replace(given.model, watch=True)), "watch", 2)


@pytest.mark.parametrize(("word", "part"), [("publish", "publisher"), ("tick", "silence")])
def test_the_publisher(word: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Publisher, word, _raises(3, getattr(Publisher, word), after=5))
    _run(settings(GOOD), part, 3)


@pytest.mark.parametrize("log", [StateLog, FaultLog])
def test_the_logs(log: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "look", _raises(2, log.look, after=2))
    _run(settings(GOOD), "logs", 2)


def test_the_watch_on_the_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disks, "look", _raises(2, Disks.look))
    _run(settings(GOOD), "disks", 2)


def test_the_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Notifier, "watchdog", _raises(2, Notifier.watchdog))
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "100000"}
    _run(settings(GOOD), "watchdog", 2, environment=environment)


@pytest.mark.parametrize("call", ["step", "reset"])
def test_the_model(call: str) -> None:
    """An engine that raises what no engine should: it is opened again, and the rows begin anew."""
    made = 0

    def load(given: ModelSettings) -> LoadedModel:
        nonlocal made
        made += 1
        model = load_model(given)
        setattr(
            model.engine, call, _raises(1, getattr(model.engine, call), after=1 if call == "reset" else 30)
        )
        return model

    running = _run(settings(GOOD), "model", load=load)
    assert made == 1 and running.daemon.reader.intake.restarts >= 2


def test_continue_from_that_raises_refuses_the_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to end the model's thread, and the daemon with it."""

    async def work(running: Running) -> None:
        await running.until(lambda: running.is_state(State.OK))
        with monkeypatch.context() as patch:
            patch.setattr(Estimator, "continue_from", _raises(1))
            running.daemon.ask_for_reload()
            await running.until(lambda: running.event("reload refused"))
        first = len(running.estimates)
        await running.until(lambda: len(running.estimates) > first + 20)
        assert running.daemon.status().model.reload_trouble == "Fault: injected"
        running.daemon.ask_for_reload()
        await running.until(lambda: running.event("reloaded"))

    async def all_of_it() -> Running:
        running = Running(replace(settings(GOOD), rules=PATIENT))
        await during(running, work)
        return running

    assert not asyncio.run(all_of_it()).event("part failed")


def test_what_the_event_loop_itself_is_given() -> None:
    """A callback of a library, a task that nobody waits for: counted and told like the rest."""

    async def work(running: Running) -> None:
        asyncio.get_running_loop().call_soon(_raises(1))
        await running.until(lambda: running.event("part failed"))
        await running.until(lambda: running.is_state(State.OK))

    async def all_of_it() -> Running:
        running = Running(replace(settings(GOOD), rules=PATIENT))
        await during(running, work)
        return running

    (said,) = asyncio.run(all_of_it()).event("part failed")
    assert said["part"] == "event loop" and said["reason"] == "Fault: injected"


def test_every_task_of_a_whole_daemon_is_supervised(tmp_path: Path) -> None:
    """All tasks on the loop while it runs: those of the test, of aiohttp's connections, and the supervisor's."""
    given = settings(
        GOOD,
        sinks=("udp://127.0.0.1:9", f"ndjson:{tmp_path}/moments.ndjson"),
        recording=RecordingSettings(tmp_path),
        server=ServerSettings(port=0),
    )
    given = replace(given, model=replace(given.model, watch=True))
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "100000"}
    loose: list[str] = []
    threads: list[str] = []

    async def work(running: Running) -> None:
        await running.until(lambda: running.is_state(State.OK))
        for task in asyncio.all_tasks():
            coroutine: Any = task.get_coro()
            loose.append(coroutine.__qualname__)
        threads.extend(thread.name for thread in threading.enumerate())

    async def all_of_it() -> None:
        running = Running(replace(given, rules=PATIENT), timing=TIMING, environment=environment)
        await during(running, work)

    asyncio.run(all_of_it())
    supervised = [name for name in loose if name == "Supervisor._run"]
    # reader, talk, silence, logs, reload, disks, fsync, watch, watchdog, dashboard feed and machine
    assert len(supervised) == 11
    others = {name for name in loose if name != "Supervisor._run"}
    assert others <= {
        "test_every_task_of_a_whole_daemon_is_supervised.<locals>.all_of_it",
        "during.<locals>.once_started",
        "Daemon.run",
        "Event.wait",  # told to stop
        "SourceKeeper._keep",  # catches all itself
        "Queue.get",
    }, others
    assert "model" in threads  # catches all itself, as the sinks' threads do


class TestSupervisor:
    def _supervisor(self, pauses: Pauses | None = None) -> tuple[Supervisor, io.StringIO, list[float]]:
        text, now = io.StringIO(), [0.0]
        return Supervisor(Journal("info", "json", text), pauses, lambda: now[0]), text, now

    def test_pauses_grow_to_a_bound_and_begin_again_after_a_good_run(self) -> None:
        pauses, pause_s = Pauses(1.0, 5.0, 10.0), None
        said = []
        for ran_s in (0.0, 0.0, 0.0, 0.0, 9.9, 10.0, 0.0):
            pause_s = pauses.after(pause_s, ran_s)
            said.append(pause_s)
        assert said == [1.0, 2.0, 4.0, 5.0, 5.0, 1.0, 2.0]

    def test_a_part_that_fails_all_the_time_does_not_flood_the_log(self) -> None:
        supervisor, text, now = self._supervisor()
        for _ in range(10_000):
            now[0] += 0.01
            with supervisor.cover("sink 1"):
                raise Fault("injected")
        (status,) = supervisor.status()
        assert (status.failures, status.trouble) == (10_000, "Fault: injected")
        lines = [json.loads(line) for line in text.getvalue().splitlines()]
        assert 9 <= len(lines) <= 11 and sum(line.get("more", 0) for line in lines) > 8_000
        now[0] += 10.0
        assert supervisor.status()[0].trouble is None

    def test_names_do_not_fill_the_memory(self) -> None:
        supervisor, _, _ = self._supervisor()
        for number in range(100_000):
            supervisor.failed(f"link {number}", Fault("injected"))
        status = {each.name: each.failures for each in supervisor.status()}
        assert len(status) <= 257 and status[OTHERS] == 100_000 - 256

    def test_what_is_fatal_ends_the_task(self) -> None:
        async def job() -> None:
            supervisor, _, _ = self._supervisor(Pauses(0.0, 0.0, 1.0))
            fault = _raises(1)

            async def make() -> None:
                fault()
                raise KeyError("fatal")

            with pytest.raises(KeyError):
                await supervisor.start("one", make, fatal=KeyError)
            assert supervisor.status()[0].failures == 1

        asyncio.run(job())

    def test_cancelling_is_no_failure(self) -> None:
        async def job() -> None:
            supervisor, _, _ = self._supervisor()
            begun = asyncio.Event()

            async def make() -> None:
                begun.set()
                await asyncio.Event().wait()

            task = supervisor.start("one", make)
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert supervisor.status()[0].failures == 0

        asyncio.run(job())


def test_the_housekeeper_has_no_other_coroutines() -> None:
    """Each of them is started by the daemon under a name of its own; a new one needs a line there and a test here."""
    found = {name for name in vars(Housekeeper) if asyncio.iscoroutinefunction(getattr(Housekeeper, name))}
    assert found == {"tell_silence", "keep_logs", "sync", "feed_watchdog", "watch_disks"}


def test_sinks_report_nothing_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    Sink.report(Fault("injected"))
    assert capfd.readouterr() == ("", "")
