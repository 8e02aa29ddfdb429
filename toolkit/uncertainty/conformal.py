"""Error bars from people that the model did not learn from, by split conformal prediction.

Estimates of one person are alike, those of two people are not: people are what is exchangeable. So

1. a dispersion is fitted, the ``level`` quantile of a joint's absolute error given the estimate, linear in its positive and
   negative parts (quantile regression, Koenker & Bassett 1978, by the MM algorithm of Hunter & Lange 2000, with weights not
   below 0). Every person, and of a person every task, counts as much as any other;
2. the errors of each person are divided by the dispersion that was fitted without them (normalised residuals: Lei et al. 2018,
   section 5.2), and the ``level`` quantile of all these ratios, people counting alike, scales the dispersion of everybody. That
   is conformal prediction (Vovk et al. 2005) with the people's distributions pooled (Dunn, Wasserman & Ramdas 2022, JASA 118,
   "pooling CDFs"): of the next person's estimates about the stated share is inside on average over people, and the more people,
   the nearer. A guarantee for any number of people would cost 1/(people + 1) of coverage and is infinitely wide below nine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import RecordingError, UsageError
from toolkit.uncertainty.error_bars import LEVEL, LEVELS, ErrorBars

Float = NDArray[np.float64]

#: Without a second person nobody could be left out.
LEAST_PEOPLE = 2
#: Steps of the quantile regression; it moves by less than a thousandth after 40.
_STEPS = 60
#: Residuals below this part of the typical error count alike, so that no weight is infinite.
_SMOOTH = 1e-3
#: Nm/kg: no interval is narrower than what a moment itself is known to.
_LEAST_HALF_WIDTH = 1e-4


@dataclass(frozen=True, eq=False)
class Judged:
    """Estimates and true ``targets``, each (rows, outputs) in Nm/kg, of one ``person`` doing one ``task``."""

    person: str
    task: str
    estimates: Float
    targets: Float


def fit_error_bars(
    judged: Sequence[Judged], outputs: Sequence[str], basis: str, level: float = LEVEL
) -> ErrorBars:
    """Error bars that hold ``level`` of the moments of people like those in ``judged``.

    RecordingError with fewer than two people, UsageError for a level that cannot be asked for.
    """
    if not LEVELS[0] <= level <= LEVELS[1]:
        raise UsageError(f"level is {level:g}; it must be between {LEVELS[0]:g} and {LEVELS[1]:g}")
    judged = [one for one in judged if len(one.estimates)]
    people = sorted({one.person for one in judged})
    if len(people) < LEAST_PEOPLE:
        raise RecordingError(
            f"error bars need at least {LEAST_PEOPLE} people that the model did not learn from; there are {len(people)}"
        )
    parts = np.concatenate([_parts(one.estimates) for one in judged])
    errors = np.abs(np.concatenate([one.estimates - one.targets for one in judged]))
    owner = np.repeat([people.index(one.person) for one in judged], [len(one.estimates) for one in judged])
    importance = _importance(judged)
    weights = np.stack(
        [_row(parts, errors[:, joint], owner, importance, level) for joint in range(errors.shape[1])]
    )
    return ErrorBars(tuple(outputs), weights.astype(np.float32), level, len(people), basis)


def _parts(estimates: Float) -> Float:
    """1, then each moment's positive and negative part: (rows, 1 + 2 outputs), as ``ErrorBars.half_widths`` takes them."""
    values = np.asarray(estimates, np.float64)
    both = np.stack([np.maximum(values, 0.0), np.maximum(-values, 0.0)], axis=-1)
    return np.concatenate([np.ones((len(values), 1)), both.reshape(len(values), -1)], axis=1)


def _importance(judged: Sequence[Judged]) -> Float:
    """A weight a row: every person counts alike, and so does every task of a person. They add up to 1."""
    rows: dict[tuple[str, str], int] = {}
    for one in judged:
        rows[one.person, one.task] = rows.get((one.person, one.task), 0) + len(one.estimates)
    tasks = {person: sum(1 for p, _ in rows if p == person) for person, _ in rows}
    people = len(tasks)
    each = [1.0 / (people * tasks[one.person] * rows[one.person, one.task]) for one in judged]
    return np.repeat(each, [len(one.estimates) for one in judged])


def _row(parts: Float, errors: Float, owner: NDArray[np.int64], importance: Float, level: float) -> Float:
    """The weights of one joint: the dispersion of all people, scaled by the quantile of what each left out comes to."""
    ratios = np.empty(len(errors))
    for person in np.unique(owner):
        out = owner == person
        others = _quantile_regression(parts[~out], errors[~out], importance[~out], level)
        ratios[out] = errors[out] / (parts[out] @ others)
    scale = weighted_quantile(ratios, importance, level)
    return scale * _quantile_regression(parts, errors, importance, level)


def _quantile_regression(parts: Float, errors: Float, importance: Float, level: float) -> Float:
    """Weights (columns,) of at least 0 for which ``parts @ weights`` is the ``level`` quantile of ``errors``.

    Each step majorises the pinball loss by a parabola about the residuals of now and solves it.
    """
    from scipy.optimize import nnls

    typical = max(weighted_quantile(errors, importance, level), _LEAST_HALF_WIDTH)
    smooth = _SMOOTH * typical
    weights = np.zeros(parts.shape[1])
    weights[0] = typical
    for _ in range(_STEPS):
        near = smooth + np.abs(errors - parts @ weights)
        root = np.sqrt(importance / near)
        aim = errors + (2.0 * level - 1.0) * near
        # The triangle of a QR decomposition has the same least squares as all rows.
        table = np.asarray(np.linalg.qr(np.column_stack([parts, aim]) * root[:, None], mode="r"))
        weights = nnls(table[:, :-1], table[:, -1])[0]
    weights[0] = max(float(weights[0]), _LEAST_HALF_WIDTH)
    return np.asarray(weights, np.float64)


def weighted_quantile(values: Float, importance: Float, level: float) -> float:
    """The smallest of ``values`` at or below which at least ``level`` of all ``importance`` lies."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(importance[order])
    place = int(np.searchsorted(total, level * total[-1] * (1.0 - 1e-12)))
    return float(values[order[min(place, len(values) - 1)]])
