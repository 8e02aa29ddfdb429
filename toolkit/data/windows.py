"""From recordings to model-ready windows: the contract's filter chain, the grid, the labels, the cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, require_same_stream
from toolkit.data.channels import BAND_PASSED
from toolkit.data.feature_cache import cached
from toolkit.data.gather import FeatureTable, GatheredInputs
from toolkit.data.splits import Segment
from toolkit.data.stored import StoredRecording
from toolkit.errors import ContractError, RecordingError
from toolkit.filtering.chain import Chain
from toolkit.records import TIME_TOLERANCE_S, Recording, Windows

Features = Mapping[str, NDArray[np.float32]]
#: Filters and normalisers are fitted on at most so much, evenly spread: more changes no figure, and would not fit in memory.
FITTED_ON_S = 3600.0

#: Two streams of a recording must start this close together, in seconds, to share a grid.
_SAME_START_S = 1e-6


def features(
    recordings: Sequence[Recording],
    inputs: Sequence[ModelInput],
    grid_rate_hz: float,
    *,
    normalise: bool = True,
) -> list[dict[str, NDArray[np.float32]]]:
    """Filtered features on the grid, {stream: (rows, channels)} for each recording; chains run from its start.

    A missing channel is 0 throughout, which is its mean once ``normalise`` is applied.
    Raises ContractError if a recording's stream differs from the input's, RecordingError if it is missing.
    """
    return _computed(recordings, inputs, grid_rate_hz, normalise)


def feature_tables(
    recordings: Sequence[Recording], inputs: Sequence[ModelInput], grid_rate_hz: float
) -> list[Mapping[str, FeatureTable]]:
    """:func:`features`, with those of stored recordings in files of the cache, so that memory stays bounded."""
    stored = [(i, one) for i, one in enumerate(recordings) if isinstance(one, StoredRecording)]
    others = [i for i, one in enumerate(recordings) if not isinstance(one, StoredRecording)]
    result: list[Mapping[str, FeatureTable]] = [{} for _ in recordings]
    if stored:
        found = cached(
            [one for _, one in stored],
            inputs,
            grid_rate_hz,
            lambda some: _computed(some, inputs, grid_rate_hz, True),
        )
        for (place, _), own in zip(stored, found):
            result[place] = own
    if others:
        made = _computed([recordings[i] for i in others], inputs, grid_rate_hz, True)
        for place, one in zip(others, made):
            result[place] = one
    return result


def sample(segments: Sequence[Segment], seconds: float = FITTED_ON_S) -> list[Segment]:
    """Segments of about ``seconds`` in all, evenly spread; all of them if they are no longer than that."""
    lengths = np.array([segment.stop_s - segment.start_s for segment in segments])
    if lengths.sum() <= seconds:
        return list(segments)
    number = max(1, int(len(segments) * seconds / lengths.sum()))
    places = np.unique(np.round((np.arange(number) + 0.5) * len(segments) / number - 0.5).astype(int))
    return [segments[place] for place in places]


def _computed(
    recordings: Sequence[Recording],
    inputs: Sequence[ModelInput],
    grid_rate_hz: float,
    normalise: bool,
) -> list[dict[str, NDArray[np.float32]]]:
    result: list[dict[str, NDArray[np.float32]]] = [{} for _ in recordings]
    for item in inputs:
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, recording in enumerate(recordings):
            by_length[_matching_rows(recording, item)].append(index)
        chain = Chain(
            item.filters,
            len(item.stream.channels),
            item.stream.rate_hz,
            grid_rate_hz,
            item.normaliser if normalise else None,
        )
        for indices in by_length.values():
            # Recordings of one length run side by side: the time loop is Python's, the rest is numpy's.
            stack: NDArray[np.floating[Any]] = np.stack(
                [recordings[i].signals[item.stream.name].samples for i in indices], axis=1
            )
            chain.reset()
            rows = chain.push(stack)
            for place, index in enumerate(indices):
                own = np.ascontiguousarray(rows[:, place])
                own[:, recordings[index].missing_places(item.stream.name)] = 0.0
                result[index][item.stream.name] = own
    for one in result:
        shortest = min(len(rows) for rows in one.values())
        for name in one:
            one[name] = one[name][:shortest]
    return result


def _matching_rows(recording: Recording, item: ModelInput) -> int:
    """How many rows a recording has of the input's stream; no samples are read, for they may lie in a file."""
    name = item.stream.name
    if name not in recording.signals:
        raise RecordingError(
            f"recording {recording.name!r} has no stream {name!r}; it has {', '.join(recording.signals)}"
        )
    spec, start_s, rows = recording.extent(name)
    require_same_stream(item.stream, spec, f"recording {recording.name!r}")
    start = recording.span_s[0]
    if abs(start_s - start) > _SAME_START_S:
        raise RecordingError(
            f"recording {recording.name!r}: stream {name!r} starts at {start_s:.6f} s and another at {start:.6f} s; "
            "cut them to a common start"
        )
    return rows


def fit_normaliser(segments: Sequence[Segment], item: ModelInput, grid_rate_hz: float) -> Normaliser:
    """Mean and standard deviation of a filtered stream over ``segments`` only; a dead channel keeps deviation 1.

    Rows of a recording in which a channel is missing do not count for that channel. One that is missing in every
    recording has mean 0 and deviation 1.
    """
    recordings = [segment.recording for segment in segments]
    filtered = features(recordings, [item], grid_rate_hz, normalise=False)
    parts = []
    for segment, one in zip(segments, filtered):
        rows = one[item.stream.name].astype(np.float64)
        rows[:, segment.recording.missing_places(item.stream.name)] = np.nan
        times = segment.recording.extent(item.stream.name)[1] + np.arange(len(rows)) / grid_rate_hz
        parts.append(
            rows[(times >= segment.start_s - TIME_TOLERANCE_S) & (times < segment.stop_s - TIME_TOLERANCE_S)]
        )
    values = np.concatenate(parts)
    if not len(values):
        raise RecordingError(f"stream {item.stream.name!r} has no rows in the chosen part of the data")
    if np.isnan(values).any():
        columns = [column[~np.isnan(column)] for column in values.T]
        mean = [column.mean() if len(column) else 0.0 for column in columns]
        std = [column.std() if len(column) else 0.0 for column in columns]
    else:
        mean, std = list(values.mean(axis=0)), list(values.std(axis=0))
    return Normaliser(tuple(float(v) for v in mean), tuple(float(v) if v > 1e-9 else 1.0 for v in std))


def band_passed(segments: Sequence[Segment]) -> bool:
    """Whether the EMG went through a band-pass when it was recorded. RecordingError if some did and some did not."""
    passed = [segment.recording for segment in segments if BAND_PASSED in segment.recording.provenance]
    raw = [segment.recording for segment in segments if BAND_PASSED not in segment.recording.provenance]
    if passed and raw:
        raise RecordingError(
            f"the EMG of recording {passed[0].name!r} is band-passed already ({passed[0].provenance[BAND_PASSED]}) and that of "
            f"{raw[0].name!r} is not; one model cannot have both: train on them separately"
        )
    return bool(passed)


def moments_at(
    recording: Recording, outputs: Sequence[Channel], times_s: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Reference moments in Nm/kg at ``times_s``, shape (times, outputs), linearly interpolated; NaN outside the record."""
    if recording.moments is None:
        raise RecordingError(
            f"recording {recording.name!r} has no reference moments; training and bench need them"
        )
    names = recording.moments.spec.channel_names
    missing = [channel.name for channel in outputs if channel.name not in names]
    if missing:
        raise RecordingError(
            f"recording {recording.name!r} lacks the moments {', '.join(missing)}; it has {', '.join(names)}"
        )
    own_times = recording.moments.times_s
    columns = [
        np.interp(times_s, own_times, recording.moments.samples[:, names.index(channel.name)])
        for channel in outputs
    ]
    table = np.stack(columns, axis=1)
    table[(times_s < own_times[0] - TIME_TOLERANCE_S) | (times_s > own_times[-1] + TIME_TOLERANCE_S)] = np.nan
    return table.astype(np.float32)


def cut(segments: Sequence[Segment], contract: SensorContract, stride: int = 1) -> Windows:
    """All windows of ``contract.window`` grid rows that lie inside a segment, label included, every ``stride`` rows.

    The filters run over the whole recording, as they would live: a window of the test part may follow a filter state
    from before it, but neither its rows nor its label cross the boundary. The time of the label lies in a span of the
    recording's ``valid_s``; the window may begin before it. Raises RecordingError if a recording is shorter than a
    window, or the spans leave no window at all.
    """
    unique = list({id(s.recording): s.recording for s in segments}.values())
    for recording in unique:
        require_calibration(recording, contract)
    index_of = {id(recording): i for i, recording in enumerate(unique)}
    filtered = feature_tables(unique, contract.inputs, contract.grid_rate_hz)
    names = [item.stream.name for item in contract.inputs]
    ends, targets, owners, times = [], [], [], []
    for segment in segments:
        owner = index_of[id(segment.recording)]
        rows = filtered[owner][names[0]].shape[0]
        if rows < contract.window:
            raise RecordingError(
                f"recording {segment.recording.name!r} has {rows} rows on the {contract.grid_rate_hz:g} Hz grid, fewer than "
                f"one window of {contract.window}; record at least {contract.window / contract.grid_rate_hz:g} s"
            )
        last, time_s, target = _last_rows(segment, contract, rows, stride)
        ends.append(last)
        targets.append(target)
        owners.append(np.full(len(last), owner, np.int32))
        times.append(time_s)
    if not sum(map(len, targets)) and any(recording.valid_s is not None for recording in unique):
        raise RecordingError(
            f"no window is left of {_some(unique)}: all of their moments are masked, or the spans of valid_s lie outside the "
            f"chosen part, or within the first {contract.window / contract.grid_rate_hz:g} s, which is one window"
        )
    owner_of = np.concatenate(owners)
    return Windows(
        GatheredInputs(filtered, owner_of, np.concatenate(ends), contract.window),
        np.concatenate(targets),
        owner_of,
        np.concatenate(times),
        tuple(unique),
    )


def _some(recordings: Sequence[Recording]) -> str:
    """The names of recordings, the first three of many."""
    names = ", ".join(repr(recording.name) for recording in recordings[:3])
    return names + (f" and {len(recordings) - 3} more" if len(recordings) > 3 else "")


def require_calibration(recording: Recording, contract: SensorContract) -> None:
    """A model that learnt from calibrated sensors is right for no others, and the other way round."""
    if recording.calibration == contract.calibration_hash:
        return
    if not recording.calibration:
        raise ContractError(
            f"recording {recording.name!r} is not calibrated and the model wants calibrated sensors; "
            "use toolkit.calibration.calibrate_recordings, or edgetool calibrate for a session"
        )
    raise ContractError(
        f"recording {recording.name!r} is calibrated on {recording.calibration[:12]} and the model "
        + (
            f"on {contract.calibration_hash[:12]}"
            if contract.calibration
            else "takes sensors as they are worn"
        )
    )


def _last_rows(
    segment: Segment, contract: SensorContract, rows: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]]:
    """Grid rows at which a window may end, their times and their labels."""
    start = segment.recording.span_s[0]
    last = np.arange(contract.window - 1, rows)
    time_s = start + last / contract.grid_rate_hz
    first_s = start + (last - contract.window + 1) / contract.grid_rate_hz
    label_s = time_s + contract.horizon_ms / 1000.0
    inside = (first_s >= segment.start_s - TIME_TOLERANCE_S) & (label_s < segment.stop_s - TIME_TOLERANCE_S)
    target = moments_at(segment.recording, contract.outputs, label_s)
    inside &= np.isfinite(target).all(axis=1) & segment.recording.is_valid(label_s)
    chosen = np.flatnonzero(inside)[::stride]
    return last[chosen], time_s[chosen], target[chosen]
