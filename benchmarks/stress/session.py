"""One recording through what runs live: findings of its samples, filters, plausibility, engine, states and error bars.

Only the filters are run beforehand, for many recordings side by side; rows come in packets of 0.1 s, as from a sensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.packets import ChannelDescriptor, Data, StreamDescriptor
from firmware_bridge.protocol.table import Format
from firmware_bridge.streams.alignment import Rows
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import TimedSamples
from quantization.bundle import Bundle
from runtime.engines.interface import Engine
from runtime.pipeline.estimate import State
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Batch, InputRows
from runtime.pipeline.model_input import Features, FilterOf
from runtime.pipeline.pipeline import still
from runtime.pipeline.plausibility import watch_of
from runtime.pipeline.states import Rules
from runtime.pipeline.stream_watch import StreamWatch
from toolkit.calibration import Calibration
from toolkit.contract import FilterStage, ModelInput, StreamSpec
from toolkit.data.windows import features
from toolkit.filtering.stages import rational
from toolkit.records import Recording

_PACKET_S = 0.1
#: Error bar of the sample times, and from a sample to its arrival, s: those of a good link.
_ERROR_S, _WAY_S = 0.001, 0.002


@dataclass(frozen=True, eq=False)
class Estimated:
    """The estimates of one recording, a row a grid row: (rows, joints) in Nm/kg, NaN where there is none; ``states`` (rows,)
    are ranks; ``reasons`` a tuple a row; ``half_widths`` NaN where there is no interval."""

    moments: NDArray[np.float64]
    half_widths: NDArray[np.float64]
    states: NDArray[np.int8]
    reasons: tuple[tuple[str, ...], ...]


class _Filtered:
    """Hands out rows that were filtered before, as many as a chain knows after so many raw rows."""

    def __init__(self, rows: Features, step: Fraction) -> None:
        self._rows, self._step = rows, step
        self._taken = self._given = 0

    def push(self, samples: NDArray[np.float32]) -> Features:
        """The rows known once ``samples`` have come too."""
        self._taken += len(samples)
        known = min((self._taken - 1) // self._step + 1, len(self._rows)) if self._taken else 0
        given = self._rows[self._given : known]
        self._given = known
        return given


def estimates(
    bundle: Bundle,
    engine: Engine,
    recordings: Sequence[Recording],
    calibrations: Sequence[Calibration | None],
    calibrated: Sequence[Recording],
    ends: Mapping[str, float],
) -> list[Estimated]:
    """Of each of ``recordings`` as worn, with the session's calibration; ``calibrated`` are the same after it.

    ``ends`` are full scales by unit, as sensors would state them.
    """
    filtered = features(calibrated, bundle.contract.inputs, bundle.contract.grid_rate_hz)
    return [
        _session(bundle, engine, recording, calibration, rows, ends)
        for recording, calibration, rows in zip(recordings, calibrations, filtered)
    ]


def _session(
    bundle: Bundle,
    engine: Engine,
    recording: Recording,
    calibration: Calibration | None,
    rows: Mapping[str, Features],
    ends: Mapping[str, float],
) -> Estimated:
    estimator = Estimator(
        bundle.contract,
        engine,
        Rules(),
        still,
        calibration,
        watch_of(bundle.checkpoint, calibration),
        error_bars=bundle.error_bars,
        filter_of=_given_rows(rows),
    )
    packets = _Packets(bundle, recording, ends)
    found: list[RowEstimate] = []
    for batch in packets.batches():
        found += estimator.estimate(batch)
    return _table(found, len(bundle.contract.outputs))


def _given_rows(rows: Mapping[str, Features]) -> FilterOf:
    def filter_of(item: ModelInput, grid_rate_hz: float, before: tuple[FilterStage, ...]) -> _Filtered:
        step = rational(item.stream.rate_hz) / rational(grid_rate_hz)
        return _Filtered(rows[item.stream.name], step)

    return filter_of


class _Packets:
    """A recording's samples as the intake hands them on, with the findings of the watch of each stream."""

    def __init__(self, bundle: Bundle, recording: Recording, ends: Mapping[str, float]) -> None:
        self._samples = {
            item.stream.name: np.asarray(recording.signals[item.stream.name].samples, np.float64)
            for item in bundle.contract.inputs
        }
        self._specs = {item.stream.name: item.stream for item in bundle.contract.inputs}
        self._watches = {
            name: StreamWatch(_descriptor(number, spec, ends), Rules())
            for number, (name, spec) in enumerate(self._specs.items())
        }
        self._seconds = min(len(self._samples[name]) / spec.rate_hz for name, spec in self._specs.items())

    def batches(self) -> list[Batch]:
        """All, in order."""
        count = int(self._seconds / _PACKET_S + 1e-9)
        result = []
        for number in range(count):
            arrival_s = 1.0 + (number + 1) * _PACKET_S + _WAY_S
            arrival_ns = round(arrival_s * 1e9)
            inputs = {name: self._rows(name, number, arrival_ns) for name in self._specs}
            result.append(Batch(arrival_ns, number == 0, inputs, _ERROR_S))
        return result

    def _rows(self, name: str, number: int, arrival_ns: int) -> InputRows:
        spec, watch = self._specs[name], self._watches[name]
        first, stop = (round(n * _PACKET_S * spec.rate_hz) for n in (number, number + 1))
        values = self._samples[name][first:stop]
        times_s = 1.0 + np.arange(first, first + len(values)) / spec.rate_hz
        single = values.astype(np.float32)
        data = Data(
            watch.descriptor.stream, Format.FLOAT32, values.shape[1], first, single.astype("<f4").tobytes()
        )
        samples = TimedSamples(NodeKey(0, 0), 0, watch.descriptor, data, times_s, _ERROR_S, values)
        watch.inspect(samples, arrival_ns)
        rows = Rows(first, single, np.ones(len(values), bool), times_s)
        return InputRows(first, single, watch.findings(rows, 1.0), times_s)


def _descriptor(number: int, spec: StreamSpec, ends: Mapping[str, float]) -> StreamDescriptor:
    channels = tuple(
        ChannelDescriptor(channel.name, channel.unit, 1.0, ends.get(channel.unit, 0.0))
        for channel in spec.channels
    )
    return StreamDescriptor(number, spec.name, Format.FLOAT32, spec.rate_hz, channels)


def _table(found: Sequence[RowEstimate], joints: int) -> Estimated:
    nothing = (float("nan"),) * joints
    usable = [one.verdict.state.rank < State.STALE.rank and bool(one.values) for one in found]
    return Estimated(
        np.array([one.values if ok else nothing for one, ok in zip(found, usable)], np.float64).reshape(
            -1, joints
        ),
        np.array([one.half_widths or nothing for one in found], np.float64).reshape(-1, joints),
        np.array([one.verdict.state.rank for one in found], np.int8),
        tuple(one.verdict.reasons for one in found),
    )
