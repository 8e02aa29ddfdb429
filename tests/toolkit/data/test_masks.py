"""Moments that count in part of a recording only, and channels that a person lacks: from the file to the windows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation.gait_cycles import group
from tests.toolkit.data.test_dataset import TOML, write
from tests.toolkit.data.test_windows import KNEE, contract, recording
from toolkit.calibration.apply import calibrated
from toolkit.calibration.session import Calibration, EmgCalibration
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.data import load
from toolkit.data.describe import cycles
from toolkit.data.export import export
from toolkit.data.provenance import recording_hash
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut, features, fit_normaliser
from toolkit.errors import RecordingError
from toolkit.filtering.design import default_filters
from toolkit.learning.prepare import prepare
from toolkit.records import Recording, Signal

PAIR = StreamSpec("emg", 100.0, (Channel("soleus", "1"), Channel("tib_ant", "1")))


def masked(*spans: tuple[float, float]) -> Recording:
    """100 rows of 10 ms whose moment is the row's number, true within ``spans``."""
    return dataclasses.replace(recording(), valid_s=spans)


def pair(person: str, soleus: float, missing: tuple[str, ...] = ()) -> Recording:
    """Soleus constant, tibialis anterior counting from 0 to 99 unless it is missing."""
    count = np.arange(100.0) * ("tib_ant" not in missing)
    emg = Signal(PAIR, 0.0, np.stack([np.full(100, soleus), count], axis=1))
    one = recording(person=person)
    return dataclasses.replace(one, signals={"imu": one.signals["imu"], "emg": emg}, missing={"emg": missing})


def pair_contract(normaliser: Normaliser) -> SensorContract:
    imu = contract().inputs[0]
    return SensorContract((imu, ModelInput(PAIR, (), normaliser)), 100.0, 10, (KNEE,), 0.0)


def test_a_window_counts_where_its_label_does_and_may_begin_before() -> None:
    windows = cut([Segment(masked((0.12, 0.14), (0.50, 0.51)), 0.0, 1.0)], contract())
    assert windows.targets[:, 0].tolist() == [12, 13, 14, 50, 51]  # ends of a span included
    assert windows.inputs["imu"][0, :, 0].tolist() == list(range(3, 13))


def test_the_label_is_masked_not_the_newest_sample() -> None:
    windows = cut([Segment(masked((0.20, 0.22)), 0.0, 1.0)], contract(horizon_ms=50.0))
    assert windows.targets[:, 0].tolist() == [20, 21, 22]
    assert windows.time_s == pytest.approx([0.15, 0.16, 0.17])


def test_spans_that_leave_nothing_are_told() -> None:
    with pytest.raises(
        RecordingError, match=r"no window is left of 'a/level': all of their moments are masked"
    ):
        cut([Segment(masked(), 0.0, 1.0)], contract())
    assert len(cut([Segment(masked(), 0.0, 1.0), Segment(masked((0.5, 0.5)), 0.0, 1.0)], contract())) == 1


def test_a_cycle_is_whole_only_where_its_moments_are_known() -> None:
    one = dataclasses.replace(masked((0.2, 0.75)), heel_strikes_s=(0.0, 0.2, 0.7, 0.9))
    found = cycles(one)
    assert found.shape == (1, 101, 1)
    assert found[0, [0, 50, 100], 0] == pytest.approx([20, 45, 70])
    late = dataclasses.replace(one, valid_s=((0.23, 0.75),))  # 6 of 100 hundredths of the cycle are not known
    assert np.flatnonzero(np.isnan(cycles(late)[0, :, 0])).tolist() == list(range(6))
    assert len(cycles(dataclasses.replace(one, valid_s=((0.3, 0.75),)))) == 0
    units = group(cut([Segment(one, 0.0, 1.0)], contract()))
    assert [units.whole[c] for c in dict.fromkeys(units.cycle)] == [True, False]


def test_a_missing_channel_is_its_mean_in_every_window() -> None:
    windows = cut(
        [Segment(pair("a", 7.0, ("tib_ant",)), 0.0, 1.0)], pair_contract(Normaliser((5.0, 30.0), (2.0, 4.0)))
    )
    assert np.unique(windows.inputs["emg"][..., 0]).tolist() == [1.0]  # (7 - 5) / 2
    assert np.unique(windows.inputs["emg"][..., 1]).tolist() == [0.0]  # without the mark: (0 - 30) / 4


def test_normalisers_and_gains_are_fitted_on_the_people_who_have_the_channel() -> None:
    people = [pair("a", 4.0, ("tib_ant",)), pair("b", 6.0)]
    item = pair_contract(Normaliser((0.0, 0.0), (1.0, 1.0))).inputs[1]
    whole = [Segment(one, 0.0, 1.0) for one in people]
    fitted = fit_normaliser(whole, item, 100.0)
    assert fitted.mean == pytest.approx((5.0, 49.5)) and fitted.std == pytest.approx(
        (1.0, np.arange(100).std())
    )
    nobody = fit_normaliser(whole[:1], item, 100.0)
    assert nobody == Normaliser((4.0, 0.0), (1.0, 1.0))
    raw = StreamSpec("emg", 1000.0, (Channel("soleus", "mV"), Channel("tib_ant", "mV")))
    tone = np.sin(2 * np.pi * 100 * np.arange(2000) / 1000)
    examples = [np.stack([tone, 0 * tone], axis=1), np.stack([tone, 2 * tone], axis=1)]
    gains = default_filters(raw, 100.0, examples, [[1], []])[-1].parameters["gain"]
    assert gains[0] == pytest.approx(2 * gains[1], rel=1e-4)  # the zeros of the first pull nothing down
    assert default_filters(raw, 100.0, examples, [[1], [1]])[-1].parameters["gain"][1] == 1.0


def test_training_windows_are_made_of_masked_people() -> None:
    people = [
        dataclasses.replace(pair("a", 5.0), valid_s=((0.3, 0.4),)),
        dataclasses.replace(pair("b", 5.0, ("tib_ant",)), valid_s=((0.3, 0.4),)),
        pair("c", 5.0, ("soleus", "tib_ant")),
    ]
    split = Split("by-subject", people=(("a",), ("b",), ("c",)))
    grid = {"rate_hz": 100.0, "window": 10, "horizon_ms": 0.0, "stride": 1}
    made = prepare(people, split, outputs=None, **grid)
    assert [len(made.windows[part]) for part in ("train", "validation", "test")] == [11, 11, 91]
    assert not made.windows["test"].inputs["emg"].any()


def test_calibration_keeps_what_is_missing_and_the_mask() -> None:
    one = dataclasses.replace(pair("a", 3.0, ("tib_ant",)), valid_s=((0.1, 0.2),))
    electrodes = tuple(EmgCalibration(name, 2.0, 0.1, 0.0, "good") for name in PAIR.channel_names)
    gains = Calibration("0" * 64, "a", 10, (), electrodes)
    found = calibrated(one, gains)
    assert found.valid_s == one.valid_s and found.missing == {"emg": ("tib_ant",)}
    assert found.signals["emg"].samples[0].tolist() == [6.0, 0.0]


def test_files_keep_both(tmp_path: Path) -> None:
    one = dataclasses.replace(pair("a", 3.0, ("tib_ant",)), valid_s=((0.1, 0.25), (0.5, 0.75)))
    export([one], tmp_path / "npz", "npz")
    export([one], tmp_path / "csv", "csv")
    for folder in ("npz", "csv"):
        (found,) = load(str(tmp_path / folder))
        assert found.valid_s == one.valid_s and found.missing == one.missing
        assert np.array_equal(found.signals["emg"].samples, one.signals["emg"].samples)
    assert recording_hash(load(str(tmp_path / "npz"))[0]) == recording_hash(one)
    assert len({recording_hash(r) for r in (one, masked(), recording(), pair("a", 3.0))}) == 4


def dataset(tmp_path: Path, line: str, ankle: np.ndarray) -> Path:
    files = tmp_path / "files"
    files.mkdir(exist_ok=True)
    time = np.arange(100) / 100
    write(files / "sensors.csv", "time,ax,gz", np.stack([time, 1 + time, time], axis=1))
    write(files / "forces.csv", "time,ankle", np.stack([np.arange(50) / 50, ankle], axis=1))
    text = TOML.replace("heel_strikes_s", f"{line}\nheel_strikes_s")
    path = tmp_path / "set.toml"
    path.write_text(text.replace('unit = "Nm"', 'unit = "Nm"\nlow_pass_hz = 6'))
    return path


def test_a_dataset_says_what_is_valid_and_what_is_missing(tmp_path: Path) -> None:
    """The file has no column "sol", and its moments outside the span are spikes and NaN."""
    ankle = np.full(50, 1e6)
    ankle[10:31] = 25.0
    ankle[40:] = np.nan
    (one,) = load(str(dataset(tmp_path, 'valid_s = [[0.2, 0.6]]\nmissing = { emg = ["soleus"] }', ankle)))
    assert one.missing == {"emg": ("soleus",)} and not one.signals["emg"].samples.any()
    assert one.moments is not None
    inside = one.is_valid(one.moments.times_s)
    assert inside.sum() == 21
    np.testing.assert_allclose(
        one.moments.samples[inside, 0], -0.5, atol=1e-9
    )  # no spike leaks into the span


@pytest.mark.parametrize(
    "line, said",
    [
        ("valid_s = [0.2, 0.6]", r"valid_s must be a list of \[start, stop\] in seconds, not 0\.2"),
        ("valid_s = [[0.6, 0.2]]", r"must be a list of \[start, stop\]"),
        ("valid_s = [[0.1, 0.4], [0.3, 0.6]]", "the spans of valid_s must ascend and must not touch"),
        ('missing = ["soleus"]', "missing is .* it must be a table"),
        ('missing = { emg = "soleus" }', "missing must be a table of streams, each with a list of channels"),
        ('missing = { emg = ["solus"] }', "missing names channel 'solus', which stream 'emg' does not have"),
        ('missing = { ecg = ["soleus"] }', "missing names stream 'ecg'; it has imu, emg"),
    ],
)
def test_faults_are_named(tmp_path: Path, line: str, said: str) -> None:
    path = dataset(tmp_path, line, np.full(50, 25.0))
    text = path.read_text().replace('soleus = "sol"', 'soleus = "ax"')
    path.write_text(text)
    with pytest.raises(RecordingError, match=said):
        load(str(path))


def test_features_before_the_normaliser_are_0_too() -> None:
    one = pair("a", 3.0, ("soleus",))
    assert not one.signals["emg"].samples[:, 0].any()  # the record sets them
    inputs = pair_contract(Normaliser((1.0, 1.0), (1.0, 1.0))).inputs
    for normalise in (False, True):
        (found,) = features([one], inputs, 100.0, normalise=normalise)
        assert found["emg"][:, 0].tolist() == [0.0] * 100
        assert found["emg"][5, 1] == (4.0 if normalise else 5.0)


def test_a_split_keeps_the_mask() -> None:
    (segment,) = select([masked((0.1, 0.2))], Split("chronological", (0.0, 0.0, 1.0)), "test")
    assert segment.recording.valid_s == ((0.1, 0.2),)
