"""What the sensors send, byte for byte, while the daemon runs. A full disk stops the recording, never the estimates."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from firmware_bridge.items import Item, Marker, NodeDescriptor
from firmware_bridge.protocol.packets import Descriptor
from firmware_bridge.recording.file import RecordingWriter
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import SessionStep
from runtime.daemon.disks import prune
from runtime.status.status import RecordingStatus
from toolkit.errors import OutputError


class Recorder:
    """Writes files ``PREFIX-YYYYMMDD-HHMMSS-N.etl`` in ``folder``: a new one at each start, and when links are added.

    After an error of the disk it is tried again, with a new file, after ``again_s``. ``max_gb`` (0: no bound) of all
    recordings of the prefix: a file that holds an eighth of it is :attr:`full`. ``keep_days``: older ones go.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str = "session",
        again_s: float = 10.0,
        max_gb: float = 0.0,
        keep_days: float = 0.0,
        about: Mapping[str, str] | None = None,
    ) -> None:
        #: Said at the head of each file: which run, which model, who and what.
        self.about = dict(about or {})
        self._folder, self._prefix, self._retry_s = folder, prefix, again_s
        self._max_bytes, self._keep_s = round(max_gb * 1e9), keep_days * 86_400.0
        self._writer: RecordingWriter | None = None
        self._lost: RecordingWriter | None = None
        self._links: tuple[str, ...] = ()
        self._descriptors: dict[NodeKey, NodeDescriptor] = {}
        self._number = 0
        self._again_s = 0.0
        self._origin_ns = 0
        self.trouble: str | None = None
        self.file = ""
        self._bytes = 0

    def start(self, links: Sequence[str], origin_ns: int, ledger: Mapping[str, Any]) -> None:
        """These are the links from now on; OutputError never: it becomes :attr:`trouble`."""
        self.close(ledger)
        self._links, self._origin_ns = tuple(links), origin_ns
        self._open()

    @property
    def full(self) -> bool:
        """Whether it is time for a new file, so that there are several to let the oldest go of."""
        return self._writer is not None and 0 < self._max_bytes <= 8 * self._writer.bytes

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    def prune(self) -> list[Path]:
        """Delete what is too old or too much; from any thread. Gives what was deleted."""
        if not (self._max_bytes or self._keep_s) or not self._folder.is_dir():
            return []
        return prune(self._folder, self._prefix, self._max_bytes, self._keep_s, self.file)

    def append(self, item: Item, step: SessionStep, now_ns: int) -> None:
        """One item and what it was decoded to."""
        for received in step.received:
            if isinstance(received.packet, Descriptor):
                key = NodeKey(item.link, received.node)
                known = NodeDescriptor(item.link, received.node, received.boot, bytes(received.packet))
                self._descriptors[key] = known
                self._try(partial(RecordingWriter.describe, descriptor=known))
        self._try(lambda writer: writer.append(item, now_ns))

    def mark(self, text: str, at_ns: int) -> None:
        """Something happens at this time, on the clock of the items' arrival."""
        self._try(lambda writer: writer.append(Marker(at_ns, text), time.monotonic_ns()))

    def tick(self, now_ns: int) -> None:
        """Write what has waited; call it at least every 50 ms."""
        lost, self._lost = self._lost, None
        if lost is not None and lost is self._writer:  # said by sync() on its thread
            self._writer, self._again_s = None, time.monotonic() + self._retry_s
            with contextlib.suppress(Exception):
                lost.close({})
        if self._writer is None and self._links and time.monotonic() >= self._again_s:
            self._origin_ns = now_ns
            self._open()
        self._try(lambda writer: writer.tick(now_ns))

    def sync(self) -> None:
        """Ask the system to put it on the disk; from any thread."""
        writer = self._writer
        if writer is not None:
            try:
                writer.sync()
            except OutputError as error:
                # The system has told once, and only here, that what it had taken is lost.
                self.trouble, self._lost = f"the disk has lost what was written: {error}", writer

    def close(self, ledger: Mapping[str, Any]) -> None:
        """End the file in order."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close(ledger)
            except OutputError as error:
                self.trouble = str(error)

    def status(self) -> RecordingStatus:
        """The present file, or the last one."""
        return RecordingStatus(self.file, self._bytes, self.trouble)

    def _open(self) -> None:
        self._again_s = time.monotonic() + self._retry_s
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        while True:
            name = f"{self._prefix}-{stamp}{f'-{self._number}' if self._number else ''}.etl"
            path = self._folder / name
            self._number += 1
            if not path.exists():
                break
        try:
            self._writer = RecordingWriter(
                path, self._links, time.time_ns(), self._origin_ns, about=self.about
            )
            for known in self._descriptors.values():
                self._writer.describe(known)
        except OutputError as error:
            self._writer, self.trouble = None, str(error)
            return
        self.file, self.trouble = str(path), None

    def _try(self, write: Callable[[RecordingWriter], None]) -> None:
        writer = self._writer
        if writer is None:
            return
        try:
            write(writer)
        except Exception as error:
            self.trouble, self._writer = str(error) or type(error).__name__, None
            self._again_s = time.monotonic() + self._retry_s
            with contextlib.suppress(Exception):
                writer.close({})
            if not isinstance(error, OutputError | OSError):
                raise
        finally:
            self._bytes = writer.bytes
