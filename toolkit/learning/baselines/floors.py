"""Two floors: a straight line through the recent past, and what the average person does at this point of the gait cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from toolkit.records import Windows

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

#: A lag every so many samples of the window, from the newest back.
LAG_STEP = 4
#: Strengths of ridge's pull towards zero; the validation part chooses.
ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
#: Bins of the gait cycle.
BINS = 50
#: A cycle outside these bounds, in seconds, is a missed heel strike or a pause.
_CYCLE_S = (0.4, 2.5)


@dataclass(frozen=True, eq=False)
class Ridge:
    """Linear in every channel at every fourth sample of the window; ``weights`` (features, outputs), ``offset`` (outputs,)."""

    weights: Float64
    offset: Float64
    alpha: float

    def estimate(self, windows: Windows) -> Float32:
        """Moments (n, outputs) in Nm/kg."""
        return (lagged(windows) @ self.weights + self.offset).astype(np.float32)


def lagged(windows: Windows) -> Float64:
    """(n, lags x channels): every ``LAG_STEP``-th sample of each window, the newest included."""
    parts = [values[:, ::-LAG_STEP] for values in windows.inputs.values()]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(np.float64)


def fit_ridge(train: Windows, validation: Windows) -> Ridge:
    """Least squares with the pull that gives the smallest validation error (scikit-learn)."""
    from sklearn.linear_model import Ridge as Model

    x, y = lagged(train), train.targets.astype(np.float64)
    fitted = []
    for alpha in ALPHAS:
        model = Model(alpha=alpha).fit(x, y)
        # Of one output scikit-learn gives a vector.
        weights = np.asarray(model.coef_).reshape(y.shape[1], -1).T
        ridge = Ridge(weights, np.asarray(model.intercept_).reshape(-1), alpha)
        error = ridge.estimate(validation) - validation.targets
        fitted.append((float((error**2).mean()), ridge))
    return min(fitted, key=lambda one: one[0])[1]


@dataclass(frozen=True, eq=False)
class AverageCurve:
    """The mean moment of the training people at each point of the gait cycle, of each task.

    It is told the task and the true heel strikes, which no sensor model is: a floor, not a method. ``curves[task]`` is
    (BINS, outputs); ``outside[task]`` (outputs,) is for times outside a cycle; a task that training lacks takes the mean.
    """

    curves: dict[str, Float64]
    outside: dict[str, Float64]

    def estimate(self, windows: Windows) -> Float32:
        """Moments (n, outputs) in Nm/kg."""
        phase, task = phases(windows), _tasks(windows)
        result = np.empty(windows.targets.shape)
        for row, (at, name) in enumerate(zip(phase, task)):
            known = name if name in self.curves else ""
            inside = np.isfinite(at)
            result[row] = self.curves[known][int(at * BINS)] if inside else self.outside[known]
        return result.astype(np.float32)


def fit_average_curve(train: Windows) -> AverageCurve:
    """Every window of the train part counts once."""
    phase, task, targets = phases(train), np.array(_tasks(train)), train.targets.astype(np.float64)
    curves, outside = {}, {}
    for name in ("", *dict.fromkeys(task)):
        own = np.ones(len(task), np.bool_) if name == "" else task == name
        mean = targets[own].mean(axis=0)
        curves[name] = _curve(phase[own], targets[own], mean)
        outside[name] = mean
    return AverageCurve(curves, outside)


def _curve(phase: Float64, targets: Float64, mean: Float64) -> Float64:
    known = np.isfinite(phase)
    bins = (phase[known] * BINS).astype(np.int64)
    curve = np.full((BINS, targets.shape[1]), np.nan)
    for number in np.unique(bins):
        curve[number] = targets[known][bins == number].mean(axis=0)
    empty = np.isnan(curve[:, 0])
    if empty.all():
        return np.tile(mean, (BINS, 1))
    at = np.arange(BINS)
    for column in curve.T:  # a bin that no window fell into lies between its neighbours
        column[empty] = np.interp(at[empty], at[~empty], column[~empty], period=BINS)
    return curve


def phases(windows: Windows) -> Float64:
    """Place of each window's newest sample in its gait cycle, 0 to below 1; NaN outside a whole cycle."""
    result = np.full(len(windows), np.nan)
    for index, recording in enumerate(windows.recordings):
        rows = np.flatnonzero(windows.recording == index)
        for start, stop in pairwise(recording.heel_strikes_s):
            if _CYCLE_S[0] <= stop - start <= _CYCLE_S[1]:
                time = windows.time_s[rows]
                own = rows[(time >= start) & (time < stop)]
                result[own] = (windows.time_s[own] - start) / (stop - start)
    return result


def _tasks(windows: Windows) -> Sequence[str]:
    return [windows.recordings[index].task for index in windows.recording]
