"""A manifest could make the daemon wait for ever, or read what is not the bundle's.

At a reload a name in ``files`` that was a pipe was waited for, ``/dev/zero`` by a link filled the memory, a link led out of
the folder, and names held lone surrogates or ESC sequences. Now names are checked, links are not followed, only regular
files are read, and sizes are bounded before.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from quantization import bundle_folder
from quantization.bundle import MANIFEST, Bundle
from tests.runtime.engines.models import MODELS, make_bundle
from toolkit.errors import BundleError

SHA = hashlib.sha256(b"s").hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    return tmp_path / "bundle"


def listing(folder: Path, name: Any, entry: Any = None) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"sha256": SHA, "bytes": 1} if entry is None else entry
    (folder / MANIFEST).write_text(json.dumps(manifest))


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(folder)
    assert str(caught.value).isprintable()


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    listing(folder, "pipe")
    refused(folder, "cannot read .*/pipe: it is not a regular file")


@pytest.mark.parametrize("name", [MANIFEST, "signature.json", "golden.npz"])
def test_a_pipe_in_the_place_of_a_file_of_ours_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    refused(folder, "it is not a regular file")


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/hostname", "golden.npz", "nowhere"])
def test_a_link_is_not_followed_wherever_it_leads(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    listing(folder, "link")
    refused(folder, "cannot read .*/link: link is a link")


def test_a_folder_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"s")
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    listing(folder, "c/secret")
    refused(folder, "cannot read .*/c/secret: c is a link")


def test_the_bundle_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert Bundle.load(tmp_path / "current").graphs


def test_a_file_larger_than_is_allowed_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(1 << 42)  # 4 TB of nothing on no disk
    listing(folder, "large")
    refused(folder, "cannot read .*/large: it has 4,398,046,511,104 bytes and at most")


def test_a_manifest_larger_than_is_allowed_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / MANIFEST).open("r+b") as file:
        file.truncate(1 << 42)
    refused(folder, "cannot read .*/manifest.json: it has 4,398,046,511,104 bytes")


def test_a_manifest_of_too_many_files_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_folder, "FILES", 3)
    refused(folder, "more than 3")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "/",
            "a/../../secret",
            "a//b",
            "a/",
            "./a",
            "/etc/hostname",
            "a/./b",
            "..\\secret",
            "C:x",
        ),
        *("a\0b", "\x1b[2J", "a\nb", "\u202eb", "a" * 256, "ä" * 128),
    ],
)
def test_a_name_that_is_no_plain_name_within_the_folder_is_refused(folder: Path, name: str) -> None:
    listing(folder, name)
    refused(folder, "which is not a file inside the bundle")


def test_a_name_with_half_a_character_is_refused(folder: Path) -> None:
    listing(folder, "a\ud800")
    refused(folder, "manifest.json is not the manifest of a bundle in JSON")


@pytest.mark.parametrize("entry", [3, None, [], {"sha256": 5}, {"sha256": "\x1b[2J"}, {}])
def test_an_entry_without_a_hash_is_refused(folder: Path, entry: Any) -> None:
    (folder / "s").write_bytes(b"s")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["s"] = entry
    (folder / MANIFEST).write_text(json.dumps(manifest))
    refused(folder, "s was changed after its manifest")
