"""``bench --on ssh://`` sent whatever lay in the bundle's folder, links followed, and believed whatever came back.

Only the files that the manifest lists are sent, as they were when their hashes were verified. The answer is read as a
hostile one: so many bytes, these arrays, of these shapes and types, no pickle.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.targets.pi_answer import Expected, read_answer
from benchmarks.targets.pi_transport import _packed, _talk
from quantization.bundle import Bundle
from quantization.convert import convert
from toolkit.errors import EdgetoolError, LinkError

EXPECTED = Expected(("native/int8", "litert/int8"), windows=5, outputs=3, steps=(4, 1), timed=True)
MACHINE = {
    "model": "Raspberry Pi 5", "architecture": "aarch64", "kernel": "6.1", "python": "3.11.2", "cores": 4,
    "governor": "ondemand", "mhz": 2400.0, "temperature_c": 50.5, "throttled": 0,
}  # fmt: skip
ABOUT: dict[str, Any] = {
    "machine": MACHINE,
    "machine_after": MACHINE,
    "versions": {"native/int8": "x"},
    "refused": {"litert/int8": "not installed"},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("sent") / "bundle"
    convert("pretrained", "synthetic:people=4,seconds=3,tasks=level,seed=7", folder, calibration_windows=20)
    return Bundle.load(folder)


@pytest.fixture
def bundle(loaded: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(loaded.path, tmp_path / "bundle")
    return Bundle.load(tmp_path / "bundle")


def sent(bundle: Bundle) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(_packed(bundle, {"window/imu": np.zeros(3)}, timed=True))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_only_listed_files_are_sent(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("6f1c-secret")
    (bundle.path / "notes.txt").write_text("6f1c-notes")
    (bundle.path / "linked").symlink_to(tmp_path / "secret")
    (bundle.path / "folder").symlink_to(tmp_path)
    files = {name.removeprefix("bundle/") for name in sent(bundle) if name.startswith("bundle/")}
    assert files == {"manifest.json", *bundle.manifest["files"]}
    assert not any(b"6f1c-secret" in content or b"6f1c-notes" in content for content in sent(bundle).values())


def test_what_arrives_is_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    for name, content in sent(bundle).items():
        if name.startswith("bundle/"):
            target = tmp_path / "there" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    there = Bundle.load(tmp_path / "there" / "bundle")
    assert there.manifest == bundle.manifest and there.graphs == bundle.graphs


def test_what_lies_in_the_folder_by_now_is_not_sent(bundle: Bundle, tmp_path: Path) -> None:
    before = sent(bundle)
    (tmp_path / "secret").write_text("6f1c-secret")
    (bundle.path / "golden.npz").unlink()
    (bundle.path / "golden.npz").symlink_to(tmp_path / "secret")
    (bundle.path / "manifest.json").write_text('{"6f1c-notes": 1}')
    assert sent(bundle) == before


def answer(**changed: Any) -> bytes:
    """An answer as it should be, with arrays changed (None: left out)."""
    random = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        "native/int8/window": random.normal(size=(5, 3)).astype(np.float32),
        "native/int8/0": np.zeros((4, 3), np.float32),
        "native/int8/1": np.zeros((1, 3), np.float32),
        "native/int8/time/window": np.arange(1, 9),
        "native/int8/time/stream": np.arange(1, 9),
        "about": np.array(json.dumps(ABOUT)),
    }
    arrays = {name: value for name, value in (arrays | changed).items() if value is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def about(**changed: Any) -> bytes:
    return answer(about=np.array(json.dumps(ABOUT | changed)))


def stating(shape: str, data: bytes = b"\0" * 60) -> bytes:
    """The answer with an array whose header states ``shape`` and whose data are ``data``."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data
    whole = io.BytesIO(answer(**{"native/int8/window": None}))
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("native/int8/window.npy", member)
    return whole.getvalue()


def doubled() -> bytes:
    whole = io.BytesIO(answer())
    with zipfile.ZipFile(whole, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("about.npy", b"")
    return whole.getvalue()


def test_a_good_answer_is_read() -> None:
    found = read_answer("far", answer(), EXPECTED)
    assert found.versions == {"native/int8": "x"} and found.machine["model"] == "Raspberry Pi 5"
    assert found.arrays["native/int8/window"].shape == (5, 3)
    assert read_answer("far", stating("(5, 3)"), EXPECTED).arrays["native/int8/window"].sum() == 0


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no archive": lambda: b"PK\x03\x04" + b"\xff" * 100,
    "cut short": lambda: answer()[:-40],
    "a pickle": lambda: answer(**{"native/int8/window": np.array([{"a": 1}], dtype=object)}),
    "a bomb": lambda: answer(**{"native/int8/0": np.zeros((50_000_000,), np.float32)}),
    "a bomb in the description": lambda: answer(about=np.array("x" * 30_000_000)),
    "a shape of a terabyte": lambda: stating("(1000000000000, 3)"),
    "a negative shape": lambda: stating("(-5, -3)"),
    "a shape that is code": lambda: stating("__import__('os')"),
    "a name given twice": doubled,
    "another shape": lambda: answer(**{"native/int8/window": np.zeros((6, 3), np.float32)}),
    "another type": lambda: answer(**{"native/int8/window": np.zeros((5, 3), np.float64)}),
    "NaN": lambda: answer(**{"native/int8/window": np.full((5, 3), np.nan, np.float32)}),
    "no moments": lambda: answer(**{"native/int8/window": None}),
    "a recording too few": lambda: answer(**{"native/int8/1": None}),
    "an array too many": lambda: answer(**{"native/int8/9": np.zeros((1, 3), np.float32)}),
    "times in the past": lambda: answer(**{"native/int8/time/window": np.array([-1])}),
    "no times": lambda: answer(**{"native/int8/time/window": np.array([], np.int64)}),
    "times as text": lambda: answer(**{"native/int8/time/window": np.array(["1"])}),
    "no description": lambda: answer(about=None),
    "a description that is a number": lambda: answer(about=np.array(3)),
    "not JSON": lambda: answer(about=np.array("{")),
    "JSON too deep": lambda: answer(about=np.array("[" * 5000)),
    "an unknown engine": lambda: about(versions={"native/int8": "x", "../x": "y"}),
    "versions that are no object": lambda: about(versions=3),
    "a version that is no text": lambda: about(versions={"native/int8": 3}),
    "an engine that says nothing": lambda: about(refused={}),
    "no machine": lambda: about(machine=None),
    "a machine with another field": lambda: about(machine=MACHINE | {"owner": "x"}),
    "a temperature that is text": lambda: about(machine_after=MACHINE | {"temperature_c": "hot"}),
    "cores that are true": lambda: about(machine=MACHINE | {"cores": True}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_answer_is_one_line(kind: str) -> None:
    with pytest.raises(LinkError) as caught:
        read_answer("far", HOSTILE[kind](), EXPECTED)
    assert str(caught.value).startswith("far: the result") and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_no_engine_there_names_the_reasons() -> None:
    refused = {"native/int8": "no compiler", "litert/int8": "not installed"}
    with pytest.raises(
        EdgetoolError, match="no engine runs there: native/int8: no compiler; litert/int8: not"
    ):
        arrays = dict.fromkeys(("window", "0", "1", "time/window", "time/stream"))
        changed = {f"native/int8/{name}": value for name, value in arrays.items()}
        content = json.dumps(ABOUT | {"versions": {}, "refused": refused})
        read_answer("far", answer(**changed, about=np.array(content)), EXPECTED)


def test_a_flood_is_cut_off() -> None:
    """It would fill the memory of this machine; it ends as soon as it is more than was asked for."""
    flood = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"
    with pytest.raises(LinkError, match="far: it sends more than the 100,000 bytes that were asked for"):
        _talk("far", [sys.executable, "-c", flood], b"job", None, limit=100_000)


def test_of_what_it_says_the_end_is_kept() -> None:
    chatty = "import sys; sys.stderr.write('x' * 10_000_000 + '\\nlast'); sys.stdin.read(); sys.exit(3)"
    out, said, code = _talk("far", [sys.executable, "-c", chatty], b"job" * 100_000, None, limit=10)
    assert (out, code) == (b"", 3)
    assert said.endswith(b"\nlast") and len(said) <= 1 << 16
