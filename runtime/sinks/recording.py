"""``recording:FOLDER``: the estimates beside the recording of the sensors (``[recording]`` of the configuration).

A new file ``PREFIX-YYYYMMDD-HHMMSS.moments.ndjson`` at each start: NDJSON as docs/SINKS.md says, without the wall clock, on the
disk within a second. ``arrival_ns`` is the same number as in the recording, so a replay can be laid beside it.
"""

from __future__ import annotations

import time
from pathlib import Path

from runtime.sinks.delivery import QueuedSink
from runtime.sinks.json_lines import estimate_line
from runtime.sinks.ndjson import LineWriter
from runtime.sinks.places import why_not_a_folder
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import UsageError

_FSYNC_S = 1.0
_FLUSH_S = 0.05


class RecordingSink(QueuedSink):
    """Options: ``prefix`` (session), ``max_gb`` (0: no bound) of one run's estimates."""

    def __init__(self, settings: SinkSettings, outputs: tuple[Channel, ...]) -> None:
        settings.allow("prefix", "max_gb")
        self._max_bytes = round(settings.number("max_gb", 0.0, 0.0, 1e6) * 1e9)
        super().__init__(settings.text)
        self._folder = self.folder = Path(settings.rest)
        self._prefix = settings.words("prefix") or "session"
        if "/" in self._prefix:
            raise UsageError(
                f"sink {self.name!r}: prefix {self._prefix!r} must not be a path; the folder is in the URL"
            )
        self._outputs = outputs
        self._writer: LineWriter | None = None
        #: The file, once open.
        self.file: Path | None = None

    def check_free(self) -> None:
        """See Sink. UsageError if no file could be made in the folder."""
        why = why_not_a_folder(self._folder)
        if why is not None:
            raise UsageError(f"sink {self.name!r}: cannot write: {why}; choose another folder")

    def prepare(self) -> None:
        """Make the file: UsageError if it cannot be."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        number = 0
        while (path := self._path(stamp, number)).exists():
            number += 1
        self._writer = LineWriter(
            self,
            path,
            _FLUSH_S,
            _FSYNC_S,
            lambda m: estimate_line(m, self._outputs),
            max_bytes=self._max_bytes,
        )
        self._writer.open()
        self.file = path

    def work(self) -> None:
        """Write until the end."""
        assert self._writer is not None
        self._writer.work()

    def _path(self, stamp: str, number: int) -> Path:
        return self._folder / f"{self._prefix}-{stamp}{f'-{number}' if number else ''}.moments.ndjson"
