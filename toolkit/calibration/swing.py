"""A functional movement for sensor-to-segment calibration: the leg swung from the hip, its flexion axis in each sensor's axes.

Who stands on the other leg and swings this one with a straight knee turns thigh and shank about one axis, which in a contract
is the segment's z. The principal axis of a sensor's angular velocity is that axis as the sensor sees it (Favre et al. 2009, J
Biomech 42:2330; Cutti et al. 2010, Med Biol Eng Comput 48:17), without the spread that people's walks have about a template.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.imus import imus
from toolkit.data.virtual_imu import rotation as turn_about
from toolkit.errors import RecordingError
from toolkit.records import Signal

Float = NDArray[np.float64]

#: Segments that swing as one with a straight knee.
SWINGING = ("thigh", "shank")
#: Fewer swings, there and back, do not average a wobble out.
LEAST_SWINGS = 5
#: Half a swing turns faster than this at its fastest, rad/s; below it the leg hangs.
_FAST_RAD_S = 0.8
#: A leg whose gyroscopes stay below this at the 95th percentile does not swing, rad/s.
_STILL_RAD_S = 0.3
#: The share of the angular velocity's square that must be about one axis, and how alike thigh and shank must turn.
_PLANAR, _ALIKE = 0.9, 0.85
#: What an axis is known to at best, degrees: thigh and shank do not turn about one hinge alone.
_LEAST_ERROR_DEG = 1.0
#: Farther from the walk's own axis than this, degrees, and the two do not tell of one mounting.
FARTHEST_DEG = 20.0


@dataclass(frozen=True, eq=False)
class SwingAxis:
    """The flexion axis (3,) of one sensor, of length 1 and of either sign, its standard error, degrees, and of how many
    swings."""

    axis: Float
    error_deg: float
    swings: int


def swing_axes(signal: Signal, bias: Mapping[str, Float] | None = None) -> dict[str, SwingAxis]:
    """The axes of thigh and shank in ``signal``, an IMU stream while its wearer swings the leg; ``bias``: the gyroscopes',
    rad/s.

    Empty for a stream without one of the two. RecordingError, in one line that says what to do, for another leg's swing, a bent
    knee, a swing that is not straight, and too few of them.
    """
    found = {imu.segment: imu for imu in imus(signal.spec)}
    if any(segment not in found for segment in SWINGING):
        return {}
    samples = np.asarray(signal.samples, np.float64)
    gyroscopes = {
        name: samples[:, imu.places[3:]] - (0.0 if bias is None else bias.get(name, 0.0))
        for name, imu in found.items()
    }
    _require_this_leg(gyroscopes)
    axes = {name: _principal(gyroscopes[name]) for name in SWINGING}
    for name in SWINGING:
        speed = gyroscopes[name] @ axes[name]
        if float(np.sum(speed**2) / max(np.sum(gyroscopes[name] ** 2), 1e-12)) < _PLANAR:
            raise RecordingError(
                f"the {name} does not swing about one axis: swing the leg straight forward and back, and do it again"
            )
    thigh, shank = (gyroscopes[name] @ axes[name] for name in SWINGING)
    alike = abs(float(thigh @ shank)) / max(float(np.sqrt((thigh @ thigh) * (shank @ shank))), 1e-12)
    if alike < _ALIKE:
        raise RecordingError(
            "thigh and shank do not swing as one: keep the knee straight, do not walk, and do it again"
        )
    halves = _halves(thigh)
    if len(halves) // 2 < LEAST_SWINGS:
        raise RecordingError(
            f"{len(halves) // 2} swings; swing the leg forward and back at least {LEAST_SWINGS} times"
        )
    return {name: _axis(gyroscopes[name], halves) for name in SWINGING}


def count_swings(signal: Signal) -> int:
    """Swings there and back so far, whatever else is right or wrong with them."""
    found = {imu.segment: imu for imu in imus(signal.spec)}
    if "thigh" not in found or not len(signal.samples):
        return 0
    gyroscope = np.asarray(signal.samples, np.float64)[:, found["thigh"].places[3:]]
    return len(_halves(gyroscope @ _principal(gyroscope))) // 2


def with_swing(rotation: Float, error_deg: float, found: SwingAxis) -> tuple[Float, float]:
    """``rotation`` (3, 3), sensor to segment, from the walk and known to ``error_deg``, turned so that the swing's axis comes
    nearer to the segment's z: by so much of the angle between them as the walk is the less sure of the two (inverse variance).

    Gives also that angle, degrees; one above :data:`FARTHEST_DEG` turns nothing.
    """
    seen = rotation @ found.axis
    seen = -seen if seen[2] < 0 else seen
    off_deg = float(np.degrees(np.arccos(np.clip(seen[2], -1.0, 1.0))))
    if off_deg > FARTHEST_DEG or off_deg < 1e-9:
        return rotation, off_deg
    variance = found.error_deg**2
    share = error_deg**2 / (error_deg**2 + variance)
    axis = np.cross(seen, [0.0, 0.0, 1.0])
    return turn_about(axis, np.radians([share * off_deg]))[0] @ rotation, off_deg


def _require_this_leg(gyroscopes: Mapping[str, Float]) -> None:
    fast = {name: float(np.percentile(np.linalg.norm(each, axis=1), 95)) for name, each in gyroscopes.items()}
    if all(fast[name] < _STILL_RAD_S for name in SWINGING):
        others = [name for name, value in fast.items() if name not in SWINGING and value >= _STILL_RAD_S / 3]
        if others:
            raise RecordingError(
                "the leg with the sensors stands still: stand on the other one, and swing this one from the hip"
            )
        raise RecordingError("nothing swings yet: swing the leg with the sensors from the hip")


def _principal(gyroscope: Float) -> Float:
    _, vectors = np.linalg.eigh(gyroscope.T @ gyroscope)
    result: Float = vectors[:, -1]
    return result


def _halves(speed: Float) -> list[tuple[int, int]]:
    """Rows of each half swing: from one change of sign to the next, if it is fast between them."""
    changes = np.flatnonzero(np.diff(np.signbit(speed))) + 1
    edges = [0, *changes.tolist(), len(speed)]
    return [
        (first, last)
        for first, last in itertools.pairwise(edges)
        if last > first and float(np.abs(speed[first:last]).max()) > _FAST_RAD_S
    ]


def _axis(gyroscope: Float, halves: list[tuple[int, int]]) -> SwingAxis:
    """The axis over all half swings, and its jackknife standard error with one left out at a time."""
    products = np.array([gyroscope[a:b].T @ gyroscope[a:b] for a, b in halves])
    total, count = products.sum(axis=0), len(products)
    whole = np.linalg.eigh(total)[1][:, -1]
    off = []
    for one in products:
        other = np.linalg.eigh(total - one)[1][:, -1]
        off.append(np.degrees(np.arccos(np.clip(abs(float(other @ whole)), 0.0, 1.0))))
    error = float(np.sqrt((count - 1) / count * np.sum(np.square(off))))
    return SwingAxis(whole, float(np.hypot(error, _LEAST_ERROR_DEG)), count // 2)
