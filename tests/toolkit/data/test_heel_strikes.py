"""Heel strikes: found where they are known, on shapes by hand and on synthetic gait."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.data import heel_strikes, load


def test_peaks_are_local_and_apart() -> None:
    values = np.zeros(300)
    values[[50, 60, 150, 250]] = [1.0, 2.0, 1.5, 0.2]
    # 60 beats 50 within 0.45 s; 250 is too low.
    assert heel_strikes.peaks(values, 45, 0.5).tolist() == [60, 150]


def test_foot_farthest_ahead_is_a_strike() -> None:
    time = np.arange(400) / 100
    ahead = 0.3 * np.cos(2 * np.pi * (time - 0.37))
    assert heel_strikes.from_foot(ahead, 100.0, start_s=10.0) == pytest.approx((10.37, 11.37, 12.37, 13.37))


def test_shank_stops_after_its_swing() -> None:
    """Pitch rate as one positive half sine a second, 0.4 s long, that ends at x.7 s; negative elsewhere."""
    time = np.arange(400) / 100
    since = (time - 0.3) % 1.0
    rate = np.where(since < 0.4, 4.0 * np.sin(np.pi * since / 0.4), -0.8)
    found = heel_strikes.from_shank(rate, 100.0)
    # Smoothing over 3 rows and a crossing between rows: within two rows.
    assert np.abs(np.array(found) - [0.7, 1.7, 2.7, 3.7]).max() <= 0.02


def test_nothing_moves_nothing_strikes() -> None:
    assert heel_strikes.from_foot(np.zeros(200), 100.0) == ()
    assert heel_strikes.from_shank(np.zeros(200), 100.0) == ()


@pytest.mark.parametrize("task", ["level", "incline"])
def test_shank_method_on_synthetic_gait(task: str) -> None:
    """The shank stops 10 to 65 ms before contact, by the same in every stride of a trial; that cuts cycles evenly."""
    for recording in load(f"synthetic:people=3,seconds=8,tasks={task}"):
        imu = recording.signals["imu"]
        column = imu.spec.channel_names.index("shank_gyro_z")
        found = np.array(heel_strikes.from_shank(imu.samples[:, column].astype(float), 200.0))
        known = np.array([t for t in recording.heel_strikes_s if 0.6 < t < 7.8])
        difference = found[None] - known[:, None]
        nearest = difference[np.arange(len(known)), np.abs(difference).argmin(axis=1)]
        assert np.all((nearest > -0.07) & (nearest < 0.0)), recording.name
        assert nearest.std() < 0.01, recording.name
        assert len(found) <= len(recording.heel_strikes_s) + 1
