"""Which columns of a model's inputs, side by side, are which sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import SensorContract
from toolkit.data.imus import imus
from toolkit.errors import ContractError

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Sensor:
    """One IMU (six ``columns``: accelerometer x, y, z, gyroscope x, y, z) or one EMG channel among the inputs side by side."""

    name: str
    columns: tuple[int, ...]

    @property
    def is_imu(self) -> bool:
        return len(self.columns) == 6


@dataclass(frozen=True, eq=False)
class SensorLayout:
    """Which columns of the inputs, side by side in the contract's order, are which sensor; and what a deviation is in units."""

    inputs: tuple[str, ...]
    sensors: tuple[Sensor, ...]
    mean: Float
    deviation: Float
    grid_rate_hz: float

    @property
    def imus(self) -> tuple[Sensor, ...]:
        return tuple(sensor for sensor in self.sensors if sensor.is_imu)

    @property
    def electrodes(self) -> tuple[Sensor, ...]:
        return tuple(sensor for sensor in self.sensors if not sensor.is_imu)

    def physical(self, features: NDArray[np.floating]) -> Float:
        """``features`` (..., columns) in the channels' units."""
        result: Float = features * self.deviation + self.mean
        return result


def layout_of(contract: SensorContract) -> SensorLayout | None:
    """The sensors of ``contract``; None if it has no IMU that a walk could be found with."""
    sensors: list[Sensor] = []
    first = 0
    for item in contract.inputs:
        try:
            found = imus(item.stream)
        except ContractError:  # half a sensor, or other units: it can run, and cannot be judged
            return None
        inertial = {place for imu in found for place in imu.places}
        sensors += [Sensor(imu.segment, tuple(first + place for place in imu.places)) for imu in found]
        sensors += [
            Sensor(channel.name, (first + place,))
            for place, channel in enumerate(item.stream.channels)
            if place not in inertial
        ]
        first += len(item.stream.channels)
    if not any(sensor.is_imu for sensor in sensors):
        return None
    return SensorLayout(
        tuple(item.stream.name for item in contract.inputs),
        tuple(sensors),
        np.concatenate([item.normaliser.mean for item in contract.inputs]),
        np.concatenate([item.normaliser.std for item in contract.inputs]),
        contract.grid_rate_hz,
    )
