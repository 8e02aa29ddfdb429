"""``ble://ADDRESS-or-name``: a node's notifications through bleak; lost, silent or switched off, it is sought again.

``ble://any`` takes the first node that offers the service of PROTOCOL.md section 10. A connection can die without a word
(the adapter, the daemon, or only the notify socket), so a watchdog ends one that has brought no data for ``silence_s``.
bleak's callback does nothing but queue the bytes: work on its loop would fill the socket's buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.sources.base import Source, SourceUrl
from toolkit.errors import LinkError, UsageError

SERVICE = "ed6e0001-8c5a-4b0e-9d3f-7a41c2b65e10"
NOTIFY = "ed6e0002-8c5a-4b0e-9d3f-7a41c2b65e10"
WRITE = "ed6e0003-8c5a-4b0e-9d3f-7a41c2b65e10"
#: Notifications that wait for the consumer: 8 s at 500 a second.
_QUEUE = 4_096
_LONGEST_BACKOFF_S = 2.0
#: What a characteristic says when nobody knows the MTU (BlueZ before 5.62): that of the smallest.
_SMALLEST_WRITE = 20


class BleSource(Source):
    """Options: ``notify`` (``start``: StartNotify, the default; ``acquire``: AcquireNotify's socket), ``scan_s`` (5),
    ``silence_s`` (1.5; a node that streams sends at least that often), ``backoff_s`` (0.1, doubled up to 2 s)."""

    #: bleak's public ``backend=`` of client and scanner; None: the platform's. The simulator puts a radio of its own here.
    client_backend: ClassVar[Any] = None
    scanner_backend: ClassVar[Any] = None

    def __init__(self, url: SourceUrl) -> None:
        super().__init__(url)
        url.allow("notify", "scan_s", "silence_s", "backoff_s")
        mode = url.options.get("notify", "start")
        if mode not in ("start", "acquire"):
            raise UsageError(f"source {url.text!r}: notify is {mode!r}; allowed: start, acquire")
        self._start_notify = mode == "start"
        self._scan_s = url.number("scan_s", 5.0, 0.1, 120.0)
        self._silence_s = url.number("silence_s", 1.5, 0.05, 60.0)
        self._backoff_s = url.number("backoff_s", 0.1, 0.001, 60.0)
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(_QUEUE)
        self._client: Any = None
        self._broken = asyncio.Event()
        self._heard_s = 0.0
        self._att_mtu: int | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def links(self) -> tuple[str, ...]:
        """The node."""
        return (f"ble {self.url.address}",)

    @property
    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def facts(self) -> Mapping[str, float]:
        """The negotiated MTU of the newest connection, if the platform tells it. None tells the connection interval."""
        return {} if self._att_mtu is None else {"att_mtu": self._att_mtu}

    async def open(self) -> None:
        """Find and connect the node; LinkError if it is not seen within ``scan_s`` or does not offer the service."""
        await self._connect()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Disconnect and end the iteration."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._disconnect()
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def write(self, data: bytes, link: int = 0) -> None:
        """Send, without response; LinkError if the node is not connected."""
        client = self._client
        if client is None:
            raise LinkError(f"{self.url.address} is not connected")
        try:
            async with asyncio.timeout(1.0):
                await client.write_gatt_char(WRITE, data, response=False)
        except Exception as error:
            raise LinkError(f"{self.url.address} takes nothing: {one_line(error)}") from None

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            item = await self._queue.get()
            if item is None:
                return
            yield item

    async def _connect(self) -> None:
        from bleak import BleakClient

        self._broken = broken = asyncio.Event()
        size = 0
        try:
            device = await self._find()
            client = BleakClient(
                device,
                disconnected_callback=lambda _: broken.set(),
                timeout=self._scan_s,
                backend=self.client_backend,
            )
            try:
                await client.connect()
                bluez: Any = {"use_start_notify": self._start_notify}
                await client.start_notify(NOTIFY, self._notified, bluez=bluez)
                characteristic = client.services.get_characteristic(NOTIFY)
                size = characteristic.max_write_without_response_size if characteristic is not None else 0
            except BaseException:
                await quietly(client.disconnect())  # a half-made connection would block the next one
                raise
        except LinkError:
            raise
        except (
            Exception
        ) as error:  # bleak passes on what the platform raises: D-Bus errors, OSError, EOFError, TimeoutError
            raise LinkError(f"cannot connect to {self.url.address} over BLE: {ble_trouble(error)}") from None
        self._att_mtu = size + 3 if size > _SMALLEST_WRITE else None
        self._client, self._heard_s = client, time.monotonic()

    async def _find(self) -> Any:
        from bleak import BleakScanner

        left = await self._left_connected()
        if left is not None:
            return left
        wanted = self.url.address.lower()

        def fits(device: Any, seen: Any) -> bool:
            if wanted == "any":
                return SERVICE in seen.service_uuids
            return wanted in (
                device.address.lower(),
                (device.name or "").lower(),
                (seen.local_name or "").lower(),
            )

        device = await BleakScanner.find_device_by_filter(
            fits, timeout=self._scan_s, backend=self.scanner_backend
        )
        if device is None:
            raise LinkError(
                f"no BLE node {self.url.address!r} was seen within {self._scan_s:g} s; is it on, near, and not connected "
                "to another host? `edgetool scan` lists the nodes in reach"
            )
        return device

    async def _left_connected(self) -> Any:
        """The node if the platform is still connected to it: a program was killed, or another one hears it too.

        Such a node does not advertise, so no scan finds it. Its connection is taken over, and if it turns out to be dead, the
        watchdog ends it.
        """
        from bleak import BleakAdapter

        if self.client_backend is not None:
            return None
        wanted = self.url.address.lower()
        try:
            async with asyncio.timeout(self._scan_s):
                devices = await (await BleakAdapter.get()).get_connected_devices([SERVICE])
        except Exception:  # no such thing on this platform, no adapter, no daemon: the scan will say
            return None
        return next(
            (each for each in devices if wanted in ("any", each.address.lower(), (each.name or "").lower())),
            None,
        )

    def _notified(self, _: Any, data: bytearray) -> None:
        now_ns = time.monotonic_ns()
        self._heard_s = now_ns * 1e-9
        self._put(Chunk(0, now_ns, bytes(data)))

    def _put(self, item: Item) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.dropped_bytes += len(item.data) if isinstance(item, Chunk) else 0

    async def _keep(self) -> None:
        """Watch the connection; when it breaks or falls silent, make a new one."""
        while not self._closed:
            reason = await self._watch()
            self._put(LinkChange(0, time.monotonic_ns(), False, reason))
            await self._disconnect()
            wait_s = self._backoff_s
            while True:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_BACKOFF_S)
                with contextlib.suppress(LinkError, TimeoutError):
                    async with asyncio.timeout(2 * self._scan_s):
                        await self._connect()
                        break
            self._put(LinkChange(0, time.monotonic_ns(), True, f"{self.url.address} is connected again"))

    async def _watch(self) -> str:
        while True:
            left_s = self._heard_s + self._silence_s - time.monotonic()
            if left_s <= 0:
                return f"no data from {self.url.address} for {self._silence_s:g} s"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), left_s)
                return f"{self.url.address} was disconnected"

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await quietly(client.disconnect())


async def quietly(action: Any) -> None:
    """Wait at most a second for clearing up that may fail because what it clears is gone."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1.0):
            await action


def ble_trouble(error: BaseException) -> str:
    """Why BLE cannot be used here, and what to do where that is known."""
    text = one_line(error)
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"no system D-Bus answers here ({text}); BLE needs BlueZ: install bluez and start bluetooth.service"
    if "org.bluez was not provided" in text:
        return f"bluetoothd does not run ({text}); run: sudo systemctl start bluetooth"
    if "powered" in text.lower():
        return f"{text}; switch the adapter on: bluetoothctl power on"
    return text


def one_line(error: BaseException) -> str:
    """An error's text in one line, or its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
