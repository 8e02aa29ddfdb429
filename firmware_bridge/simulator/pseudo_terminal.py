"""Virtual nodes behind a pseudo-terminal: to any program a serial port, found at a path of one's choice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import Callable
from pathlib import Path

from firmware_bridge.items import Chunk
from firmware_bridge.simulator.virtual_link import VirtualLink
from toolkit.errors import OutputError
from toolkit.reading import exists

_TICK_S = 0.002
#: Bytes that wait for a host that does not read; beyond that the oldest are lost, as in a UART's buffer.
_WAITING = 65_536


class PseudoTerminal:
    """``with PseudoTerminal(path)``: a symbolic link at ``path`` names the port. Leaving it is unplugging the node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ours = self._theirs = -1

    def __enter__(self) -> PseudoTerminal:
        if exists(self.path) and not self.path.is_symlink():
            raise OutputError(
                f"{self.path} exists and is not a link; choose another path for the simulated port"
            )
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        try:
            self.path.unlink(missing_ok=True)
            self.path.symlink_to(os.ttyname(self._theirs))
        except OSError as error:
            self._close()
            raise OutputError(
                f"cannot make the simulated port {self.path}: {error.strerror or error}; "
                "choose a place in a folder that exists and can be written"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        for handle in (self._ours, self._theirs):
            if handle >= 0:
                os.close(handle)
        self._ours = self._theirs = -1

    @property
    def handle(self) -> int:
        """The node's end, for a process that plays the node itself; it does not block."""
        return self._ours

    def read(self) -> bytes:
        """What the host has sent."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._ours, 4096)
        return b""

    def write(self, data: bytes) -> int:
        """Give bytes to the host; how many went in."""
        with contextlib.suppress(BlockingIOError):
            return os.write(self._ours, data)
        return 0


async def serve(
    terminal: PseudoTerminal,
    links: list[VirtualLink],
    clock: Callable[[], float],
    seconds: float = float("inf"),
) -> int:
    """Play ``links`` into ``terminal`` until ``clock`` (s, from 0) passes ``seconds``; return the bytes that found no room."""
    waiting, lost = bytearray(), 0
    while clock() < seconds:
        now_s = clock()
        heard = terminal.read()
        for link in links:
            if heard:
                link.node.hear(heard, now_s)
            for item in link.advance(now_s):
                if isinstance(item, Chunk):
                    waiting += item.data
        lost += max(0, len(waiting) - _WAITING)
        del waiting[: max(0, len(waiting) - _WAITING)]
        while waiting and (taken := terminal.write(bytes(waiting[:4096]))):
            del waiting[:taken]
        await asyncio.sleep(_TICK_S)
    return lost
