"""``ndjson:-`` and ``ndjson:FILE``: one JSON object a line.

Lines are handed to the system within 50 ms (``flush_s``). A full disk or a reader that is too slow is trouble and costs
estimates, never the daemon's time; once there is room again, whole lines go on. A file that was moved away (logrotate)
is made anew within a second.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runtime.pipeline.estimate import Estimate
from runtime.sinks.delivery import QUEUE_LIMIT, QueuedSink, one_line
from runtime.sinks.json_lines import estimate_line
from runtime.sinks.places import lock, why_not_a_file
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import UsageError

#: One write at most, so that a full disk is noticed at a line near the edge.
_BATCH = 64
RETRY_S = 1.0
#: What of a file is looked at for the time of its first line.
_FIRST_BYTES = 1 << 16
_UNIX_S = re.compile(rb'"unix_s":(\d{1,12}(?:\.\d+)?)')
#: Ends the line that a killed process left torn.
_END = b"\n"


class NdjsonSink(QueuedSink):
    """Options: ``flush_s`` (0 to 10; 0.05), and for a file ``fsync_s`` (0, never, to 60; 0), ``max_gb`` and ``keep_days``
    (0: no bound).

    ``retry_s``: see :class:`LineWriter`.
    """

    def __init__(
        self, settings: SinkSettings, outputs: tuple[Channel, ...], retry_s: float = RETRY_S
    ) -> None:
        settings.allow("flush_s", "fsync_s", "max_gb", "keep_days")
        super().__init__(settings.text)
        path = None if settings.rest == "-" else Path(settings.rest)
        flush_s = settings.number("flush_s", 0.05, 0.0, 10.0)
        fsync_s = settings.number("fsync_s", 0.0, 0.0, 60.0)
        max_bytes = round(settings.number("max_gb", 0.0, 0.0, 1e6) * 1e9)
        keep_s = settings.number("keep_days", 0.0, 0.0, 36_500.0) * 86_400.0
        self.folder = None if path is None else path.parent
        self._writer = LineWriter(
            self,
            path,
            flush_s,
            fsync_s,
            lambda m: estimate_line(m, outputs, time.time()),
            retry_s,
            max_bytes,
            keep_s,
        )

    def check_free(self) -> None:
        """See Sink. UsageError if the file cannot be written, or another process writes it."""
        self._writer.check()

    def prepare(self) -> None:
        """Open the file: UsageError if it cannot be written at all."""
        self._writer.open()

    def work(self) -> None:
        """Write until the end."""
        self._writer.work()


class LineWriter:
    """Appends a queued sink's estimates to a file (``path``) or to standard output (None), a line each.

    After an error it is tried again ``retry_s`` later; as often it is looked whether the file is still in its place. With
    ``max_bytes`` (0: no bound) a file of half of it becomes ``FILE.1``, in the place of the one before, and a new one begins;
    with ``keep_s`` (0: no bound) one whose first line is older than half of that.
    """

    def __init__(
        self,
        sink: QueuedSink,
        path: Path | None,
        flush_s: float,
        fsync_s: float,
        line: Callable[[Estimate], bytes],
        retry_s: float = RETRY_S,
        max_bytes: int = 0,
        keep_s: float = 0.0,
    ) -> None:
        self._retry_s, self._max_bytes, self._keep_s = retry_s, max_bytes, keep_s
        #: When the first line of the file was written, by the wall clock.
        self._first_unix_s = 0.0
        self._sink, self._path, self._line = sink, path, line
        self._flush_s, self._fsync_s = flush_s, fsync_s
        self._file = -1
        self._looked_s = self._synced_s = 0.0
        #: Lines that the system has not taken; of the first it has ``_begun`` bytes already.
        self._rest: deque[bytes] = deque()
        self._begun = 0

    def check(self) -> None:
        """UsageError if the file could not be written, or another process writes it."""
        why = None if self._path is None else why_not_a_file(self._path)
        if why is not None:
            raise self._unfit(why)

    def open(self) -> None:
        """UsageError if the file can never be written, or another process writes it. A full disk is no error."""
        try:
            self._open()
        except OSError as error:
            raise self._unfit(one_line(error)) from None

    def _unfit(self, why: str) -> UsageError:
        return UsageError(
            f"sink {self._sink.name!r}: cannot write: {why}; choose a file that this user may write and no other process does"
        )

    def work(self) -> None:
        """Write what comes until the sink closes."""
        try:
            while True:
                estimates = self._sink.next_estimates(_BATCH, 0.5) if not self._rest else []
                self._rest.extend(map(self._line, estimates))
                if self._rest and not self._write():
                    if self._sink.closing:
                        return
                    self._sink.pause(self._retry_s)
                elif not self._rest and self._sink.closing and not self._sink.queued:
                    return
                elif len(estimates) < _BATCH and self._flush_s:
                    self._sink.pause(self._flush_s)
                self._fsync()
        finally:
            self._close()
            self._rest.clear()  # whoever calls work() again begins with a whole line; the sink counts these as dropped

    def _open(self) -> None:
        if self._path is None:
            self._file = os.dup(1)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        if regular and not lock(self._file):  # lines of two processes would stand in each other
            os.close(self._file)
            self._file = -1
            raise OSError(errno.EBUSY, f"another process writes {self._path}")
        size = os.fstat(self._file).st_size
        self._first_unix_s = _first_unix_s(os.pread(self._file, _FIRST_BYTES, 0) if regular else b"")
        if regular and size and os.pread(self._file, 1, size - 1) != _END:
            self._rest.appendleft(_END)

    def _write(self) -> bool:
        """Write the rest; whether all went."""
        try:
            self._follow()
            if self._file < 0:
                self._open()
            self._turn_over()
            while self._rest:
                done = os.write(self._file, b"".join(self._rest)[self._begun :])
                if done == 0:
                    raise OSError(errno.ENOSPC, "it accepts no more")
                self._settle(done)
        except OSError as error:
            words = (
                f"cannot write: {one_line(error)}; estimates are dropped when more than {QUEUE_LIMIT} wait"
            )
            self._sink.trouble = words
            return False
        self._sink.trouble = None
        return True

    def _settle(self, done: int) -> None:
        lines, self._begun = 0, self._begun + done
        while self._rest and self._begun >= len(self._rest[0]):
            line = self._rest.popleft()
            self._begun -= len(line)
            lines += line != _END
        self._sink.settle(published=lines)

    def _turn_over(self) -> None:
        """Begin a new file when this one holds half of what all may, or reaches back half as far; not within a line."""
        if not (self._max_bytes or self._keep_s) or self._path is None or self._begun:
            return
        there = os.fstat(self._file)
        full = self._max_bytes and 2 * there.st_size >= self._max_bytes
        old = self._keep_s and 2 * (time.time() - self._first_unix_s) >= self._keep_s
        if stat.S_ISREG(there.st_mode) and there.st_size and (full or old):
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            os.close(self._file)
            self._file = -1
            self._open()

    def _follow(self) -> None:
        """If another file (or none) is at the path now, let go of the old one; not within a line."""
        now_s = time.monotonic()
        if self._path is None or self._begun or self._file < 0 or now_s - self._looked_s < self._retry_s:
            return
        self._looked_s = now_s
        ours = os.fstat(self._file)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            os.close(self._file)
            self._file = -1

    def _fsync(self) -> None:
        if self._fsync_s and self._file >= 0 and time.monotonic() - self._synced_s >= self._fsync_s:
            self._synced_s = time.monotonic()
            try:
                os.fsync(self._file)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):  # a pipe cannot
                    # What the system had taken is lost, and it says so once, and only here.
                    self._sink.trouble = f"the disk has lost what was written: {one_line(error)}"

    def _close(self) -> None:
        if self._file < 0:
            return
        if self._begun:
            with suppress(OSError):  # no half line at the end of a file; a pipe keeps what it has
                os.ftruncate(self._file, os.fstat(self._file).st_size - self._begun)
            self._begun = 0
        if self._fsync_s:
            with suppress(OSError):
                os.fsync(self._file)
        os.close(self._file)
        self._file = -1


def _first_unix_s(begin: bytes) -> float:
    """When the first line of a file that begins so was written; now, if there is none or it does not say."""
    found = _UNIX_S.search(begin.partition(_END)[0])
    return float(found[1]) if found is not None else time.time()
