"""From what sensors describe to how their rows become one input of the model: which channel, times what.

Axes are signed permutations, so every channel of the model is one channel of a sensor times one number; that is all that
is done to a row, after its stream is on its regular axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.packets import ChannelDescriptor, StreamDescriptor
from runtime.pipeline.input_from import KINDS, ChannelFrom, InputFrom
from toolkit.contract import Channel, ModelInput, StreamSpec, require_same_stream
from toolkit.data.imus import imus
from toolkit.data.units import conversion
from toolkit.errors import ContractError, RecordingError
from toolkit.filtering.rate_change import RateChange, rate_change

#: Rates that differ by less than this part are the same: descriptors are single precision.
_SAME_RATE = 1e-6


@dataclass(frozen=True)
class SensorStream:
    """One stream that an input is made of: how the configuration calls it, and what its node says of it."""

    name: str
    node: str
    descriptor: StreamDescriptor


@dataclass(frozen=True, eq=False)
class InputPlan:
    """Columns of each stream that are used (ascending), and the model's channels as columns of those joined, times ``gain``.

    ``gain`` is None if the joined columns are the model's channels as they are. ``changes``: what brings each stream to the
    contract's rate, None where it has it.
    """

    columns: tuple[NDArray[np.intp], ...]
    places: NDArray[np.intp]
    gain: NDArray[np.float32] | None
    changes: tuple[RateChange | None, ...]

    @property
    def delay_s(self) -> float:
        """How long rows wait for the samples that resampling needs, s."""
        return max((change.delay_s for change in self.changes if change is not None), default=0.0)

    def apply(self, joined: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (rows, model's channels) of the used columns of all streams side by side."""
        if self.gain is None:
            return joined
        result: NDArray[np.float32] = joined[:, self.places]
        result *= self.gain
        return result


@dataclass(frozen=True)
class _Source:
    """A sensor's channel: the number of its stream, its column there, and what is said of it."""

    stream: int
    column: int
    channel: ChannelDescriptor


def plan_input(item: ModelInput, streams: Sequence[SensorStream], wanted: InputFrom) -> InputPlan:
    """How ``streams`` become ``item``. ContractError, in one line with both sides, where they cannot."""
    name, label = item.stream.name, f"sensors {', '.join(wanted.streams)}"
    sources = [
        _Source(number, column, channel)
        for number, stream in enumerate(streams)
        for column, channel in enumerate(stream.descriptor.channels)
    ]
    if wanted.channels:
        chosen = [_by_name(channel, item, streams, sources, wanted) for channel in item.stream.channel_names]
        _require_rates(item, streams, wanted, label)
    else:
        try:
            require_same_stream(item.stream, _in_order(item, streams, wanted), label)
        except ContractError as error:
            raise ContractError(f"{error}{_hint(item, streams, wanted)}") from None
        chosen = sources
    order, signs = _turned(item, wanted)
    gains = np.array([_gain(item, place, one, wanted, label) for place, one in enumerate(chosen)])
    turned = [chosen[place] for place in order]
    gain = signs * gains[order]
    columns = tuple(
        np.array(sorted({one.column for one in turned if one.stream == number}), np.intp)
        for number in range(len(streams))
    )
    empty = next((stream.name for stream, used in zip(streams, columns) if not len(used)), None)
    if empty is not None:
        raise ContractError(
            f"{label}: no channel of stream {empty!r} is used; leave it out of inputs.{name}.from"
        )
    starts = np.cumsum([0, *map(len, columns)])
    places = np.array(
        [starts[one.stream] + int(np.searchsorted(columns[one.stream], one.column)) for one in turned],
        np.intp,
    )
    same = np.array_equal(places, np.arange(starts[-1])) and bool((gain == 1.0).all())
    changes = tuple(
        rate_change(item, stream.descriptor.rate_hz, f"sensors {stream.name}") for stream in streams
    )
    return InputPlan(columns, places, None if same else gain.astype(np.float32), changes)


def used_part(descriptor: StreamDescriptor, columns: NDArray[np.intp]) -> StreamDescriptor:
    """``descriptor`` with those channels alone."""
    if len(columns) == len(descriptor.channels):
        return descriptor
    return dataclasses.replace(descriptor, channels=tuple(descriptor.channels[c] for c in columns))


def _by_name(
    name: str,
    item: ModelInput,
    streams: Sequence[SensorStream],
    sources: Sequence[_Source],
    wanted: InputFrom,
) -> _Source:
    """The sensor's channel that is ``name`` of the contract."""
    asked = wanted.channels.get(name, ChannelFrom(name)).channel
    found = []
    for one in sources:
        stream, own = streams[one.stream], one.channel.name
        names = {own, f"{stream.name}/{own}", f"{stream.node}/{stream.descriptor.name}/{own}"}
        if name not in wanted.channels:
            names.add(f"{stream.node}_{own}")
        if asked in names:
            found.append(one)
    if len(found) == 1:
        return found[0]
    where = f"inputs.{item.stream.name}.channels"
    if found:
        raise ContractError(
            f"{where}: {len(found)} of the sensors' streams have a channel {asked!r}; write STREAM/{asked} for {name}"
        )
    there = ", ".join(f"{streams[one.stream].name}/{one.channel.name}" for one in sources)
    raise ContractError(f"{where}: the sensors have no channel {asked!r} for {name}; they have {there}")


def _in_order(item: ModelInput, streams: Sequence[SensorStream], wanted: InputFrom) -> StreamSpec:
    """The streams as one, channels by the contract's names where they are the same with the node's name before.

    Units that the configuration states are taken for the contract's here: :func:`_gain` converts them, or says why not.
    """
    expected = item.stream.channels
    channels: list[Channel] = []
    rate_hz = item.stream.rate_hz
    for stream in streams:
        own = stream.descriptor
        if _is_of_another_rate(stream, item, wanted):
            rate_hz = own.rate_hz
        for channel in own.channels:
            want = expected[len(channels)] if len(channels) < len(expected) else None
            same = want is not None and (
                not wanted.check_names or want.name in (channel.name, f"{stream.node}_{channel.name}")
            )
            name = want.name if same and want is not None else _unused(channel.name, stream.node, channels)
            stated = want is not None and _stated(want.name, wanted) is not None
            channels.append(Channel(name, want.unit if stated and want is not None else channel.unit))
    return StreamSpec(item.stream.name, rate_hz, tuple(channels))


def _unused(name: str, node: str, channels: list[Channel]) -> str:
    taken = {channel.name for channel in channels}
    while name in taken:
        name = f"{node}/{name}"
    return name


def _turned(item: ModelInput, wanted: InputFrom) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Of each channel of the contract, with every IMU's axes exchanged: whose sensor's channel it takes, and its sign."""
    order, signs = np.arange(len(item.stream.channels)), np.ones(len(item.stream.channels))
    for imu in imus(item.stream) if wanted.axes else ():
        axes = wanted.axes.get(imu.segment, wanted.axes.get(""))
        if axes is None:
            continue
        for three in (imu.places[:3], imu.places[3:]):
            for i, place in enumerate(three):
                order[place] = three[axes.places[i]]
                signs[place] = axes.signs[i]
    return order, signs


def _is_of_another_rate(stream: SensorStream, item: ModelInput, wanted: InputFrom) -> bool:
    """Whether a stream has not the contract's rate and may not be resampled."""
    away_hz = abs(stream.descriptor.rate_hz - item.stream.rate_hz)
    return not wanted.resample and away_hz > _SAME_RATE * item.stream.rate_hz


def _require_rates(item: ModelInput, streams: Sequence[SensorStream], wanted: InputFrom, label: str) -> None:
    for stream in streams:
        if _is_of_another_rate(stream, item, wanted):
            raise ContractError(
                f"{label}: stream {item.stream.name!r} must have {item.stream.rate_hz:g} Hz and {stream.name} has "
                f"{stream.descriptor.rate_hz:g} Hz{_hint(item, streams, wanted)}"
            )


def _hint(item: ModelInput, streams: Sequence[SensorStream], wanted: InputFrom) -> str:
    """What in ``[inputs]`` would take what does not fit as it comes; empty if nothing there would."""
    if any(_is_of_another_rate(stream, item, wanted) for stream in streams):
        return f"; with resample = true in [inputs.{item.stream.name}] it is resampled"
    stated = {channel.unit for stream in streams for channel in stream.descriptor.channels}
    if not wanted.unit and stated - {channel.unit for channel in item.stream.channels}:
        return f"; give unit in [inputs.{item.stream.name}], and it is converted"
    return ""


def _kind(channel: str) -> str:
    return next((kind for kind in KINDS if f"_{kind}_" in channel), "")


def _stated(channel: str, wanted: InputFrom) -> str | None:
    """The unit that the configuration states for a channel of the contract."""
    own = wanted.channels.get(channel)
    if own is not None and own.unit is not None:
        return own.unit
    return wanted.unit.get(_kind(channel), wanted.unit.get(""))


def _gain(item: ModelInput, place: int, source: _Source, wanted: InputFrom, label: str) -> float:
    """What the sensor's values are multiplied by to be the contract's."""
    want = item.stream.channels[place]
    own = wanted.channels.get(want.name)
    scale = wanted.scale.get(_kind(want.name), wanted.scale.get("", 1.0)) * (
        own.scale if own is not None else 1.0
    )
    unit = _stated(want.name, wanted)
    if unit is None and wanted.channels:
        unit = source.channel.unit
    if unit is None or unit == want.unit:
        return scale
    try:
        becomes, factor = conversion(
            unit, 1.0, item.stream.name, want.name, f"{label}: inputs.{item.stream.name}"
        )
    except RecordingError as error:
        raise ContractError(str(error)) from None
    if becomes != want.unit:
        raise ContractError(
            f"{label}: channel {want.name!r} of stream {item.stream.name!r} must be in {want.unit}; {unit} cannot become that"
        )
    return scale * factor
