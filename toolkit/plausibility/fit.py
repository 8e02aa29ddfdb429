"""How far a person who walks may be from his own calibration walk, learnt from training people task by task.

Everything is in deviations from the person's own walk (:func:`deviations`), so that what makes people differ from each
other counts for nothing. For each task: the mean deviation, what a faster walk adds, and the covariance of what is left, sensor
by sensor. A sensor's distance is the root mean square of its whitened deviations (Mahalanobis 1936). How large it may be is
found by leaving one person out at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.layout import SensorLayout
from toolkit.calibration.moments import PER_ELECTRODE, PER_IMU, MomentLayout, moments_of
from toolkit.calibration.own_walk import own_moments
from toolkit.errors import RecordingError
from toolkit.plausibility.deviation import OwnWalk, deviations, figures, speed
from toolkit.plausibility.familiar import Familiar, packed_size

Float = NDArray[np.float64]
Values = NDArray[np.float32]

#: Fewer people say nothing of somebody else.
LEAST_PEOPLE = 3
#: A limit is this much above the largest figure of a person left out: distances of IMUs, electrodes and timings, then the rest.
#: Some people are further from everybody than others: of 30 synthetic people, each left out of what judged him, 1 % of
#: judgements are beyond these.
_MARGINS = (1.05, 1.1, 1.3, 1.05)
#: Added to a covariance: 1 % of deviation in square, and a thousandth of the mean variance: no direction is without any.
_LEAST, _RIDGE = 0.01**2, 1e-3
#: Ridge of the timing's covariance, of its mean variance: it has more directions than people.
_TIMING_RIDGE = 0.05


@dataclass(frozen=True, eq=False)
class Walked:
    """Rows (rows, columns) of the model's inputs of one recording, whose they are and what was done; ``own``: the person was
    calibrated on the first ``own_rows`` of it."""

    person: str
    task: str
    rows: Values
    own_rows: int = 0


@dataclass(frozen=True, eq=False)
class _Print:
    """Deviations (triangles, F) and speeds (triangles,) of one recording."""

    person: str
    task: str
    deviations: Float
    speeds: Float


def fit_familiar(walks: Sequence[Walked], layout: SensorLayout) -> Familiar:
    """What is familiar after ``walks``, each person with the walk of a calibration.

    RecordingError with fewer than three people, for nobody could be left out, and where a calibration walk is none.
    """
    shape = MomentLayout(layout)
    people = sorted({walk.person for walk in walks if walk.own_rows})
    if len(people) < LEAST_PEOPLE:
        raise RecordingError(
            f"learning what is familiar takes at least {LEAST_PEOPLE} people, to leave one out; the data has {len(people)}"
        )
    own = {
        w.person: OwnWalk.of(own_moments(w.rows[: w.own_rows], layout), shape) for w in walks if w.own_rows
    }
    prints, late = _prints(walks, own, shape)
    if not prints:
        raise RecordingError(
            "no recording has four seconds of walking beside the calibration's: nothing can be learnt"
        )
    held = []
    for person in people:
        others = _fitted([one for one in prints if one.person != person], late, shape)
        known = set(others.tasks)
        for one in (p for p in prints if p.person == person and p.task in known):
            held.append(_figures(others, one, shape))
    familiar = _fitted(prints, late, shape)
    n, m = shape.imus, shape.electrodes
    margins = np.repeat(np.square(_MARGINS), (n, m, m, 2 * n + 1))
    margins[n + 2 * m :] = _MARGINS[3]  # the others are squares
    limits = np.max(np.concatenate(held), axis=0) * margins
    return replace(familiar, limits=np.asarray(limits, np.float32))


def _prints(
    walks: Sequence[Walked], own: Mapping[str, OwnWalk], shape: MomentLayout
) -> tuple[list[_Print], Float]:
    """Deviations of all recordings, and what a second of delay of EMG adds to the timing, (electrodes, IMUs)."""
    prints, slopes = [], []
    _, electric = shape.columns
    step = max(1, round(0.03 * shape.layout.grid_rate_hz))
    for walk in walks:
        mine = own.get(walk.person)
        rows = np.asarray(walk.rows[walk.own_rows // 2 :] if walk.own_rows else walk.rows, np.float32)
        found = moments_of(rows, shape)
        if mine is None or not len(found):
            continue
        prints.append(_Print(walk.person, walk.task, *_deviations(found, mine, shape)))
        if electric.size:
            ends = []
            for shift in (-step, step):
                moved = rows.copy()
                moved[:, electric] = np.roll(rows[:, electric], shift, axis=0)
                ends.append(
                    shape.split(_deviations(moments_of(moved, shape), mine, shape)[0])[2].mean(axis=0)
                )
            slopes.append((ends[1] - ends[0]) * shape.layout.grid_rate_hz / (2 * step))
    late = np.mean(slopes, axis=0) if slopes else np.zeros((shape.electrodes, shape.imus))
    return prints, late


def _deviations(found: Values, own: OwnWalk, shape: MomentLayout) -> tuple[Float, Float]:
    away = np.array([deviations(one, own, shape) for one in found], np.float64)
    fast = np.array([speed(one, own, shape) for one in found], np.float64)
    return away, fast


def _fitted(prints: Sequence[_Print], late: Float, shape: MomentLayout) -> Familiar:
    names = tuple(sorted({one.task for one in prints}))
    mean, slope, speeds, left = [], [], [], []
    for name in names:
        theirs = [one for one in prints if one.task == name]
        away = np.concatenate([one.deviations for one in theirs])
        fast = np.concatenate([one.speeds for one in theirs])
        off = fast - fast.mean()
        variance = float(off @ off)
        middle = away.mean(axis=0)
        gain = off @ (away - middle) / variance if variance > 1e-3 * len(off) else np.zeros(shape.size)
        left.append(away - middle - off[:, None] * gain)
        mean.append(middle)
        slope.append(gain)
        speeds.append([fast.min(), fast.mean(), fast.max()])
    imu, _, timing = (part.swapaxes(0, 1) for part in shape.split(np.concatenate(left)))
    flat = timing.swapaxes(0, 1).reshape(-1, shape.electrodes * shape.imus)
    covariance = flat.T @ flat / max(len(flat), 1)
    covariance += np.eye(len(covariance)) * (
        _LEAST + _TIMING_RIDGE * np.trace(covariance) / max(len(covariance), 1)
    )
    weights = np.linalg.solve(covariance, late.reshape(-1)) if late.size else late.reshape(-1)
    weights /= max(float(weights @ late.reshape(-1)), 1e-9)

    def electrode_of(part: Float) -> Float:
        return shape.split(part)[1].swapaxes(0, 1)

    def single(values: Any, *shape_: int) -> Values:
        return np.asarray(values, np.float64).reshape(*shape_).astype(np.float32)

    n, m = shape.imus, shape.electrodes
    return Familiar(
        names,
        single(mean, len(names), shape.size),
        single(slope, len(names), shape.size),
        single(speeds, len(names), 3),
        single([_whitening(one) for one in imu], n, packed_size(PER_IMU)),
        single(
            [[_whitening(o) for o in electrode_of(part)] for part in left],
            len(names),
            m,
            packed_size(PER_ELECTRODE),
        ),
        single([_whitening(one) for one in timing], m, packed_size(n)),
        single(weights, m, n),
        single(late, m, n),
        np.full(3 * n + 2 * m + 1, np.inf, np.float32),
    )


def _whitening(left: Float) -> Float:
    """The inverse of the covariance's Cholesky factor, its lower triangle by rows, over the root of its size."""
    count = left.shape[1]
    covariance = left.T @ left / max(len(left), 1)
    covariance += np.eye(count) * (_LEAST + _RIDGE * np.trace(covariance) / count)
    inverse = np.linalg.inv(np.linalg.cholesky(covariance)) / np.sqrt(count)
    result: Float = inverse[np.tril_indices(count)]
    return result


def _figures(familiar: Familiar, one: _Print, shape: MomentLayout) -> Float:
    """What is limited, (triangles, limits), of a person whom ``familiar`` does not know."""
    found = []
    for away, fast in zip(one.deviations, one.speeds):
        found.append(figures(familiar, away.astype(np.float32), np.float32(fast), shape).limited)
    return np.array(found, np.float64)
