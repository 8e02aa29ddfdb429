"""Swings of the leg and maximal contractions: what they find, and the one line that says what was done wrong."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.calibration.contraction import contractions, relaxed, require_stronger_than_walking
from toolkit.calibration.orientation import angle_deg
from toolkit.calibration.swing import FARTHEST_DEG, SwingAxis, count_swings, swing_axes, with_swing
from toolkit.contract import Channel, StreamSpec
from toolkit.data import load
from toolkit.data.faulty import axis_rotation
from toolkit.data.worn import after_contractions, after_swings, random_rotation, turned
from toolkit.errors import RecordingError
from toolkit.records import Recording, Signal

SECONDS = 10.0
Z = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def walk() -> Recording:
    return load("synthetic:people=1,seed=8,tasks=level,seconds=10")[0]


def _swing(
    walk: Recording, mounting: dict[str, np.ndarray] | None = None, seconds: float = SECONDS
) -> Signal:
    """The IMUs while the leg swings, each mounted so."""
    signal = turned(after_swings(walk, seconds, np.random.default_rng(1)), mounting or {}).signals["imu"]
    return Signal(signal.spec, 0.0, np.asarray(signal.samples)[: round(seconds * signal.spec.rate_hz)])


def test_the_axis_is_the_flexion_axis_however_a_sensor_is_mounted(walk: Recording) -> None:
    """Six swings in ten seconds; a sensor mounted turned by Q sees z as Q z, of either sign."""
    rng = np.random.default_rng(5)
    mounting = {segment: random_rotation(rng) for segment in ("thigh", "shank", "foot")}
    found = swing_axes(_swing(walk, mounting))
    assert set(found) == {"thigh", "shank"} and count_swings(_swing(walk)) == 6
    for segment, one in found.items():
        assert abs(float(one.axis @ (mounting[segment] @ Z))) > np.cos(np.radians(0.5))
        assert one.swings == 6 and 1.0 <= one.error_deg < 1.5


def test_what_was_done_wrong_is_said(walk: Recording) -> None:
    """Too few, another leg, nothing at all, a bent knee (a walk), and a swing that goes round."""
    good = _swing(walk)

    def refused(signal: Signal, message: str) -> None:
        with pytest.raises(RecordingError, match=message):
            swing_axes(signal)

    refused(_swing(walk, seconds=5.0), "3 swings; swing the leg forward and back at least 5 times")
    still = np.zeros_like(np.asarray(good.samples))
    refused(Signal(good.spec, 0.0, still), "nothing swings yet: swing the leg with the sensors from the hip")
    names = good.spec.channel_names
    other = still.copy()
    other[:, names.index("trunk_gyro_x")] = 0.4 * np.sin(np.arange(len(other)) / 30.0)
    refused(Signal(good.spec, 0.0, other), "the leg with the sensors stands still: stand on the other one")
    refused(walk.signals["imu"], "keep the knee straight, do not walk")
    round_ = np.asarray(good.samples).copy()
    round_[:, names.index("thigh_gyro_x")] = np.roll(round_[:, names.index("thigh_gyro_z")], 80)
    refused(Signal(good.spec, 0.0, round_), "the thigh does not swing about one axis: swing the leg straight")


def test_the_surer_of_walk_and_swing_counts_more() -> None:
    """Four degrees apart: the walk known to 2 degrees and the swing to 1 meet at a fifth; a walk that is sure hardly moves."""
    walk = axis_rotation(np.array([1.0, 0.0, 0.0]), 4.0)
    axis = SwingAxis(-Z, 1.0, 6)
    turned_, off = with_swing(walk, 2.0, axis)
    assert off == pytest.approx(4.0) and angle_deg(turned_) == pytest.approx(4.0 / 5.0)
    assert angle_deg(with_swing(walk, 0.1, axis)[0]) == pytest.approx(4.0 * 100 / 101)
    far = axis_rotation(np.array([1.0, 0.0, 0.0]), FARTHEST_DEG + 1)
    same, off = with_swing(far, 2.0, axis)
    assert same is far and off == pytest.approx(FARTHEST_DEG + 1)


def test_contractions_are_as_strong_as_they_are(walk: Recording) -> None:
    """Each muscle gives the 99th percentile of its walk, root mean square; a muscle that was left out is named."""
    recording = after_contractions(walk, 14.0, np.random.default_rng(2))
    emg = recording.signals["emg"]
    part = Signal(emg.spec, 0.0, np.asarray(emg.samples)[: round(14.0 * emg.spec.rate_hz)])
    found = contractions({"imu": recording.signals["imu"], "emg": part})
    most = np.percentile(np.abs(walk.signals["emg"].samples), 99, axis=0)
    # The root mean square of half a second of noise is known to 3 %, and the strongest of several counts.
    assert list(found.values()) == pytest.approx(most.tolist(), rel=0.1) and relaxed({"emg": part})
    during = Signal(emg.spec, 0.0, part.samples[: round(2.0 * emg.spec.rate_hz)])
    assert not relaxed({"emg": during})
    with pytest.raises(RecordingError, match="against resistance, and let go: med_gas, lat_gas, tib_ant"):
        contractions({"emg": during})
    with pytest.raises(RecordingError, match=r"hold it for 0\.5 s"):
        contractions({"emg": Signal(emg.spec, 0.0, part.samples[:100])})


def test_a_contraction_weaker_than_walking_is_said() -> None:
    """Half of what walking takes is no maximal contraction."""
    require_stronger_than_walking({"soleus": 0.3}, {"soleus": 0.2, "tib_ant": 9.0})
    with pytest.raises(
        RecordingError, match=r"weaker than walking: soleus \(50 % of walking\); contract as hard"
    ):
        require_stronger_than_walking({"soleus": 0.1, "tib_ant": 2.0}, {"soleus": 0.2, "tib_ant": 1.0})


def test_a_stream_without_a_thigh_has_no_swing() -> None:
    spec = StreamSpec(
        "imu",
        100.0,
        tuple(
            Channel(f"shank_{kind}_{a}", u)
            for kind, u in (("accel", "m/s^2"), ("gyro", "rad/s"))
            for a in "xyz"
        ),
    )
    signal = Signal(spec, 0.0, np.zeros((500, 6)))
    assert swing_axes(signal) == {} and count_swings(signal) == 0
