"""The tree of Camargo et al. 2021, written with mat-io in its own schema and irregularities, and read back."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.contract import Channel, StreamSpec
from toolkit.data import load
from toolkit.data.camargo import MUSCLES, body_masses, is_camargo, trials
from toolkit.data.channels import GRAVITY, SEGMENTS
from toolkit.data.readers.matlab import read_variables
from toolkit.data.splits import Segment
from toolkit.data.windows import band_passed
from toolkit.errors import RecordingError
from toolkit.filtering.design import default_filters
from toolkit.learning.prepare import fit_input
from toolkit.records import Recording

pd = pytest.importorskip("pandas")
matio = pytest.importorskip("matio")

META = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "camargo_meta" / "SubjectInfo.mat"
SECONDS, START = 8.0, 3.5  # Header need not start at 0


def save(path: Path, **tables: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mat-io's own
        matio.save_to_mat(str(path), tables, version="v7")


def header(rate_hz: float) -> np.ndarray:
    return START + np.arange(round(SECONDS * rate_hz)) / rate_hz


def imu(g: bool = True) -> Any:
    """Every accelerometer reads 1 g along y, every gyroscope up to 300 deg/s (or as much in m/s^2 and rad/s)."""
    time = header(200)
    columns: dict[str, Any] = {"Header": time}
    for segment in SEGMENTS:
        for axis in "XYZ":
            columns[f"{segment}_Accel_{axis}"] = np.full(len(time), (1.0 if g else GRAVITY) * (axis == "Y"))
            turn = 300.0 * np.sin(2 * np.pi * time) * (axis == "Z")
            columns[f"{segment}_Gyro_{axis}"] = turn if g else np.radians(turn)
    return pd.DataFrame(columns)


def emg() -> Any:
    time = header(1000)
    return pd.DataFrame({"Header": time, **{m: np.sin(500 * time + i) for i, m in enumerate(MUSCLES)}})


def inverse_dynamics() -> Any:
    time = header(200)
    names = ("pelvis_tilt_moment", "hip_flexion_r_moment", "knee_angle_r_moment", "ankle_angle_r_moment")
    return pd.DataFrame(
        {"Header": time, **{name: np.full(len(time), 10.0 * i) for i, name in enumerate(names)}}
    )


def gait_cycle() -> Any:
    time = header(200)
    phase = 100 * ((time - START) % 1.0)
    return pd.DataFrame({"Header": time, "HeelStrike": phase, "ToeOff": (phase + 40) % 100})


def kinematics(flexion: float) -> Any:
    time = header(200)
    return pd.DataFrame({"Header": time, "knee_angle_r": flexion * 60 * np.sin(np.pi * time) ** 2})


def labels(*each: tuple[str, float]) -> Any:
    """Labels with the seconds that each lasts."""
    time = header(1000)
    edges = START + np.cumsum([seconds for _, seconds in each])
    return pd.DataFrame(
        {"Header": time, "Label": [[each[int(np.searchsorted(edges, t, "right"))][0]] for t in time]}
    )


def write_trial(mode: Path, name: str, conditions: dict[str, Any], **changes: Any) -> None:
    found = {
        "imu": imu(), "emg": emg(), "id": inverse_dynamics(), "gcRight": gait_cycle(), "ik": kinematics(-1.0), **changes,
    }  # fmt: skip
    for sensor, table in found.items():
        if table is not None:
            save(mode / sensor / f"{name}.mat", data=table)
    save(mode / "conditions" / f"{name}.mat", **conditions)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("camargo")
    people = pd.DataFrame(
        {
            "Subject": [["AB06"], ["AB07"]],
            "Age": [20.0, 20.0],
            "Gender": [["M"], ["M"]],
            "Height": [1.8, 1.65],
            "Weight": [74.84, 50.0],
        }
    )
    save(tmp_path / "SubjectInfo.mat", data=people)
    stair = labels(
        ("idle", 1.0), ("walk", 1.0), ("walk-stairascent", 0.5), ("stairascent", 3.5), ("stairdescent", 9.0)
    )
    write_trial(
        tmp_path / "AB06" / "10_09_18" / "stair",
        "stair_1_l_01_01",
        {"labels": stair, "stairHeight": np.array([[4.0]])},
    )
    speed = np.where(header(1000) < START + 4, 0.5, 1.2)
    belt = pd.DataFrame({"Header": header(1000), "Speed": speed})
    write_trial(
        tmp_path / "AB07" / "11_17_18" / "treadmill", "Treadmill_01_01", {"speed": belt}, imu=imu(g=False)
    )
    (tmp_path / "AB07" / "osimxml").mkdir()
    return tmp_path


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(published, tmp_path / "tree"))


@pytest.fixture(scope="module")
def recordings(published: Path) -> dict[str, Recording]:
    return by_name(published)


def by_name(root: Path) -> dict[str, Recording]:
    return {one.name: one for one in load(str(root))}


def test_tasks_and_heights_of_a_stair_trial(recordings: dict[str, Recording]) -> None:
    found = recordings
    stairs = [name for name in found if name.startswith("AB06")]
    assert stairs == [
        f"AB06/stair_1_l_01_01/{task}/0.102m" for task in ("level", "transition", "stairs-up", "stairs-down")
    ]
    up = found[stairs[2]]
    assert (up.person, up.task, up.mass_kg, up.provenance["condition"]) == (
        "AB06",
        "stairs-up",
        74.84,
        "0.102m",
    )
    assert up.valid_s == (pytest.approx((START + 2.5, START + 6.0), abs=0.006),)
    assert (
        up.signals["imu"].samples is found[stairs[0]].signals["imu"].samples
    )  # the parts share their samples


def test_units_mass_and_signs(recordings: dict[str, Recording]) -> None:
    one = recordings["AB06/stair_1_l_01_01/level/0.102m"]
    assert one.moments is not None and one.signals["imu"].start_s == START
    np.testing.assert_allclose(one.moments.samples[0], np.array([10.0, 20.0, 30.0]) / 74.84)
    assert one.signals["imu"].spec.channel_names[:3] == ("foot_accel_x", "foot_accel_y", "foot_accel_z")
    assert one.signals["imu"].samples[0, 1] == pytest.approx(GRAVITY)
    assert np.abs(one.signals["imu"].samples[:, 5]).max() == pytest.approx(np.radians(300.0))
    assert one.provenance["imu_units"] == "found in the data: g, deg/s"
    assert one.heel_strikes_s == pytest.approx(START + np.arange(1, 8))
    metric = recordings["AB07/treadmill_01_01/level/1.20"]
    assert metric.signals["imu"].samples[0, 1] == pytest.approx(GRAVITY)
    assert metric.provenance["imu_units"] == "found in the data: m/s^2, rad/s"


def test_speeds_of_a_treadmill_trial(recordings: dict[str, Recording]) -> None:
    found = {name: one for name, one in recordings.items() if one.person == "AB07"}
    assert list(found) == [f"AB07/treadmill_01_01/level/{what}" for what in ("0.50", "1.20", "changing")]
    assert {one.task for one in found.values()} == {"level"}
    slow = found["AB07/treadmill_01_01/level/0.50"]
    assert slow.provenance["condition"] == "0.50 m/s" and slow.mass_kg == 50.0


def test_gaps_are_masked(root: Path) -> None:
    """NaN in a moment masks its rows; NaN in a sensor masks a second more, so that no window reaches into it."""
    torque, motion = inverse_dynamics(), imu()
    torque.loc[600:699, "knee_angle_r_moment"] = np.nan  # 3.0 to 3.495 s after the start
    motion.loc[1000:1019, "shank_Gyro_Z"] = np.nan  # 5.0 to 5.095 s
    belt = pd.DataFrame({"Header": header(1000), "Speed": np.full(8000, 1.0)})
    write_trial(
        root / "AB07" / "11_17_18" / "treadmill", "Treadmill_01_01", {"speed": belt}, id=torque, imu=motion
    )
    one = by_name(root)["AB07/treadmill_01_01/level/1.00"]
    assert one.valid_s is not None and np.allclose(
        np.array(one.valid_s) - START, [(0.0, 2.995), (3.5, 4.995), (6.1, 7.995)], atol=0.006
    )
    assert np.isfinite(one.signals["imu"].samples).all()


def test_a_muscle_that_was_never_recorded_is_missing(root: Path) -> None:
    table = emg()
    table["gracilis"] = np.nan
    belt = pd.DataFrame({"Header": header(1000), "Speed": np.full(8000, 1.0)})
    write_trial(root / "AB07" / "11_17_18" / "treadmill", "Treadmill_01_01", {"speed": belt}, emg=table)
    assert by_name(root)["AB07/treadmill_01_01/level/1.00"].missing == {"emg": ("gracilis",)}


def test_names_in_any_case_and_missing_trials(root: Path) -> None:
    mode = root / "AB06" / "10_09_18" / "stair"
    (mode / "emg" / "stair_1_l_01_01.mat").rename(mode / "emg" / "Stair_1_L_01_01.mat")
    save(mode / "imu" / "stair_1_l_01_02.mat", data=imu())  # no EMG and no moments for this one
    write_trial(mode, "stair_1_l_01_03", {}, ik=None, ik_offset=kinematics(1.0), jp=inverse_dynamics())
    assert [t.name for t in trials(root) if t.subject == "AB06"] == ["stair_1_l_01_01", "stair_1_l_01_03"]
    found = by_name(root)
    assert "AB06/stair_1_l_01_01/stairs-up/0.102m" in found
    other = found["AB06/stair_1_l_01_03/stair"]  # without conditions a trial is one part
    # In this one the knee's angle is positive in flexion, so its moment changes sign.
    assert other.moments is not None and other.moments.samples[0, 1] == pytest.approx(-20.0 / 74.84)


def test_published_emg_gets_no_second_band_pass(recordings: dict[str, Recording]) -> None:
    one = recordings["AB07/treadmill_01_01/level/1.20"]
    whole = [Segment(one, START, START + SECONDS)]
    assert band_passed(whole)
    assert [stage.kind for stage in fit_input("emg", whole, 100.0).filters] == [
        "rectify",
        "sections",
        "resample",
        "scale",
    ]
    raw = StreamSpec("emg", 1000.0, (Channel("soleus", "mV"),))
    assert default_filters(raw, 100.0, [np.ones((500, 1))])[0].kind == "sections"


def test_band_passed_and_raw_emg_are_not_mixed(recordings: dict[str, Recording]) -> None:
    (other, *_) = load("synthetic:people=1,seconds=2,tasks=level")
    one = recordings["AB07/treadmill_01_01/level/1.20"]
    with pytest.raises(
        RecordingError, match=r"is band-passed already \(20 to 400 Hz, as published\) and that of 'synth"
    ):
        band_passed([Segment(one, 0, 9), Segment(other, 0, 9)])


def test_a_table_that_mat_io_cannot_convert_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class MatlabOpaque:
        pass

    path = root / "AB06" / "10_09_18" / "stair" / "imu" / "stair_1_l_01_01.mat"
    monkeypatch.setattr(matio, "load_from_mat", lambda name: {"data": MatlabOpaque()})
    with pytest.raises(
        RecordingError, match=r"stair_1_l_01_01\.mat: mat-io .* gives 'data' as MatlabOpaque, not as a table"
    ):
        read_variables(path)


def test_faults_are_named(root: Path) -> None:
    imu_file = root / "AB06" / "10_09_18" / "stair" / "imu" / "stair_1_l_01_01.mat"
    save(imu_file, data=imu().rename(columns={"shank_Gyro_Z": "shin_Gyro_Z"}))
    with pytest.raises(
        RecordingError, match="table 'data' has no column 'shank_gyro_z'; it has Header, foot_Accel_X"
    ):
        load(str(root))
    save(imu_file, data=imu() * 0.1)
    with pytest.raises(
        RecordingError, match=r"median length is 0\.1, which is neither 1 g nor 9\.8 m/s\^2|has time"
    ):
        load(str(root))
    imu_file.write_bytes(b"not a file of MATLAB's")
    with pytest.raises(RecordingError, match="is not a MATLAB file"):
        load(str(root))
    imu_file.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(500))
    with pytest.raises(RecordingError, match="is not a MATLAB file that can be read"):
        load(str(root))


def test_a_person_without_mass(root: Path) -> None:
    (root / "AB06").rename(root / "AB99")
    with pytest.raises(RecordingError, match=r"SubjectInfo\.mat has no subject 'AB99'; it has AB06, AB07"):
        load(str(root))
    (root / "SubjectInfo.mat").unlink()
    with pytest.raises(
        RecordingError, match=r"has no SubjectInfo\.mat: moments are divided by the body mass"
    ):
        load(str(root))


def test_other_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "AB12").mkdir()
    assert not is_camargo(tmp_path)


@pytest.mark.skipif(not META.is_file(), reason=f"the published table is not at {META}: it was NOT read")
def test_the_published_subject_table() -> None:
    masses = body_masses(META.parent)
    assert len(masses) == 22 and masses["AB06"] == 74.84 and masses["AB30"] == 77.03
