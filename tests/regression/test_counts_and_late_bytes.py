"""Instruction counts of an emulated board grew when a byte reached its UART during an inference: its interrupt was counted.

Bytes come late on a loaded machine, and a damaged line doubles them, so that a bench differed from run to run. The firmware
keeps received bytes waiting while it counts.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from firmware_bridge.protocol.table import ValueFormat
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import TargetLink, open_port
from tests.firmware_bridge.target.images import shipped_image

WINDOWS = 12


class Chatty:
    """A port on which delimiters, which are no frame, keep coming from the end of a request to the beginning of its reply."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._quiet = threading.Event()
        self._chatter: threading.Thread | None = None
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def write(self, data: bytes) -> int:
        self._end()
        count = int(self._port.write(data))
        self._quiet.clear()
        self._chatter = threading.Thread(target=self._chat, daemon=True)
        self._chatter.start()
        return count

    def read(self, size: int) -> bytes:
        data = bytes(self._port.read(size))
        if data:
            self._end()
        return data

    def _chat(self) -> None:
        while not self._quiet.wait(0.0002):
            self._port.write(b"\0")
            self.sent += 1

    def _end(self) -> None:
        self._quiet.set()
        if self._chatter is not None:
            self._chatter.join()
            self._chatter = None


def counts(emulator: Emulator, port: Any) -> list[int]:
    """Ticks of the same windows."""
    draw = np.random.default_rng(5)
    with TargetLink(port, emulator.image.board.name) as link:
        link.identify()
        windows = [
            [draw.integers(-128, 128, (64, n)).astype(np.int8) for n in (24, 9)] for _ in range(WINDOWS)
        ]
        return [link.window(ValueFormat.INT8, window).ticks for window in windows]


@pytest.mark.parametrize("board", ["mps2-an386", "stm32f405"])
def test_a_count_does_not_depend_on_when_bytes_come(board: str) -> None:
    with Emulator(shipped_image(board)) as emulator:
        quiet = counts(emulator, open_port(emulator.url))
    with Emulator(shipped_image(board)) as emulator:
        port = Chatty(open_port(emulator.url))
        noisy = counts(emulator, port)
    assert port.sent > 10 * WINDOWS
    # Where the first tick falls is worth one.
    assert max(abs(a - b) for a, b in zip(quiet, noisy, strict=True)) <= 1
