"""The same recording with its sensors worn otherwise: turned, with other gains, after a stand. For simulation and tests.

Everything is done to what the sensors read, in their units; the joint moments stay, because the person moved the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
from toolkit.data.channels import GRAVITY
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


def sensors(spec: StreamSpec) -> dict[str, tuple[list[int], list[int]]]:
    """Places of accelerometer and gyroscope x, y, z of every IMU of a stream that names them as the contract does."""
    places = {name: place for place, name in enumerate(spec.channel_names)}
    found = {}
    for name in spec.channel_names:
        segment = name.removesuffix("_accel_x")
        wanted = [[f"{segment}_{kind}_{axis}" for axis in "xyz"] for kind in ("accel", "gyro")]
        if name.endswith("_accel_x") and all(each in places for kind in wanted for each in kind):
            found[segment] = ([places[each] for each in wanted[0]], [places[each] for each in wanted[1]])
    return found


def turned(recording: Recording, rotations: Mapping[str, Float]) -> Recording:
    """Each IMU named in ``rotations`` reads what it would if it were mounted turned by its (3, 3) matrix."""
    signals = dict(recording.signals)
    for name, signal in recording.signals.items():
        samples = np.array(signal.samples, np.float64)
        for segment, places in sensors(signal.spec).items():
            if segment in rotations:
                for three in places:
                    samples[:, three] = samples[:, three] @ rotations[segment].T
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
        inertial = sensors(signal.spec)
        for accelerometer, gyroscope in inertial.values():
            mean = samples[:, accelerometer].mean(axis=0)
            noise = rng.standard_normal((len(rest), 6)) * ([_REST[0]] * 3 + [_REST[1]] * 3)
            rest[:, accelerometer] = mean / np.linalg.norm(mean) * GRAVITY + noise[:, :3]
            rest[:, gyroscope] = noise[:, 3:]
        if not inertial:
            rest = rng.standard_normal(rest.shape) * np.percentile(np.abs(samples), 5, axis=0)
        signals[name] = Signal(signal.spec, signal.start_s - seconds, np.concatenate([rest, samples]))
    return dataclasses.replace(recording, signals=signals)
