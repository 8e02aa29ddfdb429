"""Sensors worn otherwise in training: the same as if the sensors had been worn so, and nothing more than was asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolkit.contract import SensorContract
from toolkit.data import load
from toolkit.data.windows import features
from toolkit.data.worn import amplified, turned
from toolkit.errors import UsageError
from toolkit.learning.augment import WornOtherwise, rotations
from toolkit.learning.batches import Inputs
from toolkit.model import load_checkpoint

NOTHING = WornOtherwise(0, 0, 0, 0, 0, 0, 0)
SEGMENTS = ("foot", "shank", "thigh", "trunk")


@pytest.fixture(scope="module")
def contract() -> SensorContract:
    return load_checkpoint("pretrained").contract


def batch(contract: SensorContract, change: object = None) -> Inputs:
    """Two copies of three seconds of a walk's features, ``change`` done to the recording."""
    recording = load("synthetic:people=1,tasks=level,speeds=1,seconds=3")[0]
    recording = recording if change is None else change(recording)  # type: ignore[operator]
    rows = features([recording], contract.inputs, contract.grid_rate_hz)[0]
    return {name: np.stack([values, values]) for name, values in rows.items()}


def test_sizes_of_nothing_change_nothing(contract: SensorContract) -> None:
    before = batch(contract)
    after = NOTHING.on(contract)(before, np.random.default_rng(0))
    for name, values in before.items():
        assert after[name] is not values and np.allclose(after[name], values, atol=1e-5)


def test_turned_windows_are_those_of_turned_sensors(contract: SensorContract) -> None:
    how = dataclasses.replace(NOTHING, rotation_deg=20.0)
    after = how.on(contract)(batch(contract), np.random.default_rng(5))
    drawn = np.random.default_rng(5)
    each = {segment: rotations(drawn, 2, 20.0).astype(np.float64) for segment in SEGMENTS}
    for window in range(2):
        worn = batch(contract, lambda r, w=window: turned(r, {s: each[s][w] for s in SEGMENTS}))
        assert np.allclose(after["imu"][window], worn["imu"][0], atol=2e-3)
    assert np.array_equal(after["emg"], batch(contract)["emg"]) or np.allclose(
        after["emg"], batch(contract)["emg"]
    )
    assert not np.allclose(after["imu"][0], after["imu"][1], atol=0.1)


def test_a_gain_is_the_electrode_s(contract: SensorContract) -> None:
    how = dataclasses.replace(NOTHING, gain=0.5)
    after = how.on(contract)(batch(contract), np.random.default_rng(5))
    gains = np.exp(np.random.default_rng(5).standard_normal((2, 1, 9), np.float32) * 0.5)[:, 0]
    names = contract.inputs[1].stream.channel_names
    for window in range(2):
        worn = batch(contract, lambda r, w=window: amplified(r, dict(zip(names, gains[w].tolist()))))
        assert np.allclose(after["emg"][window], worn["emg"][0], atol=2e-3)


def test_rotations_have_their_size() -> None:
    found = rotations(np.random.default_rng(0), 4000, 10.0)
    assert np.allclose(found @ found.transpose(0, 2, 1), np.eye(3), atol=1e-5)
    angles = np.degrees(np.arccos(np.clip((np.trace(found, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert np.sqrt(np.mean(angles**2)) == pytest.approx(10.0, rel=0.05)


def test_a_shift_moves_emg_against_imu(contract: SensorContract) -> None:
    before = batch(contract)
    after = dataclasses.replace(NOTHING, shift=3).on(contract)(before, np.random.default_rng(2))
    shifts = np.random.default_rng(2).integers(-3, 4, 2)
    assert len({*shifts.tolist(), 0}) > 1 and np.allclose(after["imu"], before["imu"], atol=1e-5)
    for window, shift in enumerate(shifts):
        inner = slice(10, 200)
        wanted = np.roll(before["emg"][window], shift, axis=0)[inner]
        assert np.allclose(after["emg"][window][inner], wanted, atol=1e-5)


def test_what_is_missing_reads_its_mean_as_often_as_asked(contract: SensorContract) -> None:
    ones = {"imu": np.ones((4000, 2, 24), np.float32), "emg": np.ones((4000, 2, 9), np.float32)}
    after = dataclasses.replace(NOTHING, channel=0.2).on(contract)(ones, np.random.default_rng(0))
    gone = np.isclose(after["imu"], 0.0)
    assert gone.mean() == pytest.approx(0.2, abs=0.01) and np.array_equal(gone[:, 0], gone[:, 1])
    after = dataclasses.replace(NOTHING, sensor=0.2).on(contract)(ones, np.random.default_rng(0))
    sensors = np.isclose(after["imu"][:, 0], 0.0).reshape(4000, 4, 6)
    assert np.array_equal(sensors.all(axis=2), sensors.any(axis=2))  # all six channels, or none
    assert sensors.mean() == pytest.approx(0.2, abs=0.02) and np.allclose(after["emg"], 1.0, atol=1e-5)
    after = dataclasses.replace(NOTHING, stream=0.2).on(contract)(ones, np.random.default_rng(0))
    emg = np.isclose(after["emg"][:, 0], 0.0)
    assert np.array_equal(emg.all(axis=1), emg.any(axis=1)) and emg.mean() == pytest.approx(0.2, abs=0.02)


def test_the_generator_decides(contract: SensorContract) -> None:
    change = WornOtherwise().on(contract)
    one, same, other = (change(batch(contract), np.random.default_rng(seed)) for seed in (7, 7, 8))
    for name in one:
        assert np.array_equal(one[name], same[name]) and not np.array_equal(one[name], other[name])


def test_sizes_from_text() -> None:
    assert WornOtherwise.parse("default") == WornOtherwise()
    assert WornOtherwise.parse("rotation_deg=10,shift=2") == WornOtherwise(rotation_deg=10.0, shift=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rain=1", "'rain=1' is not known; allowed: rotation_deg=..."),
        ("gain", "'gain' is not known"),
        ("gain=much", "it must be a number"),
        ("gain=-1", "at least 0"),
        ("channel=1", "it is a probability"),
        ("rotation_deg=nan", "at least 0"),
    ],
)
def test_text_that_is_no_size_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        WornOtherwise.parse(text)
