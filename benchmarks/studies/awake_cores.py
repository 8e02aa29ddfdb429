"""Keeps the cores of this machine from falling asleep while something is measured.

A core that has nothing to do sleeps. On a virtual machine it is then the host's, and waking it takes milliseconds when the
host is busy; on a computer of its own it takes some microseconds. A process on each core that only counts, in the class that
runs when nobody else wants to (SCHED_IDLE), keeps it awake and takes nothing from the others. It would heat a small computer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class AwakeCores:
    """All cores are awake between entering and leaving, unless ``wanted`` is False."""

    wanted: bool = True
    _spinners: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> AwakeCores:
        for core in sorted(os.sched_getaffinity(0)) if self.wanted else ():
            command = [sys.executable, "-m", "benchmarks.studies.awake_cores", str(core)]
            self._spinners.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for spinner in self._spinners:
            assert spinner.stdout is not None and spinner.stdout.readline() == "awake\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for spinner in self._spinners:
            spinner.kill()
            spinner.communicate()


def spin(core: int) -> None:
    """Keep one core awake until killed, or until whoever started this has gone."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    parent = os.getppid()
    print("awake", flush=True)
    while os.getppid() == parent:
        for _ in range(1_000_000):
            pass


if __name__ == "__main__":
    spin(int(sys.argv[1]))
