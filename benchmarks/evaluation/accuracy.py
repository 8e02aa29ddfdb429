"""How well an engine estimates moments: against the reference moments, and against the float model.

Definitions, for n windows and k joints, errors e = estimate - reference in Nm/kg:

- ``rmse``: square root of the mean of e^2 over all windows and joints.
- ``nrmse_pct``: 100 * RMSE / (max - min of the reference), joint by joint; several joints: their mean.
- ``r2``: 1 - sum e^2 / sum (reference - its mean)^2, sums over all joints, each joint about its own mean.
- ``r``: Pearson's correlation, joint by joint; several joints: their mean.
- ``peak_error``: in each gait cycle, the reference's value of largest magnitude against the estimate's extreme
  of the same sign in that cycle; the mean of the absolute differences, Nm/kg.
- ``max_error``: the largest |e| of any window, Nm/kg.
- ``rmse_increase_pct``: 100 * (RMSE / RMSE of the float model on the same windows - 1).
- ``error_vs_float_pct``: 100 * RMS(estimate - float estimate) / standard deviation of the reference. The deviation
  over several joints is the root of the mean of their variances, so that offsets between joints do not flatter it.

What cannot be computed (a constant reference has no R2) is NaN here and null in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.gait_cycles import Units

Values = NDArray[np.float64]

#: Resamples of one bootstrap; the interval's ends move by about 1 % of its width from seed to seed.
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval (Efron 1979) that resamples ``units`` of the kind ``over``."""

    low: float
    high: float
    over: str
    units: int
    level: float = LEVEL


@dataclass(frozen=True)
class Scores:
    """All figures of one engine over some windows and joints; definitions at the top of this module."""

    windows: int
    rmse: float
    nrmse_pct: float
    r2: float
    r: float
    peak_error: float
    max_error: float
    rmse_increase_pct: float
    error_vs_float_pct: float
    rmse_interval: Interval | None = None
    rmse_increase_interval: Interval | None = None


@dataclass(frozen=True)
class Accuracy:
    """Scores over everything, and by joint, by task, and by joint in each task."""

    overall: Scores
    per_joint: Mapping[str, Scores]
    per_task: Mapping[str, Scores]
    per_task_joint: Mapping[str, Mapping[str, Scores]]


@dataclass(frozen=True, eq=False)
class Reference:
    """What every engine is judged against: reference and float moments (n, joints), and how windows group."""

    joints: tuple[str, ...]
    target: Values
    baseline: Values
    task: tuple[str, ...]
    units: Units
    seed: int = 0

    def __post_init__(self) -> None:
        shape = (len(self.task), len(self.joints))
        if self.target.shape != shape or self.baseline.shape != shape:
            raise ValueError(f"target {self.target.shape} and baseline {self.baseline.shape} must be {shape}")


def judge(reference: Reference, estimate: NDArray[Any]) -> Accuracy:
    """All scores of an engine's ``estimate`` (n, joints) in Nm/kg; deterministic from ``reference.seed``."""
    values = np.asarray(estimate, np.float64)
    if values.shape != reference.target.shape:
        raise ValueError(f"estimate has shape {values.shape}, the reference {reference.target.shape}")
    every = np.arange(len(values))
    tasks = sorted(set(reference.task))
    rows = {task: np.flatnonzero(np.array([t == task for t in reference.task])) for task in tasks}
    places = {joint: [i] for i, joint in enumerate(reference.joints)}
    return Accuracy(
        overall=_part(reference, values, every, list(range(len(places))), intervals=True),
        per_joint={j: _part(reference, values, every, p, intervals=True) for j, p in places.items()},
        per_task={
            t: _part(reference, values, rows[t], list(range(len(places))), intervals=True) for t in tasks
        },
        per_task_joint={
            t: {j: _part(reference, values, rows[t], p, intervals=False) for j, p in places.items()}
            for t in tasks
        },
    )


def _part(
    reference: Reference, values: Values, rows: NDArray[np.int64], columns: Sequence[int], *, intervals: bool
) -> Scores:
    pick = np.ix_(rows, np.asarray(columns, np.int64))
    target, estimate, baseline = reference.target[pick], values[pick], reference.baseline[pick]
    plain = scores(target, estimate, baseline, reference.units.take(rows))
    if not intervals:
        return plain
    rmse, increase = bootstrap(target, estimate, baseline, reference.units.take(rows), reference.seed)
    return Scores(**{**vars(plain), "rmse_interval": rmse, "rmse_increase_interval": increase})


def scores(target: Values, estimate: Values, baseline: Values, units: Units) -> Scores:
    """The figures without intervals; all arrays are (n, joints) in Nm/kg, n at least 1."""
    error = estimate - target
    about_mean = target - target.mean(axis=0)
    joint_rmse = np.sqrt(np.mean(error**2, axis=0))
    rmse = _rms(error)
    return Scores(
        windows=len(target),
        rmse=rmse,
        nrmse_pct=float(np.mean([_ratio(100 * v, s) for v, s in zip(joint_rmse, np.ptp(target, axis=0))])),
        r2=1.0 - _ratio(float(np.sum(error**2)), float(np.sum(about_mean**2))),
        r=float(np.mean([_pearson(target[:, i], estimate[:, i]) for i in range(target.shape[1])])),
        peak_error=peak_error(target, estimate, units),
        max_error=float(np.max(np.abs(error))),
        rmse_increase_pct=increase_pct(rmse, _rms(baseline - target)),
        error_vs_float_pct=_ratio(100 * _rms(estimate - baseline), _rms(about_mean)),
    )


def increase_pct(rmse: float, rmse_float: float) -> float:
    """``100 * (rmse / rmse_float - 1)``; 0 when both are 0, NaN when only the float model is perfect."""
    if rmse_float == 0.0:
        return 0.0 if rmse == 0.0 else math.nan
    return 100.0 * (rmse / rmse_float - 1.0)


def peak_error(target: Values, estimate: Values, units: Units) -> float:
    """Mean absolute difference of the peak in each whole gait cycle and joint, Nm/kg (see the module's top)."""
    differences = []
    for rows in units.whole_rows():
        reference, own = target[rows], estimate[rows]
        for column in range(target.shape[1]):
            peak = reference[np.argmax(np.abs(reference[:, column])), column]
            reached = own[:, column].max() if peak >= 0 else own[:, column].min()
            differences.append(abs(reached - peak))
    return float(np.mean(differences)) if differences else math.nan


def bootstrap(
    target: Values, estimate: Values, baseline: Values, units: Units, seed: int
) -> tuple[Interval | None, Interval | None]:
    """Intervals of the RMSE and of its increase over float, resampling whole units with replacement.

    Both models are judged on the same resamples, so that the increase is a paired comparison. None with
    fewer than two units.
    """
    _, index = np.unique(units.resample, return_inverse=True)
    number = int(index.max()) + 1
    if number < 2:
        return None, None
    own = np.bincount(index, np.sum((estimate - target) ** 2, axis=1))
    float_own = np.bincount(index, np.sum((baseline - target) ** 2, axis=1))
    count = np.bincount(index) * target.shape[1]
    draws = np.random.default_rng(seed).multinomial(number, np.full(number, 1.0 / number), size=RESAMPLES)
    rmse = np.sqrt(draws @ own / (draws @ count))
    float_rmse = np.sqrt(draws @ float_own / (draws @ count))
    increase = np.array([increase_pct(a, b) for a, b in zip(rmse, float_rmse)])
    return _interval(rmse, units.over, number), _interval(increase, units.over, number)


def _interval(values: Values, over: str, number: int) -> Interval | None:
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), over, number)


def _rms(values: Values) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _pearson(a: Values, b: Values) -> float:
    a, b = a - a.mean(), b - b.mean()
    return _ratio(float(a @ b), math.sqrt(float(a @ a) * float(b @ b)))
