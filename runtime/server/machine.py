"""Figures of the computer that a page shows, read now and then in a thread so that the event loop never waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Any

from runtime.server.tasks import StartTask, start_task
from runtime.status.pi_health import PiHealth, read_pi_health


class Machine:
    """``start``, then ``health`` and ``figures`` give what was read last."""

    def __init__(self, root: Path = Path("/"), start: StartTask = start_task, every_s: float = 5.0) -> None:
        self._root, self._start, self._every_s = root, start, every_s
        self.health = PiHealth({}, None)
        self._cpu = (time.monotonic(), time.process_time())
        self._cpu_share: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read once, and every 5 s from now on."""
        self.health = await asyncio.to_thread(read_pi_health, self._root)
        self._task = self._start("dashboard machine", self._run)

    async def stop(self) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def figures(self) -> dict[str, Any]:
        """Temperature in Celsius, throttling, this process's memory in bytes and share of one core; None where unknown."""
        return {
            "temperature_c": self.health.hottest_c,
            "throttled_now": [name for name, on in self.health.now().items() if on],
            "throttled_since_start": [name for name, on in self.health.since_start().items() if on],
            "throttling_known": self.health.throttled is not None,
            "memory_bytes": _resident_bytes(),
            "cpu_share": self._cpu_share,
        }

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Read everything now."""
        self.health = await asyncio.to_thread(read_pi_health, self._root)
        now = (time.monotonic(), time.process_time())
        self._cpu_share = (now[1] - self._cpu[1]) / max(now[0] - self._cpu[0], 1e-9)
        self._cpu = now


def _resident_bytes() -> int | None:
    """Second word of /proc/self/statm, in pages (proc(5))."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
