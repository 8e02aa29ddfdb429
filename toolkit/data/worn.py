"""The same recording with its sensors worn otherwise: turned, with other gains, after a stand. For simulation and tests.

Everything is done to what the sensors read, in their units; the joint moments stay, because the person moved the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY
from toolkit.data.imus import imus
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: Noise of a sensor at rest, m/s^2 and rad/s.
_REST = (0.03, 0.005)


def random_rotation(rng: np.random.Generator) -> Float:
    """A rotation (3, 3), uniform over all of them: a unit quaternion of normal numbers (Shoemake 1992, Graphics Gems III)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def turned(recording: Recording, rotations: Mapping[str, Float]) -> Recording:
    """Each IMU named in ``rotations`` reads what it would if it were mounted turned by its (3, 3) matrix."""
    signals = dict(recording.signals)
    for name, signal in recording.signals.items():
        samples = np.array(signal.samples, np.float64)
        for imu in imus(signal.spec):
            if imu.segment in rotations:
                for three in (list(imu.places[:3]), list(imu.places[3:])):
                    samples[:, three] = samples[:, three] @ rotations[imu.segment].T
        signals[name] = dataclasses.replace(signal, samples=samples)
    return dataclasses.replace(recording, signals=signals)


def amplified(recording: Recording, gains: Mapping[str, float]) -> Recording:
    """The channels named in ``gains`` times their gain."""
    signals = {}
    for name, signal in recording.signals.items():
        row = np.array([gains.get(channel, 1.0) for channel in signal.spec.channel_names])
        signals[name] = dataclasses.replace(signal, samples=np.asarray(signal.samples) * row)
    return dataclasses.replace(recording, signals=signals)


def after_a_stand(recording: Recording, seconds: float, rng: np.random.Generator) -> Recording:
    """``recording`` with ``seconds`` of standing still before it: gravity in the mean direction that each accelerometer has, no
    turning, EMG at rest. Labels and heel strikes keep their place in the walk."""
    signals = {}
    for name, signal in recording.signals.items():
        samples = np.asarray(signal.samples, np.float64)
        rest = np.zeros((round(seconds * signal.spec.rate_hz), samples.shape[1]))
        inertial = imus(signal.spec)
        for imu in inertial:
            accelerometer, gyroscope = list(imu.places[:3]), list(imu.places[3:])
            mean = samples[:, accelerometer].mean(axis=0)
            noise = rng.standard_normal((len(rest), 6)) * ([_REST[0]] * 3 + [_REST[1]] * 3)
            rest[:, accelerometer] = mean / np.linalg.norm(mean) * GRAVITY + noise[:, :3]
            rest[:, gyroscope] = noise[:, 3:]
        if not inertial:
            rest = rng.standard_normal(rest.shape) * np.percentile(np.abs(samples), 5, axis=0)
        signals[name] = Signal(signal.spec, signal.start_s - seconds, np.concatenate([rest, samples]))
    return dataclasses.replace(recording, signals=signals)
