"""The mean stride of the last seconds, as the model sees it: what sensors are judged by.

It is made of the model's own inputs, filtered and normalised on the grid, so every channel counts in its usual deviations, and
EMG is there as the envelope that the model reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.strides import find_strides
from toolkit.contract import SensorContract
from toolkit.data.imus import imus
from toolkit.errors import ContractError

Float = NDArray[np.float64]

#: Fewer strides than this are no mean.
LEAST_STRIDES = 2


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

    @cached_property
    def averages(self) -> Float:
        """(columns, sensors): what a row of columns is multiplied by for the mean of each sensor's."""
        result = np.zeros((len(self.mean), len(self.sensors)))
        for place, sensor in enumerate(self.sensors):
            result[list(sensor.columns), place] = 1.0 / len(sensor.columns)
        return result

    def physical(self, features: Float) -> Float:
        """``features`` (..., columns) in the channels' units."""
        result: Float = features * self.deviation + self.mean
        return result


def layout_of(contract: SensorContract) -> SensorLayout | None:
    """The sensors of ``contract``; None if it has no IMU that strides could be found with."""
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


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """``curves`` (PHASES, columns) of the mean stride in the model's units, ``cadence_hz`` strides a second, how many."""

    curves: Float
    cadence_hz: float
    strides: int


def fingerprint(rows: Float, layout: SensorLayout) -> Fingerprint | None:
    """The mean stride of ``rows`` (rows, columns) of the model's inputs; None where nobody walks."""
    inertial = layout.imus
    columns = [column for sensor in inertial for column in sensor.columns[3:]]
    gyroscopes = rows[:, columns] * layout.deviation[columns] + layout.mean[columns]
    strides = find_strides(gyroscopes.reshape(len(rows), len(inertial), 3), layout.grid_rate_hz)
    if len(strides) < LEAST_STRIDES:
        return None
    return Fingerprint(strides.resampled(rows).mean(axis=0), 1.0 / strides.period_s, len(strides))
