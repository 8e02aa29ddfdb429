"""The same recording with its sensors worn otherwise: turned, with other gains, after what a calibration asks for. For
simulation and tests.

Everything is done to what the sensors read, in their units; the joint moments stay, because the person moved the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.data.channels import GRAVITY
from toolkit.data.imus import imus
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: Noise of a sensor at rest, m/s^2 and rad/s.
_REST = (0.03, 0.005)
#: A leg that is swung from the hip: how fast, how far to either side, and how far from the hip its sensors are.
_SWING_HZ, _SWING_RAD = 0.6, np.radians(30.0)
_FROM_HIP_M = {"thigh": 0.2, "shank": 0.6, "foot": 0.9}


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
    return _after(recording, seconds, lambda signal: _at_rest(signal, seconds, rng))


def after_swings(recording: Recording, seconds: float, rng: np.random.Generator) -> Recording:
    """``recording`` with ``seconds`` before it in which its wearer stands on the other leg and swings this one from the hip,
    with a straight knee: thigh, shank and foot turn together about z, and their accelerometers feel the swing. EMG rests."""

    def swinging(signal: Signal) -> Float:
        rows = _at_rest(signal, seconds, rng)
        times_s = np.arange(len(rows)) / signal.spec.rate_hz
        turn = 2.0 * np.pi * _SWING_HZ
        angle = _SWING_RAD * np.sin(turn * times_s)
        speed = _SWING_RAD * turn * np.cos(turn * times_s)
        faster = -_SWING_RAD * turn**2 * np.sin(turn * times_s)
        for imu in imus(signal.spec):
            if imu.segment in _FROM_HIP_M:
                x, y, *_ = imu.places
                up_x, up_y = rows[:, x].copy(), rows[:, y].copy()
                away = _FROM_HIP_M[imu.segment]
                rows[:, x] = np.cos(angle) * up_x + np.sin(angle) * up_y + away * faster
                rows[:, y] = -np.sin(angle) * up_x + np.cos(angle) * up_y + away * speed**2
                rows[:, imu.places[5]] += speed
        return rows

    return _after(recording, seconds, swinging)


def after_contractions(recording: Recording, seconds: float, rng: np.random.Generator) -> Recording:
    """``recording`` with ``seconds`` before it in which its wearer stands and contracts one muscle after the other as hard as
    he can: about twice what walking takes of it. It begins and ends with a second of rest."""

    def contracting(signal: Signal) -> Float:
        rows = _at_rest(signal, seconds, rng)
        if imus(signal.spec):
            return rows
        most = np.percentile(np.abs(np.asarray(signal.samples, np.float64)), 99, axis=0)
        each_s = max(seconds - 2.0, 0.0) / rows.shape[1]
        for place in range(rows.shape[1]):
            first, last = (round((1.0 + at * each_s) * signal.spec.rate_hz) for at in (place, place + 0.9))
            rows[first:last, place] = most[place] * rng.standard_normal(last - first)
        return rows

    return _after(recording, seconds, contracting)


def _after(recording: Recording, seconds: float, rows: Callable[[Signal], Float]) -> Recording:
    """``recording`` with ``rows`` of each signal before it."""
    signals = {}
    for name, signal in recording.signals.items():
        whole = np.concatenate([rows(signal), np.asarray(signal.samples, np.float64)])
        signals[name] = Signal(signal.spec, signal.start_s - seconds, whole)
    return dataclasses.replace(recording, signals=signals)


def _at_rest(signal: Signal, seconds: float, rng: np.random.Generator) -> Float:
    """What a signal's sensors read while their wearer stands still, (rows, channels)."""
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
    return rest
