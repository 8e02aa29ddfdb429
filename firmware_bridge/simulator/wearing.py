"""How a simulated person wears the sensors, and what becomes of that while he walks: mounting, EMG gains, slips, hum.

All of it is done to what a recording's sensors read; the joint moments stay, because the person moves the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.simulator.faults import Faults
from toolkit.contract import VOLTS
from toolkit.data import faulty, worn
from toolkit.data.imus import imus
from toolkit.errors import UsageError
from toolkit.records import Recording

Float = NDArray[np.float64]

#: A day's electrodes against another's, drawn evenly on a logarithmic scale.
_GAINS = (0.25, 4.0)
#: The segment's own long axis, about which a strap slips.
_LONG_AXIS = np.array([0.0, 1.0, 0.0])
_TURNED = re.compile(r"([^:]+):([^/]+)/([^/]+)/([^/]+)")
_GAIN = re.compile(r"([^:]+):(.+)")


@dataclass(frozen=True)
class Wearing:
    """``mounting``: a seed for random ones, or degrees about x, then y, then z of its segment for each IMU. ``gains``: a seed,
    or a factor for each EMG channel. The person stands for ``stand_s``, swings the leg
    for ``swing_s`` and contracts every muscle for ``contraction_s``, in this order, before he walks."""

    mounting: int | Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    gains: int | Mapping[str, float] = field(default_factory=dict)
    stand_s: float = 0.0
    swing_s: float = 0.0
    contraction_s: float = 0.0

    @classmethod
    def parse(
        cls,
        mounting: str = "",
        gains: str = "",
        stand_s: float = 0.0,
        swing_s: float = 0.0,
        contraction_s: float = 0.0,
    ) -> Wearing:
        """Of texts: a seed (``7``), or ``shank:0/0/90,thigh:10/0/0`` and ``soleus:0.5,tib_ant:2``. UsageError says what is
        allowed."""
        return cls(_mounting(mounting), _gains(gains), stand_s, swing_s, contraction_s)

    @property
    def before_s(self) -> float:
        """How long it takes until the person walks."""
        return self.stand_s + self.swing_s + self.contraction_s

    @property
    def given(self) -> bool:
        """Whether anything is other than in the recording."""
        return self.mounting != {} or self.gains != {} or self.before_s > 0

    def rotations(self, segments: tuple[str, ...]) -> dict[str, Float]:
        """The mounting of each IMU that is mounted otherwise, (3, 3)."""
        if isinstance(self.mounting, int):
            rng = np.random.default_rng([self.mounting, 1])
            return {segment: worn.random_rotation(rng) for segment in segments}
        _require_known("mounting", self.mounting, segments, "IMU")
        return {
            segment: faulty.axis_rotation(np.array([0.0, 0.0, 1.0]), z)
            @ faulty.axis_rotation(np.array([0.0, 1.0, 0.0]), y)
            @ faulty.axis_rotation(np.array([1.0, 0.0, 0.0]), x)
            for segment, (x, y, z) in self.mounting.items()
        }

    def factors(self, channels: tuple[str, ...]) -> dict[str, float]:
        """The gain of each EMG channel that has one."""
        if isinstance(self.gains, int):
            rng = np.random.default_rng([self.gains, 2])
            low, high = map(math.log, _GAINS)
            return {channel: float(np.exp(rng.uniform(low, high))) for channel in channels}
        _require_known("EMG gains", self.gains, channels, "EMG channel")
        return dict(self.gains)


@dataclass(frozen=True)
class Worn:
    """What sensors read from ``start_s`` after the start on."""

    start_s: float
    recording: Recording


def wear(recording: Recording, wearing: Wearing, faults: Faults, seed: int = 0) -> list[Worn]:
    """What the sensors of ``recording`` read, worn so; the first from 0 s on, and another from each fault's time.

    UsageError for an IMU or a channel that the recording does not have.
    """
    segments, channels = _sensors(recording)
    rotations, gains = wearing.rotations(segments), wearing.factors(channels)
    slipped = _one("slip_imu", faults.slip_imu, segments, "IMU") if faults.slip_s else ()
    off = _one("electrode", faults.electrode, channels, "EMG channel") if faults.electrode_off_s else ()
    if wearing.contraction_s:
        recording = worn.after_contractions(
            recording, wearing.contraction_s, np.random.default_rng([seed, 7])
        )
    if wearing.swing_s:
        recording = worn.after_swings(recording, wearing.swing_s, np.random.default_rng([seed, 6]))
    if wearing.stand_s:
        recording = worn.after_a_stand(recording, wearing.stand_s, np.random.default_rng([seed, 3]))
    result = []
    for start_s in sorted({0.0, *(s for s in (faults.slip_s, faults.electrode_off_s, faults.hum_s) if s)}):
        now = recording
        if slipped and start_s >= faults.slip_s:
            now = worn.turned(now, {slipped[0]: faulty.axis_rotation(_LONG_AXIS, faults.slip_deg)})
        now = worn.amplified(worn.turned(now, rotations), gains)
        if off and start_s >= faults.electrode_off_s:
            now = faulty.without_contact(now, off, np.random.default_rng([seed, 4]))
        if faults.hum_mv and start_s >= faults.hum_s:
            now = _hummed(now, faults, seed)
        result.append(Worn(start_s, now))
    return result


def words(recording: Recording, wearing: Wearing) -> list[str]:
    """What is simulated, a line each: the kind of data, and how the sensors are worn."""
    segments, channels = _sensors(recording)
    lines = [f"{recording.kind} data of {recording.person}, {recording.task}"]
    for segment, turn in wearing.rotations(segments).items():
        angle = math.degrees(math.acos(min(max((float(np.trace(turn)) - 1) / 2, -1.0), 1.0)))
        lines.append(f"{segment} IMU mounted turned by {angle:.0f} degrees")
    gains = wearing.factors(channels)
    if gains:
        lines.append("EMG gains " + ", ".join(f"{channel} {gain:.2f}" for channel, gain in gains.items()))
    before = {
        "stands": wearing.stand_s,
        "swings the leg": wearing.swing_s,
        "contracts every muscle": wearing.contraction_s,
    }
    told = [f"{what} for {seconds:g} s" for what, seconds in before.items() if seconds]
    return lines + ([f"{', '.join(told)}, then walks"] if told else [])


def _sensors(recording: Recording) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """IMUs by segment, and EMG channels."""
    specs = [signal.spec for signal in recording.signals.values()]
    segments = tuple(imu.segment for spec in specs for imu in imus(spec))
    return segments, tuple(name for spec in specs if not imus(spec) for name in spec.channel_names)


def _hummed(recording: Recording, faults: Faults, seed: int) -> Recording:
    for name, signal in recording.signals.items():
        unit = signal.spec.channels[0].unit
        if unit in VOLTS:
            size = faults.hum_mv * {"V": 1e-3, "mV": 1.0, "uV": 1e3}[unit]
            rng = np.random.default_rng([seed, 5])
            recording = faulty.with_hum(recording, (name,), size, faults.hum_hz, rng)
    return recording


def _one(fault: str, name: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    if name not in known:
        raise UsageError(
            f"fault {fault} is {name!r}; it must be an {what} of the data: {', '.join(known) or 'it has none'}"
        )
    return (name,)


def _require_known(option: str, given: Mapping[str, object], known: tuple[str, ...], what: str) -> None:
    strange = next((name for name in given if name not in known), None)
    if strange is not None:
        raise UsageError(f"{option}: the data has no {what} {strange!r}; it has {', '.join(known) or 'none'}")


def _mounting(text: str) -> int | dict[str, tuple[float, float, float]]:
    if text.isdecimal():
        return int(text)
    result = {}
    for part in filter(None, text.split(",")):
        match = _TURNED.fullmatch(part)
        if match is None:
            raise UsageError(
                f"mounting {part!r} must be a seed, or SEGMENT:X/Y/Z in degrees, such as shank:0/0/90; separated by commas"
            )
        x, y, z = (_number("mounting", number) for number in match.groups()[1:])
        result[match[1]] = (x, y, z)
    return result


def _gains(text: str) -> int | dict[str, float]:
    if text.isdecimal():
        return int(text)
    result = {}
    for part in filter(None, text.split(",")):
        match = _GAIN.fullmatch(part)
        if match is None:
            raise UsageError(
                f"EMG gains {part!r} must be a seed, or CHANNEL:FACTOR, such as soleus:0.5; separated by commas"
            )
        result[match[1]] = _number("EMG gains", match[2])
    return result


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e6:
        raise UsageError(f"{option}: {text!r} must be a number")
    return value
