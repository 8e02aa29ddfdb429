"""The fault matrix on whole daemons, in real time: what is published, what the status says, and that they live on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_bridge.recording import file as recording
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.simulator import ble_node
from firmware_bridge.simulator.fake_bluez import PrivateBus
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal, serve
from firmware_bridge.simulator.source import programmes
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from quantization.bundle import MANIFEST, Bundle
from runtime.daemon.daemon import Timing
from runtime.daemon.model import LoadedModel, load_model
from runtime.pipeline.estimate import State
from runtime.pipeline.states import Rules
from runtime.settings import ModelSettings, RecordingSettings, Settings
from tests.runtime.daemon.harness import (
    Running,
    bundle,
    during,
    settings,
)
from tests.tools import require_package
from toolkit.errors import ContractError

#: Tests share two cores with whatever else runs: what comes late on a busy machine is not what they are about.
PATIENT = Rules(stale_ms=600.0, silence_ms=1500.0)
GOOD = "sim://synthetic"


def _run(given: Settings, work: Any, environment: Any = None, **more: Any) -> Running:
    async def all_of_it() -> Running:
        running = Running(replace(given, rules=PATIENT), environment=environment, **more)
        await during(running, work)
        return running

    return asyncio.run(all_of_it())


def _is(running: Running, state: State, reason: str = "") -> Any:
    return lambda: running.is_state(state, reason)


class Port:
    """A simulated node behind a pseudo-terminal that can be unplugged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (programme,) = programmes("synthetic", 1)
        self._link = VirtualLink(VirtualNode(programme, streaming=False))
        self._began = time.monotonic()

    @asynccontextmanager
    async def plugged(self) -> AsyncIterator[None]:
        with PseudoTerminal(self.path) as terminal:
            task = asyncio.create_task(serve(terminal, [self._link], lambda: time.monotonic() - self._began))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def test_sensor_plugged_in_late_unplugged_and_back(tmp_path: Path) -> None:
    port = Port(tmp_path / "node")

    async def work(running: Running) -> None:
        await running.until(_is(running, State.INVALID, "waiting"))
        assert running.daemon.status().streams == () and not running.daemon.advancing
        async with port.plugged():
            await running.until(_is(running, State.OK))
        await running.until(_is(running, State.STALE, "silent"))
        await running.until(_is(running, State.INVALID, "silent"))
        (link,) = running.daemon.status().links
        assert not link.up
        async with port.plugged():
            await running.until(_is(running, State.OK))
            status = running.daemon.status()
            assert status.links[0].up
            assert status.state_seconds[State.INVALID] > 0.5 and status.state_moments[State.STALE] > 0

    running = _run(settings(f"serial://{port.path}?reconnect_s=0.1"), work)
    assert running.event("source lost") and running.event("link down") and running.event("link up")
    assert [m.sequence for m in running.estimates] == list(range(len(running.estimates)))
    assert all(m.values == () for m in running.estimates if m.state in (State.STALE, State.INVALID))


def test_one_of_two_sources_is_missing(tmp_path: Path) -> None:
    """Two nodes, each with all streams: the one that is named is waited for, the other listened to."""
    from runtime.pipeline.input_from import InputFrom

    given = settings(
        GOOD,
        f"serial://{tmp_path / 'absent'}",
        inputs={"imu": InputFrom(("virtual 0/imu",)), "emg": InputFrom(("elsewhere/emg",))},
    )

    async def work(running: Running) -> None:
        await running.until(_is(running, State.INVALID, "waiting"))
        await running.until(lambda: running.daemon.status().nodes)
        assert running.daemon.reader.intake.missing == ("elsewhere/emg",)

    running = _run(given, work)
    assert "elsewhere/emg" in str(running.event("state")[-1])


def _copy(tmp_path: Path) -> Path:
    target = tmp_path / "bundle"
    shutil.copytree(bundle(), target)
    return target


def test_model_reloaded_in_place_and_corrupt(tmp_path: Path) -> None:
    path = _copy(tmp_path)

    async def work(running: Running) -> None:
        await running.until(_is(running, State.OK))
        daemon = running.daemon
        before = daemon.status().model.hash
        graph = path / "models" / "stream.int8.tflite"
        content = graph.read_bytes()
        graph.write_bytes(content[: len(content) // 2])
        first = len(running.estimates)
        daemon.ask_for_reload()
        await running.until(lambda: running.event("reload refused"))
        status = daemon.status()
        assert status.model.reloads_refused == 1 and status.model.hash == before
        assert "was changed after its manifest" in str(status.model.reload_trouble)
        graph.write_bytes(content)
        (path / MANIFEST).write_bytes((path / MANIFEST).read_bytes() + b"\n")
        assert await daemon.reloader.reload()
        await running.until(lambda: len(running.estimates) > first + 100)
        status = daemon.status()
        assert (status.model.reloads, status.model.reload_trouble) == (1, None)
        assert status.model.hash != before
        # Nothing was lost: the new engine was led through the window's rows and went on with the next.
        assert {m.state for m in running.estimates[first:]} == {State.OK}
        assert daemon.reader.intake.restarts == 1

    running = _run(replace(settings(GOOD), model=ModelSettings(path)), work)
    assert running.event("reloaded")[0]["continued"] is True


def test_a_bundle_that_vanishes_while_it_is_watched(tmp_path: Path) -> None:
    """Whatever loading it raises: the running model goes on, and the watch with it."""
    path = _copy(tmp_path)
    vanished = False

    def load(given: ModelSettings) -> LoadedModel:
        if vanished:
            raise FileNotFoundError(2, "No such file or directory", str(path / MANIFEST))
        return load_model(given)

    async def work(running: Running) -> None:
        nonlocal vanished
        await running.until(_is(running, State.OK))
        vanished = True
        (path / MANIFEST).write_bytes((path / MANIFEST).read_bytes() + b"\n")
        await running.until(lambda: running.event("reload refused"))
        vanished = False
        assert "FileNotFoundError" in str(running.daemon.status().model.reload_trouble)
        (path / MANIFEST).write_bytes((path / MANIFEST).read_bytes() + b"\n")
        await running.until(lambda: running.event("reloaded"))
        assert running.daemon.status().model.reload_trouble is None

    given = replace(settings(GOOD), model=ModelSettings(path, watch=True))
    running = _run(given, work, load=load, timing=Timing(watch_s=0.1))
    assert running.event("stopped")


def test_model_of_another_contract_is_warmed_up_and_one_of_other_sensors_refused(tmp_path: Path) -> None:
    """The same sensors, another horizon: one window of warm-up. Other channels: refused, the old one runs on."""
    from quantization.convert import convert

    path = _copy(tmp_path)
    checkpoint = Bundle.load(path).checkpoint

    def other(**changes: Any) -> None:
        config = replace(checkpoint.config, **changes)
        changed = replace(checkpoint, config=config, contract=replace(checkpoint.contract, **changes))
        convert(changed, "synthetic:people=1,seconds=4", path, calibration_windows=20)

    async def work(running: Running) -> None:
        daemon = running.daemon
        await running.until(_is(running, State.OK))
        await asyncio.to_thread(other, horizon_ms=20.0)
        first = len(running.estimates)
        assert await daemon.reloader.reload()
        await running.until(lambda: any("warm-up" in m.reasons for m in running.estimates[first:]))
        await running.until(_is(running, State.OK))
        warm = [m for m in running.estimates[first:] if "warm-up" in m.reasons]
        assert len(warm) >= 63 and daemon.status().model.horizon_ms == 20.0
        outputs = tuple(replace(c, name=f"other_{c.name}") for c in checkpoint.contract.outputs)
        renamed = replace(daemon.reloader.model, bundle=_Renamed(daemon.reloader.model.bundle, outputs))
        with pytest.raises(
            ContractError, match=r"gives .*other_.* and the running model .*restart to change outputs"
        ):
            renamed.require_same_sensors(daemon.reloader.model)

    running = _run(replace(settings(GOOD), model=ModelSettings(path)), work)
    assert running.event("reloaded")[0]["continued"] is False


class _Renamed:
    """A bundle whose outputs have other names."""

    def __init__(self, bundle: Bundle, outputs: Any) -> None:
        self.path, self.contract = bundle.path, replace(bundle.contract, outputs=outputs)


def test_reload_continues_bit_for_bit(tmp_path: Path) -> None:
    """A model that is exchanged for itself in mid-stream gives the estimates of one that was not."""
    from firmware_bridge.tools.record import record
    from runtime.pipeline.estimator import Estimator
    from runtime.pipeline.intake import Intake

    path = tmp_path / "r.etl"
    asyncio.run(record(["sim://synthetic?speed=max&seconds=5"], path))
    items = list(RecordingReader.open(path).items())

    def values(exchange_at: int | None) -> list[Any]:
        model = load_model(ModelSettings(bundle()))
        contract = model.bundle.contract
        intake, estimator = Intake(contract), Estimator(contract, model.engine, clock=lambda: 0.0)
        result = []
        for count, item in enumerate(items):
            if count == exchange_at:
                fresh = Estimator(contract, load_model(ModelSettings(bundle())).engine, clock=lambda: 0.0)
                assert fresh.continue_from(estimator)
                estimator = fresh
            batch = intake.decode(item)
            result += [e.values for e in (estimator.estimate(batch) if batch else [])]
        return result

    plain, exchanged = values(None), values(len(items) // 2)
    assert len(plain) == len(exchanged) > 400
    difference = np.abs(np.array([p for p in plain if p]) - np.array([e for e in exchanged if e]))
    # The LSTM's state was built anew from the window's 64 rows: what it remembers from before them is lost, which is little.
    assert difference.max() < 0.02
    assert (difference[-100:] == 0).mean() > 0.9


def test_disk_full_stops_the_recording_not_the_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = {"bytes": 20_000}
    write = os.write

    def limited(handle: int, data: bytes) -> int:
        if room["bytes"] < len(data):
            raise OSError(28, "No space left on device")
        room["bytes"] -= len(data)
        return write(handle, data)

    class Disk:
        def __getattr__(self, name: str) -> Any:
            return limited if name == "write" else getattr(os, name)

    monkeypatch.setattr(recording, "os", Disk())

    async def work(running: Running) -> None:
        await running.until(lambda: (r := running.daemon.status().recording) is not None and r.trouble)
        status = running.daemon.status()
        assert status.recording is not None and "No space left" in str(status.recording.trouble)
        await running.until(_is(running, State.OK))
        assert running.daemon.advancing
        room["bytes"] = 10_000_000
        await running.until(lambda: running.daemon.status().recording.trouble is None)  # type: ignore[union-attr]
        size = running.daemon.status().recording.bytes  # type: ignore[union-attr]
        await running.until(lambda: running.daemon.status().recording.bytes > size + 10_000)  # type: ignore[union-attr]

    given = settings(GOOD, recording=RecordingSettings(tmp_path))
    running = _run(given, work, timing=Timing(record_again_s=0.5))
    (said,) = running.event("trouble")
    assert said["who"] == "recording" and "No space left" in said["reason"]
    files = sorted(tmp_path.glob("*.etl"), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) >= 2
    whole = RecordingReader.open(files[-1])
    assert len(list(whole.items())) > 10 and whole.closed


@pytest.mark.parametrize("step_s", [-7200.0, 86_400.0])
def test_the_wall_clock_is_set(step_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pi has no clock of its own: the network sets it in mid-run. No estimate changes; only the line's wall clock does."""
    wall_s, wall_ns = time.time, time.time_ns

    async def work(running: Running) -> None:
        await running.until(_is(running, State.OK))
        first = len(running.estimates)
        monkeypatch.setattr(time, "time", lambda: wall_s() + step_s)
        monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + round(step_s * 1e9))
        await running.until(lambda: len(running.estimates) > first + 100)
        assert running.daemon.reader.intake.restarts == 1
        assert not [
            m for m in running.estimates[first:] if "clock-uncertain" in m.reasons or "silent" in m.reasons
        ]
        assert running.daemon.status().clock_error_ms < 25.0  # type: ignore[operator]

    file = tmp_path / "moments.ndjson"
    given = settings(GOOD, sinks=(f"ndjson:{file}",), recording=RecordingSettings(tmp_path))
    running = _run(given, work)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["sequence"] for line in lines] == [m.sequence for m in running.estimates]
    jumps = np.diff([line["unix_s"] for line in lines])
    assert np.count_nonzero(np.abs(jumps - step_s) < 5) == 1
    (recorded,) = tmp_path.glob("*.etl")
    whole = RecordingReader.open(recorded)
    assert list(whole.items()) and whole.closed


def test_engine_slower_than_the_rate() -> None:
    """A step takes 25 ms where 10 are asked for, a window 15 ms: every n-th row, said, and the queue does not grow."""

    def slow(given: ModelSettings) -> LoadedModel:
        model = load_model(given)
        step, window = model.engine.step, model.engine.window

        def late(call: Any, seconds: float) -> Any:
            def run(rows: Any) -> Any:
                time.sleep(seconds)
                return call(rows)

            return run

        model.engine.step = late(step, 0.025)  # type: ignore[method-assign]
        model.engine.window = late(window, 0.015)  # type: ignore[method-assign]
        return model

    async def work(running: Running) -> None:
        await running.until(_is(running, State.DEGRADED, "decimated"))
        lengths, begun = [], running.daemon.status().rows_decimated

        def decimated() -> bool:
            lengths.append(running.daemon.status().queue_length)
            return running.daemon.status().rows_decimated > begun + 150

        await running.until(decimated)
        status = running.daemon.status()
        assert status.model.every >= 2 and status.model.graph == "window"
        assert status.queue_dropped == 0
        assert np.mean(lengths[len(lengths) // 2 :]) < 20

    _run(settings(GOOD), work, load=slow)


def test_the_watchdog_is_fed_only_while_samples_and_estimates_advance(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    port = Port(tmp_path / "node")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        heard: list[str] = []

        def listen() -> list[str]:
            while True:
                try:
                    heard.append(manager.recv(4096).decode())
                except BlockingIOError:
                    return heard

        async def work(running: Running) -> None:
            await running.until(lambda: "READY=1" in listen())
            silent = len(running.estimates)
            # No sensor: nothing advances, however often that is looked at and said.
            await running.until(lambda: len(running.estimates) >= silent + 5)
            assert "WATCHDOG=1" not in listen()
            async with port.plugged():
                await running.until(lambda: listen().count("WATCHDOG=1") >= 3)
                await running.until(lambda: any(text.startswith("STATUS=ok") for text in listen()))
            await running.until(lambda: not running.daemon.advancing)
            fed, silent = listen().count("WATCHDOG=1"), len(running.estimates)
            await running.until(lambda: len(running.estimates) >= silent + 5)
            assert listen().count("WATCHDOG=1") <= fed + 1

        environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        _run(settings(f"serial://{port.path}?reconnect_s=0.1"), work, environment)
        assert "STOPPING=1" in listen()


@pytest.mark.usefixtures("dbus_daemon")
def test_ble_bus_dies_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    (programme,) = programmes("synthetic", 1)
    link = VirtualLink(VirtualNode(programme, max_frame=ble_node.MAX_FRAME, streaming=False))
    began = time.monotonic()

    @asynccontextmanager
    async def world() -> AsyncIterator[None]:
        with PrivateBus() as address:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            ready = asyncio.Event()
            job = ble_node.serve([link], address, lambda: time.monotonic() - began, ready=ready.set)
            task = asyncio.create_task(job)
            await asyncio.wait(
                {task, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def all_of_it() -> None:
        url = f"ble://{ble_node.address_of(0)}?scan_s=2&silence_s=0.5"
        running = Running(replace(settings(url), rules=PATIENT))

        async def work(_: Running) -> None:
            await running.until(_is(running, State.OK))

        async with world():
            task = asyncio.create_task(running.daemon.run(60))
            await work(running)
        await running.until(_is(running, State.INVALID, "silent"))
        assert not running.daemon.status().links[0].up
        async with world():
            await running.until(_is(running, State.OK))
            running.daemon.stop()
            await task
        assert running.event("link down") and running.event("link up")

    asyncio.run(all_of_it())


def test_broker_that_is_down_does_not_stop_moments() -> None:
    require_package("paho.mqtt.client")
    with socket.socket() as taken:  # bound and not listening: nobody answers
        taken.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{taken.getsockname()[1]}/moments"

        async def work(running: Running) -> None:
            await running.until(_is(running, State.OK))
            await running.until(lambda: running.daemon.status().sinks[0].trouble is not None)
            count = len(running.estimates)
            await running.until(lambda: len(running.estimates) > count + 50)
            assert running.is_state(State.OK)

        running = _run(settings(GOOD, sinks=(url,)), work)
    # The log says so, once.
    (said,) = running.event("trouble")
    assert said["level"] == "warning" and url in said["who"] and "cannot reach the broker" in said["reason"]


def test_faulty_link_ends_in_balanced_books() -> None:
    source = f"{GOOD}?drop=0.05&duplicate=0.02&reorder=0.02&flip=0.01&reboot_s=2"

    async def work(running: Running) -> None:
        await running.until(lambda: len(running.estimates) > 350)
        (node,) = running.daemon.status().nodes
        ledger = dict(node.ledger)
        assert ledger.pop("sent") == sum(ledger.values())
        assert node.reboots == 1 and ledger["gap"] > 0 and ledger["duplicate"] > 0
        assert all(stream.rows_in_gaps > 0 for stream in running.daemon.status().streams)

    _run(settings(source), work)


def test_links_of_faults_are_parsed() -> None:
    """The simulator's faults are those of docs/BRIDGE.md; a wrong one is an error at the start, not a silent no."""
    from toolkit.errors import UsageError

    with pytest.raises(UsageError, match="drip"):
        Running(settings(f"{GOOD}?drip=1"))
    assert Faults.parse({"drop": "0.1"}).drop == 0.1
