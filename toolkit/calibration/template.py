"""The walk that training people share, segment by segment: what a sensor's own walk is laid on.

A template is fitted on training people only and travels in the contract. It is a generalized Procrustes mean
(Gower 1975, Psychometrika 40:33): every person's sensors are turned onto the mean walk, the mean is taken anew, and so on. The
axes stay those of the data set, because the turns are about the mean of what the people's recordings say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.orientation import Fit, fit_rotation, residuals_by_shift, rotated
from toolkit.calibration.strides import PHASES
from toolkit.errors import ContractError, RecordingError

Float = NDArray[np.float64]

#: Rounds of turning and averaging; the mean moves by less than 0.1 % in the third.
_ROUNDS = 4
#: How far from the mean cadence the template's line is followed, and how far cadences must spread to draw one, strides/s.
CADENCE_REACH_HZ = 0.25
_LEAST_SPREAD_HZ = 0.05
#: More segments than this are not tried in every order: 7! is 5,040 sums.
MOST_SEGMENTS = 7


@dataclass(frozen=True, eq=False)
class WalkTemplate:
    """The mean stride of each segment, accelerometer then gyroscope in m/s^2 and rad/s, in the segment's axes.

    ``curves[segment]`` (PHASES, 6) is at the people's mean cadence ``cadence_hz`` (strides a second), ``slopes[segment]``
    (PHASES, 6) what a stride a second more adds: who walks briskly swings faster, and is no other person for that. Phase 0 is
    where the leg turns fastest. ``residuals[segment]`` is the largest :attr:`Fit.residual` of the walks it was made from.
    """

    curves: Mapping[str, Float]
    slopes: Mapping[str, Float]
    cadence_hz: float
    residuals: Mapping[str, float]

    def __post_init__(self) -> None:
        if not 0 < len(self.curves) <= MOST_SEGMENTS:
            raise ContractError(
                f"a walk template has 1 to {MOST_SEGMENTS} segments; this has {len(self.curves)}"
            )
        for kind in (self.curves, self.slopes):
            for segment, curve in kind.items():
                if curve.shape != (PHASES, 6) or not np.all(np.isfinite(curve)):
                    raise ContractError(
                        f"walk template of segment {segment!r} needs {PHASES} rows of 6 finite numbers; "
                        f"it has shape {curve.shape}"
                    )
        if set(self.slopes) != set(self.curves) or set(self.residuals) != set(self.curves):
            raise ContractError("a walk template needs a curve, a slope and a residual for each segment")
        if not all(0 <= value < float("inf") for value in (*self.residuals.values(), self.cadence_hz)):
            raise ContractError("a walk template's residuals and cadence must be finite and at least 0")
        for name in ("curves", "slopes", "residuals"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.curves)

    def at(self, cadence_hz: float) -> dict[str, Float]:
        """The curves at a cadence, held at :data:`CADENCE_REACH_HZ` from the mean: a line is no law far from its people."""
        off = float(np.clip(cadence_hz - self.cadence_hz, -CADENCE_REACH_HZ, CADENCE_REACH_HZ))
        return {name: curve + off * self.slopes[name] for name, curve in self.curves.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, rounded to a thousandth; :meth:`from_json` inverts it."""
        return {
            "cadence_hz": round(self.cadence_hz, 4),
            "residuals": {name: round(value, 4) for name, value in self.residuals.items()},
            "curves": {name: np.round(curve, 3).tolist() for name, curve in self.curves.items()},
            "slopes": {name: np.round(curve, 3).tolist() for name, curve in self.slopes.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WalkTemplate:
        """Build from :meth:`to_json`'s form; ContractError says what is wrong."""
        try:
            return cls(
                {str(name): np.array(rows, np.float64) for name, rows in value["curves"].items()},
                {str(name): np.array(rows, np.float64) for name, rows in value["slopes"].items()},
                float(value["cadence_hz"]),
                {str(name): float(number) for name, number in value["residuals"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"not a walk template: {type(error).__name__} at {error}") from None


@dataclass(frozen=True, eq=False)
class Placement:
    """A walk laid on a template: ``order[i]`` is the segment of sensor i, ``fits[i]`` its rotation, ``shift`` the phase."""

    order: tuple[str, ...]
    fits: tuple[Fit, ...]
    shift: int

    @property
    def residual(self) -> float:
        return float(np.sqrt(np.mean([fit.residual**2 for fit in self.fits])))


def lay(sensors: Sequence[Float], curves: Mapping[str, Float], shift: int, order: Sequence[str]) -> Placement:
    """Each sensor's mean stride (PHASES, 6) turned onto its segment of ``order`` in ``curves``, ``shift`` phases later."""
    fits = tuple(
        fit_rotation(np.roll(curve, -shift, axis=0), curves[name]) for curve, name in zip(sensors, order)
    )
    return Placement(tuple(order), fits, shift)


def place(
    sensors: Sequence[Float], curves: Mapping[str, Float], order: Sequence[str] | None = None
) -> Placement:
    """The best phase (and, without ``order``, the best order of segments) for sensors of one walk.

    ``sensors`` are mean strides (PHASES, 6) on one common phase axis, ``curves`` a template's at the walk's cadence.
    All shifts are tried, because other people may turn fastest a little earlier; of orders all permutations are.
    """
    if order is not None:
        total = sum(residuals_by_shift(sensor, curves[name]) ** 2 for sensor, name in zip(sensors, order))
        return lay(sensors, curves, int(np.argmin(total)), order)
    names = tuple(curves)
    costs = np.array([[residuals_by_shift(s, curves[n]) ** 2 for n in names] for s in sensors])
    orders = list(permutations(range(len(names)), len(sensors)))
    totals = np.array([costs[range(len(sensors)), one].sum(axis=0) for one in orders])
    best, shift = np.unravel_index(int(np.argmin(totals)), totals.shape)
    return lay(sensors, curves, int(shift), [names[i] for i in orders[best]])


def fit_template(walks: Sequence[Mapping[str, Float]], periods_s: Sequence[float]) -> WalkTemplate:
    """The template of ``walks``: each a mean stride (PHASES, 6) a segment, and its length. RecordingError without any."""
    if not walks:
        raise RecordingError("a walk template needs the walk of at least one person")
    names = tuple(walks[0])
    cadence = 1.0 / np.array(periods_s)
    off = cadence - cadence.mean()
    mean = dict(walks[0])
    slope = {name: np.zeros((PHASES, 6)) for name in names}
    largest = dict.fromkeys(names, 0.0)
    for turn in range(_ROUNDS):
        laid = []
        for walk, away in zip(walks, off):
            curves = {name: mean[name] + away * slope[name] for name in names}
            placement = place([walk[name] for name in names], curves, names)
            moved = {name: np.roll(walk[name], -placement.shift, axis=0) for name in names}
            if (
                turn > 0
            ):  # in the first round people are averaged in the axes of their recordings, which decide the template's
                moved = {n: rotated(fit.rotation, moved[n]) for n, fit in zip(names, placement.fits)}
            laid.append((moved, {name: fit.residual for name, fit in zip(names, placement.fits)}))
        largest = {name: max(residual[name] for _, residual in laid) for name in names}
        mean = {name: np.mean([moved[name] for moved, _ in laid], axis=0) for name in names}
        # Least squares about the mean cadence; without a spread of cadences there is nothing to learn of it.
        if np.ptp(cadence) > _LEAST_SPREAD_HZ:
            slope = {
                name: np.tensordot(off, [moved[name] for moved, _ in laid], axes=1) / np.sum(off**2)
                for name in names
            }
    return WalkTemplate(mean, slope, float(cadence.mean()), largest)
