"""The rotation from a sensor to its segment, from a walk and the walk that training people share.

A *walk template* holds, for every segment, the mean accelerometer and gyroscope of training people over a stride, in
the segment's axes. A sensor's own mean stride is that template seen from another frame. The rotation between the two
is the least-squares one (Wahba 1965, SIAM Rev 7:409; Kabsch 1976, Acta Cryst A32:922; Umeyama 1991, IEEE PAMI 13:376), over
all phases at once. It is proper by construction, has no sign to guess at 90 or 180 degrees, and turns with the sensor: if the
sensor is mounted as Q times before, the result is exactly as much the other way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

#: Spread that a person's mean stride has about the template, m/s^2 and rad/s: what the two kinds of vectors are weighted by.
ACCELERATION_SPREAD = 2.0
ANGULAR_SPREAD = 0.6


@dataclass(frozen=True, eq=False)
class Fit:
    """``rotation`` (3, 3), sensor to segment; ``residual`` is the root mean square of what is left over its usual spread;
    ``mirrored`` is that residual with the best improper rotation (left-handed axes)."""

    rotation: Float
    residual: float
    mirrored: float


def weighted(curve: Float) -> Float:
    """(phases, 6) accelerometer and gyroscope, m/s^2 and rad/s, as (2 * phases, 3) vectors over their usual spread."""
    return np.concatenate([curve[:, :3] / ACCELERATION_SPREAD, curve[:, 3:] / ANGULAR_SPREAD])


def fit_rotation(sensor: Float, segment: Float) -> Fit:
    """The rotation that turns ``sensor`` (phases, 6) into ``segment`` (phases, 6) best."""
    from_vectors, to_vectors = weighted(sensor), weighted(segment)
    left, values, right = np.linalg.svd(to_vectors.T @ from_vectors)
    proper = np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0
    energy = float(np.sum(from_vectors**2) + np.sum(to_vectors**2))
    count = len(from_vectors)

    def residual(sign: float) -> float:
        gain = float(values[0] + values[1] + sign * values[2])
        return float(np.sqrt(max(energy - 2.0 * gain, 0.0) / count))

    rotation: Float = left @ np.diag([1.0, 1.0, proper]) @ right
    return Fit(rotation, residual(proper), residual(-proper))


def residuals_by_shift(sensor: Float, segment: Float) -> Float:
    """:attr:`Fit.residual` of ``sensor`` on ``segment`` (phases, 6 each), the sensor later by 0, 1, ... phases; (phases,)."""
    phases = len(sensor)
    later = (np.arange(phases)[:, None] + np.arange(phases)[None, :]) % phases
    from_vectors = np.concatenate(
        [sensor[later][..., :3] / ACCELERATION_SPREAD, sensor[later][..., 3:] / ANGULAR_SPREAD], axis=1
    )
    to_vectors = weighted(segment)
    left, values, right = np.linalg.svd(np.einsum("ki,skj->sij", to_vectors, from_vectors))
    proper = np.sign(np.linalg.det(left) * np.linalg.det(right))
    gains = values[:, 0] + values[:, 1] + proper * values[:, 2]
    energy = np.sum(from_vectors[0] ** 2) + np.sum(to_vectors**2)
    result: Float = np.sqrt(np.maximum(energy - 2.0 * gains, 0.0) / len(to_vectors))
    return result


def angle_deg(rotation: Float) -> float:
    """How far ``rotation`` (3, 3) turns, 0 to 180 degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0))))


def rotated(rotation: Float, samples: Float) -> Float:
    """``samples`` (..., 6) of one IMU turned by ``rotation`` (3, 3)."""
    return np.concatenate([samples[..., :3] @ rotation.T, samples[..., 3:] @ rotation.T], axis=-1)
