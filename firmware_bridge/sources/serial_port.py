"""``serial:///dev/ttyUSB0?baud=921600``: a serial port, for ourselves alone; unplugged and plugged in again it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.sources.base import Source, SourceUrl
from toolkit.errors import LinkError

#: What waits for the consumer: at 921,600 baud about 10 s of reads.
_QUEUE = 4_096
#: A terminal gives no more at once.
_READ_BYTES = 4_096
#: Where udev links each USB adapter by vendor, product and serial number.
BY_ID = Path("/dev/serial/by-id")


class SerialSource(Source):
    """Options: ``baud`` (921600), ``reconnect_s`` (a lost port is tried again so often, 0.2), ``low_latency`` (1).

    A USB adapter that comes back under another name is found by its identity, and another one under its old name is not
    taken for it.
    """

    def __init__(self, url: SourceUrl, by_id: Path = BY_ID) -> None:
        super().__init__(url)
        url.allow("baud", "reconnect_s", "low_latency")
        self._baud = int(url.number("baud", 921_600, 300, 12_000_000))
        self._retry_s = url.number("reconnect_s", 0.2, 0.001, 60)
        self._low_latency = bool(url.number("low_latency", 1, 0, 1))
        self._path = url.address
        self._by_id = by_id
        self._identity: str | None = None
        self._port: Any = None
        self._handle = -1
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(_QUEUE)
        self._retry: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def links(self) -> tuple[str, ...]:
        """The port."""
        return (f"serial {self._path}",)

    @property
    def writable(self) -> bool:
        """Always."""
        return True

    async def open(self) -> None:
        """Open the port. LinkError says whether it is missing, forbidden or in use."""
        self._connect()
        self._identity = identity_of(self._path, self._by_id)

    async def close(self) -> None:
        """Let go of the port and end the iteration."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._disconnect()
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def write(self, data: bytes, link: int = 0) -> None:
        """Send; LinkError if the port is gone or takes nothing for a second."""
        if self._port is None:
            raise LinkError(f"{self._path} is not connected; plug it in again")
        import serial

        try:
            await asyncio.to_thread(self._port.write, data)
        except (serial.SerialException, OSError) as error:
            raise LinkError(f"{self._path} takes nothing: {error}") from None

    async def __aiter__(self) -> AsyncIterator[Item]:
        while not self._closed:
            item = await self._queue.get()
            if item is None:
                return
            yield item

    def _connect(self) -> None:
        import serial

        try:
            port = serial.Serial(self._path, self._baud, timeout=0, write_timeout=1, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise LinkError(f"cannot open {self._path}: {advice(self._path, error)}") from None
        if self._low_latency:
            # Optional: pseudo-terminals and some drivers have no such mode.
            with contextlib.suppress(ValueError, OSError, AttributeError):
                port.set_low_latency_mode(True)
        self._port, self._handle = port, port.fileno()
        asyncio.get_running_loop().add_reader(self._handle, self._ready)

    def _ready(self) -> None:
        """The port has bytes, or was unplugged: then a read gives nothing, or EIO.

        Read here and not by pyserial, which asks the system twice more whether there is something to read; and into one
        buffer, because large ones that are cut to what came leave the memory in pieces.
        """
        try:
            count = os.readv(self._handle, [self._buffer])
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"read failed: {error}")
            return
        if not count:
            self._lost("the port hung up")
            return
        self._put(Chunk(0, time.monotonic_ns(), bytes(self._buffer[:count])))

    def _put(self, item: Item) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.dropped_bytes += len(item.data) if isinstance(item, Chunk) else 0

    def _lost(self, reason: str) -> None:
        self._disconnect()
        self._put(LinkChange(0, time.monotonic_ns(), False, f"{self._path}: {reason}"))
        self._retry = asyncio.get_running_loop().create_task(self._reconnect())

    def _disconnect(self) -> None:
        if self._port is None:
            return
        asyncio.get_running_loop().remove_reader(self._handle)
        with contextlib.suppress(Exception):  # a port that is gone may refuse even to be closed
            self._port.close()
        self._port = None

    async def _reconnect(self) -> None:
        while not self._closed:
            await asyncio.sleep(self._retry_s)
            if self._identity is not None:
                path = path_of(self._identity)
                if path is None:
                    continue  # whatever has taken its old name is another device
                self._path = path
            with contextlib.suppress(LinkError):
                self._connect()
                self._put(LinkChange(0, time.monotonic_ns(), True, f"{self._path} is back"))
                return


def identity_of(path: str, by_id: Path = BY_ID) -> str | None:
    """What names an adapter whatever port it gets; None if nothing does (no USB, or no serial number).

    On Linux the link in ``by_id`` that udev makes for it; elsewhere vendor, product and serial number.
    """
    real = os.path.realpath(path)
    links = sorted(by_id.iterdir()) if by_id.is_dir() else []
    link = next((link for link in links if os.path.realpath(link) == real), None)
    if link is not None:
        return str(link)
    return next((name for device, name in _identities() if os.path.realpath(device) == real), None)


def path_of(identity: str) -> str | None:
    """Where the adapter of that identity is now; None while it is not there."""
    if identity.startswith("/"):
        return os.path.realpath(identity) if Path(identity).exists() else None
    return next((device for device, name in _identities() if name == identity), None)


def _identities() -> list[tuple[str, str]]:
    from serial.tools import list_ports

    ports = [port for port in list_ports.comports() if port.serial_number]
    return [(port.device, f"{port.vid}:{port.pid}:{port.serial_number}") for port in ports]


def advice(path: str, error: Exception) -> str:
    """What is the matter with a port that does not open, and what to do."""
    if not Path(path).exists():
        return "there is no such port; plug it in, `edgetool scan` lists what there is"
    text = str(error)
    if not Path(path).is_char_device() or f"({errno.ENOTTY}," in text:  # termios.error in words of pyserial
        return "it is no serial port; `edgetool scan` lists those there are"
    if "Permission" in text:
        return "no permission; add yourself to its group: sudo usermod -aG dialout $USER, then log in again"
    if "lock" in text or "busy" in text:
        return "another program has it; close that first"
    return text
