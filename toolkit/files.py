"""Writing results so that a reader never sees half of one: write beside, then rename."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.errors import OutputError
from toolkit.reading import exists, is_file, is_folder


def write_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` whole or not at all; OutputError says why it cannot be written."""
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose a writable place with free space"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON: two-space indent, keys in the given order, a newline at the end, no NaN."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def new_folder(path: Path, *, replace_if: str) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` when the block ends without error.

    An existing ``path`` is replaced only if it is empty or holds a file named ``replace_if`` (so that no
    folder of another kind is ever lost); otherwise OutputError.
    """
    existing = exists(path)
    if existing and not is_folder(path):
        raise OutputError(f"cannot write folder {path}: a file of that name exists; choose another --out")
    if existing and any(path.iterdir()) and not is_file(path / replace_if):
        raise OutputError(
            f"cannot write folder {path}: it exists and holds no {replace_if}, so edgetool will not replace it; "
            "choose another --out or empty it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise OutputError(
            f"cannot write folder {path}: {error.strerror or error}; choose a writable place"
        ) from None
    try:
        yield partial
        partial.chmod(0o755)
        if existing:
            shutil.rmtree(path)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write folder {path}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
