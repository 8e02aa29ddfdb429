"""What a daemon is told to do, as values that are valid once they exist. ``config.py`` reads them from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from firmware_bridge.streams.alignment import AlignmentSettings
from runtime.engines import DEFAULT_ENGINE
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.states import Rules


@dataclass(frozen=True)
class ModelSettings:
    """Which bundle runs on which engine. With ``watch`` a changed bundle is loaded without being told to.

    ``calibration`` is the session's file (``edgetool calibrate``), for a model that asks for one; ``uncalibrated`` says what
    to do without it: refuse to start, or publish estimates that are degraded at best. ``trusted_keys`` are PEM files with
    public keys: with any, only a bundle that one of them signed is run, at the start and at every reload.
    """

    bundle: Path
    engine: str = DEFAULT_ENGINE
    scheme: str = "int8"
    watch: bool = False
    calibration: Path | None = None
    uncalibrated: Literal["refuse", "degraded"] = "refuse"
    trusted_keys: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ServerSettings:
    """Where the dashboard, metrics and /healthz are served. ``token_file`` holds the token that others than loopback need."""

    host: str = "127.0.0.1"
    port: int = 8765
    token_file: Path | None = None


@dataclass(frozen=True)
class RecordingSettings:
    """Where what the sensors send is recorded.

    ``max_gb``: all recordings of the prefix together; a new file begins at an eighth of it, and the oldest go. ``keep_days``:
    older ones go. 0: no bound. ``markers``: names of LSL streams whose markers are recorded too.
    """

    folder: Path
    prefix: str = "session"
    max_gb: float = 0.0
    keep_days: float = 0.0
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogSettings:
    """How much is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    form: Literal["text", "json"] = "text"


@dataclass(frozen=True)
class ServiceSettings:
    """Where the daemon stands in the queue for the processor: ``nice`` from -20 (goes first) to 19, ``realtime`` 0 or a
    priority from 1 to 50 (SCHED_FIFO), None: what the command line says. The daemon asks for both itself; a unit allows it."""

    nice: int = 0
    realtime: int | None = None


@dataclass(frozen=True)
class PersonSettings:
    """Who wears the sensors: ``mass_kg``, the body mass, gives moments in Nm as well; 0: not stated."""

    mass_kg: float = 0.0


@dataclass(frozen=True)
class Settings:
    """All of it. ``sinks`` are URLs or tables as :func:`runtime.sinks.open_sink` takes them."""

    model: ModelSettings
    sources: tuple[str, ...]
    inputs: Mapping[str, InputFrom] = field(default_factory=dict)
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    rules: Rules = field(default_factory=Rules)
    sinks: tuple[str | Mapping[str, Any], ...] = ()
    server: ServerSettings | None = None
    recording: RecordingSettings | None = None
    log: LogSettings = field(default_factory=LogSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    labels: Mapping[str, str] = field(default_factory=dict)
    person: PersonSettings = field(default_factory=PersonSettings)
