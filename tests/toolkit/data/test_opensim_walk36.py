"""The walking trial, if its files are beside the checkout: what is known about it from elsewhere must come out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load, readers
from toolkit.data.channels import (
    GRAVITY,
    emg_stream,
    imu_stream,
    moment_stream,
)
from toolkit.data.dataset_file import read_dataset_file
from toolkit.data.skeleton import poses
from toolkit.records import Recording

ROOT = Path(__file__).resolve().parents[3]
TOML = ROOT / "examples" / "opensim_walk36.toml"
FILES = ROOT.parent / "shared" / "data" / "opensim_walk36"

pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"the walking trial is not at {FILES}: its tests did NOT run"
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    (one,) = load(f"{TOML}:root={FILES}")
    return one


def test_it_fits_the_reference_contract(recording: Recording) -> None:
    assert recording.kind == "virtual-imu" and recording.mass_kg == 58.0
    assert recording.signals["imu"].spec == imu_stream(100.0)
    assert recording.signals["emg"].spec == emg_stream(100.0, "1")
    assert recording.moments is not None and recording.moments.spec == moment_stream(100.0)
    for signal in (*recording.signals.values(), recording.moments):
        assert len(signal.samples) == 6097 and signal.start_s == 0.0


def test_columns_and_units_are_those_of_the_files(recording: Recording) -> None:
    """First rows, read off the files by eye; the moments before their low-pass by their mean."""
    np.testing.assert_array_equal(recording.signals["emg"].samples[0, :3], [0.070021, 0.195391, 0.069192])
    source = readers.read(FILES / "id.sto")
    times = source.time_axis("time", 100.0)
    names = ["hip_flexion_r_moment", "knee_angle_r_moment", "ankle_angle_r_moment"]
    assert recording.moments is not None
    # A low-pass of unit gain keeps the mean, but for its ends.
    np.testing.assert_allclose(
        recording.moments.samples.mean(axis=0), source.columns(names, times).mean(axis=0) / 58.0, atol=2e-3
    )


def test_strides_are_those_of_walking_at_one_metre_a_second(recording: Recording) -> None:
    strides = np.diff(recording.heel_strikes_s)
    assert len(strides) == 52
    assert strides.mean() == pytest.approx(1.147, abs=0.01)
    assert strides.std() < 0.02  # steady treadmill walking varies by about 1 to 2 %


def test_foot_in_stance_moves_back_with_the_belt(recording: Recording) -> None:
    """The belt runs at 3.6 km/h = 1.0 m/s: chain, signs, units and segment lengths must all be right for this."""
    use = read_dataset_file(TOML, FILES).virtual_imu
    assert use is not None
    source = readers.read(FILES / "ik.sto")
    times = source.time_axis("time", 100.0)
    skeleton = use.skeleton
    angles = dict(
        zip(skeleton.angle_columns, np.deg2rad(source.columns(skeleton.angle_columns, times)).T, strict=True)
    )
    positions = dict(
        zip(skeleton.position_columns, source.columns(skeleton.position_columns, times).T, strict=True)
    )
    ankle = poses(skeleton, angles, positions)["foot"].position
    velocity = np.gradient(ankle, 0.01, axis=0)
    strikes, stride = np.array(recording.heel_strikes_s), 1.147
    cycle = (times[:, None] - strikes[None]).T
    flat = ((cycle > 0.17 * stride) & (cycle < 0.28 * stride)).any(axis=0)  # then the heel begins to rise
    assert velocity[flat, 0].mean() == pytest.approx(-1.0, abs=0.05)
    assert np.abs(velocity[flat, 1]).mean() < 0.05


def test_virtual_accelerometers_feel_gravity(recording: Recording) -> None:
    """Over whole strides a body part gains no speed, so the mean specific force is gravity's, turned by tilt."""
    samples = recording.signals["imu"].samples
    for segment in range(4):
        mean = samples[100:, 6 * segment : 6 * segment + 3].mean(axis=0)
        assert np.linalg.norm(mean) == pytest.approx(GRAVITY, rel=0.35)
    trunk = samples[100:, 18:21].mean(axis=0)
    assert np.linalg.norm(trunk) == pytest.approx(GRAVITY, rel=0.01)  # the trunk hardly turns
    gyroscopes = samples[:, [5, 11, 17, 23]]
    assert np.abs(gyroscopes[100:].mean(axis=0)).max() < 0.05  # no segment turns for good


def test_moments_have_their_peaks_where_walking_has_them(recording: Recording) -> None:
    assert recording.moments is not None
    strikes = recording.heel_strikes_s
    grid = np.linspace(0, 1, 101)
    cycles = [
        [np.interp(a + grid * (b - a), recording.moments.times_s, c) for c in recording.moments.samples.T]
        for a, b in pairwise(strikes[1:])
    ]
    hip, knee, ankle = np.mean(cycles, axis=0)
    assert 40 <= ankle.argmin() <= 55 and -1.8 < ankle.min() < -1.1  # push-off
    assert hip.argmin() < 25 and hip.min() < -0.4  # extension in early stance
    assert 45 <= hip.argmax() <= 65 and hip.max() > 0.3  # flexion before toe-off
    assert np.abs(knee).max() < 0.6
