"""Synthetic sensors: what must hold of IMU and raw EMG whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.data import load
from toolkit.data.channels import GRAVITY, MUSCLES
from toolkit.data.synthetic.dynamics import joint_moments
from toolkit.data.synthetic.electromyography import DELAY_S, activations, coloured_noise
from toolkit.data.synthetic.motion import Leg, Motion
from toolkit.data.synthetic.people import Person, person
from toolkit.records import Recording


@pytest.fixture(scope="module")
def level() -> Recording:
    return load("synthetic:people=1,seconds=12,tasks=level,seed=2")[1]


def column(recording: Recording, stream: str, name: str) -> np.ndarray:
    signal = recording.signals[stream]
    return signal.samples[:, signal.spec.channel_names.index(name)]


def test_foot_rests_on_the_ground_in_mid_stance(level: Recording) -> None:
    """15 to 30 % after contact the foot lies still: its gyroscope reads about 0 and its accelerometer one g."""
    strikes = np.array(level.heel_strikes_s)
    stride = np.diff(strikes).mean()
    time = level.signals["imu"].times_s
    still = np.any([(time > s + 0.16 * stride) & (time < s + 0.28 * stride) for s in strikes], axis=0)
    gyroscope = column(level, "imu", "foot_gyro_z")
    assert np.abs(gyroscope[still]).mean() < 0.4
    assert np.abs(gyroscope).max() > 3.0
    force = np.linalg.norm(level.signals["imu"].samples[:, :3], axis=1)
    assert force[still].mean() == pytest.approx(GRAVITY, rel=0.1)


def test_mean_specific_force_of_the_trunk_is_gravity(level: Recording) -> None:
    """Over whole strides the trunk gains no speed. Bias is 0.08 m/s^2 an axis; part strides count a little."""
    trunk = level.signals["imu"].samples[:, 18:21].mean(axis=0)
    assert np.linalg.norm(trunk) == pytest.approx(GRAVITY, rel=0.02)


def test_emg_is_in_its_band_and_has_no_mean(level: Recording) -> None:
    emg = level.signals["emg"].samples
    power = np.abs(np.fft.rfft(emg, axis=0)) ** 2
    frequency = np.fft.rfftfreq(len(emg), 1e-3)
    inside = power[(frequency >= 20) & (frequency <= 450)].sum(axis=0) / power.sum(axis=0)
    assert inside.min() > 0.8  # the rest is motion artefact below and noise floor above
    below = power[frequency < 15].sum() / power.sum()
    assert below > 1e-4  # the artefact is there for the filter chain to remove
    median = frequency[np.searchsorted(np.cumsum(power.sum(axis=1)) / power.sum(), 0.5)]
    assert 60 < median < 130  # surface EMG's median frequency, De Luca 1997, J Appl Biomech 13:135
    assert 0.05 < np.percentile(np.abs(emg), 99) < 3.0  # mV


def test_muscles_work_when_their_joints_do(level: Recording) -> None:
    """Envelope of each muscle follows its moment: calf in push-off, vasti in loading; EMG leads."""
    assert level.moments is not None
    hip, knee, ankle = level.moments.samples.T
    drive = {
        "soleus": np.maximum(-ankle, 0),
        "med_gas": np.maximum(-ankle, 0),
        "vas_lat": np.maximum(knee, 0),
        "vas_med": np.maximum(knee, 0),
        "semimem": np.maximum(-hip, 0) + np.maximum(-knee, 0),
    }
    for muscle, moment in drive.items():
        rectified = np.abs(column(level, "emg", muscle))
        envelope = np.convolve(rectified, np.ones(100) / 100, mode="same")[::10]
        lead = round(DELAY_S * 100)
        together = np.corrcoef(envelope[50:-50], moment[50 + lead : len(moment) - 50 + lead])[0, 1]
        late = np.corrcoef(envelope[50:-50], moment[50 - lead : len(moment) - 50 - lead])[0, 1]
        assert together > 0.6, muscle
        assert together > late, muscle


def test_activation_is_the_moments_share_by_hand() -> None:
    """1 Nm/kg of plantarflexion: soleus 0.48 + 0.02 at rest; tib_ant 0.05 x 1.30 + 0.02; then tanh."""
    (row,) = activations(np.array([[0.0, 0.0, -1.0]]))
    assert row[MUSCLES.index("soleus")] == pytest.approx(np.tanh(0.50))
    assert row[MUSCLES.index("tib_ant")] == pytest.approx(np.tanh(0.085))
    assert row[MUSCLES.index("vas_lat")] == pytest.approx(np.tanh(0.02))


def test_noise_has_unit_variance_and_independent_columns() -> None:
    noise = coloured_noise(np.random.default_rng(1), 20000, 3, 1000.0)
    np.testing.assert_allclose(noise.std(axis=0), 1.0, rtol=1e-12)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.05  # 1/sqrt(independent samples), about 0.02


def still_leg(who: Person, rows: int = 20) -> Motion:
    """A straight leg that hangs or stands, pressed at the ankle's place on the sole."""
    height, nought = who.height_m, np.zeros(rows)

    def at(x: float, y: float) -> np.ndarray:
        return np.tile([x, y], (rows, 1))

    leg = Leg(
        hip=nought,
        thigh=nought,
        shank=nought,
        foot=nought,
        knee_at=at(0.0, -0.2425 * height),
        ankle_at=at(0.0, -(0.2425 + 0.2529) * height),
        pressure_at=at(0.1, -(0.2425 + 0.2529 + 0.039) * height),
        load=nought,
        stance=nought,
    )
    return Motion(200.0, nought, nought, leg, nought, at(0.0, 0.0), nought)


def test_static_leg_has_the_moments_of_its_loads() -> None:
    """A vertical force F pressing 0.1 m ahead of all joints: each carries 0.1 F, less the foot's own weight."""
    who = person(0, 1)
    motion = still_leg(who)
    force = np.tile([0.0, 500.0], (20, 1))
    hip, knee, ankle = joint_moments(motion, who, force)[10] * who.mass_kg
    foot = 0.0137 * who.mass_kg * GRAVITY * (0.4415 - 0.23) * 0.1482 * who.height_m
    # The ground turns every joint towards flexion (about +z by 50 Nm), which extensors must hold: -50 Nm.
    assert ankle == pytest.approx(-50.0 + foot, abs=1e-9)
    assert knee == pytest.approx(-50.0 + foot, abs=1e-9)
    assert hip == pytest.approx(-50.0 + foot, abs=1e-9)


def test_hanging_leg_needs_only_the_foots_weight() -> None:
    who = person(0, 1)
    moments = joint_moments(still_leg(who), who, np.zeros((20, 2)))[10]
    foot = 0.0137 * GRAVITY * (0.4415 - 0.23) * 0.1482 * who.height_m
    np.testing.assert_allclose(moments, [foot] * 3, atol=1e-12)
