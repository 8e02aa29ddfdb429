"""Sensors worn anyhow, and what becomes of that while their wearer walks, in what a node sends."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.protocol.packets import Data
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.source import programmes
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.simulator.wearing import Wearing, wear, words
from firmware_bridge.sources import open_source
from toolkit.data import load
from toolkit.data.channels import GRAVITY, MUSCLES, SEGMENTS
from toolkit.data.imus import imus
from toolkit.errors import UsageError
from toolkit.records import Recording

DATA = "synthetic:people=1,seconds=4,tasks=level"


@pytest.fixture(scope="module")
def walk() -> Recording:
    return load(DATA)[0]


def _imu(recording: Recording, segment: str) -> np.ndarray:
    signal = recording.signals["imu"]
    (found,) = [imu for imu in imus(signal.spec) if imu.segment == segment]
    return np.asarray(signal.samples)[:, found.places]


def _sent(faults: Faults, wearing: Wearing, seconds: float) -> np.ndarray:
    """The IMU and EMG samples that a node sends in ``seconds``, (rows, 24) and (rows, 9), in physical units."""
    (programme,) = programmes(DATA, 1, 16, wearing, faults)
    packets = [sent.packet for sent in VirtualNode(programme, 0, faults).advance(seconds)]
    result = []
    for stream in programme.descriptor.streams:
        values = [p.values() for p in packets if isinstance(p, Data) and p.stream == stream.stream]
        result.append(stream.physical(np.concatenate(values)))
    return result  # type: ignore[return-value]


def test_angles_are_turns_about_the_segments_axes(walk: Recording) -> None:
    """By 90 degrees about z, what points along x reads along y."""
    (only,) = wear(walk, Wearing.parse("shank:0/0/90"), Faults())
    before, after = _imu(walk, "shank"), _imu(only.recording, "shank")
    for three in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(after[:, three][:, 1], before[:, three][:, 0], atol=1e-9)
        np.testing.assert_allclose(after[:, three][:, 0], -before[:, three][:, 1], atol=1e-9)
    np.testing.assert_array_equal(_imu(only.recording, "foot"), _imu(walk, "foot"))
    np.testing.assert_array_equal(only.recording.moments.samples, walk.moments.samples)  # type: ignore[union-attr]


def test_a_seed_mounts_every_imu_and_gains_every_electrode(walk: Recording) -> None:
    wearing = Wearing.parse("7", "7")
    rotations, gains = wearing.rotations(SEGMENTS), wearing.factors(MUSCLES)
    assert set(rotations) == set(SEGMENTS) and set(gains) == set(MUSCLES)
    for turn in rotations.values():
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1.0) and np.trace(turn) < 2.9
    assert all(0.25 <= gain <= 4.0 for gain in gains.values()) and max(gains.values()) > 1.5
    assert np.array_equal(Wearing.parse("7").rotations(SEGMENTS)["foot"], rotations["foot"])
    assert not np.array_equal(Wearing.parse("8").rotations(SEGMENTS)["foot"], rotations["foot"])
    lines = words(walk, wearing)
    assert lines[0].startswith("synthetic data of ") and len(lines) == 6


def test_a_strap_slips_when_it_is_said_and_no_other(walk: Recording) -> None:
    faults = Faults.parse({"slip_s": "2", "slip_deg": "30", "slip_imu": "thigh"})
    (imu, _), (still, _) = _sent(faults, Wearing(), 3.9), _sent(Faults(), Wearing(), 3.9)
    changed = np.flatnonzero((imu != still).any(axis=0))
    assert changed.tolist() == [12, 14, 15, 17]  # x and z of the thigh's two sensors: a turn about y leaves y
    first = int(np.flatnonzero((imu != still).any(axis=1))[0])
    assert 2.0 - 0.025 <= first / 200.0 <= 2.0 + 0.001  # of the packet that was due at 2 s
    cos, sin = np.cos(np.radians(30)), np.sin(np.radians(30))
    rows = slice(first, None)
    expected = cos * still[rows, 12] + sin * still[rows, 14]
    assert np.abs(imu[rows, 12] - expected).max() < 2 * 156.9064 / 32767  # a count each way


def test_an_electrode_off_and_hum(walk: Recording) -> None:
    faults = Faults.parse({"electrode_off_s": "1", "electrode": "tib_ant", "hum_s": "2", "hum_mv": "0.2"})
    (_, emg), (_, still) = _sent(faults, Wearing(), 3.9), _sent(Faults(), Wearing(), 3.9)
    place = MUSCLES.index("tib_ant")
    assert np.array_equal(emg[:970], still[:970])
    off = slice(1020, 1970)
    assert emg[off, place].std() < 0.1 * still[off, place].std()
    assert np.array_equal(np.delete(emg[off], place, 1), np.delete(still[off], place, 1))
    hum = emg[2020:3820] - still[2020:3820]
    power = np.abs(np.fft.rfft(hum[:, 0])) ** 2
    assert np.fft.rfftfreq(len(hum), 1e-3)[power.argmax()] == pytest.approx(50.0, abs=0.6)
    # 0.2 mV of the line and a third of it at 150 Hz: half the squares.
    assert hum[:, 0].std() == pytest.approx(0.2 * np.sqrt(0.5 * (1 + 1 / 9 + 1 / 81 + 1 / 729)), rel=0.05)


def test_the_person_stands_once_and_then_walks_for_ever(walk: Recording) -> None:
    imu, _ = _sent(Faults(), Wearing(stand_s=2.0), 9.9)
    assert np.abs(np.linalg.norm(imu[:400, :3], axis=1) - GRAVITY).max() < 0.3
    assert np.abs(imu[:400, 3:6]).max() < 0.1
    walked = imu[400:1200]
    assert np.array_equal(imu[1200:1960], walked[:760])  # the walk's 4 s again, without the stand
    assert walked[:, 3:6].std() > 0.5


def test_over_a_url() -> None:
    source = open_source(
        "sim://synthetic?mounting=7&gains=soleus:0.5&stand=3&slip_s=20&slip_imu=foot&slip_deg=-25"
    )
    assert source is not None
    for url, message in (
        (
            "sim://synthetic?mounting=shank:1/2",
            "mounting 'shank:1/2' must be a seed, or SEGMENT:X/Y/Z in degrees",
        ),
        ("sim://synthetic?mounting=shank:1/2/x", "mounting: 'x' must be a number"),
        ("sim://synthetic?gains=soleus", "EMG gains 'soleus' must be a seed, or CHANNEL:FACTOR"),
        ("sim://synthetic?hum_mv=-1", "fault hum_mv=-1.0 must be a finite number of at least 0"),
    ):
        with pytest.raises(UsageError) as caught:
            open_source(url)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("wearing", "faults", "message"),
    [
        (Wearing.parse("hand:0/0/90"), {}, "mounting: the data has no IMU 'hand'; it has foot, shank, thigh, trunk"),
        (Wearing.parse("", "biceps:2"), {}, "EMG gains: the data has no EMG channel 'biceps'"),
        (Wearing(), {"slip_s": "1", "slip_imu": "hand"}, "fault slip_imu is 'hand'; it must be an IMU of the data"),
        (Wearing(), {"electrode_off_s": "1", "electrode": "x"}, "fault electrode is 'x'"),
    ],
)  # fmt: skip
def test_what_the_data_does_not_have_is_one_line(
    walk: Recording, wearing: Wearing, faults: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        wear(walk, wearing, Faults.parse(faults))
    assert message in str(caught.value) and "\n" not in str(caught.value)
