"""Do error bars hold what they say: the share of reference moments inside, and how wide the intervals are.

For rows i and joints j, half widths h and errors e = estimate - reference in Nm/kg: ``coverage`` is the share of |e| <= h,
``half_width`` the mean of h. Of people it is each person's own share; error bars promise the mean over people, not everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.uncertainty import ErrorBars


@dataclass(frozen=True)
class Inside:
    """Of some moments, the share inside their interval and the mean half width, Nm/kg."""

    coverage: float
    half_width: float


@dataclass(frozen=True)
class Coverage:
    """``level`` is what is meant; the rest is what was found."""

    level: float
    overall: Inside
    per_joint: Mapping[str, Inside]
    per_task: Mapping[str, Inside]
    per_task_joint: Mapping[str, Mapping[str, Inside]]
    per_person: Mapping[str, Inside]

    @property
    def over_people(self) -> float:
        """The mean of the people's own shares."""
        return float(np.mean([one.coverage for one in self.per_person.values()]))


def coverage_of(
    error_bars: ErrorBars,
    target: NDArray[Any],
    estimate: NDArray[Any],
    task: Sequence[str],
    person: Sequence[str],
) -> Coverage:
    """Of estimates (rows, joints) against ``target``, whose task and person are given row by row."""
    half = error_bars.half_widths(np.asarray(estimate, np.float32)).astype(np.float64)
    inside = np.abs(np.asarray(estimate, np.float64) - np.asarray(target, np.float64)) <= half
    joints = error_bars.outputs
    places = range(len(joints))

    def part(rows: NDArray[Any] | slice, columns: Sequence[int]) -> Inside:
        chosen = list(columns)
        return Inside(float(inside[rows][:, chosen].mean()), float(half[rows][:, chosen].mean()))

    tasks, people = np.array(task), np.array(person)
    by_task = {name: tasks == name for name in sorted(set(task))}
    every = slice(None)
    return Coverage(
        error_bars.level,
        part(every, places),
        {joint: part(every, [place]) for place, joint in enumerate(joints)},
        {name: part(rows, places) for name, rows in by_task.items()},
        {
            name: {joint: part(rows, [place]) for place, joint in enumerate(joints)}
            for name, rows in by_task.items()
        },
        {name: part(people == name, places) for name in sorted(set(person))},
    )
