"""From recordings to what a stream of samples is judged by: all rows of a segment in order, with the label of each.

Windows (``toolkit.data.windows``) begin from nothing each; a sequence is what the model sees live, with its state carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import SensorContract
from toolkit.data.gather import FeatureTable, part_of
from toolkit.data.splits import Segment
from toolkit.data.windows import feature_tables, moments_at, require_calibration
from toolkit.records import TIME_TOLERANCE_S


@dataclass(frozen=True, eq=False)
class LabelledSequence:
    """The rows of one segment on the grid, from its first on.

    ``inputs[name][a:b]`` is float32 (rows, channels), filtered and normalised, read from the feature cache when it is asked for
    if the recording is stored; ``targets`` float32 (rows, outputs) in Nm/kg, NaN where there is no label; ``counted`` (rows,)
    says which rows have a label inside the segment. ``time_s`` (rows,).
    """

    segment: Segment
    inputs: Mapping[str, FeatureTable]
    targets: NDArray[np.float32]
    counted: NDArray[np.bool_]
    time_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.targets)


def sequences(segments: Sequence[Segment], contract: SensorContract) -> list[LabelledSequence]:
    """One for each of ``segments``, in their order. The filters run from the start of the recording, as they would live.

    Raises ContractError for a recording that does not fit the contract, RecordingError for one without labels.
    """
    unique = list({id(s.recording): s.recording for s in segments}.values())
    for recording in unique:
        require_calibration(recording, contract)
    place = {id(recording): i for i, recording in enumerate(unique)}
    filtered = feature_tables(unique, contract.inputs, contract.grid_rate_hz)
    result = []
    for segment in segments:
        rows = filtered[place[id(segment.recording)]]
        start_s = segment.recording.span_s[0]
        time_s = start_s + np.arange(next(iter(rows.values())).shape[0]) / contract.grid_rate_hz
        inside = np.flatnonzero(
            (time_s >= segment.start_s - TIME_TOLERANCE_S) & (time_s < segment.stop_s - TIME_TOLERANCE_S)
        )
        kept = slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
        label_s = time_s[kept] + contract.horizon_ms / 1000.0
        targets = moments_at(segment.recording, contract.outputs, label_s)
        counted = (
            np.isfinite(targets).all(axis=1)
            & segment.recording.is_valid(label_s)
            & (label_s < segment.stop_s - TIME_TOLERANCE_S)
        )
        inputs = {name: part_of(table, kept.start, kept.stop) for name, table in rows.items()}
        result.append(LabelledSequence(segment, inputs, targets, counted, time_s[kept]))
    return result
