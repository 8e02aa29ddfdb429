"""What the jobs of a comparison estimated, and how good that is: by model, person, joint and task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning import statistics
from benchmarks.learning.comparison import ANGLES, CHECKPOINT, ENTRY
from quantization.importers.network import load_model
from toolkit.errors import CheckpointError, RecordingError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.float_model import FloatModel

Float = NDArray[np.float64]

#: Points of the gait cycle at which curves are drawn and tested, 0 to 100 %.
POINTS = 101


@dataclass(frozen=True, eq=False)
class Estimates:
    """One job's rows: n windows. ``rotated[angle]`` is NaN where it was not estimated, and absent without IMUs to turn."""

    about: Mapping[str, Any]
    person: NDArray[np.str_]
    task: NDArray[np.str_]
    recording: NDArray[np.str_]
    time_s: Float
    phase: Float
    reference: Float
    estimate: Float
    rotated: Mapping[int, Float]

    @property
    def outputs(self) -> list[str]:
        """Names of the moments."""
        return list(self.about["outputs"])


def read(path: Path) -> Estimates:
    """A job's file; RecordingError if it is none."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        about = json.loads(table.schema.metadata[ENTRY])
        names = list(about["outputs"])
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        rotated = {
            angle: _stack(columns, f"rotated_{angle}", names)
            for angle in ANGLES
            if f"rotated_{angle}.{names[0]}" in columns
        }
        words = {name: columns[name].astype(np.str_) for name in ("person", "task", "recording")}
        return Estimates(
            about,
            words["person"],
            words["task"],
            words["recording"],
            columns["time_s"],
            columns["phase"].astype(np.float64),
            _stack(columns, "reference", names),
            _stack(columns, "estimate", names),
            rotated,
        )
    except (pyarrow.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{path} is not a result of edgetool compare ({type(error).__name__}); delete it, and the job runs again"
        ) from None


def _stack(columns: Mapping[str, NDArray[Any]], what: str, names: Sequence[str]) -> Float:
    return np.stack([columns[f"{what}.{name}"] for name in names], axis=1).astype(np.float64)


def holds_network(path: Path) -> bool:
    """Whether the job's network lies in its file: a floor has none, and versions before 0.2 kept the Cross-LSTM's alone."""
    return _network(path) is not None


def network_of(path: Path) -> FloatModel:
    """The network that a job trained; CheckpointError if its file holds none."""
    content = _network(path)
    if content is None:
        raise CheckpointError(f"{path} holds no network: it is not the result of one")
    return load_model(content, str(path))


def checkpoint_of(path: Path) -> Checkpoint:
    """The Cross-LSTM that a job trained; CheckpointError if its file holds none."""
    found = network_of(path)
    if not isinstance(found, Checkpoint):
        raise CheckpointError(f"{path} holds no checkpoint: it is not the result of a Cross-LSTM")
    return found


def _network(path: Path) -> bytes | None:
    from pyarrow import parquet

    content: bytes | None = (parquet.read_schema(path).metadata or {}).get(CHECKPOINT)
    return content


@dataclass(frozen=True)
class Scores:
    """``rmse`` in Nm/kg; ``nrmse_pct`` of the reference's range; r2 and r are None where the reference does not vary."""

    windows: int
    rmse: float
    nrmse_pct: float | None
    r2: float | None
    r: float | None


def scores(reference: Float, estimate: Float) -> Scores:
    """Of one joint, (n,) each."""
    error = estimate - reference
    rmse = float(np.sqrt((error**2).mean()))
    spread, varies = float(np.ptp(reference)), float(reference.var())
    r = None
    if varies > 0 and estimate.var() > 0:
        r = float(np.corrcoef(reference, estimate)[0, 1])
    return Scores(
        len(reference),
        rmse,
        100 * rmse / spread if spread > 0 else None,
        1 - rmse**2 / varies if varies > 0 else None,
        r,
    )


@dataclass(frozen=True, eq=False)
class ModelResult:
    """One model over all people, seeds averaged.

    ``people``: names; ``rmse`` (people, outputs), and ``rmse_all`` (people,) over all moments together; ``by_joint[joint]`` and
    ``by_task[task][joint]`` hold for each score its mean over people, in the order of the fields of :class:`Scores`;
    ``rotated[angle]`` (people,) is the RMSE with sensors turned and ``upright`` (people,) that of the same windows;
    ``curves`` (people, POINTS, outputs) are mean estimates over the gait cycle, NaN where unknown, and ``error_curves`` the
    root-mean-square errors there.
    """

    name: str
    weights: int | None
    macs: int | None
    people: tuple[str, ...]
    rmse: Float
    rmse_all: Float
    by_joint: Mapping[str, Mapping[str, float | None]]
    by_task: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    rotated: Mapping[int, Float]
    upright: Float | None
    curves: Float
    error_curves: Float
    seeds: tuple[int, ...]

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval over people of the mean RMSE; None for fewer than five people."""
        return statistics.interval(self.rmse_all)


def gather(name: str, jobs: Sequence[Estimates]) -> ModelResult:
    """All folds and seeds of one model."""
    outputs = jobs[0].outputs
    people = tuple(sorted({str(person) for job in jobs for person in np.unique(job.person)}))
    parts = {
        person: [_of(job, job.person == person) for job in jobs if (job.person == person).any()]
        for person in people
    }
    rmse = np.array([_over([_joint_rmse(job) for job in parts[person]]) for person in people])
    tasks = sorted({str(task) for job in jobs for task in np.unique(job.task)})
    angles = sorted(set.intersection(*(set(job.rotated) for job in jobs)))
    curves, error_curves = zip(*(_curves(parts[person], len(outputs)) for person in people))
    return ModelResult(
        name,
        jobs[0].about["weights"],
        jobs[0].about["macs"],
        people,
        rmse,
        np.array(
            [_over([_all_rmse(job.reference, job.estimate) for job in parts[person]]) for person in people]
        ),
        _table(list(parts.values()), outputs),
        {task: _table([_task(own, task) for own in parts.values()], outputs) for task in tasks},
        {
            angle: np.array([_over([_rotated(job, angle)[1] for job in parts[p]]) for p in people])
            for angle in angles
        },
        np.array([_over([_rotated(job, angles[0])[0] for job in parts[p]]) for p in people])
        if angles
        else None,
        np.stack(curves),
        np.stack(error_curves),
        tuple(sorted({int(job.about["settings"]["seed"]) for job in jobs})),
    )


def _of(job: Estimates, rows: NDArray[np.bool_]) -> Estimates:
    return Estimates(
        job.about,
        job.person[rows],
        job.task[rows],
        job.recording[rows],
        job.time_s[rows],
        job.phase[rows],
        job.reference[rows],
        job.estimate[rows],
        {angle: values[rows] for angle, values in job.rotated.items()},
    )


def _task(jobs: Sequence[Estimates], task: str) -> list[Estimates]:
    return [_of(job, job.task == task) for job in jobs if (job.task == task).any()]


def _over(values: Sequence[Any]) -> Any:
    """Mean over seeds."""
    return np.mean(values, axis=0)


def _joint_rmse(job: Estimates) -> Float:
    result: Float = np.sqrt(((job.estimate - job.reference) ** 2).mean(axis=0))
    return result


def _all_rmse(reference: Float, estimate: Float) -> float:
    return float(np.sqrt(((estimate - reference) ** 2).mean()))


def _rotated(job: Estimates, angle: int) -> tuple[float, float]:
    """RMSE as they were and turned, of the windows that were estimated with turned sensors."""
    rows = np.isfinite(job.rotated[angle][:, 0])
    reference = job.reference[rows]
    return _all_rmse(reference, job.estimate[rows]), _all_rmse(reference, job.rotated[angle][rows])


def _table(
    people: Sequence[Sequence[Estimates]], outputs: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean over people (over seeds first) of each score of each joint."""
    result: dict[str, dict[str, float | None]] = {}
    for place, joint in enumerate(outputs):
        own = [
            [vars(scores(job.reference[:, place], job.estimate[:, place])) for job in jobs]
            for jobs in people
            if jobs
        ]
        result[joint] = {
            field: _mean([_mean([one[field] for one in jobs]) for jobs in own])
            for field in ("rmse", "nrmse_pct", "r2", "r")
        }
    return result


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _curves(jobs: Sequence[Estimates], outputs: int) -> tuple[Float, Float]:
    """Mean estimate, and RMS error, at each percent of the gait cycle, (POINTS, outputs)."""
    mean, error = np.full((2, POINTS, outputs), np.nan)
    phase = np.concatenate([job.phase for job in jobs])
    known = np.isfinite(phase)
    if not known.any():
        return mean, error
    estimate = np.concatenate([job.estimate for job in jobs])[known]
    squares = (estimate - np.concatenate([job.reference for job in jobs])[known]) ** 2
    return by_phase(phase[known], estimate), np.sqrt(by_phase(phase[known], squares))


def by_phase(phase: Float, values: Float) -> Float:
    """Means of ``values`` (n, outputs) at each percent of the cycle, (POINTS, outputs), between neighbours where there is none
    within 3 %, else NaN."""
    bins = np.round(phase * (POINTS - 1)).astype(np.int64)
    counts = np.bincount(bins, minlength=POINTS)
    result = np.full((POINTS, values.shape[1]), np.nan)
    filled = np.flatnonzero(counts)
    at = np.arange(POINTS)
    far = np.abs(at[:, None] - filled[None, :]).min(axis=1) > 3
    for place, column in enumerate(values.T):
        sums = np.bincount(bins, weights=column, minlength=POINTS)
        result[:, place] = np.interp(at, filled, sums[filled] / counts[filled])
    result[far] = np.nan
    return result


def reference_curves(jobs: Sequence[Estimates]) -> Float:
    """Each person's mean reference over the gait cycle, (people, POINTS, outputs)."""
    people = sorted({str(person) for job in jobs for person in np.unique(job.person)})
    result = []
    for person in people:
        own = [_of(job, job.person == person) for job in jobs if (job.person == person).any()][:1]
        known = np.isfinite(own[0].phase)
        empty = np.full((POINTS, own[0].reference.shape[1]), np.nan)
        result.append(by_phase(own[0].phase[known], own[0].reference[known]) if known.any() else empty)
    return np.stack(result)
