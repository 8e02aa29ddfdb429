"""C3D trials: points, analog channels, events, parameters and force plates into recordings, and every fault in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.toolkit.data.c3d_files import CONTACTS, FIRST, FRAMES, RATE, TOML, points, write_trial
from toolkit.contract import StreamSpec
from toolkit.data import load, virtual_imu
from toolkit.data.channels import GRAVITY, inertial_channels
from toolkit.data.contacts import valid_spans
from toolkit.data.frames import Frame, imu_signal, mirrored
from toolkit.data.heel_strikes import refined
from toolkit.data.readers.c3d import read_c3d
from toolkit.errors import RecordingError
from toolkit.records import Recording, Signal

pytest.importorskip("ezc3d")

TONE = 0.1 * np.sin(np.arange(2000) / 2)


def loaded(folder: Path, toml: str = TOML, **changes: object) -> list[Recording]:
    emg = {f"{side} {name}": TONE for side in "LR" for name in ("Sol", "Tib")}
    write_trial(folder / "trial.c3d", **{"emg": emg, **changes})  # type: ignore[arg-type]
    (folder / "set.toml").write_text(toml)
    return load(str(folder / "set.toml"))


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    trial = read_c3d(write_trial(tmp_path / "a.c3d", emg={"R Sol": TONE}))
    assert (trial.first_s, trial.point_rate_hz, trial.analog_rate_hz, trial.point_unit) == (
        0.5,
        100,
        1000,
        "mm",
    )
    np.testing.assert_allclose(trial.point("RFOO"), points()["RFOO"], atol=1e-3)
    np.testing.assert_allclose(trial.analogs["R Sol"], TONE, atol=1e-6)
    assert trial.analog_units["R Sol"] == "V" and trial.number("PROCESSING:Bodymass") == 40.0
    assert [(e.label, e.context, e.time_s) for e in trial.events] == [("Foot Strike", "Right", 1.8)]
    assert trial.plates[0].corners.tolist() == [[750, 0, 0], [750, -200, 0], [350, -200, 0], [350, 0, 0]]
    assert np.abs(trial.plates[0].force[300, 2]) == 500.0


def test_a_recording_of_the_right_leg(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path)
    assert one.name == "one/right" and one.mass_kg == 40.0 and one.kind == "virtual-imu"
    start = (FIRST + CONTACTS[0][0]) / RATE  # the plate's first row
    assert one.valid_s == ((start, pytest.approx(1.79)),)  # up to the row before the next strike
    assert one.heel_strikes_s == pytest.approx((start, 1.8))
    assert one.moments is not None
    at = round((1.0 - one.moments.start_s) * RATE)  # 1.0 s is frame 100 of the capture, 50 of the file
    assert one.moments.samples[at, 0] == pytest.approx(-0.050)
    standing = one.signals["imu"].samples[45:75]  # in contact the foot rests: gravity along y
    np.testing.assert_allclose(standing, np.tile([0, GRAVITY, 0, 0, 0, 0], (30, 1)), atol=0.02)
    assert not one.missing


def test_both_legs_are_two_recordings(tmp_path: Path) -> None:
    left, right = loaded(tmp_path, TOML.replace('["right"]', '["left", "right"]'))
    assert (left.name, right.name) == ("one/left", "one/right")
    assert left.valid_s == () and "mirrored" in left.provenance  # the left foot never stands on the plate


def test_dead_and_railed_channels_are_missing(tmp_path: Path) -> None:
    railed = np.where(np.arange(2000) % 50 == 0, 1.25, TONE)  # 2 % of the samples
    (one,) = loaded(tmp_path, emg={"R Sol": TONE * 0.005, "R Tib": railed})
    assert one.missing == {"emg": ("soleus", "tib_ant")} and not one.signals["emg"].samples.any()
    clipped = np.where(np.arange(2000) % 500 == 0, 1.25, TONE)  # 0.2 %: a contraction that clips is still EMG
    (one,) = loaded(tmp_path, emg={"R Sol": TONE, "R Tib": clipped})
    assert not one.missing


def test_frames_where_a_point_is_unseen_are_cut(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, hide={"RFOA": slice(0, 20), "PELP": slice(190, None)})
    assert one.signals["imu"].start_s == pytest.approx(0.7) and len(one.signals["imu"].samples) == 170
    assert one.provenance["frames"] == "20 to 189 of 200: in others a point was not seen"
    assert one.moments is not None and one.moments.start_s == pytest.approx(0.7)


def test_moments_that_are_not_numbers_are_masked(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, hide={"RAnkleMoment": slice(60, 70)})
    assert one.valid_s == (pytest.approx((0.8, 1.09)), pytest.approx((1.2, 1.79)))


def test_another_foot_on_the_plate_spoils_the_contact(tmp_path: Path) -> None:
    both = {"LTOE": points()["RTOE"] + [0, 20, 0]}
    (one,) = loaded(tmp_path, changed=both)
    assert one.valid_s == ()
    beside = {"LTOE": points()["RTOE"] + [0, 150, 0]}  # 50 mm off the plate's edge
    (one,) = loaded(tmp_path, changed=beside)
    assert one.valid_s is not None and len(one.valid_s) == 1


def test_a_foot_that_is_half_on_the_plate_does_not_count(tmp_path: Path) -> None:
    over = {"RTOE": points()["RTOE"] + [150, 0, 0]}
    assert loaded(tmp_path, changed=over)[0].valid_s == ()


def test_a_contact_that_began_before_the_file_does_not_count(tmp_path: Path) -> None:
    trial = read_c3d(
        write_trial(tmp_path / "a.c3d", plate_rows=np.tile([0, 0, 500.0, 0, 0, 0], (FRAMES * 10, 1)))
    )
    assert valid_spans(trial, "z", 1e-3, ["RHEE", "RTOE"], ["LHEE", "LTOE"], ()) == ()


def test_strikes_of_the_motion_are_moved_onto_those_that_are_known() -> None:
    assert refined([1.0, 2.0, 3.0], [2.05, 4.0, 3.2]) == (
        1.0,
        2.05,
        3.0,
        4.0,
    )  # 3.2 is 0.2 s from a strike: no stride


def walking(mirror: bool) -> dict[str, np.ndarray]:
    """Points of a frame that moves and turns in all directions; ``mirror`` reflects it in the plane z = 0."""
    t = np.arange(200) / 100
    turned = virtual_imu.body_fixed(
        {"z": 0.5 * np.sin(5 * t), "x": 0.3 * np.cos(4 * t), "y": 0.2 * np.sin(3 * t)}
    )
    origin = np.stack([t, 0.1 * np.cos(6 * t), 0.05 * np.sin(7 * t)], axis=1)
    # A reflected right leg is a left one, and z of a frame points to the right of the person on both.
    axes = {name: turned[:, :, place] for place, name in enumerate("xyz")}
    found = {"O": origin, "X": origin + axes["x"], "Y": origin + axes["y"]}
    return {name: values * ([1, 1, -1] if mirror else 1) for name, values in found.items()}


def test_a_mirrored_leg_reads_what_the_reflected_person_would() -> None:
    """Computed twice: from points reflected in the sagittal plane, and from signs of what the sensor reads."""
    right = Frame("shank", "O", ("O", "X"), ("O", "Y"), (0.02, 0.1, 0.03))
    left = Frame("shank", "O", ("O", "X"), ("O", "Y"), (0.02, 0.1, -0.03))  # on the outside of either leg
    direct, _ = imu_signal([right], walking(False), 100.0, 0.0, None, "test")
    reflected, _ = imu_signal([left], walking(True), 100.0, 0.0, None, "test")
    assert np.ptp(direct.samples, axis=0).min() > 0.1  # all six channels move
    np.testing.assert_allclose(mirrored(reflected).samples, direct.samples, atol=1e-9)
    signs = mirrored(Signal(StreamSpec("imu", 100.0, inertial_channels(["foot"])), 0.0, np.ones((1, 6))))
    assert signs.samples.tolist() == [[1, 1, -1, -1, -1, 1]]
    np.testing.assert_array_equal(mirrored(mirrored(direct)).samples, direct.samples)


def test_a_frame_reads_the_turn_about_its_own_axis() -> None:
    t = np.arange(100) / 100
    turned = virtual_imu.rotation("z", 2.0 * t)  # 2 rad/s of flexion about the axis to the right
    found = {"O": np.zeros((100, 3)), "X": turned[:, :, 0], "Y": turned[:, :, 1]}
    signal, strikes = imu_signal(
        [Frame("shank", "O", ("O", "X"), ("O", "Y"), (0.0, 0.5, 0.0))], found, 100.0, 0.0, None, "test"
    )
    np.testing.assert_allclose(signal.samples[:, 3:], np.tile([0, 0, 2.0], (100, 1)), atol=1e-9)
    gravity = GRAVITY * np.stack([np.sin(2 * t), np.cos(2 * t)], axis=1)
    # Half a metre out it is drawn inwards by w^2 r = 2 m/s^2, a row late (backward differences).
    np.testing.assert_allclose(signal.samples[3:, :2], gravity[3:] + np.array([0, -2.0]), atol=0.05)
    assert strikes == ()


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('"{S}AnkleMoment.x"', '"{S}KneeMoment.x"', "trial.c3d has no point 'RKneeMoment'; it has PELO"),
        ('origin = "{S}FOO"', 'origin = "{S}FOX"', "has no point 'RFOX'"),
        ('"{S} Sol"', '"{S} Gast"', "has no analog channel 'R Gast'; it has Fx1"),
        ('"{S} Sol"', '"{S}FOO.x"', "'RFOO.x' is a point's and 'R Tib' is an analog channel"),
        ('"PROCESSING:Bodymass"', '"PROCESSING:Weight"', "no parameter 'PROCESSING:Weight'; PROCESSING has"),
        ('"PROCESSING:Bodymass"', '"POINT:LABELS"', "parameter 'POINT:LABELS' is .* it must be one number"),
        ('unit = "V"', 'unit = "mV"', "analog channel 'R Sol' is in V, and .* says mV; correct unit"),
        ('rate_hz = 1000', "rate_hz = 2000", "median rate is 1000 Hz: correct rate_hz"),
        ('unit = "mm"\nup = "z"\n\n[[', 'unit = "m"\nup = "z"\n\n[[', "its points are in mm and .* says m; correct unit"),
        ('up = "z"\nfoot', 'up = "w"\nfoot', "up is 'w'; allowed: x, y, z"),
        ('sides = ["right"]\n', "", r"recording 'one' has no sides"),
        ('sides = ["right"]', 'sides = ["both"]', r"sides is \['both'\]; it must be"),
        ('y = ["{S}FOO", "{S}FOP"]', 'y = ["{S}FOO", "{S}FOA"]', "x of frame 'foot', square to its y, has no direction"),
        ('y = ["{S}FOO", "{S}FOP"]', 'y = ["{S}FOO", "{S}FOO"]', "y must name two points, from and to"),
        ('foot = ["{S}HEE", "{S}TOE"]', 'foot = ["RHEE"]', "names the same points for both legs; write {S}"),
        ('sensor = [0.0, 0.0, 0.0]\n', "", "needs at least one frame with a sensor"),
        ('mass_kg = "PROCESSING:Bodymass"\n', "", r"\[\[recording\]\] 1: mass_kg is missing"),
        ('heel_strike = "Foot Strike"', 'strike = "Foot Strike"', r"\[events\]: heel_strike is missing"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TOML
    with pytest.raises(RecordingError, match=said):
        loaded(tmp_path, TOML.replace(old, new))


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path = write_trial(tmp_path / "a.c3d")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        RecordingError, match=r"its header tells of 200 frames, .* the file is cut short or damaged"
    ):
        read_c3d(path)
    path.write_bytes(b"\x02\x51" + content[2:])
    with pytest.raises(RecordingError, match="is not a C3D file: its second byte must be 0x50"):
        read_c3d(path)
    path.write_bytes(content[:8] + b"\xff\xff" + content[10:])  # a last frame of 65,535
    with pytest.raises(RecordingError, match=r"tells of 65,4.. frames"):
        read_c3d(path)


def test_a_person_without_mass(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="has no parameter 'PROCESSING:Bodymass'; it has"):
        loaded(tmp_path, mass_kg=None)
    with pytest.raises(RecordingError, match="says 0 kg; give mass_kg as a number, 2 to 400"):
        loaded(tmp_path, mass_kg=0.0)


def test_points_that_are_never_seen(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"in no frame were all of PELO, .* seen"):
        loaded(tmp_path, hide={"RFOO": slice(None)})
