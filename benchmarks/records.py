"""The result of a bench as records. Files and tables are made from these and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.accuracy import Accuracy, Scores
from benchmarks.evaluation.coverage import Coverage
from benchmarks.evaluation.latency import Latency
from benchmarks.evaluation.windows import Evaluation

#: Version of the JSON in docs/BENCH.md.
SCHEMA = 1
#: The engine of the float baseline: the checkpoint itself.
BASELINE = "torch"


@dataclass(frozen=True)
class Size:
    """Bytes of the model file, and of the memory an engine plans for it (None: it does not say)."""

    model_bytes: int
    arena_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What a target hands back for one engine and graph: moments (n, outputs) in Nm/kg and what it cost.

    ``how`` tells how the numbers were obtained. ``figures`` are a target's further figures for the JSON
    (say instructions, flash, stack), each with its own label there. ``judged_latency`` is False where the time is
    not that of a deployment (TFLM on a workstation), so that no time budget is held against it. ``converter``
    is whose graph it is: a peer's is there to compare with. ``rows`` are the windows that were run where a target takes
    only a part of them (None: all); ``estimates`` has their number of rows.
    """

    target: str
    engine: str
    graph: str
    scheme: str
    version: str
    how: str
    estimates: NDArray[np.float32]
    latency: Latency | None
    size: Size
    judged_latency: bool = True
    converter: str = "edgetool"
    figures: Mapping[str, Any] = field(default_factory=dict)
    rows: NDArray[np.int64] | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether this is the float model itself."""
        return self.engine == BASELINE

    @property
    def name(self) -> str:
        """What tables call it."""
        peer = "" if self.converter == "edgetool" else f" by {self.converter}"
        return f"{self.engine} {self.scheme} {self.graph}{peer}"


@dataclass(frozen=True, eq=False)
class Run:
    """One row of a report.

    ``compared_with`` names the float row that increase and error are against: for an int8 stream the float stream, which
    carries its state in the same way. ``from_window`` are then its scores against the float windows, else None. ``coverage`` is
    that of the bundle's error bars, None if it has none.
    """

    measured: Measured
    accuracy: Accuracy
    compared_with: str = BASELINE
    from_window: Scores | None = None
    coverage: Coverage | None = None


@dataclass(frozen=True)
class Skipped:
    """A row that is not there, and why."""

    target: str
    engine: str
    graph: str
    scheme: str
    reason: str


@dataclass(frozen=True)
class Build:
    """How the code of an emulated target came about: compiler, flags, and SHA-256 of the image and of each source file."""

    board: str
    emulator: str
    compiler: str
    flags: tuple[str, ...]
    image_sha256: str
    model_hash: str
    contract_hash: str
    sources: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a target hands back. ``build``: how the code that ran there was built, where that happened here."""

    rows: tuple[Measured, ...]
    skipped: tuple[Skipped, ...] = ()
    build: Build | None = None


def figure(value: float) -> str:
    """A value or a bound in a message: thousands with commas, never as a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


@dataclass(frozen=True)
class Broken:
    """A budget that a row breaks: ``value`` is above ``bound``."""

    budget: str
    row: str
    value: float
    bound: float

    def __str__(self) -> str:
        return f"{self.budget} of {self.row} is {figure(self.value)}, the bound is {figure(self.bound)}"


@dataclass(frozen=True)
class NotJudged:
    """A bound that a target has no figure for, and why."""

    target: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} on {self.target}: {self.reason}"


@dataclass(frozen=True)
class Budgets:
    """The bounds that the user set (None: not set), the rows that break them, and what could not be held against them."""

    max_rmse_increase_pct: float | None = None
    max_p99_us: float | None = None
    broken: tuple[Broken, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """Everything a bench found. ``runs`` begins with the float baseline; ``command`` repeats the bench.

    ``targets`` are those that were asked for, in that order. ``devices`` are the rows of targets that ran a part of the
    windows, each judged on the rows it ran. ``builds`` are of the targets whose code was built here.
    """

    bundle: Mapping[str, Any]
    data: Evaluation
    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...]
    budgets: Budgets
    machine: Mapping[str, Any]
    threads: int
    seed: int
    command: str
    targets: tuple[str, ...] = ("host",)
    devices: tuple[Run, ...] = ()
    builds: Mapping[str, Build] = field(default_factory=dict)

    @property
    def baseline(self) -> Run:
        """The float model's row."""
        return self.runs[0]
