"""What a sensor sends and what the model wants, as a person writes it: ``[inputs.NAME]`` of the daemon's configuration.

Everything is checked when it is made, and against a contract by :func:`require_inputs_fit`; what a sensor then describes is
checked in :mod:`runtime.pipeline.input_plan`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.contract import UNITS, VOLTS, SensorContract, StreamSpec
from toolkit.data.imus import imus
from toolkit.errors import ContractError, UsageError
from toolkit.filtering.mains import MAINS_HZ, notch

#: Of an IMU's channels, how the units and scales of an input may be told apart.
KINDS = ("accel", "gyro")
_AXES = "xyz"


@dataclass(frozen=True)
class Axes:
    """A sensor's axes by the contract's: contract axis ``i`` is ``signs[i]`` times the sensor's axis ``places[i]``."""

    places: tuple[int, int, int]
    signs: tuple[float, float, float]

    @classmethod
    def of(cls, words: Any) -> Axes:
        """Of ``["-y", "x", "z"]``: the contract's x is the sensor's y turned round, its y the sensor's x.

        UsageError unless the three are x, y and z, each once, and right-handed: a rotation of a sensor is, whatever way it is
        mounted.
        """
        good = isinstance(words, list | tuple) and len(words) == 3 and all(isinstance(w, str) for w in words)
        bare = [word.lstrip("+-") for word in words] if good else []
        if not good or any(
            len(word) - len(one) > 1 or one not in ("x", "y", "z") for word, one in zip(words, bare)
        ):
            raise UsageError(
                f'axes are {words!r}; they must be three of x, y, z, each with + or - before it, such as ["-y", "x", "z"]'
            )
        twice = next((one for one in bare if bare.count(one) > 1), None)
        if twice is not None:
            raise UsageError(f"axes {list(words)!r} name {twice} twice; each of x, y and z must occur once")
        first, second, third = (_AXES.index(one) for one in bare)
        one, two, three = (-1.0 if word.startswith("-") else 1.0 for word in words)
        result = cls((first, second, third), (one, two, three))
        turned = np.zeros((3, 3))
        turned[range(3), result.places] = result.signs
        if np.linalg.det(turned) < 0:
            raise UsageError(
                f"axes {list(words)!r} are left-handed, which no mounting of a sensor gives; change the sign of one of them"
            )
        return result


@dataclass(frozen=True)
class ChannelFrom:
    """A channel of the contract is the sensor's ``channel`` (or ``STREAM/CHANNEL``) times ``scale``, in ``unit`` if given."""

    channel: str
    unit: str | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.channel:
            raise UsageError("a channel's name must not be empty")
        if self.unit is not None:
            require_unit(self.unit)
        require_scale(self.scale)


@dataclass(frozen=True)
class InputFrom:
    """Which streams make one input of the contract, in the order of its channels.

    A name is a stream's (``imu``, if only one node has it) or ``NODE/STREAM``. ``check_names`` False compares only how many
    channels there are, their units and the rate: for sensors that name their channels otherwise.

    ``unit`` and ``scale`` say what the sensor's values are in and what they are multiplied by first; the key is ``accel``,
    ``gyro``, or empty for all channels. ``axes`` has an IMU's axes by its segment, or by the empty key for all of them.
    ``channels`` says by the contract's names which of the sensor's channels they are: then order does not matter, and
    what is not named is not used. With ``resample`` the streams may have any rate that is high enough for the contract.
    ``notch_hz`` (50 or 60; 0: none) takes mains hum and its odd harmonics out of raw EMG, before the contract's filters.
    """

    streams: tuple[str, ...]
    check_names: bool = True
    unit: Mapping[str, str] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    axes: Mapping[str, Axes] = field(default_factory=dict)
    channels: Mapping[str, ChannelFrom] = field(default_factory=dict)
    resample: bool = False
    notch_hz: int = 0

    def __post_init__(self) -> None:
        if self.notch_hz not in (0, *MAINS_HZ):
            raise UsageError(f"notch_hz is {self.notch_hz!r}; it must be the mains' frequency, 50 or 60")

    def words(self) -> list[str]:
        """How what the sensor sends becomes what the model takes, a line each; none if it is taken as it comes."""
        lines = [f"{_all(kind)} in {unit}" for kind, unit in self.unit.items()]
        lines += [f"{_all(kind)} times {scale:g}" for kind, scale in self.scale.items()]
        for segment, axes in self.axes.items():
            turned = ", ".join(
                f"{_AXES[i]} is the sensor's {'-' if sign < 0 else ''}{_AXES[place]}"
                for i, (place, sign) in enumerate(zip(axes.places, axes.signs))
            )
            lines.append(f"{segment + ' IMU' if segment else 'all IMUs'}: {turned}")
        for name, one in self.channels.items():
            unit = "" if one.unit is None else f" in {one.unit}"
            scale = "" if one.scale == 1.0 else f" times {one.scale:g}"
            lines.append(f"{name} is the sensor's {one.channel}{scale}{unit}")
        if self.resample:
            lines.append("resampled from whatever rate the sensor has")
        return lines + ([f"mains hum of {self.notch_hz} Hz taken out"] if self.notch_hz else [])


def _all(kind: str) -> str:
    return {"": "all channels", "accel": "accelerometers", "gyro": "gyroscopes"}[kind]


def require_unit(unit: Any) -> str:
    """UsageError unless ``unit`` is one of the toolkit's."""
    if unit not in UNITS:
        raise UsageError(f"unit {unit!r} is not known; allowed: {', '.join(UNITS)}")
    return str(unit)


def require_scale(scale: Any) -> float:
    """UsageError unless ``scale`` is a finite number other than 0."""
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not math.isfinite(scale) or scale == 0 or abs(scale) > 1e12:
        raise UsageError(f"scale is {scale!r}; it must be a number other than 0")
    return float(scale)


def require_inputs_fit(contract: SensorContract, inputs: Mapping[str, InputFrom]) -> None:
    """ContractError for inputs, channels or segments that ``contract`` does not have."""
    streams = {item.stream.name: item.stream for item in contract.inputs}
    for name, wanted in inputs.items():
        if name not in streams:
            raise ContractError(
                f"input {name!r} is not one of the model's; its inputs are {', '.join(streams)}"
            )
        own = streams[name].channel_names
        strange = next((channel for channel in wanted.channels if channel not in own), None)
        if strange is not None:
            raise ContractError(
                f"inputs.{name}.channels names {strange!r}, which the model does not have; it has {', '.join(own)}"
            )
        if wanted.notch_hz:
            _require_notch_fits(streams[name], wanted.notch_hz)
        turned = list(wanted.axes)
        kinds = [kind for kind in (*wanted.unit, *wanted.scale) if kind]
        if not turned and not kinds:
            continue
        segments = [imu.segment for imu in imus(streams[name])]
        if not segments:
            raise ContractError(
                f"input {name!r} has no IMU: axes, and units or scales by accel and gyro, are for IMUs"
            )
        lost = next((segment for segment in turned if segment and segment not in segments), None)
        if lost is not None:
            raise ContractError(
                f"inputs.{name}.axes names {lost!r}, where the model has no IMU; it has them on {', '.join(segments)}"
            )


def _require_notch_fits(stream: StreamSpec, notch_hz: int) -> None:
    if not all(channel.unit in VOLTS for channel in stream.channels):
        units = ", ".join(sorted({channel.unit for channel in stream.channels}))
        raise ContractError(
            f"inputs.{stream.name}.notch_hz is for raw EMG, in {', '.join(VOLTS)}; the model's {stream.name} is in {units}"
        )
    try:
        notch(notch_hz, stream.rate_hz)
    except ContractError as error:
        raise ContractError(f"inputs.{stream.name}: {error}") from None
