"""A bundle's folder, read once: the manifest, the signature beside it, and every file the manifest lists, with its hash.

What is in the folder is hostile until its hashes are verified, and so are the names in the manifest. Each file is opened part
by part without following links, must be a regular file (a pipe would be waited for, a device may never end) and must have the
size that the manifest says before it is read. Nobody reads a file of a bundle again later: it may have changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import BundleError
from toolkit.printable import terminal_text
from toolkit.reading import is_folder, parse_json_object

SCHEMA = 1
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
#: Of a manifest and a signature; ours have 30 kB and 400 bytes.
MANIFEST_BYTES = 16 << 20
SIGNATURE_BYTES = 1 << 16
#: Of all files together, and how many; a Cross-LSTM with its C source has 3 MB in 60 files.
FILES_BYTES = 1 << 30
FILES = 10_000
_NAME_BYTES = 255


@dataclass(frozen=True, eq=False)
class Manifest:
    """``hash`` is the SHA-256 of ``content``, the manifest's bytes; ``values`` their JSON; ``signature`` the file beside it."""

    path: Path
    content: bytes
    values: Mapping[str, Any]
    signature: bytes | None

    @property
    def hash(self) -> str:
        """SHA-256 of the manifest, and so of the whole bundle, whose files' hashes it holds."""
        return hashlib.sha256(self.content).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """The manifest of the bundle ``path``, its files not looked at; BundleError says what is wrong with it."""
    if not is_folder(path):
        raise BundleError(f"{path} is not a folder; a bundle is the folder that edgetool convert writes")
    try:
        content = _read(path, MANIFEST, MANIFEST_BYTES)
    except FileNotFoundError:
        raise BundleError(
            f"{path} is not a bundle: it has no {MANIFEST}; edgetool convert writes one"
        ) from None
    except OSError as error:
        raise _unreadable(path / MANIFEST, error) from None
    values = parse_json_object(
        content,
        path / MANIFEST,
        "the manifest of a bundle in JSON (edgetool convert writes one)",
        BundleError,
    )
    if values.get("schema") != SCHEMA or isinstance(values["schema"], bool):
        raise BundleError(
            f"bundle {path}: {MANIFEST} has schema {values.get('schema')!r}; this edgetool reads {SCHEMA}: convert again"
        )
    return Manifest(path, content, values, _signature(path))


def read_files(manifest: Manifest) -> dict[str, bytes]:
    """Content of every file in the manifest by its name, each with the hash it should have; BundleError names what differs."""
    path, files = manifest.path, manifest.values.get("files")
    if not isinstance(files, dict) or len(files) > FILES:
        raise BundleError(f"bundle {path}: {MANIFEST} lists no files, or more than {FILES:,}; convert again")
    contents: dict[str, bytes] = {}
    left = FILES_BYTES
    for name, entry in files.items():
        stated = entry.get("sha256") if isinstance(entry, dict) else None
        if not is_inside(name):
            raise BundleError(
                f"bundle {path}: {MANIFEST} lists {name!r}, which is not a file inside the bundle"
            )
        try:
            contents[name] = _read(path, name, left)
        except OSError as error:
            raise _unreadable(path / name, error) from None
        left -= len(contents[name])
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != stated:
            raise BundleError(
                f"bundle {path}: {name} was changed after its manifest: SHA-256 is {found} and the manifest says "
                f"{terminal_text(stated)[:80]}; convert again"
            )
    return contents


def is_inside(name: str) -> bool:
    """Whether ``name`` from a manifest names a file inside the bundle that any system can have and any terminal can show.

    Parts are separated by ``/``; none is empty, ``.`` or ``..``, or longer than 255 bytes; all characters are printable.
    """
    if not name.isprintable() or "\\" in name or ":" in name:  # a lone surrogate is not printable
        return False
    return all(part not in ("", ".", "..") and len(part.encode()) <= _NAME_BYTES for part in name.split("/"))


def _signature(path: Path) -> bytes | None:
    try:
        return _read(path, SIGNATURE, SIGNATURE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path / SIGNATURE, error) from None


def _unreadable(file: Path, error: OSError) -> BundleError:
    missing = isinstance(error, FileNotFoundError)
    why = "no such file" if missing else (error.strerror or str(error))
    return BundleError(f"cannot read {file}: {why}; it must be a file of a bundle")


def _read(folder: Path, name: str, limit: int) -> bytes:
    """The regular file ``name`` in ``folder``, at most ``limit`` bytes; OSError says why not. No link in it is followed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    *parents, last = name.split("/")
    with ExitStack() as opened:
        # The folder itself may be a link: that is how a new version is put in the place of an old one.
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, here)
        for part in parents:
            _require_no_link(part, here)
            here = os.open(part, flags | os.O_DIRECTORY, dir_fd=here)
            opened.callback(os.close, here)
        _require_no_link(last, here)
        handle = os.open(last, flags | os.O_NONBLOCK, dir_fd=here)  # a pipe must not be waited for
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it is not a regular file")
            if found.st_size > limit:
                raise OSError(f"it has {found.st_size:,} bytes and at most {limit:,} are read")
            content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(f"it has grown above {limit:,} bytes")
    return content


def _require_no_link(name: str, folder: int) -> None:
    """Says in words what O_NOFOLLOW refuses as "too many levels of symbolic links"."""
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(f"{name} is a link; a bundle must hold the files themselves: copy the file there")
