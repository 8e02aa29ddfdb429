"""Whether a file can be written where a sink or a recording wants it, found out without writing it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path


def why_not_a_folder(folder: Path) -> str | None:
    """Why no files could be made in ``folder`` (which may have to be made first); None if they could."""
    there = folder
    try:
        while not os.path.lexists(there):
            there = there.parent
        if not there.is_dir():
            return f"{there} is not a folder"
    except OSError as error:  # a name that is too long, a loop of links, a folder that may not be looked into
        return f"{there}: {error.strerror or error}"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} may not be written by this user"
    return None


def why_not_a_file(path: Path) -> str | None:
    """Why nothing could be appended to the file ``path``; None if it could."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return why_not_a_folder(path.parent)
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    if stat.S_ISDIR(mode):
        return f"{path} is a folder"
    if not os.access(path, os.W_OK):
        return f"{path} may not be written by this user"
    if not stat.S_ISREG(mode):
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # may be written and not read: whether another writes it is known when it is opened
    try:
        return None if lock(handle) else f"another process writes {path}"
    finally:
        os.close(handle)


def lock(handle: int) -> bool:
    """Lock an open regular file for this process until it is closed; False if another has it (flock(2))."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
