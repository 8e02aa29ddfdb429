"""Every way to wear, mistake and break sensors that a bundle is tried with, by name and size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from toolkit.contract import VOLTS, SensorContract
from toolkit.data import faulty, worn
from toolkit.data.imus import imus
from toolkit.records import Recording

#: What is done to one person's recordings. The generator is the same for all of them: a strap sits as it sits.
Change = Callable[[Recording, np.random.Generator], Recording]

ANGLES_DEG = (5, 10, 20, 30, 90, 180)
ANGLES_OF_ONE_DEG = (10, 20, 30, 90)
GAINS = (0.1, 0.25, 0.5, 2.0, 4.0, 10.0)
DELAYS_MS = (10, 20, 50, 100)
HUM_MV = (0.02, 0.1, 0.5)
#: A strap that swings with the soft tissue below it: Hz and m/s^2, assumed; well above what a segment itself does in walking.
WOBBLE_HZ, WOBBLE = 9.0, 4.0
#: Ends of a range that is too narrow for walking: 2 g and 250 deg/s.
_ENDS = {"m/s^2": 19.6, "rad/s": 4.36}
#: What a strap's foot turns fastest with, where a recording has no heel strikes: half of a usual stride, s.
_STRIDE_S = 1.1


@dataclass(frozen=True)
class Perturbation:
    """``name`` and ``size`` say what is done; ``ends`` are full scales by unit that sensors state then."""

    name: str
    size: str
    change: Change
    ends: Mapping[str, float] = field(default_factory=dict)
    #: One of those that ``--quick`` takes.
    quick: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.size}".strip()


NONE = Perturbation("none", "", lambda recording, rng: recording, quick=True)


@dataclass(frozen=True)
class Sensors:
    """What of a contract can be worn wrongly: IMUs by segment, EMG channels, their streams and unit."""

    segments: tuple[str, ...]
    muscles: tuple[str, ...]
    inertial: tuple[str, ...]
    electric: tuple[str, ...]
    unit: str

    @classmethod
    def of(cls, contract: SensorContract) -> Sensors:
        """ContractError for half an IMU."""
        found = {item.stream.name: imus(item.stream) for item in contract.inputs}
        electric = [item.stream for item in contract.inputs if not found[item.stream.name]]
        return cls(
            tuple(imu.segment for each in found.values() for imu in each),
            tuple(name for stream in electric for name in stream.channel_names),
            tuple(name for name, each in found.items() if each),
            tuple(stream.name for stream in electric),
            electric[0].channels[0].unit if electric else "",
        )


def catalogue(contract: SensorContract) -> list[Perturbation]:
    """All that the sensors of ``contract`` can be tried with, the unperturbed first."""
    sensors = Sensors.of(contract)
    found = [NONE]
    if sensors.segments:
        found += [*_rotations(sensors), *_places(sensors), *_inertial(sensors)]
    if sensors.muscles:
        found += [*_gains(sensors), *_electrodes(sensors), *_hum(sensors)]
    if sensors.segments and sensors.muscles:
        found += list(_delays(sensors))
    return [*found, *_failures(sensors)]


def _rotations(sensors: Sensors) -> Iterator[Perturbation]:
    for degrees in ANGLES_DEG:
        change = _turn(sensors.segments, degrees)
        yield Perturbation("imu-turned", f"all {degrees} deg", change, quick=degrees == 20)
    for segment in sensors.segments:
        for degrees in ANGLES_OF_ONE_DEG:
            change = _turn((segment,), degrees)
            yield Perturbation("imu-turned", f"{segment} {degrees} deg", change, quick=degrees == 20)

    def mount(recording: Recording, rng: np.random.Generator) -> Recording:
        return worn.turned(recording, {name: worn.random_rotation(rng) for name in sensors.segments})

    yield Perturbation("imu-mounted", "all at random", mount, quick=True)
    for segment in sensors.segments:

        def wobble(recording: Recording, rng: np.random.Generator, segment: str = segment) -> Recording:
            return faulty.wobbling(recording, segment, WOBBLE_HZ, WOBBLE, rng)

        yield Perturbation("strap-loose", f"{segment} {WOBBLE_HZ:g} Hz", wobble, quick=segment == "shank")


def _turn(segments: Sequence[str], degrees: float) -> Change:
    """Each about an axis of its own, drawn for the person."""

    def change(recording: Recording, rng: np.random.Generator) -> Recording:
        rotations = {name: faulty.axis_rotation(rng.normal(size=3), degrees) for name in segments}
        return worn.turned(recording, rotations)

    return change


def _places(sensors: Sensors) -> Iterator[Perturbation]:
    for one, other in pairwise(sensors.segments):

        def swap(
            recording: Recording, rng: np.random.Generator, one: str = one, other: str = other
        ) -> Recording:
            return faulty.swapped(recording, one, other)

        quick = one == sensors.segments[0]
        yield Perturbation("imus-swapped", f"{one} and {other}", swap, quick=quick)
    yield Perturbation(
        "other-leg", "mirrored", lambda recording, rng: faulty.mirrored(recording, _stride_s(recording))
    )


def _stride_s(recording: Recording) -> float:
    strikes = recording.heel_strikes_s
    return float(np.median(np.diff(strikes))) if len(strikes) > 1 else _STRIDE_S


def _inertial(sensors: Sensors) -> Iterator[Perturbation]:
    yield _by_unit("accelerometer in g", {"m/s^2": 1 / 9.80665})
    yield _by_unit("gyroscope in deg/s", {"rad/s": 180 / np.pi})
    for size in (0.02, 0.1, 0.5):
        yield _bias("gyroscope-bias", f"{size:g} rad/s", {"rad/s": size})
    yield _bias("accelerometer-bias", "0.5 m/s^2", {"m/s^2": 0.5})
    yield Perturbation("saturated", "2 g, 250 deg/s", lambda r, rng: faulty.clipped(r, _ENDS), _ENDS)


def _by_unit(size: str, factors: Mapping[str, float]) -> Perturbation:
    return Perturbation("unit-mistaken", size, lambda r, rng: faulty.scaled_by_unit(r, factors))


def _bias(name: str, size: str, offsets: Mapping[str, float]) -> Perturbation:
    return Perturbation(name, size, lambda r, rng: faulty.biased(r, offsets, rng))


def _gains(sensors: Sensors) -> Iterator[Perturbation]:
    for gain in GAINS:

        def amplify(recording: Recording, rng: np.random.Generator, gain: float = gain) -> Recording:
            return worn.amplified(recording, dict.fromkeys(sensors.muscles, gain))

        yield Perturbation("emg-gain", f"all {gain:g}", amplify, quick=gain == 0.5)

    def each(recording: Recording, rng: np.random.Generator) -> Recording:
        gains = np.exp(rng.uniform(-np.log(10), np.log(10), len(sensors.muscles)))
        return worn.amplified(recording, dict(zip(sensors.muscles, gains.tolist())))

    yield Perturbation("emg-gain", "each 0.1 to 10", each)
    if sensors.unit in VOLTS:
        yield _by_unit("EMG a thousand times", {sensors.unit: 1000.0})


def _electrodes(sensors: Sensors) -> Iterator[Perturbation]:
    yield Perturbation(
        "electrodes-off",
        "one",
        lambda r, rng: faulty.without_contact(r, (str(rng.choice(sensors.muscles)),), rng),
    )
    yield Perturbation(
        "electrodes-off", "all", lambda r, rng: faulty.without_contact(r, sensors.muscles, rng), quick=True
    )
    if len(sensors.muscles) > 1:

        def swap(recording: Recording, rng: np.random.Generator) -> Recording:
            one, other = rng.choice(sensors.muscles, 2, replace=False)
            return faulty.swapped(recording, str(one), str(other))

        yield Perturbation("electrodes-swapped", "two", swap)


def _hum(sensors: Sensors) -> Iterator[Perturbation]:
    if sensors.unit in VOLTS:
        per_mv = {"mV": 1.0, "uV": 1000.0, "V": 0.001}[sensors.unit]
        for line_hz in (50.0, 60.0):
            for size in HUM_MV:

                def hum(
                    recording: Recording,
                    rng: np.random.Generator,
                    size: float = size,
                    line_hz: float = line_hz,
                ) -> Recording:
                    return faulty.with_hum(recording, sensors.electric, size * per_mv, line_hz, rng)

                quick = (size, line_hz) == (0.1, 50.0)
                yield Perturbation("hum", f"{line_hz:.0f} Hz {size:g} mV", hum, quick=quick)
    yield Perturbation(
        "emg-noise", "as large as the EMG", lambda r, rng: faulty.with_noise(r, sensors.electric, 1.0, rng)
    )


def _delays(sensors: Sensors) -> Iterator[Perturbation]:
    for name, streams in (("emg-late", sensors.electric), ("imu-late", sensors.inertial)):
        for delay_ms in DELAYS_MS if name == "emg-late" else (20, 50):

            def delay(
                recording: Recording,
                rng: np.random.Generator,
                streams: tuple[str, ...] = streams,
                delay_ms: int = delay_ms,
            ) -> Recording:
                return faulty.late(recording, streams, delay_ms / 1000)

            quick = (name, delay_ms) == ("emg-late", 50)
            yield Perturbation(name, f"{delay_ms} ms", delay, quick=quick)


def _failures(sensors: Sensors) -> Iterator[Perturbation]:
    for what, channels in (
        ("one gyroscope axis", [f"{name}_gyro_z" for name in sensors.segments[:1]]),
        ("one IMU", _channels(sensors.segments[:1])),
        ("all IMUs", _channels(sensors.segments)),
        ("one EMG channel", list(sensors.muscles[:1])),
        ("all EMG", list(sensors.muscles)),
    ):
        if channels:
            yield Perturbation("dead", what, _dead(channels))


def _dead(channels: Sequence[str]) -> Change:
    return lambda recording, rng: faulty.dead(recording, channels)


def _channels(segments: Sequence[str]) -> list[str]:
    return [f"{name}_{kind}_{axis}" for name in segments for kind in ("accel", "gyro") for axis in "xyz"]
