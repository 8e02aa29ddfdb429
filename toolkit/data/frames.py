"""A virtual IMU from measured segment frames, and left legs made into right ones.

A frame is given by points that move with a segment: its origin and two directions. Its axes become the contract's, x
forward, y up along the segment, z to the right, and the sensor lies at a fixed place in them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
from toolkit.data import heel_strikes, virtual_imu
from toolkit.data.channels import SEGMENTS, inertial_channels
from toolkit.data.imus import imus
from toolkit.data.smoothing import causal_low_pass
from toolkit.errors import RecordingError
from toolkit.records import Signal

Float = NDArray[np.float64]
Vector = tuple[float, float, float]
#: Length of a direction, relative to its median, below which it points nowhere.
_NO_DIRECTION = 1e-3

#: From laboratory axes to world axes with y up, by which of them points up. A turn about the vertical changes no IMU.
UPRIGHT: Mapping[str, Float] = {
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "y": np.eye(3),
    "z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}


@dataclass(frozen=True)
class Frame:
    """A segment's frame: ``y`` points along the line between two points, ``x`` too, made square to y; z = x cross y.

    ``sensor`` is the IMU's place in these axes, in m; None: no IMU.
    """

    name: str
    origin: str
    x: tuple[str, str]
    y: tuple[str, str]
    sensor: Vector | None

    @property
    def points(self) -> tuple[str, ...]:
        return (self.origin, *self.x, *self.y)


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a frame is: ``orientation`` (n, 3, 3) to world axes, ``position`` (n, 3) of its origin in m."""

    orientation: Float
    position: Float


def placed(frame: Frame, point: Callable[[str], Float], where: str) -> Placed:
    """The frame over time from its points (n, 3) in m, y up. RecordingError if its directions are one or none."""
    up = _unit(point(frame.y[1]) - point(frame.y[0]), f"{where}: y of frame {frame.name!r}")
    across = np.cross(point(frame.x[1]) - point(frame.x[0]), up)
    right = _unit(across, f"{where}: x of frame {frame.name!r}, square to its y,")
    return Placed(np.stack([np.cross(up, right), up, right], axis=2), point(frame.origin))


def _unit(vectors: Float, what: str) -> Float:
    length = np.linalg.norm(vectors, axis=1)
    if not np.all(length > _NO_DIRECTION * np.median(length)):
        raise RecordingError(
            f"{what} has no direction in row {int(np.argmin(length))}: its two points coincide there"
        )
    return np.asarray(vectors / length[:, None], np.float64)


def in_order(frames: Sequence[Frame]) -> list[Frame]:
    """The frames with a sensor: the reference contract's in its order, then others as they come."""
    sensed = [frame for frame in frames if frame.sensor is not None]
    known = [frame for name in SEGMENTS for frame in sensed if frame.name == name]
    return known + [frame for frame in sensed if frame.name not in SEGMENTS]


def imu_signal(
    frames: Sequence[Frame],
    points: Mapping[str, Float],
    rate_hz: float,
    start_s: float,
    low_pass_hz: float | None,
    where: str,
) -> tuple[Signal, tuple[float, ...]]:
    """The stream "imu" of ``frames`` and the heel strikes, from ``points`` (n, 3) in m with y up.

    Causal: row k depends on rows up to k of the points, which ``low_pass_hz`` filters forward first. Heel strikes are where the
    frame "foot" is farthest ahead of the first frame, along that one's own level x axis, so that turns do not matter.
    """
    smooth = points
    if low_pass_hz is not None:
        smooth = {name: causal_low_pass(values, low_pass_hz, rate_hz) for name, values in points.items()}
    columns = []
    sensed = in_order(frames)
    for frame in sensed:
        pose = placed(frame, smooth.__getitem__, where)
        sensor = pose.position + virtual_imu.apply(pose.orientation, np.array(frame.sensor))
        columns.append(virtual_imu.signals(pose.orientation, sensor, rate_hz, "causal"))
    spec = StreamSpec("imu", rate_hz, inertial_channels([frame.name for frame in sensed]))
    signal = Signal(spec, start_s, np.concatenate(columns, axis=1))
    by_name = {frame.name: frame for frame in frames}
    if "foot" not in by_name:
        return signal, ()
    root = placed(frames[0], points.__getitem__, where)
    foot = points[by_name["foot"].origin]
    forward = root.orientation[:, :, 0] * np.array([1.0, 0.0, 1.0])
    ahead = np.sum((foot - root.position) * forward, axis=1) / np.linalg.norm(forward, axis=1)
    return signal, heel_strikes.from_foot(ahead, rate_hz, start_s)


def mirrored(signal: Signal) -> Signal:
    """IMUs of a left leg as those of a right one: the person reflected in a sagittal plane.

    With M = diag(1, 1, -1) in world axes and in the sensor's, a place p becomes M p and an orientation R becomes M R M, which
    is a rotation again. Specific force R^T (p'' - g) is a vector and becomes M f: z changes its sign. Angular velocity is a
    pseudovector and becomes -M w: x and y change theirs. Moments in the sagittal plane stay.
    """
    samples = np.array(signal.samples, np.float64)
    for imu in imus(signal.spec):
        samples[:, [imu.places[2], imu.places[3], imu.places[4]]] *= -1.0
    return dataclasses.replace(signal, samples=samples)
