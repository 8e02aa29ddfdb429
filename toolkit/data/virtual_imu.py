"""Accelerometer and gyroscope signals that an IMU on a moving segment would give.

The accelerometer reads specific force in the sensor's frame, f = R^T (a - g): a (which holds the
centripetal and tangential terms, since it is the second derivative of the sensor's own position) less
gravity g = (0, -9.80665, 0), so a sensor at rest reads +1 g on the axis that points up. The gyroscope
reads angular velocity in the sensor's frame. World and sensor axes are x forward, y up, z right.

Two ways to differentiate. ``central`` differences are for truth that is generated (synthetic gait).
``causal`` uses backward differences only: the value at row k depends on rows <= k, so that virtual
signals computed from an offline motion file never carry the future into a model's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY

Float = NDArray[np.float64]
Scheme = Literal["central", "causal"]


def rotation(axis: str | Sequence[float] | Float, angle: Float) -> Float:
    """Matrices (n, 3, 3) that turn by ``angle`` (n,) rad about "x", "y", "z" or a vector (Rodrigues)."""
    vector = np.eye(3)["xyz".index(axis)] if isinstance(axis, str) else np.asarray(axis, dtype=np.float64)
    x, y, z = vector / np.linalg.norm(vector)
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, versine = np.sin(angle)[:, None, None], (1.0 - np.cos(angle))[:, None, None]
    matrices: Float = np.eye(3) + sine * skew + versine * (skew @ skew)
    return matrices


def body_fixed(angles: dict[str, Float]) -> Float:
    """Rotation (n, 3, 3) as the product of body-fixed turns in the order of ``angles`` (axis -> rad)."""
    result: Float | None = None
    for axis, angle in angles.items():
        turn = rotation(axis, angle)
        result = turn if result is None else result @ turn
    if result is None:
        raise ValueError("body_fixed needs at least one axis")
    return result


def apply(matrices: Float, vector: Float) -> Float:
    """``matrices`` (n, 3, 3) times ``vector`` (3,) or (n, 3), giving (n, 3)."""
    result: Float = np.einsum("nij,nj->ni", matrices, np.broadcast_to(vector, (len(matrices), 3)))
    return result


def rotation_vector(matrices: Float) -> Float:
    """Axis times angle (n, 3) of rotations (n, 3, 3) of less than half a turn."""
    skew = np.stack(
        [
            matrices[:, 2, 1] - matrices[:, 1, 2],
            matrices[:, 0, 2] - matrices[:, 2, 0],
            matrices[:, 1, 0] - matrices[:, 0, 1],
        ],
        axis=1,
    )
    sine = 0.5 * np.linalg.norm(skew, axis=1)
    angle = np.arctan2(sine, 0.5 * (np.trace(matrices, axis1=1, axis2=2) - 1.0))
    # angle / sine tends to 1 as the rotation vanishes.
    factor = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)
    result: Float = 0.5 * skew * factor[:, None]
    return result


def angular_velocity(orientation: Float, rate_hz: float, scheme: Scheme) -> Float:
    """Angular velocity in the body's frame, rad/s (n, 3), of ``orientation`` (n, 3, 3), body to world."""
    before, here = orientation[:-1], orientation[1:]
    # Over one step: the mean velocity between two rows, in the body's frame.
    steps = rotation_vector(np.swapaxes(before, 1, 2) @ here) * rate_hz
    if scheme == "causal":
        return np.concatenate([steps[:1], steps])
    middle = 0.5 * (steps[:-1] + steps[1:])
    return np.concatenate([steps[:1], middle, steps[-1:]])


def acceleration(position: Float, rate_hz: float, scheme: Scheme) -> Float:
    """Second derivative, m/s^2 (n, 3), of ``position`` (n, 3) in m; the ends repeat their neighbours."""
    second = (position[2:] - 2.0 * position[1:-1] + position[:-2]) * rate_hz**2
    if scheme == "causal":
        return np.concatenate([second[:1], second[:1], second])
    return np.concatenate([second[:1], second, second[-1:]])


def signals(
    orientation: Float,
    position: Float,
    rate_hz: float,
    scheme: Scheme,
    extra_acceleration: Float | None = None,
) -> Float:
    """What an IMU reads: (n, 6), accelerometer xyz in m/s^2 then gyroscope xyz in rad/s.

    ``orientation`` (n, 3, 3) turns sensor axes into world axes, ``position`` (n, 3) is the sensor's in
    m. ``extra_acceleration`` (n, 3) is added in the world, for a frame that is itself accelerated.
    """
    linear = acceleration(position, rate_hz, scheme)
    if extra_acceleration is not None:
        linear = linear + extra_acceleration
    specific = linear + np.array([0.0, GRAVITY, 0.0])
    accelerometer = np.einsum("nji,nj->ni", orientation, specific)
    return np.concatenate([accelerometer, angular_velocity(orientation, rate_hz, scheme)], axis=1)
