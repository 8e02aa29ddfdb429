"""The windows that every engine of a bench is fed: the test part of the data, cut by the bundle's contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.gait_cycles import Units, group, spread
from toolkit.contract import SensorContract
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut, feature_tables
from toolkit.errors import UsageError
from toolkit.model.float_model import FloatModel
from toolkit.records import DataKind, Recording, Windows

#: When windows are too many, cycles keep every sample at this rate in Hz: moments have next to nothing above 10 Hz.
_THINNED_HZ = 50.0


@dataclass(frozen=True, eq=False)
class FeatureRun:
    """Features of one segment from its first sample on, {stream: (rows, channels)}, for engines that carry state."""

    inputs: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """``windows`` (n of ``available``) with their grouping; ``part`` is "test", or "all" if the split is unknown."""

    contract: SensorContract
    segments: tuple[Segment, ...]
    windows: Windows
    units: Units
    available: int
    part: str
    source: str

    @property
    def kind(self) -> DataKind:
        """The least real kind among the recordings: one synthetic recording makes the set synthetic."""
        kinds = {recording.kind for recording in self.windows.recordings}
        order: tuple[DataKind, ...] = ("synthetic", "virtual-imu", "measured")
        return next(kind for kind in order if kind in kinds)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(channel.name for channel in self.contract.outputs)

    @cached_property
    def task(self) -> tuple[str, ...]:
        """Task of each window."""
        return tuple(self.windows.recordings[i].task for i in self.windows.recording)

    @cached_property
    def person(self) -> tuple[str, ...]:
        """Person of each window."""
        return tuple(self.windows.recordings[i].person for i in self.windows.recording)

    @property
    def people(self) -> tuple[str, ...]:
        """People in the windows, sorted."""
        return tuple(sorted({self.windows.recordings[i].person for i in np.unique(self.windows.recording)}))

    @cached_property
    def sequences(self) -> tuple[FeatureRun, ...]:
        """For engines with carried state: the whole feature sequence of each of ``windows.recordings``."""
        result = []
        rate = self.contract.grid_rate_hz
        filtered = feature_tables(list(self.windows.recordings), self.contract.inputs, rate)
        for segment, one in zip(self.segments, filtered):
            first = self._first_row(segment)
            result.append(FeatureRun({name: rows[slice(first, None)] for name, rows in one.items()}))
        return tuple(result)

    @cached_property
    def sequence_row(self) -> NDArray[np.int64]:
        """Row, in its recording's sequence, of each window's newest sample; shape (n,)."""
        rate = self.contract.grid_rate_hz
        start = np.array([_start_s(s.recording) + self._first_row(s) / rate for s in self.segments])
        rows: NDArray[np.int64] = np.rint(
            (self.windows.time_s - start[self.windows.recording]) * rate
        ).astype(np.int64)
        return rows

    def _first_row(self, segment: Segment) -> int:
        after = (segment.start_s - _start_s(segment.recording)) * self.contract.grid_rate_hz
        return int(np.ceil(after - 1e-6))


def _start_s(recording: Recording) -> float:
    return recording.span_s[0]


def evaluate_on(
    checkpoint: FloatModel, recordings: Sequence[Recording], source: str, limit: int
) -> Evaluation:
    """Cut the test part of ``recordings`` and keep at most about ``limit`` windows, in whole gait cycles.

    Raises ContractError if the recordings do not fit the checkpoint's contract, RecordingError if the test
    part is empty.
    """
    if limit < 1:
        raise UsageError(f"windows is {limit}; it must be at least 1")
    contract = checkpoint.contract
    segments = _segments(checkpoint.split, recordings)
    every = cut(segments, contract)
    segments = [next(s for s in segments if s.recording is r) for r in every.recordings]
    windows, units = _thinned(every, contract, limit)
    part = "test" if checkpoint.split is not None else "all"
    return Evaluation(contract, tuple(segments), windows, units, len(every), part, source)


def _segments(split: Mapping[str, Any] | None, recordings: Sequence[Recording]) -> list[Segment]:
    if split is not None:
        return select(recordings, Split.from_json(split), "test")
    return select(recordings, Split("chronological", (0.0, 0.0, 1.0)), "test")


def _thinned(every: Windows, contract: SensorContract, limit: int) -> tuple[Windows, Units]:
    units = group(every, contract.horizon_ms)
    if len(every) <= limit:
        return every, units
    step = max(1, int(contract.grid_rate_hz // _THINNED_HZ))
    thin = np.concatenate(
        [np.flatnonzero(every.recording == i)[::step] for i in range(len(every.recordings))]
    )
    rows = thin[spread(every.take(thin), units.take(thin), limit)]
    return every.take(rows), units.take(rows)
