"""From a fingerprint to what is wrong with which sensor, in words that say what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.orientation import angle_deg, fit_rotation, rotated
from toolkit.plausibility.familiar import FamiliarStrides, Match, distances, rolled
from toolkit.plausibility.fingerprint import Fingerprint, Sensor, SensorLayout

Float = NDArray[np.float64]

Kind = Literal["orientation", "unlike-training", "gain", "electrode", "late-stream", "unfamiliar"]

#: A turn smaller than this, deg, is no strap that slipped.
_TURN_DEG = 5.0
#: An envelope that varies less than this part of what is expected over the stride has no muscle under its electrode.
_FLAT = 0.35
#: One stream is late against the other from here on, s.
_LATE_S = 0.025
#: What one cause must bring a sensor's distance below, times its limit, to explain it.
_EXPLAINED = 1.5
#: More than this part of the IMUs without an explanation of their own: it is the movement that is unlike.
_MOST_BROKEN = 0.5
#: More than this part of the electrodes beside an IMU: the same.
_MOST_WEAK = 0.3
#: Kind, places among an IMU's six columns, what a size would be multiplied by, and the words; within a factor of e^0.5.
_UNITS = (
    ("accelerometer", slice(0, 3), 1 / 9.80665, "in g and not in m/s^2"),
    ("gyroscope", slice(3, 6), 57.29578, "in deg/s and not in rad/s"),
)
_UNIT_LOG = 0.5
#: A delay must bring the worst distance down to this part of what it is.
_LATE_GAIN = 0.7
#: Phases that a stream is tried at, in halves of a phase.
_LATE_STEPS = 10


@dataclass(frozen=True)
class Doubt:
    """What is doubted: ``kind``, the ``sensor`` (empty: the movement or a whole stream), its size, and a line for a person."""

    kind: Kind
    sensor: str
    size: float
    text: str


def judge(print_: Fingerprint, familiar: FamiliarStrides, layout: SensorLayout) -> tuple[Doubt, ...]:
    """The doubts about one fingerprint; none if all is familiar."""
    match = familiar.match(print_, layout)
    limits = np.array([familiar.limits[sensor.name] for sensor in layout.sensors])
    bad = match.distances > limits
    if not bad.any():
        return ()
    late = _late(match, layout, limits, print_.cadence_hz)
    if late is not None:
        return (late,)
    suspects = [sensor for i, sensor in enumerate(layout.sensors) if bad[i] and sensor.is_imu]
    swapped = _swapped(suspects, match, layout, familiar.limits)
    doubts = list(swapped)
    for sensor in (sensor for i, sensor in enumerate(layout.sensors) if bad[i]):
        if sensor.is_imu and not any(sensor.name in doubt.sensor.split(", ") for doubt in swapped):
            doubts.append(_turned(sensor, match, layout, familiar.limits[sensor.name]))
        elif not sensor.is_imu:
            doubts.append(_electrode(sensor, match, layout))
    unexplained = [doubt for doubt in doubts if doubt.kind == "unlike-training" and doubt.size > 0.0]
    electrodes = [sensor for sensor in layout.sensors if not sensor.is_imu]
    weak = sum(bool(bad[i]) for i, sensor in enumerate(layout.sensors) if not sensor.is_imu)
    # One fault is in IMUs or in electrodes; what is in both at once is in the movement.
    both = bool(suspects) and bool(electrodes) and weak > _MOST_WEAK * len(electrodes)
    if both or len(unexplained) > _MOST_BROKEN * len(layout.imus):
        text = f"the movement is unlike all that training people did (nearest: {match.task}); the model has not learnt it"
        return (Doubt("unfamiliar", "", float(np.median(match.distances / limits)), text),)
    return tuple(doubts)


def _swapped(
    suspects: Sequence[Sensor], match: Match, layout: SensorLayout, limits: Mapping[str, float]
) -> list[Doubt]:
    """Two IMUs of which each fits the other's place, in whatever way it is turned there."""
    physical = layout.physical(match.moved)
    for one, other in combinations(suspects, 2):
        places = ((one, other), (other, one))
        left = [_turn(physical[:, list(a.columns)], b, match, layout)[1] / limits[b.name] for a, b in places]
        if max(left) <= _EXPLAINED:
            text = f"the {one.name} and {other.name} IMUs seem to have changed places: put them back, or calibrate again"
            return [Doubt("unlike-training", f"{one.name}, {other.name}", 0.0, text)]
    return []


def _turn(seen: Float, sensor: Sensor, match: Match, layout: SensorLayout) -> tuple[float, float]:
    """The angle, deg, of the rotation that brings ``seen`` (PHASES, 6) nearest to what is expected of ``sensor``, and the
    distance that is left then."""
    columns = list(sensor.columns)
    fit = fit_rotation(seen, layout.physical(match.expected)[:, columns])
    back = (rotated(fit.rotation, seen) - layout.mean[columns]) / layout.deviation[columns]
    squares = ((back - match.expected[:, columns]) / match.spread[:, columns]) ** 2
    return angle_deg(fit.rotation), float(np.sqrt(squares.mean()))


def _turned(sensor: Sensor, match: Match, layout: SensorLayout, limit: float) -> Doubt:
    """A unit mistaken, one rotation, or nothing that explains what an IMU reads."""
    columns = list(sensor.columns)
    seen, wanted = layout.physical(match.moved)[:, columns], layout.physical(match.expected)[:, columns]
    unit = _unit(seen, wanted)
    if unit:
        text = f"{sensor.name} IMU: {unit}; say so in the sensor's description"
        return Doubt("unlike-training", sensor.name, 0.0, text)
    angle, left = _turn(seen, sensor, match, layout)
    if angle >= _TURN_DEG and left <= _EXPLAINED * limit:
        text = f"{sensor.name} IMU turned by about {angle:.0f} degrees since calibration: strap slipped? Calibrate again"
        return Doubt("orientation", sensor.name, angle, text)
    text = f"{sensor.name} IMU reads nothing that the {sensor.name} does while walking: check its place, units and cable"
    return Doubt("unlike-training", sensor.name, left, text)


def _unit(seen: Float, wanted: Float) -> str:
    """A unit mistaken: one kind of vector has another size by that unit's factor, whatever the rotation."""
    for kind, part, factor, text in _UNITS:
        size = np.sqrt(np.mean(seen[:, part] ** 2)) / max(float(np.sqrt(np.mean(wanted[:, part] ** 2))), 1e-9)
        if abs(np.log(size / factor)) < _UNIT_LOG:
            return f"the {kind} is {text}"
    return ""


def _electrode(sensor: Sensor, match: Match, layout: SensorLayout) -> Doubt:
    """An envelope of another size, of no shape, or of another shape."""
    column = sensor.columns[0]
    seen, wanted = layout.physical(match.moved)[:, column], layout.physical(match.expected)[:, column]
    gain = float(np.dot(seen, wanted)) / max(float(np.dot(wanted, wanted)), 1e-12)
    left = np.sqrt(
        np.mean(((seen - gain * wanted) / (layout.deviation[column] * match.spread[:, column])) ** 2)
    )
    shape = float(np.std(seen)) / max(abs(gain), 1e-9) / max(float(np.std(wanted)), 1e-9)
    if shape < _FLAT:
        text = f"electrode {sensor.name} follows no step: check its contact, and for hum its cable"
        return Doubt("electrode", sensor.name, gain, text)
    if left < match.distances[layout.sensors.index(sensor)] * 0.7:
        text = f"electrode {sensor.name} gives {gain:.1f} times what it gave at calibration: moved, dry? Calibrate again"
        return Doubt("gain", sensor.name, gain, text)
    text = f"electrode {sensor.name} is not active when its muscle should be: is it on another muscle?"
    return Doubt("electrode", sensor.name, gain, text)


def _late(match: Match, layout: SensorLayout, limits: Float, cadence_hz: float) -> Doubt | None:
    """Does a delay of all IMUs against all EMG explain what is bad? Tried in halves of a phase each way."""
    inertial = np.array([sensor.is_imu for sensor in layout.sensors])
    if inertial.all():
        return None
    columns = [column for sensor in layout.imus for column in sensor.columns]
    halves = range(-_LATE_STEPS, _LATE_STEPS + 1)
    tried = np.repeat(match.moved[None], len(halves), axis=0)
    tried[..., columns] = [_shifted(match.moved[:, columns], half / 2) for half in halves]
    # All that there is may be a phase or two early or late beside it.
    found = distances(rolled(tried, range(-2, 3)), match.expected, match.spread, layout)
    worst = (found / limits).max(axis=-1).min(axis=0)
    least = int(worst.argmin())
    delay_s = halves[least] / 2 / len(match.moved) / cadence_hz
    now = float((match.distances / limits).max())
    if worst[least] > min(_EXPLAINED, _LATE_GAIN * now) or abs(delay_s) < _LATE_S:
        return None
    behind = "IMU" if delay_s < 0 else "EMG"
    return Doubt(
        "late-stream",
        behind.lower(),
        abs(delay_s),
        f"the {behind} samples come about {abs(delay_s) * 1e3:.0f} ms late against the others: check the stamps of that sensor",
    )


def _shifted(values: Float, phases: float) -> Float:
    """``values`` (phases, columns) later by ``phases``, between phases linearly."""
    whole = int(np.floor(phases))
    part = phases - whole
    result: Float = (1.0 - part) * np.roll(values, whole, axis=0) + part * np.roll(values, whole + 1, axis=0)
    return result
