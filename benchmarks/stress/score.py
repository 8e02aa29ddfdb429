"""From estimates to a row: errors, states, coverage and delay, over the same moments whatever was done to the sensors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.stress.perturbations import Perturbation
from benchmarks.stress.records import REFUSED, JointScore, StressRow
from benchmarks.stress.session import Estimated
from runtime.pipeline.estimate import State

#: How long after it happened a fault must be seen, s: the length of what plausibility judges.
SETTLED_S = 5.0
#: With fewer of the moments than this having an interval there is no coverage to speak of.
_LEAST_INTERVALS = 0.01


@dataclass(frozen=True, eq=False)
class Truth:
    """Of one recording, a row a grid row: ``targets`` (rows, joints), ``counted`` (rows,) and the row of the ``onset``."""

    targets: NDArray[np.float64]
    counted: NDArray[np.bool_]
    onset: int
    rate_hz: float


def row_of(
    perturbation: Perturbation,
    calibrated: bool,
    joints: Sequence[str],
    sessions: Sequence[tuple[Truth, Estimated | None]],
    people: int,
    plain: Sequence[float] | None,
) -> StressRow:
    """``sessions`` are recordings with their estimates, None where the calibration was refused. ``plain`` are the unperturbed
    RMSE of all joints together and of each; None for the unperturbed themselves."""
    rmse, moments = _rmse(sessions, len(joints))
    scores = [
        JointScore(_finite(value), _increase(value, None if plain is None else plain[place]))
        for place, value in enumerate(rmse)
    ]
    states, reasons = _states(sessions, calibrated)
    return StressRow(
        perturbation.name,
        perturbation.size,
        calibrated,
        scores[0],
        dict(zip(joints, scores[1:])),
        states,
        reasons,
        _coverage(sessions),
        _delay_s(sessions, calibrated),
        people,
        moments,
    )


def rmse_of(sessions: Sequence[tuple[Truth, Estimated | None]], joints: int) -> list[float]:
    """RMSE over all joints, then of each, Nm/kg; NaN where nothing is shown."""
    return _rmse(sessions, joints)[0]


def _rmse(sessions: Sequence[tuple[Truth, Estimated | None]], joints: int) -> tuple[list[float], int]:
    squares = [np.empty((0, joints))]
    for truth, found in sessions:
        if found is not None:
            count = len(found.moments)
            errors = (found.moments - truth.targets[:count])[truth.counted[:count]]
            squares.append(errors[np.isfinite(errors).all(axis=1)] ** 2)
    every = np.concatenate(squares)
    if not len(every):
        return [math.nan] * (joints + 1), 0
    return [float(np.sqrt(every.mean())), *np.sqrt(every.mean(axis=0)).tolist()], len(every)


def _increase(rmse: float, plain: float | None) -> float | None:
    return _finite(100.0 * (rmse / plain - 1.0)) if plain else 0.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _settled(truth: Truth, found: Estimated, calibrated: bool) -> NDArray[np.int64]:
    """Rows on which the states are judged: 5 s after it happened, or the last half of what is there if that is too short."""
    rows = np.arange(len(found.states))
    begun = 0 if calibrated else truth.onset
    after = begun + min(round(SETTLED_S * truth.rate_hz), (len(rows) - begun) // 2)
    chosen: NDArray[np.int64] = rows[max(after, truth.onset) :]
    return chosen


def _states(
    sessions: Sequence[tuple[Truth, Estimated | None]], calibrated: bool
) -> tuple[dict[str, float], dict[str, float]]:
    names = [*(state.value for state in State), REFUSED]
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    total = 0
    for truth, found in sessions:
        if found is None:
            count = max(len(truth.counted) - truth.onset, 0)
            states[REFUSED] += count
            reasons["calibration refused"] += count
            total += count
            continue
        rows = _settled(truth, found, calibrated)
        total += len(rows)
        for row in rows:
            states[names[found.states[row]]] += 1
            reasons.update(found.reasons[row])
    shares = {name: states[name] / max(total, 1) for name in names}
    return shares, {reason: count / max(total, 1) for reason, count in reasons.most_common()}


def _coverage(sessions: Sequence[tuple[Truth, Estimated | None]]) -> float | None:
    inside = given = counted = 0
    for truth, found in sessions:
        if found is None:
            continue
        count = len(found.moments)
        chosen = truth.counted[:count]
        half = found.half_widths[chosen]
        with_bar = np.isfinite(half)
        errors = np.abs(found.moments - truth.targets[:count])[chosen]
        inside += int(np.count_nonzero((errors <= half) & with_bar))
        given += int(np.count_nonzero(with_bar))
        counted += half.size
    return inside / given if given and given >= _LEAST_INTERVALS * counted else None


def _delay_s(sessions: Sequence[tuple[Truth, Estimated | None]], calibrated: bool) -> float | None:
    """Median over recordings of the time until the first estimate that is not ok; a refusal is at once."""
    delays = []
    for truth, found in sessions:
        if found is None:
            delays.append(0.0)
            continue
        warm = next((i for i, why in enumerate(found.reasons) if "warm-up" not in why), len(found.reasons))
        begun = max(0 if calibrated else truth.onset, warm)
        bad = np.flatnonzero(found.states[begun:] > State.OK.rank)
        start = 0 if calibrated else truth.onset
        delays.append((begun + int(bad[0]) - start) / truth.rate_hz if len(bad) else math.inf)
    return _finite(float(np.median(delays))) if delays else None
