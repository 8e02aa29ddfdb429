"""The same recording with sensors that fail, are mistaken for others or are described wrongly. For simulation and tests.

As in ``toolkit.data.worn`` everything is done to what the sensors read, in their units; the joint moments stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
from toolkit.data import frames
from toolkit.data.imus import imus
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]

#: Noise of an electrode without contact, as a share of the channel's root mean square: what the amplifier itself has.
_AMPLIFIER = 0.02


def axis_rotation(axis: Float, degrees: float) -> Float:
    """The rotation (3, 3) by ``degrees`` about ``axis`` (3,), by Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.radians(degrees)
    result: Float = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    return result


def _changed(recording: Recording, change: Callable[[Signal, Float], Float]) -> Recording:
    """``recording`` with the samples (rows, channels) of each stream as ``change`` makes them of a copy."""
    signals = {
        name: dataclasses.replace(signal, samples=change(signal, np.array(signal.samples, np.float64)))
        for name, signal in recording.signals.items()
    }
    return dataclasses.replace(recording, signals=signals)


def _places(spec: StreamSpec, segment: str) -> list[int]:
    """The six places of an IMU in a stream; none where it is not there."""
    return [place for imu in imus(spec) if imu.segment == segment for place in imu.places]


def swapped(recording: Recording, one: str, other: str) -> Recording:
    """Two IMUs (by segment), or two channels, have changed places."""

    def change(signal: Signal, samples: Float) -> Float:
        names = signal.spec.channel_names
        first, second = (_places(signal.spec, name) for name in (one, other))
        if not first and one in names and other in names:
            first, second = [names.index(one)], [names.index(other)]
        if first and second:
            samples[:, first + second] = samples[:, second + first]
        return samples

    return _changed(recording, change)


def mirrored(recording: Recording, stride_s: float) -> Recording:
    """The sensors are on the other leg: mirrored in the sagittal plane, and half a stride apart.

    Accelerations across the plane and angular velocities within it change their sign. Nothing is known of the first half
    stride: it repeats the first sample.
    """

    def change(signal: Signal, samples: Float) -> Float:
        reflected = np.asarray(frames.mirrored(signal).samples, np.float64)
        return _late(reflected, stride_s / 2, signal.spec.rate_hz)

    return _changed(recording, change)


def late(recording: Recording, streams: Collection[str], seconds: float) -> Recording:
    """The streams named in ``streams`` are stamped ``seconds`` later than they were taken."""
    return _changed(
        recording,
        lambda signal, samples: (
            _late(samples, seconds, signal.spec.rate_hz) if signal.spec.name in streams else samples
        ),
    )


def _late(samples: Float, seconds: float, rate_hz: float) -> Float:
    rows = min(round(seconds * rate_hz), len(samples))
    return np.concatenate([np.repeat(samples[:1], rows, axis=0), samples])[: len(samples)]


def scaled_by_unit(recording: Recording, factors: Mapping[str, float]) -> Recording:
    """Channels whose unit is a key of ``factors`` come in another unit than they say: times its factor."""

    def change(signal: Signal, samples: Float) -> Float:
        samples *= [factors.get(channel.unit, 1.0) for channel in signal.spec.channels]
        return samples

    return _changed(recording, change)


def biased(recording: Recording, offsets: Mapping[str, float], rng: np.random.Generator) -> Recording:
    """Every IMU channel whose unit is a key of ``offsets`` has an offset of that size, with a sign of its own."""

    def change(signal: Signal, samples: Float) -> Float:
        sizes = np.zeros(samples.shape[1])
        for imu in imus(signal.spec):
            for place in imu.places:
                sizes[place] = offsets.get(signal.spec.channels[place].unit, 0.0)
        samples += sizes * rng.choice([-1.0, 1.0], samples.shape[1])
        return samples

    return _changed(recording, change)


def wobbling(
    recording: Recording, segment: str, rate_hz: float, size: float, rng: np.random.Generator
) -> Recording:
    """An IMU on a loose strap or on soft tissue: its accelerometer swings at ``rate_hz`` along a drawn axis, with an amplitude
    of ``size`` m/s^2."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)

    def change(signal: Signal, samples: Float) -> Float:
        for imu in imus(signal.spec):
            if imu.segment == segment:
                swing = size * np.sin(2.0 * np.pi * rate_hz * signal.times_s)
                samples[:, list(imu.places[:3])] += np.outer(swing, axis)
        return samples

    return _changed(recording, change)


def with_hum(
    recording: Recording, streams: Collection[str], amplitude: float, line_hz: float, rng: np.random.Generator
) -> Recording:
    """Mains hum on every channel of ``streams``: the line and its odd harmonics up to the seventh, each a third of the one
    before, with a phase of its own; ``amplitude`` is the line's, in the channels' unit."""

    def change(signal: Signal, samples: Float) -> Float:
        if signal.spec.name not in streams:
            return samples
        for harmonic, part in zip((1, 3, 5, 7), (1.0, 1 / 3, 1 / 9, 1 / 27)):
            if harmonic * line_hz < signal.spec.rate_hz / 2:
                phase = rng.uniform(0.0, 2 * np.pi, samples.shape[1])
                turn = 2 * np.pi * harmonic * line_hz * signal.times_s[:, None]
                samples += amplitude * part * np.sin(turn + phase)
        return samples

    return _changed(recording, change)


def with_noise(
    recording: Recording, streams: Collection[str], share: float, rng: np.random.Generator
) -> Recording:
    """White noise on every channel of ``streams``, its deviation ``share`` of the channel's own."""

    def change(signal: Signal, samples: Float) -> Float:
        if signal.spec.name not in streams:
            return samples
        samples += rng.standard_normal(samples.shape) * samples.std(axis=0) * share
        return samples

    return _changed(recording, change)


def without_contact(recording: Recording, channels: Collection[str], rng: np.random.Generator) -> Recording:
    """Electrodes that have come off: the channels named have the amplifier's noise and nothing else."""

    def change(signal: Signal, samples: Float) -> Float:
        for place, name in enumerate(signal.spec.channel_names):
            if name in channels:
                size = _AMPLIFIER * float(np.sqrt(np.mean(samples[:, place] ** 2)))
                samples[:, place] = rng.standard_normal(len(samples)) * size
        return samples

    return _changed(recording, change)


def dead(recording: Recording, channels: Collection[str]) -> Recording:
    """The channels named are stuck at the first value that they had."""

    def change(signal: Signal, samples: Float) -> Float:
        places = [i for i, name in enumerate(signal.spec.channel_names) if name in channels]
        samples[:, places] = samples[0, places]
        return samples

    return _changed(recording, change)


def clipped(recording: Recording, ends: Mapping[str, float]) -> Recording:
    """Channels whose unit is a key of ``ends`` read no more than that in either direction."""

    def change(signal: Signal, samples: Float) -> Float:
        limit = np.array([ends.get(channel.unit, np.inf) for channel in signal.spec.channels])
        np.clip(samples, -limit, limit, out=samples)
        return samples

    return _changed(recording, change)


def from_then_on(before: Recording, after: Recording, onset_s: float) -> Recording:
    """``before`` until ``onset_s`` after its start and ``after`` from then on: something happens to sensors in mid-session."""
    signals = {}
    for name, signal in before.signals.items():
        first = min(round(onset_s * signal.spec.rate_hz), len(signal.samples))
        samples = np.concatenate([signal.samples[:first], after.signals[name].samples[first:]])
        signals[name] = dataclasses.replace(signal, samples=samples)
    return dataclasses.replace(before, signals=signals)
