"""What IMUs on the synthetic leg and trunk read, with mounting errors, bias, noise and the shock of footfall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.data import virtual_imu
from toolkit.data.synthetic.curves import after_each
from toolkit.data.synthetic.motion import (
    FOOT,
    SHANK,
    THIGH,
    Motion,
    derivative,
)
from toolkit.data.synthetic.people import Person

Float = NDArray[np.float64]

ACCELEROMETER_NOISE = 0.06
GYROSCOPE_NOISE = 0.008
ACCELEROMETER_BIAS = 0.08
GYROSCOPE_BIAS = 0.01


def in_space(planar: Float) -> Float:
    """(n, 2) in the sagittal plane as (n, 3)."""
    return np.concatenate([planar, np.zeros((len(planar), 1))], axis=1)


def frontal(motion: Motion) -> dict[str, tuple[Float, Float]]:
    """Small turns about x (list) and y (rotation) of each segment in rad, by the gait cycle.

    Amplitudes after the normal ranges in Perry and Burnfield (2010, Gait Analysis): pelvic list 4 deg,
    pelvic rotation 5 deg each way.
    """
    turn = 2 * np.pi * motion.phase
    pelvis_list = np.deg2rad(4.0) * np.sin(turn - 0.3)
    pelvis_turn = np.deg2rad(5.0) * np.cos(turn)
    return {
        "foot": (np.deg2rad(2.5) * np.sin(turn + 0.6), np.deg2rad(-6.0) + np.deg2rad(2.0) * np.sin(2 * turn)),
        "shank": (np.deg2rad(2.0) * np.sin(turn + 0.4), np.deg2rad(4.0) * np.cos(turn + 0.5)),
        "thigh": (np.deg2rad(3.0) * np.sin(turn - 0.1), np.deg2rad(4.5) * np.cos(turn + 0.2)),
        "trunk": (0.4 * pelvis_list, -0.7 * pelvis_turn),
    }


def imu(rng: np.random.Generator, person: Person, motion: Motion, heel_strikes_s: Float) -> Float:
    """Signals (n, 24) in the order of ``toolkit.data.channels.imu_stream``."""
    height, side = person.height_m, motion.right
    nought = np.zeros_like(side.knee_at)
    # Segment: pitch, where its sensor's segment begins, the sensor's place on it in its own axes.
    places = {
        "foot": (side.foot, side.ankle_at, (0.35 * FOOT * height, -0.01, 0.0)),
        "shank": (side.shank, side.knee_at, (0.04, -0.5 * SHANK * height, 0.03)),
        "thigh": (side.thigh, nought, (0.07, -0.5 * THIGH * height, 0.04)),
        "trunk": (motion.trunk, nought, (-0.09, 0.12 * height, -0.05 * height)),
    }
    hip_acceleration = in_space(derivative(motion.hip_velocity, motion.rate_hz))
    turns = frontal(motion)
    columns = []
    for row, (name, (pitch, origin, place)) in enumerate(places.items()):
        about_x, about_y = turns[name]
        segment = virtual_imu.body_fixed({"z": pitch, "x": about_x, "y": about_y})
        position = in_space(origin) + virtual_imu.apply(segment, np.array(place) + person.shift_m[row])
        error = person.placement[row]
        mounting = virtual_imu.body_fixed({axis: error[i : i + 1] for i, axis in enumerate("xyz")})[0]
        columns.append(
            virtual_imu.signals(segment @ mounting, position, motion.rate_hz, "central", hip_acceleration)
        )
    clean = np.concatenate(columns, axis=1)
    return clean + imperfections(rng, motion.time_s, heel_strikes_s)


def imperfections(rng: np.random.Generator, time_s: Float, heel_strikes_s: Float) -> Float:
    """Bias, white noise and footfall shock (n, 24): a damped 22 Hz ringing, weaker up the leg."""
    size = np.array([ACCELEROMETER_NOISE] * 3 + [GYROSCOPE_NOISE] * 3)
    bias = np.array([ACCELEROMETER_BIAS] * 3 + [GYROSCOPE_BIAS] * 3)
    result = np.tile(size, 4) * rng.standard_normal((len(time_s), 24)) + np.tile(
        bias, 4
    ) * rng.standard_normal(24)
    ringing = np.zeros(len(time_s))
    for rows, after in after_each(time_s, heel_strikes_s, 0.03):
        ringing[rows] += np.sin(2 * np.pi * 22.0 * after) * np.exp(-after / 0.03) * rng.lognormal(0.0, 0.2)
    for row, strength in enumerate((12.0, 6.0, 3.0, 1.5)):
        result[:, 6 * row : 6 * row + 3] += np.outer(ringing, strength * np.array([0.4, 1.0, 0.2]))
    return result
