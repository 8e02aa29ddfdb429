"""Event markers of the Lab Streaming Layer: texts or codes without a rate, as stimulus programs send them.

They are no samples, so no :class:`Source` brings them: whoever records is told of each, with the time that its sender gave
it on this machine's monotonic clock. The source of LSL samples is imported when markers are followed, not by whoever only
reads the name of a stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from firmware_bridge.sources.base import SourceUrl
from toolkit.errors import LinkError, UsageError
from toolkit.printable import terminal_text

#: What is told of one marker at most, in characters.
_TEXT = 200
#: Markers in a second, and at once: what a person or a program marks is far fewer; the rest is dropped and counted.
_MOST_A_SECOND = 100
_AGAIN_S = 1.0
_LOOK_S = 0.5
_CORRECT_S = 5.0
#: A stamp is believed so far back; what is older, or in the future, happened when it came.
_OLDEST_S = 60.0

#: What happened, and when: ns of this machine's monotonic clock.
Give = Callable[[str, int], None]


def stream_name(url: str) -> str:
    """The name in ``lsl://NAME``; UsageError for anything else."""
    parsed = SourceUrl.parse(url)
    if parsed.scheme != "lsl" or parsed.options:
        raise UsageError(f"markers {url!r}: it must be lsl://NAME of a stream of markers, without options")
    return parsed.address


async def follow_markers(name: str, give: Give, tell: Callable[[str], None] = lambda words: None) -> None:
    """Give every marker of the LSL stream ``name``, until cancelled. It may come, go and come back.

    ``tell`` gets one line when it is found, is lost, or sends more than is taken. MissingDependencyError without pylsl.
    """
    from firmware_bridge.sources.lsl import load_pylsl

    pylsl, loop, stopping = load_pylsl(), asyncio.get_running_loop(), threading.Event()

    def call(action: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(action, *arguments)

    reader = _Reader(
        name, lambda text, at_ns: call(give, text, at_ns), lambda words: call(tell, words), stopping
    )
    try:
        await asyncio.to_thread(reader.run, pylsl)
    finally:
        stopping.set()


class _Reader:
    """Runs in a thread until ``stopping`` is set."""

    def __init__(self, name: str, give: Give, tell: Callable[[str], None], stopping: threading.Event) -> None:
        self._name, self._give, self._tell, self._stopping = name, give, tell, stopping
        self._room, self._room_s = float(_MOST_A_SECOND), time.monotonic()
        self._flooded = False

    def run(self, pylsl: Any) -> None:
        """Find, read, and find again."""
        while not self._stopping.is_set():
            found = pylsl.resolve_byprop("name", self._name, 1, _LOOK_S)
            if not found:
                continue
            try:
                self._read(pylsl, found[0])
            except (LinkError, pylsl.util.LostError, pylsl.util.TimeoutError):
                self._tell(f"markers of {self._name!r} are lost; looking for them")
            self._stopping.wait(_AGAIN_S)

    def _read(self, pylsl: Any, info: Any) -> None:
        from firmware_bridge.sources.lsl import correct

        inlet = pylsl.StreamInlet(info, max_buflen=10, recover=False)
        try:
            inlet.open_stream(5.0)
            offset_s, corrected_s = correct(inlet, 5.0).offset_s, time.monotonic()
            self._tell(f"markers of {self._name!r} are heard")
            while not self._stopping.is_set():
                values, stamp_s = inlet.pull_sample(timeout=0.1)
                now_ns, here_s = time.monotonic_ns(), pylsl.local_clock()
                if time.monotonic() - corrected_s > _CORRECT_S:
                    offset_s, corrected_s = correct(inlet, 0.1).offset_s, time.monotonic()
                if values is not None:
                    self._take(values, here_s - (stamp_s + offset_s), now_ns)
        finally:
            inlet.close_stream()

    def _take(self, values: list[Any], ago_s: float, now_ns: int) -> None:
        text = terminal_text(" ".join(_word(value) for value in values).strip())[:_TEXT]
        if not text or not self._has_room():
            return
        self._give(text, now_ns - (round(ago_s * 1e9) if 0 <= ago_s <= _OLDEST_S else 0))

    def _has_room(self) -> bool:
        now_s = time.monotonic()
        self._room = min(self._room + (now_s - self._room_s) * _MOST_A_SECOND, float(_MOST_A_SECOND))
        self._room_s = now_s
        if self._room < 1.0:
            if not self._flooded:
                self._tell(
                    f"more than {_MOST_A_SECOND} markers per second come from {self._name!r}; the rest is dropped"
                )
            self._flooded = True
            return False
        self._room -= 1.0
        return True


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
