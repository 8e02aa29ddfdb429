"""The daemon's log: one line an event on standard error, as ``key=value`` or JSON. Nothing secret is ever given to it.

What sensors, files and peers call themselves may hold anything; it goes through :func:`toolkit.printable.log_text` here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Literal, TextIO

from toolkit.printable import log_text

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["text", "json"]
_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
#: Syslog priorities, which systemd reads from the head of a line (sd-daemon(3)).
_PRIORITIES: dict[Level, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3}
Value = str | int | float | bool | None


class Journal:
    """``level`` and what is worse is written. Under systemd lines carry a priority and no time: the journal has its own."""

    def __init__(self, level: Level = "info", form: Form = "text", out: TextIO | None = None) -> None:
        self._least = _LEVELS.index(level)
        self._form = form
        self._out = out
        self._systemd = "JOURNAL_STREAM" in os.environ and out is None

    def debug(self, event: str, **fields: Value) -> None:
        """What only a developer asks for."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Value) -> None:
        """What happens in good order."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Value) -> None:
        """What a person may have to look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Value) -> None:
        """What a person must mend."""
        self._write("error", event, fields)

    def _write(self, level: Level, event: str, fields: dict[str, Value]) -> None:
        if _LEVELS.index(level) < self._least:
            return
        entry: dict[str, Value] = {} if self._systemd else {"time": _now()}
        entry |= {"level": level, "event": event}
        if self._form == "text":  # JSON itself escapes what is not ASCII
            fields = {name: log_text(v) if isinstance(v, str) else v for name, v in fields.items()}
        entry |= fields
        line = json.dumps(entry) if self._form == "json" else " ".join(map(_pair, entry.items()))
        head = f"<{_PRIORITIES[level]}>" if self._systemd else ""
        out = sys.stderr if self._out is None else self._out
        try:
            out.write(f"{head}{line}\n")
            out.flush()
        except (OSError, ValueError):
            return  # nobody reads any more; the daemon has other things to do


def _now() -> str:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanos // 1_000_000:03d}Z"


def _pair(entry: tuple[str, Value]) -> str:
    key, value = entry
    text = f"{value:g}" if isinstance(value, float) else str(value)
    plain = text and not any(c.isspace() or c in '"=' for c in text)
    return f"{key}={text if plain else json.dumps(text)}"
