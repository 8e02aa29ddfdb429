"""A job that is nothing but arithmetic, for tests of how jobs run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.errors import RecordingError


@dataclass(frozen=True)
class Sum:
    """Sums integers up to ``number``; notes in ``log`` which process did it; ``fails`` raises instead."""

    number: int
    log: str
    seconds: float = 0.0
    fails: str = ""

    @property
    def title(self) -> str:
        return f"sum {self.number}"

    def to_json(self) -> Mapping[str, Any]:
        return {"job": "sum", "number": self.number}

    def run(self) -> bytes:
        time.sleep(self.seconds)
        with open(self.log, "a") as file:  # noqa: PTH123
            file.write(f"{self.number} {os.getpid()}\n")
        if self.fails == "ours":
            raise RecordingError(f"no data for {self.number}")
        if self.fails == "exit":
            os._exit(1)
        return str(sum(range(self.number + 1))).encode()
