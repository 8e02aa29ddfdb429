"""The firmware as a process of this machine, as a port that :class:`firmware_bridge.target.link.TargetLink` takes."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path


class ProcessPort:
    """What pyserial offers of a port, over the pipes of a process."""

    def __init__(self, program: Path, timeout_s: float = 0.05) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    @property
    def in_waiting(self) -> int:
        return 4096 if select.select([self._out], [], [], 0)[0] else 0

    def read(self, size: int) -> bytes:
        if not select.select([self._out], [], [], self._timeout_s)[0]:
            return b""
        return os.read(self._out.fileno(), max(size, 4096))

    def write(self, data: bytes) -> int:
        self._in.write(data)
        return len(data)

    def close(self) -> None:
        """End the process. AssertionError if a sanitizer said something."""
        self._in.close()
        code = self._process.wait(timeout=10)
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode()
        self._out.close()
        self._process.stderr.close()
        assert code == 0 and not said, said
