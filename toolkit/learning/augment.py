"""Sensors worn a little differently in every batch: what a model is made robust with. numpy alone.

Everything is done to normalised windows as it would be done to the sensors: IMUs are turned, and EMG envelopes scaled, in their
units (a rotation and a gain go through linear filters unchanged; the envelope is linear in the gain).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import VOLTS, ModelInput, SensorContract
from toolkit.data.imus import imus
from toolkit.errors import ContractError, UsageError
from toolkit.learning.batches import Inputs

Float = NDArray[np.float32]


@dataclass(frozen=True)
class WornOtherwise:
    """How much, each window (or sequence) for itself. Sizes of 0 change nothing.

    ``rotation_deg``: standard deviation of each IMU's rotation about a random axis. ``gain``: deviation of the logarithm of
    each EMG channel's gain. ``bias``: deviation of each IMU channel's offset, in the channel's own deviations. ``channel``,
    ``sensor``, ``stream``: probability that a channel, an IMU or a whole stream is missing (0, its mean). ``shift``: up to so
    many rows of the grid by which EMG is early or late against the IMU. UsageError for a size that makes no sense.
    """

    rotation_deg: float = 6.0
    gain: float = 0.15
    bias: float = 0.05
    channel: float = 0.01
    sensor: float = 0.01
    stream: float = 0.005
    shift: int = 1

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "gain", "bias", "shift"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"augmentation {name} is {value:g}; it must be at least 0")
        for name in ("channel", "sensor", "stream"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"augmentation {name} is {getattr(self, name):g}; it is a probability, at least 0 and below 1"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that says everything it depends on."""
        return {"kind": "worn otherwise", **dataclasses.asdict(self)}

    def on(self, contract: SensorContract) -> Changed:
        """What changes a batch of windows of ``contract``."""
        return Changed(self, [_Layout.of(item) for item in contract.inputs])

    @classmethod
    def parse(cls, text: str) -> WornOtherwise:
        """From ``NAME=VALUE,...``; empty, or ``default``: as it is. UsageError names what is allowed."""
        allowed = {f.name: f.default for f in dataclasses.fields(cls)}
        given: dict[str, Any] = {}
        for part in filter(None, text.split(",")):
            name, equals, value = part.partition("=")
            if part == "default":
                continue
            if name not in allowed or not equals:
                raise UsageError(
                    f"augmentation {part!r} is not known; allowed: {', '.join(f'{n}=...' for n in allowed)}"
                )
            try:
                given[name] = int(value) if name == "shift" else float(value)
            except ValueError:
                raise UsageError(f"augmentation {name} is {value!r}; it must be a number") from None
        return cls(**given)


@dataclass(frozen=True, eq=False)
class _Layout:
    """One input: its IMUs' columns, its other columns, and the normaliser."""

    name: str
    inertial: tuple[tuple[int, ...], ...]
    others: tuple[int, ...]
    mean: Float
    std: Float

    @classmethod
    def of(cls, item: ModelInput) -> _Layout:
        try:
            found = imus(item.stream)
        except ContractError:  # half a sensor cannot be turned, and its channels are none of EMG
            found = ()
        inertial = tuple(imu.places for imu in found)
        taken = {place for places in inertial for place in places}
        electric = [
            place
            for place, channel in enumerate(item.stream.channels)
            if place not in taken and channel.unit in (*VOLTS, "1")
        ]
        mean, std = (np.asarray(v, np.float32) for v in (item.normaliser.mean, item.normaliser.std))
        return cls(item.stream.name, inertial, tuple(electric), mean, std)


class Changed:
    """:class:`WornOtherwise` on one contract: call it with a batch."""

    def __init__(self, how: WornOtherwise, layouts: list[_Layout]) -> None:
        self._how, self._layouts = how, layouts

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """A changed copy of ``inputs`` {stream: (windows, rows, channels)}."""
        changed = {layout.name: self._worn(inputs[layout.name], layout, rng) for layout in self._layouts}
        self._shift(changed, rng)
        for layout in self._layouts:
            self._drop(changed[layout.name], layout, rng)
        return changed

    def _worn(self, rows: Float, layout: _Layout, rng: np.random.Generator) -> Float:
        """Turned, offset and scaled."""
        how, count = self._how, len(rows)
        values = rows * layout.std + layout.mean
        for places in layout.inertial:
            if how.rotation_deg:
                turns = rotations(rng, count, how.rotation_deg).transpose(0, 2, 1)
                for three in (list(places[:3]), list(places[3:])):
                    values[:, :, three] = values[:, :, three] @ turns
            if how.bias:
                offsets = rng.standard_normal((count, 1, 6), np.float32) * how.bias
                values[:, :, list(places)] += offsets * layout.std[list(places)]
        if how.gain and layout.others:
            gains = np.exp(rng.standard_normal((count, 1, len(layout.others)), np.float32) * how.gain)
            values[:, :, list(layout.others)] *= gains
        return np.asarray((values - layout.mean) / layout.std, np.float32)

    def _shift(self, inputs: Mapping[str, Float], rng: np.random.Generator) -> None:
        """EMG earlier or later; at the edge the last known row is repeated."""
        if not self._how.shift:
            return
        for layout in self._layouts:
            if layout.inertial or not layout.others:
                continue
            rows = inputs[layout.name]
            shifts = rng.integers(-self._how.shift, self._how.shift + 1, len(rows))
            places = np.clip(np.arange(rows.shape[1]) - shifts[:, None], 0, rows.shape[1] - 1)
            rows[:] = np.take_along_axis(rows, places[:, :, None], axis=1)

    def _drop(self, rows: Float, layout: _Layout, rng: np.random.Generator) -> None:
        """Missing channels, sensors and streams read their mean, as a channel that a recording lacks does."""
        how, (count, _, channels) = self._how, rows.shape
        gone: NDArray[np.bool_] = rng.random((count, channels)) < how.channel
        for places in layout.inertial:
            gone[:, list(places)] |= rng.random((count, 1)) < how.sensor
        gone |= rng.random((count, 1)) < how.stream
        rows[np.broadcast_to(gone[:, None, :], rows.shape)] = 0.0


def rotations(rng: np.random.Generator, count: int, deviation_deg: float) -> Float:
    """Rotations (count, 3, 3) about random axes by normal angles of that deviation (Rodrigues' formula)."""
    axes = rng.standard_normal((count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.radians(deviation_deg) * rng.standard_normal(count)
    cross = np.zeros((count, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[:, k, j], cross[:, j, k] = axes[:, i], -axes[:, i]
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    result: Float = (np.eye(3) + sine * cross + (1.0 - cosine) * cross @ cross).astype(np.float32)
    return result
