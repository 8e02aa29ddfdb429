"""The folder of compiled models, features and the demo's bundle: where it is, and that nobody else can have put anything there.

It is ``$EDGETOOL_CACHE``, else systemd's ``$CACHE_DIRECTORY``, else ``$XDG_CACHE_HOME/edgetool``, else
``~/.cache/edgetool``. What lies in it is loaded into this process. A hash in a file's name says what it was made from, and is
no proof: whoever can write the folder knows the name too. So, as ssh does with its keys, a folder or a file that another
user owns or can write is refused, and so is a folder under one that another user could exchange.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from toolkit.errors import OutputError, UsageError


def cache_folder() -> Path:
    """Where compiled models and the demo's bundle are kept."""
    for variable in ("EDGETOOL_CACHE", "CACHE_DIRECTORY"):
        if os.environ.get(variable):
            return Path(os.environ[variable].split(":")[0])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetool"


def trusted_folder() -> Path:
    """The cache folder, made if it is not there, without links in its path.

    Raises UsageError if another user could write it, OutputError if it cannot be made.
    """
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve(strict=True)
        found = folder.stat()
        if _is_ours(found) and found.st_mode & 0o022 and found.st_uid == os.geteuid():
            folder.chmod(stat.S_IMODE(found.st_mode) & ~0o022)  # made before, with an open umask
    except OSError as error:
        raise OutputError(
            f"cannot use the cache folder {folder}: {error.strerror or error}; set EDGETOOL_CACHE to another one"
        ) from None
    _require(folder, _fault(folder, folder.stat()))
    for above in folder.parents:
        _require(above, _fault_above(above.stat()))
    return folder


def is_trusted(path: Path, *, is_folder: bool = False) -> bool:
    """Whether a file (or a folder) is at ``path``; UsageError for what somebody else can have put there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    wanted = stat.S_ISDIR if is_folder else stat.S_ISREG
    what = "folder" if is_folder else "file"
    fault = _fault(path, found) if wanted(found.st_mode) else f"is not a {what}"
    _require(path, fault)
    return True


def _is_ours(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid())


def _fault(path: Path, found: os.stat_result) -> str:
    """Why what is at ``path`` cannot be trusted; empty if it can."""
    if not _is_ours(found):
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o022 and hasattr(os, "geteuid"):
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def _fault_above(found: os.stat_result) -> str:
    """The same for a folder above: others may write one with the sticky bit, and our own group what is ours."""
    if not _is_ours(found):
        return f"belongs to user {found.st_uid}"
    if found.st_mode & stat.S_ISVTX or not hasattr(os, "geteuid"):
        return ""
    others = found.st_mode & 0o002 or (found.st_mode & 0o020 and found.st_gid not in (0, os.getegid()))
    return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})" if others else ""


def _require(path: Path, fault: str) -> None:
    if fault:
        raise UsageError(
            f"cache: {path} {fault}, who could put code there for this process to load: give it to the user who "
            "runs edgetool and chmod go-w, or set EDGETOOL_CACHE to a folder of your own"
        )
