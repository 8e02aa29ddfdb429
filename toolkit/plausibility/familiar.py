"""What training people's strides look like, task by task, and how far people whom nobody trained on may be from them.

For each task: the mean stride over people, what a higher cadence adds, and the spread over people, phase by phase and channel
by channel. A sensor's distance is the root mean square of its channels' deviations over that spread. How large it may be is
found by leaving one person out at a time: within a person's own data every distance is too small.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.strides import PHASES
from toolkit.errors import ContractError, RecordingError
from toolkit.plausibility.fingerprint import Fingerprint, SensorLayout, fingerprint

Float = NDArray[np.float64]

#: Fewer people say nothing of somebody else.
LEAST_PEOPLE = 3
#: Length of the rows that one fingerprint is made of, and from one to the next, s.
SPAN_S = 5.0
HOP_S = 1.0
#: A fingerprint is laid on a task's stride at up to this many phases earlier or later: people turn fastest at their own time.
SHIFTS = 3
#: Added in square to a spread, in deviations: where all people agree exactly, a tenth of a deviation is still no fault.
_LEAST_SPREAD = 0.05
#: A limit is this much above the largest distance of a person left out: there are few people, and a session is long.
_MARGIN = 1.1
#: A distance beyond this says no more of which task it is.
_FARTHEST = 5.0
#: How far outside the cadences of its people a task's line is followed, strides a second.
_CADENCE_MARGIN_HZ = 0.05


@dataclass(frozen=True, eq=False)
class TaskStride:
    """One task: ``mean``, ``slope`` (per stride a second), ``spread``, each (PHASES, columns); its people's cadences, Hz."""

    mean: Float
    slope: Float
    spread: Float
    cadence_hz: float
    slowest_hz: float
    fastest_hz: float

    def at(self, cadence_hz: float) -> Float:
        """The stride expected at a cadence, which is held within the cadences of the task's people."""
        low, high = self.slowest_hz - _CADENCE_MARGIN_HZ, self.fastest_hz + _CADENCE_MARGIN_HZ
        result: Float = self.mean + (float(np.clip(cadence_hz, low, high)) - self.cadence_hz) * self.slope
        return result


@dataclass(frozen=True, eq=False)
class Match:
    """A fingerprint on the task that it fits best: ``distances[i]`` of sensor i, ``shift`` in phases, what was ``expected``."""

    task: str
    shift: int
    distances: Float
    moved: Float
    expected: Float
    spread: Float


@dataclass(frozen=True, eq=False)
class FamiliarStrides:
    """All tasks, and the largest distance of each sensor that is still familiar."""

    tasks: Mapping[str, TaskStride]
    limits: Mapping[str, float]

    def match(self, print_: Fingerprint, layout: SensorLayout) -> Match:
        """The task that is nearest. IMUs count as much as EMG, and each sensor up to a bound: neither what is wrong with one
        sensor nor with all of a kind chooses it."""
        inertial = np.array([sensor.is_imu for sensor in layout.sensors])
        weight = np.where(inertial, 1.0 / max(inertial.sum(), 1), 1.0 / max((~inertial).sum(), 1))
        best: tuple[float, Match] | None = None
        for name, task in self.tasks.items():
            expected = task.at(print_.cadence_hz)
            moved = rolled(print_.curves, range(-SHIFTS, SHIFTS + 1))
            found = distances(moved, expected, task.spread, layout)
            far = np.minimum(found, _FARTHEST) @ weight
            place = int(far.argmin())
            if best is None or far[place] < best[0]:
                match = Match(name, place - SHIFTS, found[place], moved[place], expected, task.spread)
                best = float(far[place]), match
        assert best is not None
        return best[1]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; arrays as base64 of little-endian float16, which keeps a thousandth of each value."""
        return {
            "phases": PHASES,
            "limits": {name: round(value, 3) for name, value in self.limits.items()},
            "tasks": {
                name: {
                    "mean": _packed(task.mean),
                    "slope": _packed(task.slope),
                    "spread": _packed(task.spread),
                    "cadence_hz": [round(v, 4) for v in (task.slowest_hz, task.cadence_hz, task.fastest_hz)],
                }
                for name, task in self.tasks.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FamiliarStrides:
        """Build from :meth:`to_json`'s form; ContractError says what is wrong."""
        try:
            if value["phases"] != PHASES:
                raise ContractError(
                    f"familiar strides have {value['phases']} phases; this version reads {PHASES}"
                )
            limits = {str(name): float(number) for name, number in value["limits"].items()}
            tasks = {}
            for name, one in value["tasks"].items():
                slowest, middle, fastest = (float(v) for v in one["cadence_hz"])
                mean, slope, spread = (_unpacked(one[kind]) for kind in ("mean", "slope", "spread"))
                if not mean.shape == slope.shape == spread.shape or (spread <= 0).any():
                    raise ContractError(f"familiar strides of task {name!r} do not fit together")
                tasks[str(name)] = TaskStride(mean, slope, spread, middle, slowest, fastest)
            if not tasks or not all(math.isfinite(v) and v > 0 for v in limits.values()):
                raise ContractError("familiar strides need a task, and limits above 0")
            return cls(tasks, limits)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"not familiar strides: {type(error).__name__} at {error}") from None


def distances(moved: Float, expected: Float, spread: Float, layout: SensorLayout) -> Float:
    """Root mean square of each sensor's deviations over the spread, (..., sensors), of ``moved`` (..., PHASES, columns)."""
    squares = ((moved - expected) / spread) ** 2
    result: Float = np.sqrt(squares.mean(axis=-2) @ layout.averages)
    return result


def rolled(curves: Float, shifts: Sequence[int]) -> Float:
    """``curves`` (..., PHASES, columns) later by each of ``shifts``: (shifts, ..., PHASES, columns)."""
    return np.stack([np.roll(curves, shift, axis=-2) for shift in shifts])


@dataclass(frozen=True, eq=False)
class Walked:
    """Rows (rows, columns) of the model's inputs of one recording, whose they are and what was done."""

    person: str
    task: str
    rows: Float


def fingerprints(rows: Float, layout: SensorLayout) -> list[Fingerprint]:
    """Of every span of ``rows``, :data:`HOP_S` apart; spans without strides are left out."""
    length, hop = round(SPAN_S * layout.grid_rate_hz), round(HOP_S * layout.grid_rate_hz)
    spans = (rows[first : first + length] for first in range(0, len(rows) - length + 1, hop))
    return [found for found in (fingerprint(span, layout) for span in spans) if found is not None]


def fit_familiar(walks: Sequence[Walked], layout: SensorLayout) -> FamiliarStrides:
    """What is familiar after ``walks``. RecordingError with fewer than three people: nobody could be left out."""
    people = sorted({walk.person for walk in walks})
    if len(people) < LEAST_PEOPLE:
        raise RecordingError(
            f"familiar strides need at least {LEAST_PEOPLE} people, to leave one out; the data has {len(people)}"
        )
    prints = [(walk.person, walk.task, found) for walk in walks for found in fingerprints(walk.rows, layout)]
    tasks = _tasks(prints)
    if not tasks:
        raise RecordingError("no recording has strides: what is familiar cannot be learnt from it")
    held_out: list[Float] = []
    for person in people:
        others = FamiliarStrides(_tasks([one for one in prints if one[0] != person]), {})
        for owner, task, found in prints:
            if owner == person and task in others.tasks:
                held_out.append(others.match(found, layout).distances)
    limits = _MARGIN * np.max(held_out, axis=0)
    return FamiliarStrides(tasks, {s.name: float(v) for s, v in zip(layout.sensors, limits)})


def _tasks(prints: Sequence[tuple[str, str, Fingerprint]]) -> dict[str, TaskStride]:
    names = sorted({task for _, task, _ in prints})
    return {name: _task([found for _, task, found in prints if task == name]) for name in names}


def _task(prints: Sequence[Fingerprint]) -> TaskStride:
    """Mean, slope and spread of a task's fingerprints, each laid on the mean in turn."""
    curves = np.array([one.curves for one in prints])
    cadence = np.array([one.cadence_hz for one in prints])
    off = cadence - cadence.mean()
    variance = float(np.sum(off**2))
    mean, slope = curves.mean(axis=0), np.zeros(curves.shape[1:])
    for _ in range(3):
        for index in range(len(curves)):
            expected = mean + off[index] * slope
            shifted = rolled(curves[index], range(-SHIFTS, SHIFTS + 1))
            curves[index] = shifted[int(np.sum((shifted - expected) ** 2, axis=(1, 2)).argmin())]
        mean = curves.mean(axis=0)
        if variance > 1e-6:
            slope = np.tensordot(off, curves, axes=1) / variance
    left = curves - mean - off[:, None, None] * slope
    spread = np.sqrt((left**2).mean(axis=0) + _LEAST_SPREAD**2)
    return TaskStride(mean, slope, spread, float(cadence.mean()), float(cadence.min()), float(cadence.max()))


def _packed(values: Float) -> dict[str, Any]:
    return {
        "shape": list(values.shape),
        "float16": base64.b64encode(values.astype("<f2").tobytes()).decode("ascii"),
    }


def _unpacked(value: Mapping[str, Any]) -> Float:
    rows, columns = (int(v) for v in value["shape"])
    content = base64.b64decode(value["float16"], validate=True)
    values = np.frombuffer(content, "<f2").astype(np.float64).reshape(rows, columns)
    if rows != PHASES or not np.all(np.isfinite(values)):
        raise ValueError("an array is not finite or has the wrong shape")
    return values
