"""From recordings to what training needs: a split, a contract fitted on the train part, windows of each part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract
from toolkit.data.splits import (
    PARTS,
    Part,
    Segment,
    Split,
    select,
)
from toolkit.data.windows import band_passed, cut, fit_normaliser, sample
from toolkit.errors import RecordingError, UsageError
from toolkit.filtering.design import default_filters
from toolkit.model.config import STREAMS
from toolkit.records import Recording, Windows


@dataclass(frozen=True, eq=False)
class Prepared:
    """A contract whose filters and normaliser saw the train part only, and the windows of the three parts."""

    contract: SensorContract
    windows: Mapping[Part, Windows]


def prepare(
    recordings: Sequence[Recording],
    split: Split,
    *,
    rate_hz: float,
    window: int,
    horizon_ms: float,
    outputs: Sequence[str] | None,
    stride: int,
    calibration: Mapping[str, Any] | None = None,
    contract: SensorContract | None = None,
    test_stride: int = 1,
    notch_hz: int = 0,
) -> Prepared:
    """Fit the contract on the train part and cut all parts.

    ``outputs`` names the moments wanted, None for all that the recordings have; ``stride`` thins the train and
    validation windows, ``test_stride`` those of the test part.
    ``notch_hz`` puts a notch for mains hum among the filters of raw EMG.
    ``calibration`` is what the recordings were calibrated on (a calibration reference as JSON). With ``contract`` nothing is
    fitted: windows are cut as it says. Raises RecordingError or ContractError for data that does
    not fit together, UsageError if a part has no window.
    """
    segments = {part: select(recordings, split, part) for part in PARTS}
    contract = contract or SensorContract(
        inputs=tuple(
            fit_input(name, segments["train"], rate_hz, notch_hz) for name in streams_of(recordings)
        ),
        grid_rate_hz=rate_hz,
        window=window,
        outputs=_outputs(recordings, outputs),
        horizon_ms=horizon_ms,
        calibration=calibration,
    )
    windows = {
        part: cut(segments[part], contract, test_stride if part == "test" else stride) for part in PARTS
    }
    for part, values in windows.items():
        if not len(values):
            raise UsageError(
                f"the {part} part has no window of {contract.window} samples and its label {contract.horizon_ms:g} ms ahead; "
                "record longer, or choose a shorter window or another split"
            )
    return Prepared(contract, windows)


def streams_of(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The streams that a model of ``recordings`` takes: imu and emg, or the one that all of them have.

    RecordingError if some have a stream that others lack, or all lack both.
    """
    having = {name: [r for r in recordings if name in r.signals] for name in STREAMS}
    for name, found in having.items():
        if 0 < len(found) < len(recordings):
            lacking = next(r for r in recordings if name not in r.signals)
            raise RecordingError(
                f"recording {lacking.name!r} has no stream {name!r} and {found[0].name!r} has: one model cannot take both; "
                "train on them separately"
            )
    if not any(having.values()):
        raise RecordingError(
            f"recording {recordings[0].name!r} has neither stream {' nor '.join(STREAMS)}; a model needs one of them"
            if recordings
            else "there are no recordings to train on"
        )
    return tuple(name for name, found in having.items() if found)


def fit_input(name: str, segments: Sequence[Segment], rate_hz: float, notch_hz: int = 0) -> ModelInput:
    """The stream as the recordings have it, its usual filters, its normaliser; from at most an hour of ``segments``.

    ``notch_hz``: a notch for mains hum in raw EMG; 0: none.
    """
    spec = segments[0].recording.extent(name)[0]
    segments = sample(segments)
    missing = [segment.recording.missing_places(name) for segment in segments]
    rows = [_rows(name, segment) for segment in segments]
    passed = name == "emg" and band_passed(segments)
    filters = default_filters(spec, rate_hz, rows, missing, passed, notch_hz)
    blank = Normaliser((0.0,) * len(spec.channels), (1.0,) * len(spec.channels))
    unfitted = ModelInput(spec, filters, blank)
    return dataclasses.replace(unfitted, normaliser=fit_normaliser(segments, unfitted, rate_hz))


def _rows(name: str, segment: Segment) -> NDArray[Any]:
    """The raw rows of one stream that lie inside the segment."""
    signal = segment.recording.signals[name]
    inside = (signal.times_s >= segment.start_s) & (signal.times_s < segment.stop_s)
    rows: NDArray[Any] = signal.samples[inside]
    return rows


def _outputs(recordings: Sequence[Recording], names: Sequence[str] | None) -> tuple[Channel, ...]:
    for recording in recordings:
        if recording.moments is None:
            raise RecordingError(
                f"recording {recording.name!r} has no reference moments; training needs them"
            )
        have = recording.moments.spec.channel_names
        names = have if names is None else names
        missing = [name for name in names if name not in have]
        if missing:
            raise RecordingError(
                f"recording {recording.name!r} has no moment {', '.join(missing)}; it has {', '.join(have)}"
            )
    if not names:
        raise RecordingError("there are no recordings to train on")
    return tuple(Channel(name, "Nm/kg") for name in names)
