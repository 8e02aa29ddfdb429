"""When this machine ran nobody: what a virtual machine's host takes shows in every latency measured on it.

A process on each core wakes every millisecond, at real-time priority where that is allowed (root), so that nothing of ours
is before it. Where it wakes late, its core was taken away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

_WAKE_S = 0.001
#: A wake-up later than this is a stall.
STALL_S = 0.002
#: What has piled up in a stall makes moments late for this long after it.
BACKLOG_S = 0.05


@dataclass(frozen=True)
class Stall:
    """A core did not run from ``start_s`` on, on the monotonic clock, for ``length_s``."""

    start_s: float
    length_s: float

    def touches(self, from_s: float, to_s: float) -> bool:
        """Whether any of it lies in an interval of the same clock."""
        return self.start_s <= to_s and self.start_s + self.length_s >= from_s


@dataclass
class StallWatch:
    """Watches all cores between entering and leaving; then ``stalls`` is filled."""

    stalls: list[Stall] = field(default_factory=list)
    #: Whether the watchers had real-time priority; without it they also wait for the programs that are measured.
    privileged: bool = False
    _watchers: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> StallWatch:
        for core in sorted(os.sched_getaffinity(0)):
            command = [sys.executable, "-m", "benchmarks.studies.machine_stalls", str(core)]
            self._watchers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for watcher in self._watchers:
            assert watcher.stdout is not None and watcher.stdout.readline() == "watching\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watcher in self._watchers:
            watcher.send_signal(signal.SIGTERM)
        said = [json.loads(watcher.communicate()[0]) for watcher in self._watchers]
        self.privileged = all(one["privileged"] for one in said)
        self.stalls = sorted(
            (Stall(*each) for one in said for each in one["stalls"]), key=lambda s: s.start_s
        )


def watch(core: int) -> None:
    """Watch one core until SIGTERM, then print what was found as JSON."""
    os.sched_setaffinity(0, {core})
    privileged = False
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        privileged = True
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    stalls: list[tuple[float, float]] = []
    print("watching", flush=True)
    while not ended:
        began = time.monotonic()
        time.sleep(_WAKE_S)
        late = time.monotonic() - began - _WAKE_S
        if late > STALL_S:
            stalls.append((began, late))
    print(json.dumps({"privileged": privileged, "stalls": stalls}))


def delayed(stalls: Sequence[Stall], from_s: float, to_s: float) -> bool:
    """Whether any core stood still in an interval or shortly before it."""
    return any(stall.touches(from_s - BACKLOG_S, to_s) for stall in stalls)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
