"""The fake org.bluez as any D-Bus client sees it: its objects, notifications both ways, adapter, and its death."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.simulator.fake_bluez import (
    ADAPTER_PATH,
    FakeBluez,
    FakeDevice,
    PrivateBus,
)
from tests.tools import require_package

require_package("dbus_fast")
pytestmark = pytest.mark.usefixtures("dbus_daemon")
DEVICE = f"{ADAPTER_PATH}/dev_C0_FF_EE_00_00_01"
SERVICE_PATH = f"{DEVICE}/service000a"
NOTIFY_PATH, WRITE_PATH = f"{SERVICE_PATH}/char000b", f"{SERVICE_PATH}/char000d"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"


class Client:
    """A D-Bus client of org.bluez that keeps what is signalled."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.changed: list[tuple[str, dict[str, Any]]] = []
        self.added: list[str] = []
        self.removed: list[str] = []
        bus.add_message_handler(self._signal)

    def _signal(self, message: Any) -> None:
        if message.member == "PropertiesChanged":
            self.changed.append((message.path, {k: v.value for k, v in message.body[1].items()}))
        elif message.member == "InterfacesAdded":
            self.added.append(message.body[0])
        elif message.member == "InterfacesRemoved":
            self.removed.append(message.body[0])

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: Any) -> Any:
        from dbus_fast import Message

        return await self.bus.call(
            Message("org.bluez", path, interface, member, signature=signature, body=list(body))
        )

    async def objects(self) -> dict[str, dict[str, dict[str, Any]]]:
        reply = await self.call("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        return {
            path: {name: {k: v.value for k, v in values.items()} for name, values in interfaces.items()}
            for path, interfaces in reply.body[0].items()
        }

    async def connect(self) -> None:
        assert (await self.call(DEVICE, "org.bluez.Device1", "Connect")).message_type.name == "METHOD_RETURN"

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(3):
            while not what():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def world() -> AsyncIterator[tuple[FakeBluez, FakeDevice, Client, list[bytes]]]:
    from dbus_fast.aio import MessageBus

    heard: list[bytes] = []
    with PrivateBus() as address:
        bluez = FakeBluez()
        await bluez.start(address)
        device = FakeDevice(
            "C0:FF:EE:00:00:01", "node", "service-uuid", "notify", "write", heard.append, mtu=100
        )
        bluez.add(device)
        bus = await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()
        client = Client(bus)
        from dbus_fast import Message

        rule = "type='signal',sender='org.bluez'"
        await bus.call(
            Message(
                "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "AddMatch", signature="s", body=[rule]
            )
        )
        try:
            yield bluez, device, client, heard
        finally:
            bus.disconnect()
            await bluez.stop()


def test_the_object_tree_before_and_after_connecting() -> None:
    async def scenario() -> None:
        async with world() as (_, _, client, _):
            before = await client.objects()
            assert set(before) == {ADAPTER_PATH, DEVICE}
            adapter = before[ADAPTER_PATH]["org.bluez.Adapter1"]
            assert adapter["Powered"] is True and "central" in adapter["Roles"]
            seen = before[DEVICE]["org.bluez.Device1"]
            assert (seen["Address"], seen["Name"], seen["Adapter"]) == (
                "C0:FF:EE:00:00:01",
                "node",
                ADAPTER_PATH,
            )
            assert (seen["UUIDs"], seen["RSSI"], seen["Connected"]) == (["service-uuid"], -50, False)
            await client.connect()
            after = await client.objects()
            assert set(after) == {ADAPTER_PATH, DEVICE, SERVICE_PATH, NOTIFY_PATH, WRITE_PATH}
            assert after[SERVICE_PATH]["org.bluez.GattService1"]["UUID"] == "service-uuid"
            notify = after[NOTIFY_PATH][CHARACTERISTIC]
            assert (notify["UUID"], notify["Flags"], notify["MTU"]) == ("notify", ["notify"], 100)
            assert after[WRITE_PATH][CHARACTERISTIC]["Flags"] == ["write-without-response", "write"]
            # Services are announced, and resolved, before Connect is answered.
            await client.until(lambda: (DEVICE, {"ServicesResolved": True}) in client.changed)
            assert client.added[-3:] == [SERVICE_PATH, NOTIFY_PATH, WRITE_PATH]

    asyncio.run(scenario())


def test_notifications_as_signals_and_writes() -> None:
    async def scenario() -> None:
        async with world() as (bluez, device, client, heard):
            await client.connect()
            assert bluez.send(device, b"nobody listens") is False
            await client.call(NOTIFY_PATH, CHARACTERISTIC, "StartNotify")
            assert bluez.send(device, b"\x01\x02") is True
            await client.until(lambda: (NOTIFY_PATH, {"Value": b"\x01\x02"}) in client.changed)
            with pytest.raises(ValueError, match="98 bytes does not fit an MTU of 100"):
                bluez.send(device, bytes(98))
            await client.call(WRITE_PATH, CHARACTERISTIC, "WriteValue", "aya{sv}", b"hello", {})
            assert heard == [b"hello"]
            await client.call(NOTIFY_PATH, CHARACTERISTIC, "StopNotify")
            assert bluez.send(device, b"x") is False

    asyncio.run(scenario())


def test_a_link_that_does_not_keep_up_refuses_and_counts() -> None:
    async def scenario() -> None:
        async with world() as (bluez, device, client, _):
            await client.connect()
            await client.call(NOTIFY_PATH, CHARACTERISTIC, "StartNotify")
            # Without a turn of the loop nothing is acknowledged: 128 go out, the rest is refused.
            assert [bluez.send(device, bytes([k])) for k in range(140)] == [True] * 128 + [False] * 12
            assert bluez.refused == 12
            values = [{"Value": bytes([k])} for k in range(128)]
            await client.until(lambda: [c for p, c in client.changed if p == NOTIFY_PATH][-128:] == values)
            await client.until(lambda: bluez.send(device, b"again"))

    asyncio.run(scenario())


def test_acquire_notify_hands_over_a_socket_of_whole_notifications() -> None:
    async def scenario() -> None:
        async with world() as (bluez, device, client, _):
            await client.connect()
            reply = await client.call(NOTIFY_PATH, CHARACTERISTIC, "AcquireNotify", "a{sv}", {})
            assert reply.signature == "hq" and reply.body == [0, 100]
            with socket.socket(fileno=reply.unix_fds[0]) as theirs:
                theirs.setblocking(False)
                assert bluez.send(device, b"one") and bluez.send(device, b"two")
                assert (theirs.recv(512), theirs.recv(512)) == (b"one", b"two")
                device.silenced = True
                assert bluez.send(device, b"lost without a word") is True
                with pytest.raises(BlockingIOError):
                    theirs.recv(512)
                device.silenced = False
                bluez.drop(device)
                assert theirs.recv(512) == b""  # hung up

    asyncio.run(scenario())


def test_adapter_off_disconnects_forbids_discovery_and_comes_back() -> None:
    async def scenario() -> None:
        async with world() as (bluez, device, client, _):
            await client.connect()
            bluez.power(False)
            await client.until(lambda: (ADAPTER_PATH, {"Powered": False}) in client.changed)
            assert (DEVICE, {"Connected": False, "ServicesResolved": False}) in client.changed
            assert set(client.removed) == {SERVICE_PATH, NOTIFY_PATH, WRITE_PATH}
            assert not device.connected
            refused = await client.call(ADAPTER_PATH, "org.bluez.Adapter1", "StartDiscovery")
            assert refused.error_name == "org.bluez.Error.NotReady"
            refused = await client.call(DEVICE, "org.bluez.Device1", "Connect")
            assert (refused.error_name, refused.body) == ("org.bluez.Error.Failed", ["adapter is off"])
            bluez.power(True)
            client.added.clear()
            await client.call(ADAPTER_PATH, "org.bluez.Adapter1", "StartDiscovery")
            await client.until(lambda: client.added.count(DEVICE) >= 2)  # advertised again and again

    asyncio.run(scenario())


def test_disconnect_and_what_is_not_there() -> None:
    async def scenario() -> None:
        async with world() as (_, device, client, _):
            await client.connect()
            await client.call(DEVICE, "org.bluez.Device1", "Disconnect")
            await client.until(lambda: not device.connected)
            refused = await client.call(NOTIFY_PATH, CHARACTERISTIC, "StartNotify")
            assert refused.body == ["Not connected"]
            unknown = await client.call("/org/bluez/hci7", "org.bluez.Adapter1", "StartDiscovery")
            assert unknown.error_name == "org.freedesktop.DBus.Error.UnknownObject"

    asyncio.run(scenario())


def test_the_bus_dies_under_its_clients() -> None:
    async def scenario() -> None:
        from dbus_fast.aio import MessageBus

        bus = PrivateBus()
        address = bus.__enter__()
        path = address.removeprefix("unix:path=").split(",")[0]
        assert Path(path).exists()
        client = await MessageBus(bus_address=address).connect()
        bus.__exit__()
        with pytest.raises((EOFError, ConnectionError, OSError)):
            async with asyncio.timeout(3):
                await client.wait_for_disconnect()
        assert not Path(path).exists()

    asyncio.run(scenario())
