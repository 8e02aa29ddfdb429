"""BLE without a radio but with a real ATT: virtual nodes as bumble peripherals, and bumble under bleak's unmodified client.

Host and node each have a whole stack of bumble's (controller, HCI, L2CAP, ATT, GATT) on a link in this process. bleak
reaches it through its public ``backend=``; what is bleak's own above that is what users run. So the MTU is negotiated,
notifications are cut to it, and a disconnection is one of the link layer. No radio, kernel or bluetoothd is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection

from firmware_bridge.items import Chunk
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.sources.ble import (
    NOTIFY,
    SERVICE,
    WRITE,
    BleSource,
)

_TICK_S = 0.005
#: ms; the default of a second would make every reconnect slow.
_ADVERTISE_MS = 20
_FLAGS = {1: "broadcast", 2: "read", 4: "write-without-response", 8: "write", 16: "notify", 32: "indicate"}


@dataclass(eq=False)
class Air:
    """The link that all controllers share. ``mtu`` is what the host asks for; ``nodes`` advertise."""

    mtu: int = 247
    nodes: list[BumbleNode] = field(default_factory=list)
    _link: Any = None
    _hosts: int = 0

    def device(self, address: str) -> Any:
        """A bumble device on this link with a controller of its own."""
        from bumble.controller import Controller
        from bumble.device import Device
        from bumble.hci import Address
        from bumble.host import Host
        from bumble.link import LocalLink
        from bumble.transport.common import AsyncPipeSink

        if self._link is None:
            self._link = LocalLink()
        controller = Controller(address, link=self._link)
        return Device(address=Address(address), host=Host(controller, AsyncPipeSink(controller)))

    def host_device(self) -> Any:
        """A fresh one for each connection or scan: one whose peer went away while it connected would hang."""
        self._hosts += 1
        return self.device(f"F1:00:00:00:{self._hosts // 256 % 256:02X}:{self._hosts % 256:02X}")

    async def forget(self, device: Any) -> None:
        """Take a host's device off the link."""
        with contextlib.suppress(Exception):
            await device.power_off()
        with contextlib.suppress(KeyError, ValueError):
            self._link.remove_controller(device.host.controller)


@dataclass(eq=False)
class BumbleNode:
    """A virtual node behind a bumble peripheral. ``heard`` gets the host's bytes."""

    air: Air
    address: str
    name: str
    heard: Callable[[bytes], None]
    device: Any = None
    #: Notifications longer than the negotiated MTU allows: ATT would cut them, so a node must not send them.
    too_long: int = 0
    #: The node believes that it notifies, and nothing is heard.
    silenced: bool = False
    _notify: Any = None

    async def start(self) -> None:
        """Power on and advertise whenever nobody is connected."""
        from bumble.core import UUID, AdvertisingData
        from bumble.gatt import Characteristic, CharacteristicValue, Service

        self.device = self.air.device(self.address)
        self._notify = Characteristic(NOTIFY, Characteristic.Properties.NOTIFY, Characteristic.READABLE, b"")
        write = Characteristic(
            WRITE,
            Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=lambda _, value: self.heard(bytes(value))),
        )
        self.device.add_service(Service(SERVICE, [self._notify, write]))
        uuids = AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
        # bumble's controller repeats the advertisement as the scan response, so the name stands in it too.
        name = (AdvertisingData.COMPLETE_LOCAL_NAME, self.name.encode()[:29])
        self.device.advertising_data = bytes(AdvertisingData([(uuids, bytes(UUID(SERVICE))), name]))
        self.device.advertising_interval_min = self.device.advertising_interval_max = _ADVERTISE_MS
        await self.device.power_on()
        await self.device.start_advertising(auto_restart=True)  # found again after a connection is lost

    async def send(self, data: bytes) -> None:
        """Notify whoever has subscribed."""
        for connection in list(self.device.connections.values()):
            self.too_long += len(data) > connection.att_mtu - 3
        if not self.silenced:
            await self.device.notify_subscribers(self._notify, data)

    async def drop(self) -> None:
        """The peer hangs up: the link layer's disconnection (remote user terminated connection)."""
        for connection in list(self.device.connections.values()):
            await connection.disconnect()


class _Scanner(BaseBleakScanner):
    """Scanning through a bumble device. Subclassed with its ``air``."""

    air: ClassVar[Air]

    def __init__(self, detection_callback: Any, service_uuids: Any, *_: Any, **__: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._device: Any = None

    async def start(self) -> None:
        self.seen_devices = {}
        self._device = self.air.host_device()
        await self._device.power_on()
        self._device.on("advertisement", self._seen)
        await self._device.start_scanning(filter_duplicates=False)

    async def stop(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            await self.air.forget(device)

    def _seen(self, advertisement: Any) -> None:
        from bumble.core import AdvertisingData

        name = advertisement.data.get(AdvertisingData.COMPLETE_LOCAL_NAME)
        uuids = advertisement.data.get(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or []
        address = advertisement.address.to_string(False)
        seen = AdvertisementData(
            local_name=name,
            manufacturer_data={},
            service_data={},
            service_uuids=[str(uuid).lower() for uuid in uuids],
            tx_power=None,
            rssi=-50,
            platform_data=(),
        )
        device = self.create_or_update_device(address, address, name, advertisement.address, seen)
        self.call_detection_callbacks(device, seen)


class _Client(BaseBleakClient):
    """A GATT client through a bumble device. Subclassed with its ``air``."""

    air: ClassVar[Air]

    def __init__(self, address_or_ble_device: Any, **options: Any) -> None:
        kept = {name: options[name] for name in ("disconnected_callback", "timeout")}
        super().__init__(address_or_ble_device, **kept)
        self._to = getattr(address_or_ble_device, "details", None) or self.address
        self._device: Any = None
        self._peer: Any = None
        self._connection: Any = None
        self._subscribers: dict[int, Any] = {}

    @property
    def name(self) -> str:
        return str(self.address)

    @property
    def mtu_size(self) -> int:
        return int(self._connection.att_mtu)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        from bumble.device import Peer

        self._device = self.air.host_device()
        await self._device.power_on()
        async with asyncio.timeout(self._timeout):
            self._connection = await self._device.connect(self._to)
            self._connection.on("disconnection", self._lost)
            self._peer = Peer(self._connection)
            await self._peer.request_mtu(self.air.mtu)
            self.services = await self._discover()

    async def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect()
        device, self._device = self._device, None
        if device is not None:
            await self.air.forget(device)

    def _lost(self, reason: int) -> None:
        """Unsolicited: what bleak calls back for."""
        if self._connection is not None:
            self._connection = None
            if self._disconnected_callback is not None:
                self._disconnected_callback()

    async def _discover(self) -> BleakGATTServiceCollection:
        found = BleakGATTServiceCollection()
        for service in await self._peer.discover_services():
            ours = BleakGATTService(service, service.handle, uuid_text(service.uuid))
            found.add_service(ours)
            for each in await self._peer.discover_characteristics(service=service):
                flags: Any = [text for bit, text in _FLAGS.items() if int(each.properties) & bit]
                characteristic = BleakGATTCharacteristic(
                    each, each.handle, uuid_text(each.uuid), flags, lambda: self.mtu_size - 3, ours
                )
                found.add_characteristic(characteristic)
        return found

    async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
        await self._peer.write_value(characteristic.obj, bytes(data), with_response=response)

    async def read_gatt_char(self, characteristic: Any, **_: Any) -> bytearray:
        return bytearray(await self._peer.read_value(characteristic.obj))

    async def start_notify(self, characteristic: Any, callback: Any, **_: Any) -> None:
        def subscriber(value: bytes) -> None:
            callback(bytearray(value))

        self._subscribers[characteristic.handle] = subscriber
        await self._peer.discover_descriptors(characteristic.obj)
        await self._peer.subscribe(characteristic.obj, subscriber)

    async def stop_notify(self, characteristic: Any) -> None:
        await self._peer.unsubscribe(characteristic.obj, self._subscribers.pop(characteristic.handle, None))

    async def read_gatt_descriptor(self, descriptor: Any, **_: Any) -> bytearray:
        raise NotImplementedError("no descriptor of PROTOCOL.md section 10 is read")

    async def write_gatt_descriptor(self, descriptor: Any, data: Any) -> None:
        raise NotImplementedError("no descriptor of PROTOCOL.md section 10 is written")

    async def pair(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("nodes of PROTOCOL.md are not paired")

    async def unpair(self) -> None:
        raise NotImplementedError("nodes of PROTOCOL.md are not paired")


def uuid_text(uuid: Any) -> str:
    """A bumble UUID as bleak writes UUIDs: 128 bits, lower case."""
    return str(uuid.to_hex_str("-")).lower() if len(uuid.uuid_bytes) == 16 else str(uuid.to_hex_str()).lower()


@asynccontextmanager
async def on_air(air: Air) -> AsyncIterator[None]:
    """Let ``ble://`` sources of this process use ``air`` instead of the platform's radio."""
    before = BleSource.client_backend, BleSource.scanner_backend
    BleSource.client_backend = type("BumbleClient", (_Client,), {"air": air})
    BleSource.scanner_backend = type("BumbleScanner", (_Scanner,), {"air": air})
    try:
        yield
    finally:
        BleSource.client_backend, BleSource.scanner_backend = before


async def serve(
    node: BumbleNode, link: VirtualLink, clock: Callable[[], float], seconds: float = float("inf")
) -> None:
    """Play ``link`` as notifications of ``node`` until ``clock`` (s, from 0) passes ``seconds``."""
    while (now_s := clock()) < seconds:
        for item in link.advance(now_s):
            if isinstance(item, Chunk):
                await node.send(item.data)
        await asyncio.sleep(_TICK_S)
