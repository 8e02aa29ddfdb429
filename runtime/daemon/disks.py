"""Room on the disks that a daemon writes to, and what makes room: recordings that are too old, or too many."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from runtime.status.status import DiskStatus

#: With less room than this somebody should look: a recording of eight nodes takes about 0.1 GB an hour.
LOW_BYTES = 1_000_000_000


class Disks:
    """``look`` in a thread now and then; ``status`` is what was found last. ``folders`` may not exist yet."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(dict.fromkeys(folders))
        self.status: tuple[DiskStatus, ...] = ()

    def look(self) -> None:
        """Ask the system how much room there is. A folder that cannot be asked about has none that is known."""
        found = []
        for folder in self._folders:
            there = folder
            while not os.path.lexists(there) and there != there.parent:
                there = there.parent
            try:
                room = os.statvfs(there)
            except OSError:
                found.append(DiskStatus(str(folder), None, False))
                continue
            free = room.f_bavail * room.f_frsize
            found.append(DiskStatus(str(folder), free, free < LOW_BYTES))
        self.status = tuple(found)


def prune(
    folder: Path,
    prefix: str,
    max_bytes: int,
    keep_s: float,
    current: str,
    now_s: float | None = None,
) -> list[Path]:
    """Delete recordings ``PREFIX-YYYYMMDD-HHMMSS*.etl`` of ``folder``: those older than ``keep_s`` (0: none is too old), then
    the oldest until all together hold ``max_bytes`` at most (0: no bound). Never ``current``, and nothing with another name.

    Gives what was deleted, oldest first.
    """
    name = re.compile(re.escape(prefix) + r"-\d{8}-\d{6}(-\d+)?\.etl")
    held = []
    for entry in os.scandir(folder):
        if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            found = entry.stat(follow_symlinks=False)
            held.append((found.st_mtime, Path(entry.path), found.st_size))
    held.sort()
    total = sum(size for _, _, size in held)
    oldest_s = (time.time() if now_s is None else now_s) - keep_s
    gone = []
    for written_s, path, size in held:
        too_old, too_many = keep_s > 0 and written_s < oldest_s, 0 < max_bytes < total
        if path == Path(current) or not (too_old or too_many):
            continue
        path.unlink(missing_ok=True)
        total -= size
        gone.append(path)
    return gone
