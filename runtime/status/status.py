"""How a daemon is doing, as one snapshot of plain values, and the two methods through which a page or a metric sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.histogram import Histogram


@dataclass(frozen=True)
class LinkStatus:
    """One way that bytes come in."""

    link: int
    name: str
    up: bool
    reason: str


@dataclass(frozen=True)
class NodeStatus:
    """One node: sent = delivered + crc_failed + gap + duplicate + reordered + dropped_in_host, in frames (docs/BRIDGE.md)."""

    link: int
    node: int
    name: str
    ledger: Mapping[str, int]
    reboots: int
    #: The error bar of its sample times; None before the first frame. Rigorous once ``clock_synced``.
    clock_error_ms: float | None
    clock_synced: bool
    clock_skew_ppm: float | None
    #: What the node says of itself; None if it has not said.
    battery_percent: int | None
    samples_dropped: int | None


@dataclass(frozen=True)
class StreamStatus:
    """One stream that the model uses: ``input`` of the contract, node and name, its channels and what came last."""

    input: str
    name: str
    node: str
    nominal_hz: float
    #: Over the last two seconds; None before there is enough.
    measured_hz: float | None
    channels: tuple[str, ...]
    units: tuple[str, ...]
    #: The newest sample, in the channels' units; empty before the first.
    last: tuple[float, ...]
    #: How long ago its packet came; None before the first.
    silent_ms: float | None
    samples: int
    #: Rows of its regular axis, and how many of them fill gaps, were at full scale, or were not finite.
    rows: int
    rows_in_gaps: int
    rows_saturated: int
    rows_not_finite: int


@dataclass(frozen=True)
class SinkStatus:
    """One sink; ``trouble`` is None when all is well."""

    name: str
    published: int
    dropped: int
    trouble: str | None


@dataclass(frozen=True)
class DiskStatus:
    """The disk below one folder that is written to: ``free_bytes`` (None: it cannot be asked), ``low``: too few of them."""

    folder: str
    free_bytes: int | None
    low: bool


@dataclass(frozen=True)
class PartStatus:
    """One part of the daemon that runs by itself; ``failures`` since the start, ``trouble`` None when it is at work."""

    name: str
    failures: int
    trouble: str | None


@dataclass(frozen=True)
class ModelStatus:
    """What runs."""

    bundle: str
    #: SHA-256 of the bundle's manifest, 64 hex digits.
    hash: str
    engine: str
    version: str
    scheme: str
    #: ``stream`` (one step a row) or ``window`` (the whole window a row).
    graph: str
    #: 1: every row of the grid; n: every n-th, because the engine is slower than the rate.
    every: int
    outputs: tuple[str, ...]
    grid_rate_hz: float
    window: int
    horizon_ms: float
    reloads: int
    reloads_refused: int
    #: Why the last reload was refused; None after a good one.
    reload_trouble: str | None
    #: Share of moments that the half widths are meant to hold, and on how many people they rest; None and 0 without them.
    level: float | None = None
    level_people: int = 0


@dataclass(frozen=True)
class RecordingStatus:
    """The recording of what the sensors send; None in the status if the config has none."""

    file: str
    bytes: int
    trouble: str | None


@dataclass(frozen=True)
class Finding:
    """What is doubted now: its ``kind`` (a reason of docs/DAEMON.md), the ``sensors`` it is about (none: the movement), and a
    line that says what to do."""

    kind: str
    sensors: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class SensorStatus:
    """One IMU (by its segment) or one electrode (by its channel) of the model."""

    name: str
    kind: Literal["imu", "emg"]
    #: Kinds of what is doubted about it; empty: nothing.
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class CalibrationStatus:
    """How a calibration of the session goes: ``step`` (``stand``, ``swing``, ``contract``, ``walk``), the ``share`` of it that
    is done, and what to tell its wearer. When it is over ``message`` says how it ended; ``failed``: without a result."""

    running: bool = False
    step: str = ""
    share: float = 0.0
    message: str = ""
    failed: bool = False


@dataclass(frozen=True)
class DaemonStatus:
    """All of it. Times in s or ms as named; counts since the start."""

    version: str
    uptime_s: float
    #: State of the newest estimate, its reasons, and how long it has been this state without a break.
    state: State
    reasons: tuple[str, ...]
    in_state_s: float
    #: Seconds spent in, and estimates published with, each state.
    state_seconds: Mapping[State, float]
    state_moments: Mapping[State, int]
    newest: Estimate | None
    #: Whether samples and estimates both came within the last second: what the watchdog is fed by.
    advancing: bool
    #: Start to the first estimate that may be used (ok or degraded), None before.
    first_moment_s: float | None
    #: Last byte in to estimate out; its newest sample taken to estimate out; one call of the engine.
    age: Histogram
    source_age: Histogram
    engine_time: Histogram
    #: Estimates whose age was above one period of the grid.
    deadlines_missed: int
    #: Rows of the grid that were not estimated because of a declared decimation.
    rows_decimated: int
    queue_length: int
    #: Batches that the queue to the model dropped, because it was full.
    queue_dropped: int
    #: The largest error bar of the clocks that the model's inputs rest on, None before.
    clock_error_ms: float | None
    #: Packets of streams that no descriptor fits, and without a time.
    undescribed: int
    untimed: int
    dropped_bytes: int
    contract_trouble: str | None
    links: tuple[LinkStatus, ...]
    nodes: tuple[NodeStatus, ...]
    streams: tuple[StreamStatus, ...]
    sinks: tuple[SinkStatus, ...]
    model: ModelStatus
    recording: RecordingStatus | None = None
    #: What seems wrong with sensors or movement, a line each that says what to do (docs/PLAUSIBILITY.md).
    doubts: tuple[str, ...] = ()
    #: The same with the sensors that they are about, and all sensors of the model; of one that takes no calibration only those
    #: that are doubted. ``judged``: whether their wearer has walked, so that no doubt means that none is due.
    findings: tuple[Finding, ...] = ()
    sensors: tuple[SensorStatus, ...] = ()
    judged: bool = False
    #: The wearer's body mass, kg; 0: not stated.
    mass_kg: float = 0.0
    #: None where the session cannot be calibrated from here: a model that takes sensors as they are, or no place for the file.
    calibration: CalibrationStatus | None = None
    #: Words that a page may show: what the config calls this place.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Why frames and packets of all links were not handed on: reason -> count.
    rejected: Mapping[str, int] = field(default_factory=dict)
    disks: tuple[DiskStatus, ...] = ()
    #: Parts that run by themselves: what one of them raises is its own trouble, and it is begun again.
    parts: tuple[PartStatus, ...] = ()
    #: Which run this is: in every estimate, and another at each start.
    run: str = ""
    #: Ages, and how many estimates were older than a period, of the last ``recent_s`` seconds: how it is after months.
    recent_s: float = 0.0
    recent_age: Histogram = field(default_factory=Histogram)
    recent_deadlines_missed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; states by their word."""
        value = asdict(self)
        value["state"] = self.state.value
        value["state_seconds"] = {state.value: s for state, s in self.state_seconds.items()}
        value["state_moments"] = {state.value: n for state, n in self.state_moments.items()}
        if self.newest is not None:
            value["newest"]["state"] = self.newest.state.value
            value["newest"]["age_ms"] = self.newest.age_ms
        return value


class Noted(Protocol):
    """What a person can tell a daemon while it records. All on the daemon's event loop; False: nothing is recorded."""

    def mark(self, text: str) -> bool:
        """Something happens now: a marker in the recording."""
        ...

    def describe(self, about: Mapping[str, str]) -> bool:
        """Who and what is recorded from now on (person, trial): a new file begins, with this at its head."""
        ...


class Calibrated(Protocol):
    """How a person calibrates the session. All on the daemon's event loop."""

    def start(
        self, person: str, strides: int, stand: bool, swing: bool = False, contraction: bool = False
    ) -> None:
        """Begin; how it goes is in the status. Raises an EdgetoolError that says why it cannot."""
        ...

    def cancel(self) -> bool:
        """Stop it: the calibration stays what it was. False if none goes on."""
        ...


class Observed(Noted, Protocol):
    """What a daemon shows to a page, a metrics endpoint or a test, and is told. All on the daemon's event loop."""

    @property
    def calibrator(self) -> Calibrated:
        """What calibrates the session."""
        ...

    def status(self) -> DaemonStatus:
        """A snapshot; cheap enough to be asked for 20 times a second."""
        ...

    def subscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """Put every estimate into ``queue`` from now on. A full queue loses its oldest estimate: sequence numbers show it."""
        ...

    def unsubscribe(self, queue: asyncio.Queue[Estimate]) -> None:
        """No more. Unknown queues are fine."""
        ...
