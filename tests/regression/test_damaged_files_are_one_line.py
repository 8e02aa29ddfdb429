"""Some thirty damaged or hostile files gave a traceback where one line was due, or asked for memory that they do not explain.

Each reader caught the exceptions that its author knew: a bit of an NPZ's directory says "encrypted" (RuntimeError) or a
compression that zipfile lacks (NotImplementedError), csv.Error is no ValueError, "²" is a digit and no number, JSON of a
hundred thousand brackets is a RecursionError, 10^400 an OverflowError, and an array's header may claim 10^12 values. Now one
place turns a reader's exceptions into an InputError (``toolkit.reading``) and sizes are compared with the file's own before
anything is allocated.
"""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load
from toolkit.data.readers.npz import write_recording
from toolkit.data.split_text import parse_split
from toolkit.errors import EdgetoolError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig
from toolkit.model.foreign import read_key_map

SMALL = ModelConfig(imu_channels=6, emg_channels=2, window=8, hidden=4, head_hidden=4)
STO = "nRows={rows}\nnColumns=2\nendheader\ntime\ta\n0.00\t1\n0.01\t2\n"
TOML = (
    'format = "edgetool dataset 1"\nkind = "measured"\n[[recording]]\nname = "a"\nperson = "p"\ntask = "level"\n'
    'mass_kg = {mass}\nfiles = {{ t = "t.csv" }}\nheel_strikes_s = {strikes}\n[imu]\nfile = "t"\nrate_hz = {rate}\n'
    'unit = "rad/s"\n[imu.channels]\nx = "a"\n'
)


def archive(changes: Callable[[dict[str, bytes]], None], folder: Path) -> bytes:
    """A recording's NPZ with entries changed and checksums good."""
    path = folder / "whole.npz"
    write_recording(path, load("synthetic:people=1,seconds=1,tasks=level")[0])
    with zipfile.ZipFile(path) as whole:
        entries = {name: whole.read(name) for name in whole.namelist()}
    path.unlink()
    changes(entries)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return buffer.getvalue()


def directory_bit(offset: int, value: int, folder: Path) -> bytes:
    """A byte of the first entry in the central directory and of its local header changed alike."""
    content = bytearray(archive(lambda entries: None, folder))
    central = content.index(b"PK\x01\x02")
    content[central + offset] = value
    content[offset - 2] = value
    return bytes(content)


def head(folder: Path, **changes: object) -> bytes:
    """Keys of a recording's own JSON changed; a text that begins with ``json:`` goes in as it is."""

    def change(entries: dict[str, bytes]) -> None:
        value = json.loads(str(np.load(io.BytesIO(entries["recording.npy"]))))
        marks = {}
        for number, (key, new) in enumerate(changes.items()):
            marks[f"@{number}@"] = new.removeprefix("json:") if isinstance(new, str) else json.dumps(new)
            value[key] = f"@{number}@"
        text = json.dumps(value)
        for mark, new in marks.items():
            text = text.replace(json.dumps(mark), new)
        buffer = io.BytesIO()
        np.save(buffer, np.array(text))
        entries["recording.npy"] = buffer.getvalue()

    return archive(change, folder)


def claims(shape: str, folder: Path) -> bytes:
    """The samples' header claims ``shape``."""

    def change(entries: dict[str, bytes]) -> None:
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
        text += b" " * (-(len(text) + 11) % 64) + b"\n"
        body = entries["signal.imu.npy"]
        start = 10 + struct.unpack("<H", body[8:10])[0]
        entries["signal.imu.npy"] = body[:8] + struct.pack("<H", len(text)) + text + body[start:]

    return archive(change, folder)


def pickled(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, recording=np.array([{}], dtype=object))
    return buffer.getvalue()


def checkpoint(**changes: str) -> bytes:
    """Values of the metadata replaced by raw JSON."""
    whole = Checkpoint.random(SMALL, 1).to_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    text = header["__metadata__"]["edgetool"]
    for old, new in changes.items():
        assert f'"{old}":' in text
        before, _, after = text.partition(f'"{old}":')
        rest = after.lstrip()
        end = json.JSONDecoder().raw_decode(rest)[1]
        text = f'{before}"{old}": {new}{rest[end:]}'
    header["__metadata__"]["edgetool"] = text
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + whole[8 + length :]


FILES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "encrypted entry": ("x.npz", lambda f: directory_bit(8, 1, f)),
    "unknown compression": ("x.npz", lambda f: directory_bit(10, 99, f)),
    "shape of 10^12": ("x.npz", lambda f: claims("(1000000000000, 6)", f)),
    "shape of 10^12 without columns": ("x.npz", lambda f: claims("(1000000000000, 0)", f)),
    "negative shape": ("x.npz", lambda f: claims("(-4, -6)", f)),
    "header that does not end": ("x.npz", lambda f: claims("((((", f)),
    "Python objects": ("x.npz", pickled),
    "recording too deep": ("x.npz", lambda f: head(f, provenance="json:" + "[" * 100_000)),
    "mass Infinity": ("x.npz", lambda f: head(f, mass_kg="json:Infinity")),
    "mass of 5,000 digits": ("x.npz", lambda f: head(f, mass_kg="json:" + "9" * 5000)),
    "mass 10^400": ("x.npz", lambda f: head(f, mass_kg="json:1" + "0" * 400)),
    "person is a list": ("x.npz", lambda f: head(f, person=[1])),
    "provenance is a number": ("x.npz", lambda f: head(f, provenance=7)),
    "name of half a character": ("x.npz", lambda f: head(f, name='json:"\\ud800"')),
    "CSV cell above 131,072 characters": ("x.csv", lambda f: b"time,a\n0,1\n0.01," + b"1" * 140_000 + b"\n"),
    "CSV quote that does not end": ("x.csv", lambda f: b'time,a\n0,"1\n' + b"0.01,2\n" * 30_000),
    "nRows of ²": ("x.sto", lambda f: STO.format(rows="²").encode()),
    "nRows of 5,000 digits": ("x.sto", lambda f: STO.format(rows="9" * 5000).encode()),
    "dataset too deep": ("x.toml", lambda f: b"a = " + b"[" * 50_000),
    "dataset mass 10^400": ("x.toml", lambda f: TOML.format(mass="1" + "0" * 400, rate=1, strikes=[]).encode()),
    "dataset strikes 10^400": ("x.toml", lambda f: TOML.format(mass=70, rate=1, strikes=[10**400]).encode()),
    "dataset rate of 5,000 digits": ("x.toml", lambda f: TOML.format(mass=70, rate="9" * 5000, strikes=[]).encode()),
    "checkpoint rate Infinity": ("x.safetensors", lambda f: checkpoint(grid_rate_hz="Infinity")),
    "checkpoint window 10^400": ("x.safetensors", lambda f: checkpoint(window="1" + "0" * 400)),
    "checkpoint contract too deep": ("x.safetensors", lambda f: checkpoint(contract="[" * 100_000)),
    "checkpoint output without a name": ("x.safetensors", lambda f: checkpoint(outputs='[{"name": 5, "unit": "Nm/kg"}]')),
    "checkpoint header too deep": (
        "x.safetensors", lambda f: struct.pack("<Q", 200_008) + b'{"a":   ' + b"[" * 200_000
    ),
    "key map numbers": ("x.map.toml", lambda f: b"[weights]\na = 'x'\n[target]\nmean = [1" + b"0" * 400 + b"]\n"),
    "key map rows": ("x.map.toml", lambda f: b"[weights]\na = { key = 'x', rows = 5 }\n"),
    "split too deep": ("x.json", lambda f: b"[" * 100_000),
    "split of NaN": ("x.json", lambda f: b'{"kind": "chronological", "fractions": [NaN, 0.5, 0.5]}'),
    "split without people": ("x.json", lambda f: b'{"kind": "by-subject", "people": []}'),
    "split of unhashable people": (
        "x.json", lambda f: b'{"kind": "by-subject", "people": {"train": [{}], "validation": [[]], "test": []}}'
    ),
}  # fmt: skip


def read(path: Path) -> object:
    if path.name.endswith(".map.toml"):
        return read_key_map(path)
    if path.suffix == ".safetensors":
        return Checkpoint.load(path)
    if path.suffix == ".json":
        return parse_split(str(path), [], 0)
    if path.suffix in (".csv", ".sto"):
        from toolkit.data import readers

        return readers.read(path)
    return load(str(path))


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_in_one_short_line(name: str, tmp_path: Path) -> None:
    file, content = FILES[name]
    path = tmp_path / file
    path.write_bytes(content(tmp_path))
    (tmp_path / "t.csv").write_text("time,a\n" + "".join(f"{i},{i}\n" for i in range(5)))
    with pytest.raises(EdgetoolError) as caught:
        read(path)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 600, said[:1000]
    assert file in said or "split" in said


@pytest.mark.parametrize(
    "command", [["data"], ["inspect"], ["convert"], ["bench"], ["train", "--out", "x", "--data"]]
)
def test_a_file_name_that_is_no_text_is_told_in_one_line(command: list[str], tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\x1b[31m\xff.npz"
    Path(os.fsdecode(name)).write_bytes(b"no archive")
    arguments = [sys.executable, "-m", "edgetool", "--quiet", *command, name]
    if command == ["convert"]:
        arguments += ["--out", str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, check=False)
    said = done.stderr.decode("utf-8")
    assert done.returncode == 2 and "Traceback" not in said
    assert "\x1b" not in said and r"\x1b[31m\udcff.npz" in said
    assert said.splitlines()[-1].startswith("edgetool: error: ")


def test_a_recording_named_by_a_file_that_is_no_text_can_be_written_again(tmp_path: Path) -> None:
    """The dataset's own name came from the file's and could not be read back from a strict JSON."""
    (tmp_path / "t.csv").write_text("time,a\n" + "".join(f"{i / 100},{i % 7}\n" for i in range(200)))
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.toml"))
    path.write_text(TOML.format(mass=70, rate=100, strikes=[]))
    recording = load(str(path))[0]
    write_recording(tmp_path / "again.npz", recording)
    assert load(str(tmp_path / "again.npz"))[0].provenance["source"] == r"\udcff"


@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "LONG"],
        ["convert", "LONG", "--out", "y"],
        ["bench", "LONG"],
        ["validate", "LONG"],
        ["data", "synthetic:people=1,seconds=2,tasks=level", "--out", "LONG"],
        ["simulate", "--serial", "LONG", "--seconds", "1"],
    ],
    ids=" ".join,
)
def test_a_name_longer_than_a_file_system_takes_is_told_in_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pathlib's exists() raises for it."""
    from click.testing import CliRunner

    from edgetool.cli import edgetool

    monkeypatch.chdir(tmp_path)
    arguments = [word.replace("LONG", "a" * 300) for word in command]
    with pytest.raises(EdgetoolError, match="a" * 300):
        CliRunner().invoke(edgetool, ["--quiet", *arguments], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
