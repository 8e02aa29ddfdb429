"""Splits and windows: counts a person can check, and no leakage across a boundary."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.data.splits import (
    Segment,
    Split,
    default_split,
    select,
)
from toolkit.data.windows import cut, fit_normaliser
from toolkit.errors import ContractError, RecordingError, UsageError
from toolkit.records import Recording, Signal

IMU = StreamSpec("imu", 100.0, (Channel("shank_gyro_z", "rad/s"),))
EMG = StreamSpec("emg", 100.0, (Channel("soleus", "1"),))
KNEE = Channel("knee_moment", "Nm/kg")


def recording(
    rows: int = 100, person: str = "a", imu: StreamSpec = IMU, moment_rate_hz: float = 100.0
) -> Recording:
    """Every sample carries its own row number, so that a window shows where it was cut."""
    count = np.arange(rows, dtype=np.float64)[:, None]
    moment_rows = int(rows * moment_rate_hz / 100.0)
    moments = np.arange(moment_rows)[:, None] * (100.0 / moment_rate_hz)
    return Recording(
        f"{person}/level",
        person,
        "level",
        "synthetic",
        70.0,
        {"imu": Signal(imu, 0.0, count), "emg": Signal(EMG, 0.0, count + 1000)},
        Signal(StreamSpec("moments", moment_rate_hz, (KNEE,)), 0.0, moments),
    )


def contract(window: int = 10, horizon_ms: float = 0.0) -> SensorContract:
    same = Normaliser((0.0,), (1.0,))
    inputs = (ModelInput(IMU, (), same), ModelInput(EMG, (), same))
    return SensorContract(inputs, 100.0, window, (KNEE,), horizon_ms)


def test_windows_end_at_their_label() -> None:
    windows = cut([Segment(recording(), 0.0, 1.0)], contract())
    assert len(windows) == 91
    assert windows.inputs["imu"][0, :, 0].tolist() == list(range(10))
    assert windows.inputs["emg"][0, -1, 0] == 1009
    assert windows.targets[:, 0].tolist() == list(range(9, 100))
    assert windows.time_s[0] == pytest.approx(0.09)


def test_horizon_takes_the_label_from_ahead() -> None:
    windows = cut([Segment(recording(), 0.0, 1.0)], contract(horizon_ms=50.0))
    assert windows.targets[0, 0] == 14
    assert windows.targets[-1, 0] == 99  # the last label inside the segment
    assert len(windows) == 86


def test_labels_at_another_rate_are_interpolated() -> None:
    windows = cut([Segment(recording(moment_rate_hz=50.0), 0.0, 0.9)], contract())
    np.testing.assert_allclose(windows.targets[:, 0], np.arange(9, 90), atol=1e-4)


@pytest.mark.parametrize("horizon_ms", [0.0, 30.0])
def test_no_window_nor_label_crosses_a_boundary(horizon_ms: float) -> None:
    parts = {
        part: cut(select([recording()], Split("chronological"), part), contract(horizon_ms=horizon_ms))
        for part in ("train", "validation", "test")
    }
    edges = {"train": (0, 60), "validation": (60, 70), "test": (70, 100)}
    for part, windows in parts.items():
        low, high = edges[part]
        if len(windows):
            assert windows.inputs["imu"].min() >= low
            assert windows.inputs["imu"].max() < high
            assert windows.targets.max() < high


def test_by_subject_split_keeps_people_apart() -> None:
    people = [recording(person=p) for p in "abcdefgh"]
    split = default_split(people, seed=3)
    seen = [
        {s.recording.person for s in select(people, split, part)} for part in ("train", "validation", "test")
    ]
    assert [len(names) for names in seen] == [4, 2, 2]
    assert set.union(*seen) == set("abcdefgh")
    assert Split.from_json(split.to_json()) == split


def test_a_person_unknown_to_the_split_is_tested_on() -> None:
    split = Split("by-subject", people=(("a",), ("b",), ("c",)))
    assert [s.recording.person for s in select([recording(person="new")], split, "test")] == ["new"]


def test_normaliser_is_fitted_on_the_train_part_only() -> None:
    train = select([recording()], Split("chronological"), "train")
    normaliser = fit_normaliser(train, contract().inputs[0], 100.0)
    assert normaliser.mean[0] == pytest.approx(29.5)  # rows 0 to 59
    assert normaliser.std[0] == pytest.approx(np.arange(60).std())


def test_stride_counts_rows() -> None:
    windows = cut([Segment(recording(), 0.0, 1.0)], contract(), stride=5)
    assert windows.targets[:, 0].tolist() == list(range(9, 100, 5))


def test_bad_data_is_named() -> None:
    with pytest.raises(
        RecordingError,
        match=r"has 5 rows on the 100 Hz grid, fewer than one window of 10; record at least 0\.1 s",
    ):
        cut([Segment(recording(5), 0.0, 1.0)], contract())
    wrong_unit = StreamSpec("imu", 100.0, (Channel("shank_gyro_z", "deg/s"),))
    with pytest.raises(
        ContractError, match="'shank_gyro_z' of stream 'imu' must be in rad/s and is in deg/s"
    ):
        cut([Segment(recording(imu=wrong_unit), 0.0, 1.0)], contract())
    wrong_name = StreamSpec("imu", 100.0, (Channel("thigh_gyro_z", "rad/s"),))
    with pytest.raises(ContractError, match=r"missing \['shank_gyro_z'\], not expected \['thigh_gyro_z'\]"):
        cut([Segment(recording(imu=wrong_name), 0.0, 1.0)], contract())
    values = np.zeros((3, 1))
    values[1] = np.nan
    with pytest.raises(RecordingError, match="channel 'soleus', row 1"):
        Signal(EMG, 0.0, values)
    with pytest.raises(RecordingError, match="the train part of the data is empty: people are z"):
        select([recording(person="z")], Split("by-subject", people=(("a",), (), ())), "train")
    with pytest.raises(UsageError, match="at least 3 people"):
        default_split([recording()], "by-subject")
