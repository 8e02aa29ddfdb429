"""docs/DATA.md: its dataset TOML is read as it stands, and what it says of the sources is so."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit.data.channels import (
    EMG_RATE_HZ,
    IMU_RATE_HZ,
    MOMENTS,
    MUSCLES,
)
from toolkit.data.dataset_file import read_dataset_file
from toolkit.data.synthetic.generate import Options
from toolkit.data.synthetic.tasks import TASKS

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "DATA.md").read_text()


def test_the_dataset_of_the_docs_is_read(tmp_path: Path) -> None:
    first = re.findall(r"```toml\n(.*?)```", TEXT, re.S)[0]
    path = tmp_path / "docs.toml"
    path.write_text(first)
    dataset = read_dataset_file(path)
    assert [s.name for s in dataset.streams] == ["imu", "emg", "moments"]
    assert dataset.recordings[0].mass_kg == 71.4 and dataset.streams[2].low_pass_hz == 6


def test_the_segments_of_the_docs_are_read(tmp_path: Path) -> None:
    first, second, _ = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    head = (
        first.split("[imu]")[0]
        .replace('"measured"', '"virtual-imu"')
        .replace("files = {", 'files = { motion = "m",')
    )
    path = tmp_path / "docs.toml"
    path.write_text(re.sub(r"(?m)^(kind = \S+) .*$", r"\1", head) + second)
    imu = read_dataset_file(path).virtual_imu
    assert imu is not None and [s.name for s in imu.skeleton.segments] == ["pelvis", "thigh"]


def test_the_c3d_dataset_of_the_docs_is_read(tmp_path: Path) -> None:
    third = re.findall(r"```toml\n(.*?)```", TEXT, re.S)[2]
    path = tmp_path / "docs.toml"
    path.write_text('format = "edgetool dataset 1"\nkind = "virtual-imu"\n' + third)
    dataset = read_dataset_file(path)
    assert [r.name for r in dataset.recordings] == ["HC002D/straight/left", "HC002D/straight/right"]
    assert dataset.frames is not None and [f.name for f in dataset.frames.frames] == ["shank"]
    assert dataset.plates is not None and dataset.events is not None


def test_channels_and_counts_of_the_docs() -> None:
    text = " ".join(TEXT.split())
    assert ", ".join(MUSCLES) in text and ", ".join(MOMENTS) in text
    assert f"`imu`, {IMU_RATE_HZ:g} Hz" in text and f"`emg`, {EMG_RATE_HZ:g} Hz" in text
    count = Options().people * sum(len(task.speeds) for task in TASKS.values())
    assert f"{count} recordings" in text and f"`synthetic` is {Options().people} people" in text
    speeds = [
        " and ".join(f"{v:g}" for v in TASKS[name].speeds) for name in ("level", "incline", "stairs-up")
    ]
    assert all(f"({s} m/s)" in text for s in speeds)
