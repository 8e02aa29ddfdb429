"""A daemon that a test steers by hand, and a server on a thread that shows it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.histogram import Tally
from runtime.server.app import DashboardServer
from runtime.server.limits import Limits
from runtime.settings import ServerSettings
from runtime.status.status import (
    CalibrationStatus,
    DaemonStatus,
    DiskStatus,
    Finding,
    LinkStatus,
    ModelStatus,
    NodeStatus,
    PartStatus,
    RecordingStatus,
    SensorStatus,
    SinkStatus,
    StreamStatus,
)
from toolkit.data.channels import MUSCLES, SEGMENTS
from toolkit.errors import UsageError

OUTPUTS = ("hip_flexion", "knee_extension", "ankle_plantarflexion")
SLIPPED = "shank IMU turned by about 25 degrees since calibration: has the strap slipped? Calibrate again"
SENSORS = (
    *(SensorStatus(name, "imu", ("orientation",) if name == "shank" else ()) for name in SEGMENTS),
    *(SensorStatus(name, "emg") for name in MUSCLES),
)
TOKEN = "correct-horse-battery"
_T = TypeVar("_T")


def tally(*times_ms: float) -> Tally:
    """A histogram of these times."""
    result = Tally()
    for time_ms in times_ms:
        result.add(time_ms)
    return result


def status_like() -> DaemonStatus:
    """Two nodes, one sink in trouble, nothing else; figures that a person can follow into every place that shows them."""
    ledger = {
        "sent": 1000, "delivered": 980, "crc_failed": 3, "gap": 12, "duplicate": 1, "reordered": 2, "dropped_in_host": 2,
    }  # fmt: skip
    imu = tuple(f"{part}_{axis}" for part in ("foot", "shank") for axis in ("ax", "ay", "gx", "gy"))
    units = ("m/s^2", "m/s^2", "rad/s", "rad/s") * 2
    return DaemonStatus(
        version="0.1.0",
        uptime_s=125.5,
        state=State.OK,
        reasons=(),
        in_state_s=61.25,
        state_seconds={State.OK: 120.0, State.DEGRADED: 4.5, State.STALE: 1.0, State.INVALID: 0.0},
        state_moments={State.OK: 12_000, State.DEGRADED: 450, State.STALE: 10, State.INVALID: 0},
        newest=None,
        advancing=True,
        first_moment_s=1.75,
        age=tally(*[1.4] * 98, 4.2, 22.0).snapshot(),
        source_age=tally(*[12.0] * 100).snapshot(),
        engine_time=tally(*[0.09] * 100).snapshot(),
        deadlines_missed=1,
        rows_decimated=7,
        queue_length=2,
        queue_dropped=5,
        clock_error_ms=0.75,
        undescribed=4,
        untimed=6,
        dropped_bytes=17,
        contract_trouble=None,
        links=(LinkStatus(0, "serial:///dev/ttyUSB0", True, ""), LinkStatus(1, "ble://shank", False, "no answer")),
        nodes=(
            NodeStatus(0, 1, "imu-node", ledger, 1, 0.75, True, -12.5, 87, 0),
            NodeStatus(1, 2, "emg-node", {**ledger, "sent": 2000, "delivered": 1980}, 0, None, False, None, None, None),
        ),
        streams=(
            StreamStatus("imu", "imu", "imu-node", 100.0, 99.8, imu, units, (0.5,) * 8, 8.0, 12_550, 12_500, 25, 3, 1),
            StreamStatus("emg", "emg", "emg-node", 1000.0, None, ("soleus",), ("mV",), (), None, 0, 0, 0, 0, 0),
        ),
        sinks=(
            SinkStatus("udp://192.168.1.20:9000", 12_460, 0, None),
            SinkStatus("mqtt://broker.lan/leg", 12_000, 460, "no connection: refused; tries again in 4 s"),
        ),
        model=ModelStatus(
            "demo/bundle", "ab" * 32, "native", "1", "int8", "stream", 1, OUTPUTS, 100.0, 64, 0.0, 2, 1, None
        ),
        recording=RecordingStatus("/var/lib/edgetool/session.etl", 1_234_567, None),
        rejected={"packet with NaN": 9},
        parts=(PartStatus("reader", 0, None), PartStatus("source serial:///dev/ttyACM0", 2, None)),
        disks=(DiskStatus("/var/lib/edgetool", 12_000_000_000, False),),
        run="6f1d0c2a9b3e",
        recent_s=300.0,
        recent_age=tally(1.4, 2.2).snapshot(),
        recent_deadlines_missed=1,
        labels={"place": "left leg", "data": "synthetic gait"},
        doubts=(SLIPPED,),
        findings=(Finding("orientation", ("shank",), SLIPPED),),
        sensors=SENSORS,
        judged=True, calibration=CalibrationStatus(),
    )  # fmt: skip


class SteeredDaemon:
    """Shows ``shown``, and publishes what it is told to."""

    def __init__(self) -> None:
        self.shown = status_like()
        self.queues: list[asyncio.Queue[Estimate]] = []
        self.sequence = 0
        #: What it was told, and whether it has a recording to tell it to.
        self.noted: list[Any] = []
        self.records = True

    def status(self) -> DaemonStatus:
        return self.shown

    def mark(self, text: str) -> bool:
        self.noted.append(text)
        return self.records

    def describe(self, about: Mapping[str, str]) -> bool:
        self.noted.append(dict(about))
        return self.records

    @property
    def calibrator(self) -> SteeredDaemon:
        return self

    def start(
        self, person: str, strides: int, stand: bool, swing: bool = False, contraction: bool = False
    ) -> None:
        if not self.records:
            raise UsageError("a calibration is in progress: cancel it first")
        self.noted.append((person, strides, stand, swing, contraction))
        self.shown = replace(self.shown, calibration=CalibrationStatus(True, "stand", 0.5))

    def cancel(self) -> bool:
        given_up = self.shown.calibration is not None and self.shown.calibration.running
        self.shown = replace(self.shown, calibration=CalibrationStatus(message="given up"))
        return given_up

    def subscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        self.queues.append(queue)

    def unsubscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        if queue in self.queues:
            self.queues.remove(queue)

    def publish(
        self, state: State = State.OK, reasons: tuple[str, ...] = (), values: tuple[float, ...] | None = None
    ) -> Estimate:
        """One estimate, now; the status shows it. Its values follow a slow sine if none are given."""
        now_ns = time.monotonic_ns()
        if values is None:
            turn = 2 * math.pi * now_ns * 1e-9 / 1.1
            usable = state in (State.OK, State.DEGRADED)
            values = (
                (0.8 * math.sin(turn), 0.5 * math.sin(2 * turn), 1.2 + 0.4 * math.cos(turn)) if usable else ()
            )
        estimate = Estimate(
            self.sequence, now_ns - 12_000_000, 0.75, now_ns - 1_400_000, now_ns, state, reasons, values
        )
        self.sequence += 1
        self.shown = replace(self.shown, newest=estimate, state=state, reasons=reasons)
        for queue in self.queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(estimate)
        return estimate


class Served:
    """A steered daemon with its server on an event loop in a thread; ``do`` runs on that loop."""

    def __init__(
        self, settings: ServerSettings, environment: dict[str, str], root: Path, limits: Limits | None = None
    ) -> None:
        self.daemon = SteeredDaemon()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._walking: Future[None] | None = None
        self.server = DashboardServer(self.daemon, settings, environment, root, limits=limits)
        self.wait(self.server.start())

    @property
    def url(self) -> str:
        return self.server.url

    def wait(self, job: Coroutine[Any, Any, _T]) -> _T:
        """Run ``job`` on the server's loop and give its result."""
        return asyncio.run_coroutine_threadsafe(job, self.loop).result(30)

    def do(self, act: Callable[[SteeredDaemon], _T]) -> _T:
        """Call ``act`` with the daemon, on the server's loop."""

        async def job() -> _T:
            return act(self.daemon)

        return self.wait(job())

    def walk(
        self,
        state: State = State.OK,
        reasons: tuple[str, ...] = (),
        values: tuple[float, ...] | None = None,
    ) -> None:
        """Publish 100 estimates a second of this state from now on."""

        async def job() -> None:
            while True:
                self.daemon.publish(state, reasons, values)
                await asyncio.sleep(0.01)

        self.halt()
        self._walking = asyncio.run_coroutine_threadsafe(job(), self.loop)

    def halt(self) -> None:
        """Publish no more."""
        if self._walking is not None:
            self._walking.cancel()
            self._walking = None

    def close(self) -> None:
        self.halt()
        self.wait(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@contextlib.contextmanager
def served(
    tmp_path: Path,
    settings: ServerSettings | None = None,
    environment: dict[str, str] | None = None,
    limits: Limits | None = None,
) -> Iterator[Served]:
    """A server at a free port of this machine; ``tmp_path`` is its computer's root, without thermal zones."""
    one = Served(settings or ServerSettings(port=0), environment or {}, tmp_path, limits)
    try:
        yield one
    finally:
        one.close()
