"""The planar motion of one trial: phase, segment pitches, and a hip that moves as the feet on the ground let it.

Angles are about z (to the right), counter-clockwise positive: a thigh at +0.3 rad has its knee ahead of
the hip. Positions are relative to the right hip; x forward, y up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY
from toolkit.data.synthetic.curves import CycleCurve, drift, interpolate
from toolkit.data.synthetic.people import Person
from toolkit.data.synthetic.tasks import FORCE_KNOTS, STANCE_KNOTS, Task

Float = NDArray[np.float64]

# Segment lengths over height: de Leva (1996), J Biomech 29:1223, table 4, male means over 1.741 m.
THIGH = 0.2425
SHANK = 0.2529
FOOT = 0.1482
# Ankle centre above the sole over height, and behind it the heel over foot length: Winter (2009), fig. 4.1.
ANKLE_HEIGHT = 0.039
ANKLE_FROM_HEEL = 0.23
#: Heel pad, shoe and knee give way between two steps; the pelvis moves smoothly, s.
PELVIS_SMOOTHING_S = 0.025


@dataclass(frozen=True, eq=False)
class Leg:
    """One leg over time (n,): hip flexion and pitches in rad, joints relative to the hip in m (n, 2), load in N."""

    hip: Float
    thigh: Float
    shank: Float
    foot: Float
    knee_at: Float
    ankle_at: Float
    pressure_at: Float
    load: Float
    stance: Float


@dataclass(frozen=True, eq=False)
class Motion:
    """A trial's motion at ``rate_hz``: ``phase`` in cycles, the right leg, trunk pitch, hip velocity (n, 2)."""

    rate_hz: float
    time_s: Float
    phase: Float
    right: Leg
    trunk: Float
    hip_velocity: Float
    pivot: Float


@dataclass(frozen=True, eq=False)
class Habits:
    """Slow changes from stride to stride over time: gains and offsets (n, 3), load (n,), pressure (n,)."""

    gain: Float
    offset: Float
    load: Float
    pressure: Float


def point(pitch: Float, along: Float | float, up: Float | float) -> Float:
    """Where a segment's point ``along`` (its x) and ``up`` (its y) lies at ``pitch``; (n, 2)."""
    cosine, sine = np.cos(pitch), np.sin(pitch)
    return np.stack([cosine * along - sine * up, sine * along + cosine * up], axis=1)


def derivative(values: Float, rate_hz: float) -> Float:
    """Central differences along time."""
    result: Float = np.gradient(values, 1.0 / rate_hz, axis=0)
    return result


def habits(rng: np.random.Generator, person: Person, time_s: Float) -> Habits:
    """How this trial wanders about the person's own habits."""
    gain = np.stack([a + drift(rng, time_s, 0.03, 0.45) for a in person.amplitude], axis=1)
    offset = np.stack([p + drift(rng, time_s, np.deg2rad(0.8), 0.45) for p in person.posture], axis=1)
    load = 1.0 + drift(rng, time_s, 0.035, 0.9)
    pressure = person.pressure + drift(rng, time_s, 0.015, 0.9)
    return Habits(gain, offset, load, pressure)


def vertical_load(task: Task, speed: float, stance: Float) -> Float:
    """Vertical ground reaction over body weight at ``stance`` (0 contact, 1 toe-off; outside it is 0)."""
    faster = speed - task.reference_speed
    values = [b + s * faster for b, s in zip(task.force, task.force_per_speed)]
    return np.where((stance >= 0) & (stance <= 1), interpolate(stance, FORCE_KNOTS, values), 0.0)


def leg(task: Task, person: Person, speed: float, phase: Float, habit: Habits) -> Leg:
    """A leg whose foot contacts the ground at whole ``phase``."""
    height = person.height_m
    pitches = []
    for column, points in enumerate((task.hip, task.knee, task.foot)):
        curve = CycleCurve([float(np.deg2rad(p)) for p in points])
        values = curve(phase)
        # Gain acts about the mean; the foot's about the ground, on which it lies flat.
        centre = np.deg2rad(task.slope_deg) if column == 2 else curve.mean
        faster = (speed / task.reference_speed) ** task.excursion_power[column]
        values = centre + faster * habit.gain[:, column] * (values - centre)
        pitches.append(values + (0.0 if column == 2 else habit.offset[:, column]))
    hip, knee, foot = pitches
    # Half of the trunk's lean is the pelvis's, from which the hip's angle counts.
    thigh = hip - np.deg2rad(0.5 * task.trunk_deg)
    shank = thigh - knee
    knee_at = point(thigh, 0.0, -THIGH * height)
    ankle_at = knee_at + point(shank, 0.0, -SHANK * height)
    stance = (phase % 1.0) / task.toe_off
    along = (interpolate(stance, STANCE_KNOTS, task.pressure) + habit.pressure - ANKLE_FROM_HEEL) * FOOT
    pressure_at = ankle_at + point(foot, along * height, -ANKLE_HEIGHT * height)
    load = vertical_load(task, speed, stance) * habit.load * person.mass_kg * GRAVITY
    return Leg(hip, thigh, shank, foot, knee_at, ankle_at, pressure_at, load, stance)


def hip_velocity_from(side: Leg, rate_hz: float) -> Float:
    """Velocity (n, 2) the hip has if the foot's point under pressure stands still."""
    arm = side.pressure_at - side.ankle_at
    spin = derivative(side.foot, rate_hz)
    turning = np.stack([-spin * arm[:, 1], spin * arm[:, 0]], axis=1)
    return -(derivative(side.ankle_at, rate_hz) + turning)


def right_share(phase: Float, toe_off: float) -> Float:
    """How far the right foot, not the left, leads the hip: 1 or 0 on one foot, smooth between on both."""
    cycle = phase % 1.0
    double = toe_off - 0.5
    taking = np.clip(cycle / double, 0.0, 1.0)
    giving = np.clip((cycle - 0.5) / double, 0.0, 1.0)
    taken, given = (t**3 * (10.0 - 15.0 * t + 6.0 * t**2) for t in (taking, giving))
    result: Float = taken - given
    return result


def smooth(values: Float, deviation_rows: float) -> Float:
    """Gaussian smoothing along time of (rows, columns), the ends held."""
    reach = int(np.ceil(4.0 * deviation_rows))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation_rows) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def simulate(
    rng: np.random.Generator, task: Task, person: Person, speed: float, time_s: Float, rate_hz: float
) -> Motion:
    """The motion of one trial at the times given."""
    stride_hz = task.stride_hz * (speed / task.reference_speed) ** task.stride_power
    stride_hz *= person.cadence * np.sqrt(1.72 / person.height_m)
    frequency = stride_hz * (1.0 + drift(rng, time_s, 0.02, 0.4))
    phase = rng.uniform(0.0, 1.0) + np.concatenate([[0.0], np.cumsum(frequency[:-1])]) / rate_hz
    habit = habits(rng, person, time_s)
    right = leg(task, person, speed, phase, habit)
    left = leg(task, person, speed, phase + 0.5, habit)
    share = right_share(phase, task.toe_off)[:, None]
    velocity = share * hip_velocity_from(right, rate_hz) + (1 - share) * hip_velocity_from(left, rate_hz)
    velocity = smooth(velocity, PELVIS_SMOOTHING_S * rate_hz)
    lean = np.deg2rad(task.trunk_deg + 1.5 * np.cos(4 * np.pi * (phase - 0.05)))
    trunk = -lean + drift(rng, time_s, np.deg2rad(0.8), 0.5)
    pivot = person.pivot_m + drift(rng, time_s, 0.01, 0.9)
    return Motion(rate_hz, time_s, phase, right, trunk, velocity, pivot)
