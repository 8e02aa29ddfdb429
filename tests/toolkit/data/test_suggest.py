"""A drafted dataset TOML, read back: the numbers of the tables it was drafted from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.commands.data import command
from toolkit.data import load
from toolkit.data.suggest import suggest
from toolkit.errors import RecordingError

IMU, EMG = 4000 / 27, 52000 / 27


def trial(folder: Path) -> Path:
    """A Delsys table with time columns before each column, and moments of another program with decimal commas."""
    (folder / "trial").mkdir()
    rows = [
        f"{k / EMG:.6f},{k},{k / EMG:.6f},{-k}," + (f"{k / IMU:.6f},{k},{k / IMU:.6f},{k}" if k < 147 else ",,,")
        for k in range(1900)
    ]  # fmt: skip
    names = "X[s],EMG 1 (µV),X[s],EMG 2 (µV),X[s],ACC.X (g),X[s],GYRO.X (deg/s)"
    (folder / "trial" / "delsys.csv").write_text("\n".join(["Trial: 1", names, *rows]), "cp1252")
    rows = [f"{10 * k};{k / 8:.3f};1".replace(".", ",") for k in range(99)]
    (folder / "trial" / "forces.csv").write_text("\n".join(["time (ms);knee moment [Nm];speed", *rows]))
    return folder / "trial"


def test_what_was_drafted_is_read(tmp_path: Path) -> None:
    arguments = ["--suggest", str(trial(tmp_path)), "--mass-kg", "50", "--out", str(tmp_path / "walk.toml")]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and "Wrote" in done.output
    text = (tmp_path / "walk.toml").read_text()
    assert 'root = "trial"' in text and "#   forces.csv: speed" in text
    (recording,) = load(str(tmp_path / "walk.toml"))
    emg, imu, moments = recording.signals["emg"], recording.signals["imu"], recording.moments
    assert moments is not None and recording.mass_kg == 50
    assert emg.spec.rate_hz == pytest.approx(EMG, rel=1e-8) and imu.spec.rate_hz == pytest.approx(
        IMU, rel=1e-8
    )
    assert emg.spec.channel_names == ("emg_1", "emg_2") and imu.spec.channel_names == ("acc_x", "gyro_x")
    np.testing.assert_allclose(emg.samples[:, 1], -1e-3 * np.arange(1900))
    np.testing.assert_allclose(imu.samples[:, 1], np.deg2rad(np.arange(147)), rtol=1e-6)
    assert moments.spec.rate_hz == 100
    np.testing.assert_allclose(moments.samples[:, 0], np.arange(99) / 8 / 50, rtol=1e-6)


def test_what_a_table_does_not_say_must_be_filled_in(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,emg left\n" + "".join(f"{k / 1000},{k}\n" for k in range(600)))
    text = suggest(tmp_path / "a.csv")
    assert "# mass_kg = 71.4    # TODO" in text and "# TODO: unit, the header does not say" in text
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(RecordingError, match="mass_kg is missing"):
        load(str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,height\n0,1\n1,1\n2,1\n", "no column that its name or its unit tells .* found a.csv: height"),
        ("emg,x y\n0,1\n1,1\n2,1\n", "has no time column"),
        ("time,emg\n0,1\n0,1\n0,1\n", "the times of column 'time' do not ascend"),
        ("X[s],emg1,X[s],emg2\n0,1,0,1\n0.1,1,0.2,1\n0.2,1,0.4,1\n", "the columns of emg must have one rate"),
    ],
)
def test_what_cannot_be_drafted(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RecordingError, match=said):
        suggest(tmp_path / "a.csv")


def test_names_cannot_write_the_toml(tmp_path: Path) -> None:
    name = 'emg"" = 1 # [x] \\'
    (tmp_path / "a.csv").write_text(f"time,'{name}\n" + "".join(f"{k / 1000},{k}\n" for k in range(600)))
    text = suggest(tmp_path / "a.csv", 70)
    assert text.count("[emg") == 2


@pytest.mark.parametrize(
    "name", ["emg größe (mV)", "emg \u202edlof (mV)", "emg \U0001f9b5 (mV)", "emg \x7f (mV)"]
)
def test_names_in_any_script_are_read_back_and_nothing_steers_a_terminal(tmp_path: Path, name: str) -> None:
    path = tmp_path / "\U0001f9b5.csv"
    path.write_text(f"time,{name}\n" + "".join(f"{k / 1000},{k}\n" for k in range(600)), encoding="utf-8")
    text = suggest(path, 70)
    assert all(character.isprintable() or character == "\n" for character in text)
    (entry,) = tomllib.loads(text)["emg"]["channels"].values()
    assert entry["column"] == name
    assert list(tomllib.loads(text)["recording"][0]["files"].values()) == [path.name]
