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
from toolkit.reading import exists

#: What waits for the consumer: at 921,600 baud about 10 s of reads.
_QUEUE = 4_096
#: A terminal gives no more at once.
_READ_BYTES = 4_096
#: Bytes that wait for a port that takes none now, and how long until the node is said to take nothing.
_UNSENT_BYTES, _UNSENT_S = 4_096, 1.0
#: How often it is tried again. Not when the system says that the port can be written: some say so, and take nothing.
_SEND_AGAIN_S = 0.01
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
        self._unsent = bytearray()
        self._unsent_since_s = 0.0
        self._sending: asyncio.TimerHandle | None = None
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
        with contextlib.suppress(
            OSError
        ):  # the system's list of ports changes while it is read: found by its path then
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
        """Send, without waiting: what the port does not take now goes as soon as it does.

        LinkError if the port is gone, or has taken nothing for a second: what waited is dropped then.
        """
        if self._port is None:
            raise LinkError(f"{self._path} is not connected; plug it in again")
        if not self._unsent:
            self._unsent_since_s = time.monotonic()
        self._unsent += data
        self._send()
        if self._port is None:
            raise LinkError(f"{self._path} was lost while it was written to")
        if self._unsent and (
            len(self._unsent) > _UNSENT_BYTES or time.monotonic() - self._unsent_since_s > _UNSENT_S
        ):
            # Part of a frame may have gone: a delimiter ends it, so that the node reads the next one.
            self._unsent[:] = b"\0"
            raise LinkError(f"{self._path} accepts no data; does its node read, and is flow control off?")

    async def __aiter__(self) -> AsyncIterator[Item]:
        while not self._closed:
            item = await self._queue.get()
            if item is None:
                return
            yield item

    def _connect(self) -> None:
        import serial

        try:
            port = serial.Serial(self._path, self._baud, timeout=0, exclusive=True)
        except (
            Exception
        ) as error:  # pyserial passes on what a driver says: termios.error, which is no OSError
            raise LinkError(f"cannot open {self._path}: {advice(self._path, error)}") from None
        if self._low_latency:
            # Optional: pseudo-terminals and some drivers have no such mode.
            with contextlib.suppress(Exception):
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

    def _send(self) -> None:
        """Give the port what it takes of what waits, now and until nothing waits. Never waits itself.

        Written here and not by pyserial, which spins for as long as a port says that it could be written and takes nothing.
        """
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._port is None or not self._unsent:
            return
        try:
            sent = os.write(self._handle, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(f"write failed: {error}")
            return
        if sent:
            del self._unsent[:sent]
            self._unsent_since_s = time.monotonic()
        if self._unsent:
            self._sending = asyncio.get_running_loop().call_later(_SEND_AGAIN_S, self._send)

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
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        self._unsent.clear()
        with contextlib.suppress(Exception):  # a port that is gone may refuse even to be closed
            self._port.close()
        self._port = None

    async def _reconnect(self) -> None:
        while not self._closed:
            await asyncio.sleep(self._retry_s)
            with contextlib.suppress(
                LinkError, OSError
            ):  # OSError: the system's list of ports changes while it is read
                if self._identity is not None:
                    path = path_of(self._identity)
                    if path is None:
                        continue  # whatever has taken its old name is another device
                    self._path = path
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
        return os.path.realpath(identity) if exists(Path(identity)) else None
    return next((device for device, name in _identities() if name == identity), None)


def _identities() -> list[tuple[str, str]]:
    from serial.tools import list_ports

    ports = [port for port in list_ports.comports() if port.serial_number]
    return [(port.device, f"{port.vid}:{port.pid}:{port.serial_number}") for port in ports]


def advice(path: str, error: Exception) -> str:
    """What is the matter with a port that does not open, and what to do."""
    if not exists(Path(path)):
        return "there is no such port; plug the device in; `edgetool scan` lists the ports"
    text = str(error)
    if not Path(path).is_char_device() or f"({errno.ENOTTY}," in text:  # termios.error in words of pyserial
        return "it is not a serial port; `edgetool scan` lists them"
    if "Permission" in text:
        return "no permission; add yourself to its group: sudo usermod -aG dialout $USER, then log in again"
    if "lock" in text or "busy" in text:
        return "another program has it open; close that first"
    return text
