"""A virtual IMU from the columns of a motion file: a chain of segments, given as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
from toolkit.data import virtual_imu
from toolkit.data.channels import SEGMENTS, inertial_channels
from toolkit.data.smoothing import causal_low_pass
from toolkit.records import Signal

Float = NDArray[np.float64]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Turn:
    """One rotation of a joint: about ``axis`` (a unit vector in the parent's frame) by ``column``, in order."""

    axis: Vector
    column: str


@dataclass(frozen=True)
class Segment:
    """A rigid segment. ``at`` is its joint in the parent's frame, ``sensor`` the IMU's place in its own, in m.

    The root has no ``parent`` and ``translation`` names its three position columns (m), or is empty.
    """

    name: str
    parent: str | None
    at: Vector
    turns: tuple[Turn, ...]
    sensor: Vector | None
    translation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skeleton:
    """Segments with parents before children."""

    segments: tuple[Segment, ...]

    @property
    def angle_columns(self) -> tuple[str, ...]:
        """Columns of joint angles, each once, in order of use."""
        return tuple(dict.fromkeys(turn.column for s in self.segments for turn in s.turns))

    @property
    def position_columns(self) -> tuple[str, ...]:
        """Columns of root position."""
        return tuple(dict.fromkeys(column for s in self.segments for column in s.translation))

    @property
    def sensed(self) -> tuple[Segment, ...]:
        """Segments with a sensor: the reference contract's in its order, then others in file order."""
        with_sensor = [s for s in self.segments if s.sensor is not None]
        known = sorted((s for s in with_sensor if s.name in SEGMENTS), key=lambda s: SEGMENTS.index(s.name))
        return (*known, *(s for s in with_sensor if s.name not in SEGMENTS))


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a segment is over time: ``orientation`` (n, 3, 3) to world, its joint's ``position`` (n, 3) in m."""

    orientation: Float
    position: Float


def poses(skeleton: Skeleton, angles: dict[str, Float], positions: dict[str, Float]) -> dict[str, Pose]:
    """Forward kinematics: every segment's pose from angles (n,) in rad and root positions (n,) in m."""
    rows = len(next(iter((*angles.values(), *positions.values()))))
    result: dict[str, Pose] = {}
    for segment in skeleton.segments:
        if segment.parent is None:
            orientation = np.broadcast_to(np.eye(3), (rows, 3, 3))
            position = np.zeros((rows, 3))
            if segment.translation:
                position = np.stack([positions[column] for column in segment.translation], axis=1)
        else:
            parent = result[segment.parent]
            orientation = parent.orientation
            position = parent.position + virtual_imu.apply(parent.orientation, np.array(segment.at))
        for turn in segment.turns:
            orientation = orientation @ virtual_imu.rotation(turn.axis, angles[turn.column])
        result[segment.name] = Pose(orientation, position)
    return result


def imu_signal(
    skeleton: Skeleton,
    angles: dict[str, Float],
    positions: dict[str, Float],
    rate_hz: float,
    start_s: float,
    low_pass_hz: float | None,
) -> Signal:
    """The virtual IMU stream "imu", causal: row k depends on rows <= k of the motion.

    ``low_pass_hz`` filters angles and positions forward before differentiation; None takes them as they are.
    """
    if low_pass_hz is not None:
        angles = _filtered(angles, low_pass_hz, rate_hz)
        positions = _filtered(positions, low_pass_hz, rate_hz)
    where = poses(skeleton, angles, positions)
    columns = []
    for segment in skeleton.sensed:
        pose = where[segment.name]
        sensor = pose.position + virtual_imu.apply(pose.orientation, np.array(segment.sensor))
        columns.append(virtual_imu.signals(pose.orientation, sensor, rate_hz, "causal"))
    spec = StreamSpec("imu", rate_hz, inertial_channels([segment.name for segment in skeleton.sensed]))
    return Signal(spec, start_s, np.concatenate(columns, axis=1))


def _filtered(columns: dict[str, Float], cutoff_hz: float, rate_hz: float) -> dict[str, Float]:
    if not columns:
        return columns
    values = causal_low_pass(np.stack(list(columns.values()), axis=1), cutoff_hz, rate_hz)
    return dict(zip(columns, values.T))
