"""Sensor-to-segment calibration and EMG normalisation on synthetic walks whose mounting is known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from toolkit.calibration import (
    Calibration,
    CalibrationReference,
    assign,
    calibrate,
    calibrated,
    fit_reference,
    load_calibration,
    stages,
)
from toolkit.calibration.orientation import angle_deg
from toolkit.calibration.people import by_person, walk_recording, walk_signals
from toolkit.calibration.strides import find_strides
from toolkit.contract import Channel, StreamSpec
from toolkit.data import load
from toolkit.data.channels import SEGMENTS
from toolkit.data.worn import random_rotation
from toolkit.errors import ContractError, InputError, RecordingError
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]
#: People who the reference is of, and people whom it has never seen.
LEARNERS, NEW = 6, 4


@pytest.fixture(scope="module")
def people() -> dict[str, list[Recording]]:
    return by_person(load(f"synthetic:people={LEARNERS + NEW},seed=5,tasks=level"))


@pytest.fixture(scope="module")
def reference(people: dict[str, list[Recording]]) -> CalibrationReference:
    learners = list(people)[:LEARNERS]
    return fit_reference([recording for name in learners for recording in people[name]])


@pytest.fixture(scope="module")
def walks(people: dict[str, list[Recording]]) -> list[dict[str, Signal]]:
    return [walk_signals(walk_recording(people[name])) for name in list(people)[LEARNERS:]]


def turned(signal: Signal, rotations: Sequence[Float]) -> Signal:
    """What the IMUs read if sensor i is mounted turned by ``rotations[i]``."""
    samples = np.array(signal.samples, np.float64)
    for place in range(0, samples.shape[1], 3):
        samples[:, place : place + 3] = samples[:, place : place + 3] @ rotations[place // 6].T
    return dataclasses.replace(signal, samples=samples)


def test_strides_are_those_that_were_simulated(people: dict[str, list[Recording]]) -> None:
    for theirs in people.values():
        for recording in theirs:
            signal = recording.signals["imu"]
            gyroscopes = np.asarray(signal.samples).reshape(len(signal.samples), 4, 6)[:, :, 3:]
            strides = find_strides(gyroscopes, signal.spec.rate_hz)
            simulated = np.diff(recording.heel_strikes_s)
            # The simulated stride wanders by 2 % about its mean; the median of ten is within 3 % of that mean.
            assert strides.period_s == pytest.approx(simulated.mean(), rel=0.03)
            assert abs(len(strides) - len(simulated)) <= 1


def test_a_turned_sensor_is_turned_back_exactly(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    """Any mounting, 90 and 180 degrees too: the segment's axes come out the same to rounding, not only nearly."""
    rng = np.random.default_rng(1)
    straight = [np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, -1.0]), np.diag([-1.0, -1.0, 1.0])]
    quarter = [np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])]
    for walk in walks:
        before = calibrate(walk, reference)
        draws = [[random_rotation(rng) for _ in range(4)] for _ in range(3)]
        for rotations in (*draws, *([one] * 4 for one in (*straight, *quarter))):
            after = calibrate({**walk, "imu": turned(walk["imu"], rotations)}, reference)
            for old, new, rotation in zip(before.imus, after.imus, rotations):
                # 1e-4 degrees: arccos near 1 of sums of a few hundred float64.
                assert angle_deg(new.rotation @ rotation @ old.rotation.T) < 1e-4
                assert new.verdict == old.verdict


def test_calibrated_samples_do_not_depend_on_mounting_or_gain(
    people: dict[str, list[Recording]], reference: CalibrationReference
) -> None:
    rng = np.random.default_rng(2)
    theirs = people[list(people)[-1]]
    recording = walk_recording(theirs)
    plain = calibrated(recording, calibrate(walk_signals(recording), reference))
    for gain in (0.1, 10.0):
        rotations = [random_rotation(rng) for _ in range(4)]
        emg = recording.signals["emg"]
        worn = dataclasses.replace(
            recording,
            signals={
                "imu": turned(recording.signals["imu"], rotations),
                "emg": dataclasses.replace(emg, samples=np.asarray(emg.samples) * gain),
            },
        )
        again = calibrated(worn, calibrate(walk_signals(worn), reference))
        for name in ("imu", "emg"):
            spread = np.std(plain.signals[name].samples, axis=0)
            off = np.abs(again.signals[name].samples - plain.signals[name].samples).max(axis=0) / spread
            # float32 samples and matrices written with seven decimals: 1e-6 of 10 m/s^2 and more.
            assert off.max() < 1e-4, name


def test_people_nobody_trained_on_are_good_or_doubtful(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    for walk in walks:
        found = calibrate(walk, reference)
        assert found.verdict in ("good", "doubtful"), [i.advice for i in found.imus if i.advice]
        assert found.warnings == ()
        assert found.strides >= 8
        # Synthetic people's sensors sit within a few degrees (4 about each axis, one standard deviation).
        assert all(angle_deg(imu.rotation) < 30 and imu.uncertainty_deg < 3 for imu in found.imus)


def test_the_walk_says_which_sensor_is_where(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    rng = np.random.default_rng(3)
    assert reference.template is not None
    for _ in range(3):
        for walk in walks:
            order = rng.permutation(4)
            mounted = np.asarray(turned(walk["imu"], [random_rotation(rng) for _ in range(4)]).samples)
            shuffled = np.concatenate([mounted[:, 6 * i : 6 * i + 6] for i in order], axis=1)
            found, doubt = assign(dataclasses.replace(walk["imu"], samples=shuffled), reference.template)
            assert found.order == tuple(SEGMENTS[i] for i in order)
            assert doubt < 0.7


def test_swapped_sensors_are_warned_of(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    imu = walks[0]["imu"]
    samples = np.array(imu.samples)
    samples[:, 6:12], samples[:, 12:18] = np.array(imu.samples)[:, 12:18], np.array(imu.samples)[:, 6:12]
    found = calibrate({**walks[0], "imu": dataclasses.replace(imu, samples=samples)}, reference)
    assert found.warnings == (
        "the walk says that the sensors are swapped: shank is on the thigh, thigh is on the shank",
    )
    assert found.verdict == "refused"


def test_left_handed_axes_are_refused(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    imu = walks[0]["imu"]
    samples = np.array(imu.samples)
    samples[:, [8, 11]] *= -1.0
    shank = calibrate({**walks[0], "imu": dataclasses.replace(imu, samples=samples)}, reference).imus[1]
    assert shank.verdict == "refused" and "left-handed" in shank.advice


@pytest.mark.parametrize(
    ("spoil", "advice"),
    [
        (lambda s: np.concatenate([s[:, :6] * 0 + [0, 9.8, 0, 0, 0, 0], s[:, 6:]], axis=1), "does not move"),
        (lambda s: np.concatenate([np.clip(s[:, :6], -8, 8), s[:, 6:]], axis=1), "end of its range"),
        (lambda s: np.concatenate([s[:, :3] / 9.80665, s[:, 3:]], axis=1), "are its units right"),
    ],
    ids=["dead", "saturated", "in g"],
)
def test_a_sensor_that_is_no_use_says_why(
    spoil, advice: str, walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    imu = walks[1]["imu"]
    spoilt = dataclasses.replace(imu, samples=spoil(np.array(imu.samples)))
    foot = calibrate({**walks[1], "imu": spoilt}, reference).imus[0]
    assert foot.segment == "foot" and foot.verdict == "refused" and advice in foot.advice


def test_electrodes_that_give_nothing_say_so(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    emg = walks[0]["emg"]
    samples = np.array(emg.samples)
    rng = np.random.default_rng(4)
    samples[:, 0] = 0.0
    samples[:, 1] = 0.005 * rng.standard_normal(len(samples))
    samples[:, 2] = np.clip(samples[:, 2] * 50, -1, 1)
    found = calibrate({**walks[0], "emg": dataclasses.replace(emg, samples=samples)}, reference).channels
    assert [one.verdict for one in found[:4]] == ["refused", "refused", "refused", "good"]
    assert "gives no signal" in found[0].advice
    assert "no activity above its noise" in found[1].advice
    assert "end of its range" in found[2].advice


def test_a_stand_gives_the_bias(walks: list[dict[str, Signal]], reference: CalibrationReference) -> None:
    imu = walks[0]["imu"]
    bias = np.tile([0.0, 0.0, 0.0, 0.05, -0.03, 0.02], 4)
    rng = np.random.default_rng(6)
    upright = np.tile([0.0, 9.80665 + 0.1, 0.0, 0.0, 0.0, 0.0], 4)
    still = dataclasses.replace(imu, samples=upright + bias + 0.01 * rng.standard_normal((600, 24)))
    biased = dataclasses.replace(imu, samples=np.asarray(imu.samples) + bias)
    found = calibrate({**walks[0], "imu": biased}, reference, stand=still)
    for one in found.imus:
        # 600 samples of 0.01 rad/s noise: a mean within 0.002, five standard errors.
        np.testing.assert_allclose(one.bias, [0.05, -0.03, 0.02], atol=0.002)
        assert one.gravity_residual == pytest.approx(0.1, abs=0.005)


def test_who_moves_or_does_not_walk_is_told_what_to_do(
    walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    walk = walks[0]
    with pytest.raises(RecordingError, match=r"moved while standing \(\d+ deg/s; at most 11\); stand still"):
        calibrate(walk, reference, stand=walk["imu"])
    short = dataclasses.replace(walk["imu"], samples=np.asarray(walk["imu"].samples)[:300])
    with pytest.raises(RecordingError, match=r"the stand lasts 1\.5 s; stand still for at least 2 s"):
        calibrate(walk, reference, stand=short)
    with pytest.raises(
        RecordingError, match=r"at least 5 regular strides and finds [01] in 2 s; walk about ten strides"
    ):
        calibrate({**walk, "imu": short}, reference)
    still = np.tile([0.0, 9.80665, 0.0, 0.0, 0.0, 0.0], 4) + 0.01 * np.random.default_rng(0).standard_normal(
        (2400, 24)
    )
    with pytest.raises(RecordingError, match="at least 5 regular strides"):
        calibrate({**walk, "imu": dataclasses.replace(walk["imu"], samples=still)}, reference)


def test_other_sensors_are_refused(walks: list[dict[str, Signal]], reference: CalibrationReference) -> None:
    imu = walks[0]["imu"]
    three = StreamSpec("imu", 200.0, imu.spec.channels[:18])
    with pytest.raises(RecordingError, match="no stream has IMUs on foot, shank, thigh, trunk"):
        calibrate({**walks[0], "imu": Signal(three, 0.0, np.asarray(imu.samples)[:, :18])}, reference)
    half = StreamSpec("imu", 200.0, imu.spec.channels[:23])
    with pytest.raises(
        ContractError, match="has no trunk_gyro_z: an IMU is calibrated with all of its six channels"
    ):
        calibrate({**walks[0], "imu": Signal(half, 0.0, np.asarray(imu.samples)[:, :23])}, reference)
    degrees = StreamSpec("imu", 200.0, (*imu.spec.channels[:23], Channel("trunk_gyro_z", "deg/s")))
    with pytest.raises(ContractError, match="is in deg/s; a sensor that is calibrated needs rad/s"):
        calibrate({**walks[0], "imu": Signal(degrees, 0.0, imu.samples)}, reference)
    with pytest.raises(RecordingError, match="no stream has the EMG channel 'soleus'"):
        calibrate({"imu": imu}, reference)


def test_the_file_is_read_back_and_a_changed_one_refused(
    walks: list[dict[str, Signal]], reference: CalibrationReference, tmp_path: Path
) -> None:
    found = calibrate(
        walks[0], reference, person="p1", created="2026-01-01T00:00:00Z", nodes={"foot": "node 3"}
    )
    found.save(tmp_path / "c.json")
    read = load_calibration(tmp_path / "c.json")
    assert read.to_json() == found.to_json() and read.hash == found.hash
    for signal in walks[0].values():
        assert stages(read, signal.spec) == stages(found, signal.spec)
    value = json.loads((tmp_path / "c.json").read_text())
    value["imus"][0]["gyroscope_bias_rad_s"][0] = 0.5
    (tmp_path / "c.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="was changed after it was made"):
        load_calibration(tmp_path / "c.json")
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(InputError, match="it must be a JSON object and is an array"):
        load_calibration(tmp_path / "c.json")
    with pytest.raises(InputError, match="no such file"):
        load_calibration(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v["imus"][0].update(rotation=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]),
            "the matrix is not a rotation",
        ),
        (lambda v: v["imus"][0].update(rotation=[[1, 0], [0, 1]]), "3 rows of 3 finite numbers"),
        (lambda v: v["imus"][0].update(verdict="fine"), "verdict 'fine'; allowed"),
        (lambda v: v["emg"][0].update(gain=0), "it must be finite and above 0"),
        (lambda v: v.pop("strides"), "KeyError at 'strides'"),
        (lambda v: v.update(schema=9), "not an edgetool calibration of schema 1"),
    ],
)
def test_what_is_no_calibration_is_refused(
    change, message: str, walks: list[dict[str, Signal]], reference: CalibrationReference
) -> None:
    value = calibrate(walks[0], reference).to_json()
    change(value)
    with pytest.raises(ContractError, match=message):
        Calibration.from_json(value)


def test_a_recording_is_calibrated_once(
    people: dict[str, list[Recording]], reference: CalibrationReference
) -> None:
    recording = people[list(people)[-1]][0]
    found = calibrate(walk_signals(recording), reference)
    once = calibrated(recording, found)
    assert once.calibration == reference.hash
    with pytest.raises(ContractError, match="is calibrated already"):
        calibrated(once, found)
