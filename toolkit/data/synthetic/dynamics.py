"""Net joint moments of the planar leg: a ground-reaction model and Newton-Euler from foot to hip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY
from toolkit.data.synthetic.motion import (
    ANKLE_FROM_HEEL,
    ANKLE_HEIGHT,
    FOOT,
    SHANK,
    THIGH,
    Leg,
    Motion,
    derivative,
    point,
)
from toolkit.data.synthetic.people import Person

Float = NDArray[np.float64]

# de Leva (1996), table 4, males: mass over body mass, centre of mass from the proximal joint (foot: from
# the heel) over length, sagittal radius of gyration over length.
THIGH_INERTIA = (0.1416, 0.4095, 0.329)
SHANK_INERTIA = (0.0433, 0.4395, 0.251)
FOOT_INERTIA = (0.0137, 0.4415, 0.257)


def cross(arm: Float, force: Float) -> Float:
    """z of the cross product of planar vectors (n, 2)."""
    result: Float = arm[:, 0] * force[:, 1] - arm[:, 1] * force[:, 0]
    return result


def ground_reaction(motion: Motion, side: Leg) -> Float:
    """Force (n, 2) in N at ``side.pressure_at``: its line points to a pivot above the hip.

    Maus et al. (2010), Nat Commun 1:70: in walking the ground reaction points to a virtual pivot
    above the centre of mass, which fixes fore-aft force once vertical force is known.
    """
    pivot = point(motion.trunk, 0.0, motion.pivot)
    to_pivot = pivot - side.pressure_at
    return np.stack([side.load * to_pivot[:, 0] / to_pivot[:, 1], side.load], axis=1)


def joint_moments(motion: Motion, person: Person, ground: Float) -> Float:
    """Internal moments (n, 3) of the right leg, Nm/kg: hip flexion, knee extension, ankle dorsiflexion."""
    side, height, mass, rate = motion.right, person.height_m, person.mass_kg, motion.rate_hz
    weight = np.array([0.0, -GRAVITY])
    hip_acceleration = derivative(motion.hip_velocity, rate)
    foot_along = (FOOT_INERTIA[1] - ANKLE_FROM_HEEL) * FOOT * height
    centre = (
        side.ankle_at + point(side.foot, foot_along, -0.5 * ANKLE_HEIGHT * height),
        side.knee_at + point(side.shank, 0.0, -SHANK_INERTIA[1] * SHANK * height),
        point(side.thigh, 0.0, -THIGH_INERTIA[1] * THIGH * height),
    )
    proximal = (side.ankle_at, side.knee_at, np.zeros_like(side.knee_at))
    force_below, moment_below, below_at = -ground, np.zeros(len(ground)), side.pressure_at
    moments = []
    for (share, _, gyration), length, pitch, com, joint in zip(
        (FOOT_INERTIA, SHANK_INERTIA, THIGH_INERTIA),
        (FOOT, SHANK, THIGH),
        (side.foot, side.shank, side.thigh),
        centre,
        proximal,
    ):
        acceleration = hip_acceleration + derivative(derivative(com, rate), rate)
        inertia = share * mass * (gyration * length * height) ** 2
        force = share * mass * (acceleration - weight) + force_below
        moment = (
            inertia * derivative(derivative(pitch, rate), rate)
            + moment_below
            - cross(joint - com, force)
            + cross(below_at - com, force_below)
        )
        moments.append(moment)
        force_below, moment_below, below_at = force, moment, joint
    return np.stack(moments[::-1], axis=1) / mass
