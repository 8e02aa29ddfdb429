"""Which channels of a stream are one IMU."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.contract import StreamSpec
from toolkit.errors import ContractError

_NAME = re.compile(r"(?P<segment>.+)_(?P<kind>accel|gyro)_(?P<axis>[xyz])")
_UNITS = {"accel": "m/s^2", "gyro": "rad/s"}
_ORDER = tuple((kind, axis) for kind in ("accel", "gyro") for axis in "xyz")


@dataclass(frozen=True)
class Imu:
    """One sensor: its segment, and the places of accelerometer x, y, z and gyroscope x, y, z among the stream's channels."""

    segment: str
    places: tuple[int, int, int, int, int, int]


def imus(stream: StreamSpec) -> tuple[Imu, ...]:
    """The IMUs of a stream, by channel names ``SEGMENT_accel_x`` ... ``SEGMENT_gyro_z``, in order of appearance.

    Empty where no channel has such a name. ContractError if a sensor lacks an axis or a unit is another: half a sensor
    cannot be turned.
    """
    found: dict[str, dict[tuple[str, str], int]] = {}
    for place, channel in enumerate(stream.channels):
        match = _NAME.fullmatch(channel.name)
        if match is None:
            continue
        if channel.unit != _UNITS[match["kind"]]:
            raise ContractError(
                f"channel {channel.name!r} of stream {stream.name!r} is in {channel.unit}; a sensor that is calibrated needs "
                f"{_UNITS[match['kind']]}"
            )
        found.setdefault(match["segment"], {})[match["kind"], match["axis"]] = place
    for segment, places in found.items():
        missing = [f"{segment}_{kind}_{axis}" for kind, axis in _ORDER if (kind, axis) not in places]
        if missing:
            raise ContractError(
                f"stream {stream.name!r} has no {', '.join(missing)}: an IMU is calibrated with all of its six channels"
            )
    result = []
    for segment, places in found.items():
        first, second, third, fourth, fifth, sixth = (places[key] for key in _ORDER)
        result.append(Imu(segment, (first, second, third, fourth, fifth, sixth)))
    return tuple(result)
