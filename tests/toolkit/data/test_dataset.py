"""The dataset TOML: units, signs, mass, starts, heel strikes, and every fault named in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load
from toolkit.data.channels import GRAVITY
from toolkit.errors import EdgetoolError, RecordingError, UsageError

TOML = """
format = "edgetool dataset 1"
kind = "measured"
source = "made by a test"
root = "files"

[[recording]]
name = "one"
person = "p1"
task = "level"
mass_kg = 50
files = { sensors = "sensors.csv", forces = "forces.csv" }
heel_strikes_s = [0.1, 0.5]

[imu]
file = "sensors"
rate_hz = 100
[imu.channels]
foot_accel_x = { column = "ax", unit = "g" }
foot_gyro_z = { column = "gz", unit = "deg/s", scale = -1 }

[emg]
file = "sensors"
rate_hz = 100
unit = "uV"
[emg.channels]
soleus = "sol"

[moments]
file = "forces"
rate_hz = 50
unit = "Nm"
[moments.channels]
ankle_dorsiflexion_moment = { column = "ankle", scale = -1 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    time = np.arange(100) / 100
    rows = np.stack([time, np.full(100, 2.0), np.full(100, 180.0), 1500 + time], axis=1)
    write(files / "sensors.csv", "time,ax,gz,sol", rows)
    write(files / "forces.csv", "t,ankle", np.stack([np.arange(50) / 50, np.full(50, 25.0)], axis=1))
    (tmp_path / "set.toml").write_text(TOML.replace("rate_hz = 50\n", 'rate_hz = 50\ntime = "t"\n'))
    return tmp_path


def write(path: Path, header: str, rows: np.ndarray) -> None:
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.6f")


def changed(folder: Path, old: str, new: str) -> str:
    path = folder / "set.toml"
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))
    return str(path)


def test_units_signs_and_mass(folder: Path) -> None:
    (recording,) = load(str(folder / "set.toml"))
    imu, emg, moments = recording.signals["imu"], recording.signals["emg"], recording.moments
    assert moments is not None
    assert [c.unit for c in imu.spec.channels] == ["m/s^2", "rad/s"]
    np.testing.assert_allclose(imu.samples[7], [2 * GRAVITY, -np.pi], rtol=1e-15)
    assert emg.spec.channels[0].unit == "mV"
    np.testing.assert_allclose(emg.samples[50, 0], 1.5005, rtol=1e-12)
    np.testing.assert_allclose(moments.samples[0, 0], -25.0 / 50.0, rtol=1e-15)
    assert moments.spec.channels[0].unit == "Nm/kg" and moments.spec.rate_hz == 50
    assert recording.heel_strikes_s == (0.1, 0.5) and recording.kind == "measured"
    assert recording.provenance["source"] == "made by a test"


def test_another_root_and_a_folder_of_datasets(folder: Path) -> None:
    (folder / "files").rename(folder / "elsewhere")
    source = str(folder / "set.toml")
    with pytest.raises(RecordingError, match=r"data folder .*files does not exist; correct root"):
        load(source)
    (recording,) = load(f"{source}:root={folder / 'elsewhere'}")
    assert recording.name == "one"
    changed(folder, 'root = "files"', 'root = "elsewhere"')
    assert [r.name for r in load(str(folder))] == ["one"]
    (folder / "copy.toml").write_text((folder / "set.toml").read_text())
    with pytest.raises(RecordingError, match="has recording 'one' twice"):
        load(str(folder))


def test_streams_are_cut_to_one_start(folder: Path) -> None:
    """Forces start at 0.204 s: sensors lose 20 rows and are moved 4 ms, which the provenance says."""
    rows = np.stack([0.204 + np.arange(40) / 50, np.arange(40.0)], axis=1)
    write(folder / "files" / "forces.csv", "t,ankle", rows)
    (recording,) = load(str(folder / "set.toml"))
    imu, moments = recording.signals["imu"], recording.moments
    assert moments is not None
    assert imu.start_s == moments.start_s == pytest.approx(0.204)
    assert len(imu.samples) == 80
    assert recording.signals["emg"].samples[0, 0] == pytest.approx((1500 + 0.20) * 1e-3)
    assert recording.provenance["moved_imu"] == "4.000 ms onto the common start"
    assert recording.heel_strikes_s == (0.5,)


def test_labels_are_low_passed_without_delay(folder: Path) -> None:
    time = np.arange(50) / 50
    slow, fast = np.sin(2 * np.pi * 2 * time), np.sin(2 * np.pi * 20 * time)
    write(folder / "files" / "forces.csv", "t,ankle", np.stack([time, slow + fast], axis=1))
    changed(folder, 'time = "t"', 'time = "t"\nlow_pass_hz = 6')
    (recording,) = load(str(folder / "set.toml"))
    assert recording.moments is not None
    kept = -recording.moments.samples[10:40, 0] * 50
    # Fourth order in all, -3 dB at 6 Hz: 2 Hz loses 0.5 % (by design 1/(1 + (tan/tan)^4)), 20 Hz all but 0.1 %.
    np.testing.assert_allclose(kept, slow[10:40], atol=0.02)


FAULTS = {
    "not toml": ('format = "', "format = ", "is not TOML"),
    "no format": ('format = "edgetool dataset 1"', "", "format is missing; it must be text"),
    "newer format": ("dataset 1", "dataset 2", "format is 'edgetool dataset 2'; this version reads"),
    "kind": (
        'kind = "measured"',
        'kind = "real"',
        "kind is 'real'; allowed: synthetic, measured, virtual-imu",
    ),
    "no mass": ("mass_kg = 50", "", "[[recording]] 1: mass_kg is missing"),
    "mass is text": ("mass_kg = 50", 'mass_kg = "50"', "mass_kg is '50'; it must be a number"),
    "mass is nothing": ("mass_kg = 50", "mass_kg = 0", "mass_kg is 0; it must be above 0"),
    "mass of a truck": (
        "mass_kg = 50",
        "mass_kg = 5000",
        "body mass 5000.0 kg; it must be between 2 and 400",
    ),
    "misspelt key": ("mass_kg = 50", "mass_kg = 50\nheight = 2", "height is not a known key; allowed: "),
    "file key": (
        'file = "forces"',
        'file = "force"',
        "[moments] reads file 'force' and recording 'one' has only",
    ),
    "file": ('"forces.csv"', '"gone.csv"', "gone.csv: no such file; it must be a table"),
    "missing column": ('"ax"', '"ay"', "has no column 'ay'; it has time, ax, gz, sol"),
    "unit unknown": ('"uV"', '"volt"', "[emg] soleus: unit 'volt' is not known; allowed: m/s^2, rad/s, V"),
    "unit wrong for stream": (
        '"uV"',
        '"deg/s"',
        "channel 'soleus' of stream 'emg'; allowed: V, mV, uV, 1",
    ),
    "unit of another quantity": (
        '"g"',
        '"rad/s"',
        "channel 'foot_accel_x' of stream 'imu'; allowed: m/s^2, g",
    ),
    "no unit": ('unit = "uV"', "", "soleus has no unit"),
    "rate": ("rate_hz = 50", "rate_hz = 60", "the median rate is 50 Hz: correct rate_hz"),
    "rate is infinite": ("rate_hz = 50", "rate_hz = inf", "rate_hz is inf; it must be a number"),
    "scale": ("scale = -1", "scale = 0", "foot_gyro_z has scale 0"),
    "low-pass on an input": (
        'unit = "uV"',
        'unit = "uV"\nlow_pass_hz = 6',
        "[emg]: low_pass_hz is not a known key",
    ),
    "low-pass too high": ('unit = "Nm"', 'unit = "Nm"\nlow_pass_hz = 25', "does not fit a rate of 50 Hz"),
    "strikes": ("[0.1, 0.5]", "[0.5, 0.1]", "heel_strikes_s must ascend"),
    "channel": ('soleus = "sol"', "soleus = 3", 'soleus must be "column" or { column, unit, scale }'),
    "no channels": ('soleus = "sol"', "", "channels is empty"),
}


@pytest.mark.parametrize(("old", "new", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named(folder: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(EdgetoolError) as caught:
        load(changed(folder, old, new))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_streams_without_common_time_are_refused(folder: Path) -> None:
    write(folder / "files" / "forces.csv", "t,ankle", np.stack([5 + np.arange(50) / 50, np.ones(50)], axis=1))
    with pytest.raises(
        RecordingError, match=r"share 0 s and need at least 0.5 s \(imu 0 to 1 s, .*moments 5 to 6 s"
    ):
        load(str(folder / "set.toml"))


def test_nan_in_a_used_column_is_named(folder: Path) -> None:
    path = folder / "files" / "sensors.csv"
    lines = path.read_text().splitlines()
    lines[31] = "0.300000,2,nan,1500"
    path.write_text("\n".join(lines))
    with pytest.raises(RecordingError, match=r"sensors.csv: column 'gz', row 30 \(time 0.3 s\) is nan"):
        load(str(folder / "set.toml"))


@pytest.mark.parametrize(
    ("source", "said"),
    [("nowhere", "does not exist; a source is synthetic"), ("sensors.csv", "A dataset TOML says which")],
)
def test_sources_that_are_not_data(folder: Path, source: str, said: str) -> None:
    with pytest.raises((RecordingError, UsageError), match=said):
        load(str(folder / "files" / source))
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(RecordingError, match=r"holds no \.toml and no \.npz"):
        load(str(empty))


VIRTUAL = """
format = "edgetool dataset 1"
kind = "virtual-imu"
[[recording]]
name = "rod"
person = "p"
task = "level"
mass_kg = 60
files = { motion = "motion.sto" }
[virtual_imu]
file = "motion"
rate_hz = 100
unit = "deg"
[[virtual_imu.segment]]
name = "thigh"
turns = [["z", "hip"]]
sensor = [0.0, -0.3, 0.0]
[[virtual_imu.segment]]
name = "shank"
parent = "thigh"
at = [0.0, -0.4, 0.0]
turns = [[[0, 0, 2], "knee"]]
sensor = [0.0, 0.0, 0.0]
"""


def virtual(folder: Path, text: str = VIRTUAL, header: str = "inDegrees=yes") -> str:
    rows = "".join(f"{i / 100:.2f} {1.8 * i:.3f} 0\n" for i in range(100))
    (folder / "motion.sto").write_text(f"{header}\nendheader\ntime hip knee\n{rows}")
    (folder / "rod.toml").write_text(text)
    return str(folder / "rod.toml")


def test_virtual_imu_from_a_file_of_angles(tmp_path: Path) -> None:
    """A rod that turns at 180 deg/s = pi rad/s: the gyroscope reads pi, the far end pi^2 x 0.4 m more than gravity."""
    (recording,) = load(virtual(tmp_path))
    imu = recording.signals["imu"]
    assert recording.kind == "virtual-imu" and recording.moments is None
    assert imu.spec.channel_names[:2] == ("shank_accel_x", "shank_accel_y") and imu.samples.shape == (100, 12)
    np.testing.assert_allclose(imu.samples[2:, 5], np.pi, atol=1e-9)
    # At row 50 the rod points ahead, so its y points back and its x up. The pull towards the pivot is
    # pi^2 x 0.4 = 3.948 m/s^2 along y; backward differences are a row (31 mrad) late, which takes 0.05 %
    # off it and shows 3.948 x 0.031 = 0.124 across, on top of gravity.
    assert imu.samples[50, 1] == pytest.approx(np.pi**2 * 0.4, abs=0.005)
    assert imu.samples[50, 0] == pytest.approx(GRAVITY, abs=0.13)
    assert "backward differences" in recording.provenance["virtual_imu"]


VIRTUAL_FAULTS = {
    "angles in radians": ('unit = "deg"', 'unit = "rad"', "its header says that angles are in deg and the dataset says rad"),
    "unit": ('unit = "deg"', 'unit = "g"', "unit is 'g'; allowed: deg, rad"),
    "parent": ('parent = "thigh"', 'parent = "pelvis"', "must be defined before it; defined so far: thigh"),
    "joint": ("at = [0.0, -0.4, 0.0]", "", "'shank' has a parent, so it needs at"),
    "short vector": ("[0.0, -0.3, 0.0]", "[0.0, -0.3]", "it must be three numbers"),
    "axis": ('["z", "hip"]', '["w", "hip"]', "axis 'w' is not known"),
    "no axis": ("[0, 0, 2]", "[0, 0, 0]", "has no direction"),
    "turn": ('[["z", "hip"]]', '["hip"]', "a turn is [axis, \"column\"]"),
    "column": ('"hip"', '"hips"', "has no column 'hips'; it has time, hip, knee"),
    "measured": ('"virtual-imu"', '"measured"', "kind must be 'virtual-imu', not 'measured'"),
    "twice": ('name = "shank"', 'name = "thigh"', "segment 'thigh' is defined twice"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), VIRTUAL_FAULTS.values(), ids=VIRTUAL_FAULTS.keys())
def test_virtual_imu_faults_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in VIRTUAL
    with pytest.raises(RecordingError) as caught:
        load(virtual(tmp_path, VIRTUAL.replace(old, new)))
    assert said in str(caught.value) and "\n" not in str(caught.value)
