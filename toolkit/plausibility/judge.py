"""From findings to words that say which sensor it is, by how much, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.layout import SensorLayout
from toolkit.calibration.moments import PRODUCTS, MomentLayout, Span
from toolkit.calibration.orientation import angle_deg
from toolkit.data.channels import GRAVITY
from toolkit.errors import ContractError
from toolkit.plausibility.deviation import OwnWalk
from toolkit.plausibility.familiar import Familiar
from toolkit.plausibility.findings import Finding, Found, Kind, find, flat
from toolkit.plausibility.novelty import Novelty

Float = NDArray[np.float64]
Values = NDArray[np.float32]

#: A unit mistaken multiplies a mean square by that unit's factor in square, within a factor of e.
_UNITS = (
    ("gyroscope", 57.29578**2, "in deg/s and not in rad/s"),
    ("accelerometer", 9.80665**-2, "in g and not in m/s^2"),
)
#: Two sensors have changed places if each reads what the other should, turned in whatever way, within this part of its size.
_ALIKE = 0.35


@dataclass(frozen=True)
class Doubt:
    """What is doubted: ``kind``, the ``sensor`` (empty: the movement; ``emg``, ``imu``: a stream), its size (degrees, times,
    s, or the channel's unit for hum), and a line for a person. Hum is found in raw samples, not by :class:`Judge`."""

    kind: Kind | Literal["hum"]
    sensor: str
    size: float
    text: str


class Judge:
    """Judges one session: a person's own ``walk`` (the calibration's), what is ``familiar`` to the model.

    ContractError if the walk or what is familiar is that of other sensors.
    """

    def __init__(self, familiar: Familiar, walk: Sequence[float], layout: SensorLayout) -> None:
        self.shape = MomentLayout(layout)
        familiar.require_fits(self.shape)
        if len(walk) != self.shape.size:
            raise ContractError(
                f"the calibration's walk has {len(walk)} numbers and the model's sensors {self.shape.size}: calibrate again"
            )
        self.familiar = familiar
        self.own = OwnWalk.of(np.asarray(walk, np.float32), self.shape)
        self._names = [s.name for s in (*layout.imus, *layout.electrodes)]

    def find(self, span: Span) -> Found | None:
        """What is found about ``span``; None where it is no steady walk."""
        return find(span, self.own, self.familiar, self.shape)

    def judge(self, span: Span) -> tuple[Doubt, ...] | None:
        """The doubts about ``span``; None where it is no steady walk."""
        found = self.find(span)
        if found is None:
            return None
        return tuple(self._doubt(one, span.moments, found) for one in found.findings)

    def novelty(self) -> Novelty:
        """What says of the newest rows whether they are like any of training people's."""
        return Novelty(self.familiar.row, float(self.familiar.novelty[0]), self.shape.columns_in_all)

    def sudden(self, size: float) -> Doubt:
        """The doubt while the newest rows are novel and no judgement has said why; ``size``: their distance."""
        text = (
            "what the sensors read together is unlike all that training people's did: has a strap slipped, or come loose? "
            "Four seconds of walking may tell which"
        )
        return Doubt("unfamiliar", "", size, text)

    def _doubt(self, finding: Finding, moments: Values, found: Found) -> Doubt:
        kind, name = finding.kind, "" if finding.sensor < 0 else self._names[finding.sensor]
        if kind == "unfamiliar":
            task = self.familiar.tasks[found.figures.task]
            text = (
                f"the movement is unlike all that training people did (nearest: {task}), or several sensors are wrong at once; "
                "if the model knows this movement, calibrate again"
            )
            return Doubt(kind, name, float(np.sqrt(found.figures.limited[: self.shape.imus].mean())), text)
        if kind == "late-stream":
            delay = float(found.figures.delay_s)
            behind = "EMG" if delay > 0 else "IMU"
            text = (
                f"the {behind} samples come about {abs(delay) * 1e3:.0f} ms late against the others since calibration: "
                "check the stamps of that sensor"
            )
            return Doubt(kind, behind.lower(), abs(delay), text)
        if finding.sensor < self.shape.imus:
            return self._imu(kind, finding.sensor, name, moments, found)
        return self._electrode(kind, finding.sensor - self.shape.imus, name, moments, found)

    def _imu(self, kind: Kind, place: int, name: str, moments: Values, found: Found) -> Doubt:
        seen = self.shape.split(moments)[0][place].astype(np.float64)
        wanted = self._wanted(found)
        angle, left = turn_between(seen, wanted[place])
        if kind == "orientation":
            text = f"{name} IMU turned by about {angle:.0f} degrees since calibration: has the strap slipped? Calibrate again"
            return Doubt(kind, name, angle, text)
        unit = _unit(seen, wanted[place])
        if unit:
            return Doubt(kind, name, 0.0, f"{name} IMU: {unit}; say so in the sensor's description")
        other = self._swapped(place, moments, wanted)
        if other:
            text = (
                f"the {name} and {other} IMUs seem to have changed places: put them back, or calibrate again"
            )
            return Doubt(kind, name, 0.0, text)
        text = (
            f"{name} IMU reads nothing of what the {name} does in walking: check its place, units and cable"
        )
        return Doubt(kind, name, left, text)

    def _wanted(self, found: Found) -> Float:
        """The IMUs' moments (IMUs, 10) expected of the task and speed that fit best."""
        expected = self.own.moments.astype(np.float64) + found.figures.expected / self.own.scales
        return self.shape.split(expected)[0]

    def _swapped(self, place: int, moments: Values, wanted: Float) -> str:
        """The name of the IMU whose place this one has, and the other way round; empty if there is none."""
        seen = self.shape.split(moments)[0].astype(np.float64)
        for other in range(self.shape.imus):
            pairs = ((place, other), (other, place))
            if other != place and max(turn_between(seen[a], wanted[b])[1] for a, b in pairs) < _ALIKE:
                return self._names[other]
        return ""

    def _electrode(self, kind: Kind, place: int, name: str, moments: Values, found: Found) -> Doubt:
        seen, own = (float(self.shape.split(v)[1][place, 0]) for v in (moments, self.own.moments))
        gain = seen / max(own, 1e-12)
        if kind == "gain":
            text = (
                f"electrode {name} gives {gain:.1f} times what it gave at calibration: has it moved or dried? "
                "Calibrate again"
            )
            return Doubt(kind, name, gain, text)
        text = (
            f"electrode {name} does not follow the steps: check its contact, and its cable for hum"
            if flat(place, moments, self.own, found.figures, self.shape)
            else f"electrode {name} is not active when its muscle should be: is it on another muscle?"
        )
        return Doubt(kind, name, gain, text)


def turn_between(seen: Float, wanted: Float) -> tuple[float, float]:
    """The rotation, degrees, that brings an IMU's moments (10,) nearest to others, and what is left over the others' size.

    The principal axes of the gyroscope's products have no sign: all four proper ways are tried, the mean acceleration
    decides.
    """
    (values, axes), (wanted_values, wanted_axes) = (np.linalg.eigh(_matrix(one)) for one in (seen, wanted))
    best = (180.0, float("inf"))
    size = np.sqrt(max(wanted_values.sum(), 1e-9))
    here = np.sqrt(np.maximum(values, 0.0)) / size
    there = np.sqrt(np.maximum(wanted_values, 0.0)) / size
    for signs in product((1.0, -1.0), repeat=3):
        from_vectors = np.concatenate([axes.T * (here * signs)[:, None], seen[None, :3] / GRAVITY])
        to_vectors = np.concatenate([wanted_axes.T * there[:, None], wanted[None, :3] / GRAVITY])
        left, _, right = np.linalg.svd(to_vectors.T @ from_vectors)
        rotation = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right)) or 1.0]) @ right
        over = np.sqrt(np.sum((from_vectors @ rotation.T - to_vectors) ** 2) / np.sum(to_vectors**2))
        if over < best[1]:
            best = (angle_deg(rotation), float(over))
    return best


def _matrix(moments: Float) -> Float:
    result = np.empty((3, 3))
    for (i, j), value in zip(PRODUCTS, moments[3:9]):
        result[i, j] = result[j, i] = value
    return result


def _unit(seen: Float, wanted: Float) -> str:
    """A unit mistaken: one kind of vector has another size by that unit's factor, whatever the rotation."""
    sizes = {
        "gyroscope": (seen[[3, 6, 8]].sum(), wanted[[3, 6, 8]].sum()),
        "accelerometer": (seen[9], wanted[9]),
    }
    for kind, factor, text in _UNITS:
        have, want = sizes[kind]
        if have > 0 and want > 0 and abs(np.log(have / want / factor)) < 1.0:
            return f"the {kind} is {text}"
    return ""
