"""``edgetool data`` and the folders it exports, read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.commands.data import command
from toolkit.data import load
from toolkit.data.describe import cycles, plot_cycles
from toolkit.data.export import export
from toolkit.errors import OutputError, RecordingError, UsageError
from toolkit.records import Recording

SOURCE = "synthetic:people=2,seconds=3,tasks=level,seed=1"


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return load(SOURCE)


def test_command_lists_exports_and_plots(tmp_path: Path) -> None:
    arguments = [
        SOURCE,
        "--out",
        f"{tmp_path}/out",
        "--plot",
        f"{tmp_path}/p.png",
        "--json",
        f"{tmp_path}/d.json",
    ]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert any(line.split()[:3] == ["synthetic-02/level/1.3", "level", "synthetic"] for line in lines)
    assert "4 recordings, 2 people, 12 s." in done.stdout
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    described = json.loads((tmp_path / "d.json").read_text())
    imu = described["recordings"][0]["streams"]["imu"]
    assert imu["rows"] == 600 and imu["channels"][0]["name"] == "foot_accel_x"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "recordings.json",
        "synthetic-01_level_0.9.npz",
        "synthetic-01_level_1.3.npz",
        "synthetic-02_level_0.9.npz",
        "synthetic-02_level_1.3.npz",
    ]


def test_one_recording_of_one_person_is_counted_as_such() -> None:
    done = CliRunner().invoke(
        command, ["synthetic:people=1,seconds=2,tasks=level,speeds=1"], catch_exceptions=False
    )
    assert "1 recording, 1 person, 2 s." in done.stdout


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_exports_are_read_back(tmp_path: Path, recordings: list[Recording], kind: str) -> None:
    export(recordings, tmp_path / "out", kind)  # type: ignore[arg-type]
    back = load(str(tmp_path / "out"))
    # CSV is written with ten significant digits.
    tolerance = 0.0 if kind == "npz" else 1e-9
    for one, other in zip(recordings, back, strict=True):
        assert (one.name, one.person, one.task, one.kind, one.mass_kg) == (
            other.name,
            other.person,
            other.task,
            other.kind,
            other.mass_kg,
        )
        assert one.heel_strikes_s == other.heel_strikes_s
        assert one.moments is not None and other.moments is not None
        for a, b in (
            *((s, other.signals[n]) for n, s in one.signals.items()),
            (one.moments, other.moments),
        ):
            assert a.spec == b.spec and a.start_s == b.start_s
            np.testing.assert_allclose(a.samples, b.samples, rtol=tolerance, atol=0)


def test_export_replaces_its_own_folder_and_no_other(tmp_path: Path, recordings: list[Recording]) -> None:
    export(recordings[:1], tmp_path / "out", "npz")
    export(recordings[1:2], tmp_path / "out", "npz")
    assert [r.name for r in load(str(tmp_path / "out"))] == ["synthetic-01/level/1.3"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="so edgetool will not replace it"):
        export(recordings, tmp_path / "thesis", "npz")
    with pytest.raises(UsageError, match="two recordings have the same name"):
        export([recordings[0], recordings[0]], tmp_path / "twice", "npz")
    assert not (tmp_path / "twice").exists()


def test_csv_of_recordings_with_different_streams_is_refused(
    tmp_path: Path, recordings: list[Recording]
) -> None:
    one = recordings[0]
    other = Recording(
        "other", one.person, one.task, one.kind, one.mass_kg, {"imu": one.signals["imu"]}, one.moments
    )
    with pytest.raises(UsageError, match="differ in kind or streams"):
        export([one, other], tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()


def test_cycles_are_cut_at_heel_strikes(recordings: list[Recording]) -> None:
    one = recordings[0]
    assert one.moments is not None
    values = cycles(one)
    assert values.shape == (len(one.heel_strikes_s) - 1, 101, 3)
    first = [np.interp(one.heel_strikes_s[0], one.moments.times_s, c) for c in one.moments.samples.T]
    np.testing.assert_allclose(values[0, 0], first)
    np.testing.assert_allclose(values[0, 100], values[1, 0] if len(values) > 1 else values[0, 100])


def test_nothing_to_plot_is_said(tmp_path: Path, recordings: list[Recording]) -> None:
    one = recordings[0]
    bare = Recording("bare", one.person, one.task, one.kind, one.mass_kg, one.signals)
    with pytest.raises(RecordingError, match="no recording has moments and two heel strikes"):
        plot_cycles([bare], tmp_path / "p.png")


@pytest.mark.parametrize(("ending", "magic"), [(".svg", b"<?xml"), (".pdf", b"%PDF-"), (".PNG", b"\x89PNG")])
def test_a_plot_is_of_the_kind_that_its_name_says(
    tmp_path: Path, recordings: list[Recording], ending: str, magic: bytes
) -> None:
    path = tmp_path / f"p{ending}"
    plot_cycles(recordings[:1], path)
    assert path.read_bytes().startswith(magic)
    with pytest.raises(
        UsageError, match=r"cannot be written as p\.bmp; allowed endings: \.png, \.svg, \.pdf"
    ):
        plot_cycles(recordings[:1], tmp_path / "p.bmp")


def test_check_has_an_exit_code(tmp_path: Path, recordings: list[Recording]) -> None:
    done = CliRunner().invoke(command, ["check", SOURCE])
    assert done.exit_code == 0 and "0 bounds are broken; 0 channels are marked missing." in done.stdout
    one = recordings[0]
    assert one.moments is not None
    wrong = replace(one, moments=replace(one.moments, samples=-np.asarray(one.moments.samples)))
    export([wrong], tmp_path / "wrong", "npz")
    done = CliRunner().invoke(command, ["check", f"{tmp_path}/wrong", "--json", f"{tmp_path}/found.json"])
    assert done.exit_code == 1 and "1 bound is broken" in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["broken"] == 1 and found["findings"][0]["what"] == "sign"
    listed = CliRunner().invoke(command, [f"{tmp_path}/wrong"])
    assert listed.exit_code == 0 and "push-off must be negative" in " ".join(listed.output.split())
    refused = CliRunner().invoke(command, ["check", SOURCE, "--out", f"{tmp_path}/x"])
    assert refused.exit_code == 2 and "check goes with neither --out nor --plot" in refused.output


def test_valid_seconds_and_live_channels_are_listed(tmp_path: Path, recordings: list[Recording]) -> None:
    masked = replace(recordings[0], valid_s=((0.5, 1.75),), missing={"emg": ("soleus", "vas_med")})
    export([masked, *recordings[1:2]], tmp_path / "some", "npz")
    done = CliRunner().invoke(command, [f"{tmp_path}/some"], catch_exceptions=False)
    text = " ".join(done.stdout.split())
    assert "1.25" in text and "emg 7/9" in text and "All channels are live in 1 of 2 recordings." in text
    assert "Moments are valid in 4.2 s of 2 recordings." in text
    assert max(map(len, done.stdout.splitlines())) <= 80
