"""Sensors that fail or are mistaken: what each one does to the samples, by values a person can check."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.contract import Channel, StreamSpec
from toolkit.data import faulty
from toolkit.records import Recording, Signal

AXES = [f"{kind}_{axis}" for kind in ("accel", "gyro") for axis in "xyz"]
IMU = StreamSpec(
    "imu",
    10.0,
    tuple(
        Channel(f"{segment}_{name}", "m/s^2" if name.startswith("accel") else "rad/s")
        for segment in ("foot", "shank")
        for name in AXES
    ),
)
EMG = StreamSpec("emg", 1000.0, (Channel("soleus", "mV"), Channel("tib_ant", "mV")))


def recording() -> Recording:
    """Foot columns 1 to 6, shank 11 to 16, each plus a tenth of the row; EMG 1 and -1 in turn."""
    imu = np.concatenate([np.arange(1, 7), np.arange(11, 17)]) + np.arange(20)[:, None] / 10
    emg = np.stack([(-1.0) ** np.arange(2000), 0.5 * (-1.0) ** np.arange(2000)], axis=1)
    signals = {"imu": Signal(IMU, 0.0, imu), "emg": Signal(EMG, 0.0, emg)}
    return Recording("r", "p", "level", "synthetic", 70.0, signals)


def imu_of(changed: Recording) -> np.ndarray:
    return np.asarray(changed.signals["imu"].samples)


def test_a_rotation_about_z_takes_x_to_y() -> None:
    turn = faulty.axis_rotation(np.array([0.0, 0.0, 2.0]), 90)
    assert turn @ [1, 0, 0] == pytest.approx([0, 1, 0])
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_swapped_imus_read_each_other() -> None:
    found = imu_of(faulty.swapped(recording(), "foot", "shank"))
    assert found[0].tolist() == [*range(11, 17), *range(1, 7)]


def test_swapped_channels_read_each_other() -> None:
    found = faulty.swapped(recording(), "soleus", "tib_ant")
    assert found.signals["emg"].samples[0].tolist() == [0.5, 1.0]
    assert np.array_equal(imu_of(found), imu_of(recording()))


def test_the_other_leg_is_mirrored_and_half_a_stride_apart() -> None:
    found = imu_of(faulty.mirrored(recording(), 1.0))
    # Across the sagittal plane: acceleration z, and turning about x and y. Half a stride is five rows at 10 Hz.
    assert found[0, :6].tolist() == found[5, :6].tolist() == [1, 2, -3, -4, -5, 6]
    assert found[6, :6] == pytest.approx([1.1, 2.1, -3.1, -4.1, -5.1, 6.1])


def test_a_late_stream_repeats_its_first_sample() -> None:
    found = faulty.late(recording(), ("imu",), 0.3)
    assert imu_of(found)[:5, 0] == pytest.approx([1.0, 1.0, 1.0, 1.0, 1.1])
    assert np.array_equal(found.signals["emg"].samples, recording().signals["emg"].samples)


def test_a_unit_mistaken_changes_its_channels_only() -> None:
    found = imu_of(faulty.scaled_by_unit(recording(), {"rad/s": 10.0}))[0]
    assert found.tolist() == [1, 2, 3, 40, 50, 60, 11, 12, 13, 140, 150, 160]


def test_a_bias_has_its_size_and_a_sign() -> None:
    found = imu_of(faulty.biased(recording(), {"rad/s": 0.5}, np.random.default_rng(0))) - imu_of(recording())
    assert np.abs(found[:, [3, 4, 5, 9, 10, 11]]) == pytest.approx(0.5)
    assert found[:, [0, 1, 2, 6, 7, 8]] == pytest.approx(0.0)


def test_a_loose_strap_swings_one_accelerometer() -> None:
    change = imu_of(faulty.wobbling(recording(), "shank", 2.5, 4.0, np.random.default_rng(1))) - imu_of(
        recording()
    )
    # 2.5 Hz at 10 Hz: 0, 1, 0, -1 times 4 m/s^2, along one axis.
    assert np.linalg.norm(change[:4, 6:9], axis=1) == pytest.approx([0, 4, 0, 4])
    assert change[1, 6:9] == pytest.approx(-change[3, 6:9])
    assert not change[:, :6].any() and not change[:, 9:].any()


def test_hum_is_a_line_of_its_amplitude() -> None:
    changed = faulty.with_hum(recording(), ("emg",), 0.2, 50.0, np.random.default_rng(0))
    added = np.asarray(changed.signals["emg"].samples - recording().signals["emg"].samples)[:, 0]
    spectrum = 2 * np.abs(np.fft.rfft(added)) / len(added)
    assert spectrum[[100, 300, 500]] == pytest.approx(
        [0.2, 0.2 / 3, 0.2 / 9]
    )  # half-hertz bins: 50, 150, 250 Hz
    assert np.delete(spectrum, [100, 300, 500, 700]).max() < 1e-9


def test_an_electrode_that_is_off_has_little_noise() -> None:
    changed = faulty.without_contact(recording(), ("soleus",), np.random.default_rng(0))
    samples = np.asarray(changed.signals["emg"].samples)
    assert samples[:, 0].std() == pytest.approx(0.02, rel=0.1)
    assert np.abs(samples[:, 1]) == pytest.approx(0.5)


def test_noise_is_as_large_as_asked() -> None:
    changed = faulty.with_noise(recording(), ("emg",), 1.0, np.random.default_rng(0))
    assert np.asarray(changed.signals["emg"].samples).std(axis=0) == pytest.approx(
        [2**0.5, 0.5**0.5], rel=0.1
    )


def test_a_dead_channel_is_stuck() -> None:
    found = imu_of(faulty.dead(recording(), ("foot_accel_x",)))
    assert set(found[:, 0]) == {1.0} and found[-1, 1] == pytest.approx(3.9)


def test_clipped_channels_end_at_their_range() -> None:
    found = imu_of(faulty.clipped(recording(), {"m/s^2": 2.0, "rad/s": 5.5}))
    assert found[0].tolist() == [1, 2, 2, 4, 5, 5.5, 2, 2, 2, 5.5, 5.5, 5.5]


def test_something_happens_in_mid_session() -> None:
    after = faulty.scaled_by_unit(recording(), {"m/s^2": 0.0})
    found = imu_of(faulty.from_then_on(recording(), after, 1.0))
    assert found[9, 0] == pytest.approx(1.9) and found[10, 0] == 0.0
