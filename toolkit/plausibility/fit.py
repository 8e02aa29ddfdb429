"""How far a person who walks may be from his own calibration walk, learnt from training people task by task.

Everything is in deviations from the person's own walk (:func:`deviations`), so that what makes people differ from each
other counts for nothing. For each task: the mean deviation, what a faster walk adds, and the covariance of what is left, sensor
by sensor. A sensor's distance is the root mean square of its whitened deviations (Mahalanobis 1936). How large it may be is
found by leaving one person out at a time.

Late EMG changes the timing of each task in another way, so the delay has weights and a limit of each task's own: those that
are best for a small delay under the covariance of what training people's timing does anyway (generalised least squares, Aitken
1935).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.layout import SensorLayout
from toolkit.calibration.moments import PER_ELECTRODE, PER_IMU, MomentLayout, Span, spans_of
from toolkit.calibration.own_walk import own_moments
from toolkit.errors import RecordingError
from toolkit.plausibility.deviation import OwnWalk, deviations, figures, speed, walks
from toolkit.plausibility.familiar import Familiar, packed_size
from toolkit.plausibility.fit_rows import fit_rows

Float = NDArray[np.float64]
Values = NDArray[np.float32]

#: Fewer people say nothing of somebody else.
LEAST_PEOPLE = 3
#: A limit is this much above the largest figure of a person left out: distances of IMUs, electrodes and timings, then squares
#: and sizes, delays and rows. Of :data:`_MARGINS_OF` people; of fewer it is wider, for the next is further than all of N people
#: with a probability of 1/(N + 1). Of 24 other synthetic people 0.6 % of spans are doubted then; with 1.1 for electrodes 2 %.
_MARGINS = (1.05, 1.3, 1.3, 1.05)
_MARGINS_OF = 15
#: Added to a covariance: 1 % of deviation in square, and a thousandth of the mean variance: no direction is without any.
_LEAST, _RIDGE = 0.01**2, 1e-3
#: Ridge of the timing's covariance, of its mean variance: it has more directions than people. Half of the covariance is the
#: task's own, half that of all tasks.
_TIMING_RIDGE, _OWN_TIMING = 0.05, 0.5
#: Spans begin at this many places of half a triangle: a session's begin anywhere in a stride.
_PLACES = 4


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
    """Deviations (triangles, F) and speeds (triangles,) of one recording; what a second of delay adds to the timing (m, n)."""

    person: str
    task: str
    deviations: Float
    speeds: Float
    late: Float


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
    prints = _prints(walks, own, shape)
    if not prints:
        raise RecordingError(
            "no recording has four seconds of walking beside the calibration's: nothing can be learnt"
        )
    margins = 1.0 + (np.array(_MARGINS) - 1.0) * _MARGINS_OF / len(people)
    limits, delays = _limits(prints, people, shape, margins)
    row, novelty = fit_rows({person: [w.rows for w in walks if w.person == person] for person in people})
    return replace(
        _fitted(prints, shape),
        limits=limits,
        delays=delays,
        row=row,
        novelty=np.array([novelty * margins[3]], np.float32),
    )


def _limits(
    prints: Sequence[_Print], people: Sequence[str], shape: MomentLayout, margins: Float
) -> tuple[Values, Values]:
    """Limits of the figures, and of each task's delay: the largest of people left out, times ``margins``."""
    held, delays = [], dict.fromkeys(sorted({one.task for one in prints}), 0.0)
    for person in people:
        others = _fitted([one for one in prints if one.person != person], shape)
        known = set(others.tasks)
        for one in (p for p in prints if p.person == person and p.task in known):
            found = _figures(others, one, shape)
            held.append(found[:, :-1])
            delays[one.task] = max(delays[one.task], float(found[:, -1].max()))
    n, m = shape.imus, shape.electrodes
    times = np.repeat([*np.square(margins[:3]), margins[3]], (n, m, m, 2 * n))
    # A task that one person alone did has no limit of its own.
    most = max(delays.values())
    return (
        np.asarray(np.max(np.concatenate(held), axis=0) * times, np.float32),
        np.array([(size or most) * margins[3] for size in delays.values()], np.float32),
    )


def _prints(walks: Sequence[Walked], own: Mapping[str, OwnWalk], shape: MomentLayout) -> list[_Print]:
    """Deviations of all recordings, and what a second of delay of EMG adds to their timing."""
    prints = []
    _, electric = shape.columns
    step = max(1, round(0.03 * shape.layout.grid_rate_hz))
    for walk in walks:
        mine = own.get(walk.person)
        if mine is None:
            continue
        rows = _judged_rows(walk, shape)
        starts = [rows[shape.half * k // _PLACES :] for k in range(_PLACES)]
        found = _walked([span for part in starts for span in spans_of(part, shape)], mine, shape)
        if not found:
            continue
        ends = []
        for shift in (-step, step):
            moved = rows.copy()
            moved[:, electric] = np.roll(rows[:, electric], shift, axis=0)
            away, _ = _deviations(spans_of(moved, shape), mine, shape)
            ends.append(shape.split(away)[2].mean(axis=0))
        late = (ends[1] - ends[0]) * shape.layout.grid_rate_hz / (2 * step)
        prints.append(_Print(walk.person, walk.task, *_deviations(found, mine, shape), late))
    return prints


def _judged_rows(walk: Walked, shape: MomentLayout) -> Values:
    """Rows of ``walk`` that the person was not calibrated on: of those he is no distance from himself. Of a recording that has
    hardly more than the calibration, from its middle on."""
    rows = np.asarray(walk.rows, np.float32)
    after = rows[walk.own_rows :]
    return after if len(after) >= 2 * shape.half else rows[walk.own_rows // 2 :]


def _walked(spans: Sequence[Span], own: OwnWalk, shape: MomentLayout) -> list[Span]:
    """Those that would be judged."""
    return [span for span in spans if walks(speed(span.moments, own, shape), span.paces, own, shape)]


def _deviations(found: Sequence[Span], own: OwnWalk, shape: MomentLayout) -> tuple[Float, Float]:
    away = np.array([deviations(one.moments, own, shape) for one in found], np.float64)
    fast = np.array([speed(one.moments, own, shape) for one in found], np.float64)
    return away, fast


def _fitted(prints: Sequence[_Print], shape: MomentLayout) -> Familiar:
    """All but the limits, which are infinite, and what rows are held against, which is empty."""
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
    late = [np.mean([one.late for one in prints if one.task == name], axis=0) for name in names]
    lag = _lags([shape.split(part)[2].reshape(len(part), -1) for part in left], late)

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
        single(lag, len(names), m, n),
        single(late, len(names), m, n),
        np.full(3 * n + 2 * m, np.inf, np.float32),
        np.full(len(names), np.inf, np.float32),
        np.zeros(0, np.float32),
        np.full(1, np.inf, np.float32),
    )


def _lags(timing: Sequence[Float], late: Sequence[Float]) -> list[Float]:
    """Of each task the weights of its timing's deviations (spans, electrodes * IMUs) that give a delay in s."""
    own = [one.T @ one / max(len(one), 1) for one in timing]
    pooled = np.mean(own, axis=0)
    result = []
    for one, slope in zip(own, late):
        wanted = slope.reshape(-1)
        covariance = _OWN_TIMING * one + (1.0 - _OWN_TIMING) * pooled
        covariance = covariance + np.eye(len(covariance)) * (
            _LEAST + _TIMING_RIDGE * np.trace(covariance) / max(len(covariance), 1)
        )
        weights = np.linalg.solve(covariance, wanted) if wanted.size else wanted
        result.append(weights / max(float(weights @ wanted), 1e-9))
    return result


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
