"""Damaged files: whatever is cut, flipped or swapped, a reader returns finite data or raises RecordingError in one line."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load, readers
from toolkit.data.readers import npz as archive
from toolkit.errors import EdgetoolError, RecordingError

STO = (
    "walk\nversion=1\nnRows=4\nnColumns=3\ninDegrees=yes\nendheader\ntime\ta\tb\n"
    "0.00\t1.5\t2\n0.01\t-3\t4e1\n0.02\t5\t6\n0.03\t7\t8\n"
)
CSV = "time,a,b\n0.00,1.5,2\n0.01,-3,4e1\n0.02,5,6\n0.03,7,8\n"


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to three of: a cut, a changed byte, a removed or doubled piece."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(max(len(data), 1))
        action = rng.randrange(4)
        if action == 0:
            del data[at:]
        elif action == 1 and data:
            data[at] = rng.randrange(256)
        elif action == 2:
            del data[at : at + rng.randint(1, 20)]
        else:
            data[at:at] = data[at : at + rng.randint(1, 20)]
    return bytes(data)


@pytest.mark.parametrize(("name", "text"), [("x.sto", STO), ("x.csv", CSV)])
def test_damaged_tables(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    refused = 0
    for seed in range(400):
        path.write_bytes(damaged(text.encode(), random.Random(seed)))
        try:
            read = readers.read(path)
            times = read.time_axis("time", 100.0)
            assert np.isfinite(read.columns(["a", "b"], times)).all(), f"seed {seed}"
        except RecordingError as error:
            refused += 1
            assert "\n" not in str(error), f"seed {seed}"
    assert 100 < refused < 400  # damage is found, and not everything is called damaged


def test_damaged_recordings(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    archive.write_recording(path, load("synthetic:people=1,seconds=1,tasks=level")[0])
    whole = path.read_bytes()
    refused = 0
    for seed in range(100):
        path.write_bytes(damaged(whole, random.Random(seed)))
        try:
            load(str(path))
        except RecordingError as error:
            refused += 1
            assert "\n" not in str(error), f"seed {seed}"
    assert refused > 80  # a zip entry has a CRC; what may pass is damage to what nobody reads


TOML = Path(__file__).resolve().parents[2] / "examples" / "opensim_walk36.toml"


def test_damaged_dataset_files(tmp_path: Path) -> None:
    whole = TOML.read_bytes()
    path = tmp_path / "x.toml"
    for seed in range(300):
        path.write_bytes(damaged(whole, random.Random(seed)))
        with pytest.raises(EdgetoolError) as caught:  # its data folder is not there, so it never loads
            load(str(path))
        assert "\n" not in str(caught.value), f"seed {seed}"
