"""An org.bluez on a private D-Bus, so that bleak's unmodified client finds, connects to and hears a node without a radio.

It covers what bleak asks of bluetoothd for a GATT client: the object tree (adapter, device, service, two characteristics),
discovery, connection, notification by StartNotify and by AcquireNotify, writing. It does not cover radio, kernel, bluetoothd,
ATT or the exchange of the MTU (tests/firmware_bridge/sources/test_ble_bumble.py sends the frames over a real ATT stack).

The object layout follows BlueZ's doc/org.bluez.*.rst. Start a private bus with :class:`PrivateBus` and point
``DBUS_SYSTEM_BUS_ADDRESS`` at it before bleak connects.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import LinkError, MissingDependencyError

ADAPTER_PATH = "/org/bluez/hci0"
_ADAPTER = "org.bluez.Adapter1"
_DEVICE = "org.bluez.Device1"
_SERVICE = "org.bluez.GattService1"
_CHARACTERISTIC = "org.bluez.GattCharacteristic1"
_OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES = "org.freedesktop.DBus.Properties"

#: Notifications that the bus daemon has not acknowledged; more are refused, as a radio's buffer would. dbus-fast closes the
#: bus when its socket is full, so the daemon is asked for a reply every _ACKNOWLEDGE notifications.
_SEND_LIMIT = 128
_ACKNOWLEDGE = 32
#: An advertisement is repeated this often: a scanner that starts between two must not miss the node.
_ADVERTISE_S = 0.1

Interfaces = dict[str, dict[str, Any]]


class PrivateBus:
    """A dbus-daemon of its own: ``with PrivateBus() as address`` gives the address to put into DBUS_SYSTEM_BUS_ADDRESS."""

    _CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>"""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> str:
        program = shutil.which("dbus-daemon")
        if program is None:
            raise MissingDependencyError("simulating BLE needs dbus-daemon; install Debian's package dbus")
        self._folder = tempfile.mkdtemp(prefix="edgetool-bus-")
        path = Path(self._folder) / "bus"
        config = Path(self._folder) / "bus.conf"
        config.write_text(self._CONFIG.format(path=path))
        self._process = subprocess.Popen(
            [program, "--nofork", f"--config-file={config}", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().decode().strip()
        if not self.address:
            self.__exit__()
            raise LinkError("dbus-daemon did not start; run it by hand to see why")
        return self.address

    def __exit__(self, *_: object) -> None:
        """Ends the daemon: every client sees its bus die."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


@dataclass
class FakeDevice:
    """One node behind the fake adapter. ``on_write`` gets the host's bytes, ``on_connected`` the state of the connection."""

    address: str
    name: str
    service: str
    notify: str
    write: str
    on_write: Callable[[bytes], None]
    on_connected: Callable[[bool], None] = lambda connected: None
    mtu: int = 247
    rssi: int = -50
    connected: bool = False
    notifying: bool = False
    #: Set: the node believes that it notifies, the host hears nothing, and nobody reports an error.
    silenced: bool = False
    _notify_socket: socket.socket | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The device's object path."""
        return f"{ADAPTER_PATH}/dev_{self.address.replace(':', '_')}"

    @property
    def notify_path(self) -> str:
        """The notifying characteristic's object path."""
        return f"{self.path}/service000a/char000b"

    @property
    def write_path(self) -> str:
        """The writable characteristic's object path."""
        return f"{self.path}/service000a/char000d"

    def device_objects(self) -> dict[str, Interfaces]:
        """The objects that stand while the node is only seen, with plain values."""
        return {
            self.path: {
                _DEVICE: {
                    "Address": self.address,
                    "AddressType": "random",
                    "Alias": self.name,
                    "Name": self.name,
                    "Adapter": ("o", ADAPTER_PATH),
                    "RSSI": ("n", self.rssi),
                    "UUIDs": [self.service],
                    "Paired": False,
                    "Bonded": False,
                    "Trusted": False,
                    "Blocked": False,
                    "LegacyPairing": False,
                    "Connected": self.connected,
                    "ServicesResolved": self.connected,
                }
            }
        }

    def service_objects(self) -> dict[str, Interfaces]:
        """The objects that a connection adds."""
        service_path = f"{self.path}/service000a"

        def characteristic(uuid: str, flags: list[str]) -> Interfaces:
            values = {
                "UUID": uuid,
                "Service": ("o", service_path),
                "Flags": flags,
                "Notifying": False,
                "NotifyAcquired": False,
                "MTU": ("q", self.mtu),
            }
            return {_CHARACTERISTIC: values}

        return {
            service_path: {_SERVICE: {"UUID": self.service, "Device": ("o", self.path), "Primary": True}},
            self.notify_path: characteristic(self.notify, ["notify"]),
            self.write_path: characteristic(self.write, ["write-without-response", "write"]),
        }


class FakeBluez:
    """Serves the object tree on a bus and moves bytes between bleak and the nodes."""

    def __init__(self) -> None:
        self._bus: Any = None
        self._devices: dict[str, FakeDevice] = {}
        self._discovering = False
        self._powered = True
        self._advertiser: asyncio.Task[None] | None = None
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        #: Notifications refused because the bus did not keep up.
        self.refused = 0

    async def start(self, bus_address: str) -> None:
        """Own org.bluez on the bus at ``bus_address``."""
        from dbus_fast.aio import MessageBus

        self._bus = await MessageBus(bus_address=bus_address, negotiate_unix_fd=True).connect()
        self._bus.add_message_handler(self._handle)
        await self._bus.request_name("org.bluez")
        self._advertiser = asyncio.create_task(self._advertise())

    async def stop(self) -> None:
        """Leave the bus, as bluetoothd does when it dies."""
        if self._advertiser is not None:
            self._advertiser.cancel()
        for task in self._tasks:
            task.cancel()
        for device in self._devices.values():
            self._close_socket(device)
        if self._bus is not None:
            self._bus.disconnect()

    def add(self, device: FakeDevice) -> None:
        """Let a node advertise."""
        self._devices[device.path] = device

    def send(self, device: FakeDevice, data: bytes) -> bool:
        """Notify ``data`` (at most MTU - 3 bytes); False if nobody listens or the link is full."""
        if len(data) > device.mtu - 3:
            raise ValueError(f"a notification of {len(data)} bytes does not fit an MTU of {device.mtu}")
        if not (device.connected and device.notifying):
            return False
        if device.silenced:
            return True
        if device._notify_socket is not None:
            try:
                device._notify_socket.send(data)
            except (BlockingIOError, OSError):
                self.refused += 1
                return False
            return True
        if self._in_flight >= _SEND_LIMIT:
            self.refused += 1
            return False
        self._in_flight += 1
        self._changed(device.notify_path, _CHARACTERISTIC, {"Value": ("ay", data)})
        if self._in_flight % _ACKNOWLEDGE == 0:
            task = asyncio.create_task(self._acknowledge(self._in_flight))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def _acknowledge(self, sent: int) -> None:
        """Ask the bus daemon for a reply: it has then read all that was sent before."""
        from dbus_fast import Message

        peer = "org.freedesktop.DBus"
        await self._bus.call(Message(peer, "/org/freedesktop/DBus", f"{peer}.Peer", "Ping"))
        self._in_flight = max(0, self._in_flight - min(sent, _ACKNOWLEDGE))

    def drop(self, device: FakeDevice) -> None:
        """The connection is lost: out of reach, flat battery, or the peer hung up."""
        if not device.connected:
            return
        device.connected = device.notifying = False
        self._close_socket(device)
        self._changed(device.path, _DEVICE, {"Connected": False, "ServicesResolved": False})
        for path, interfaces in device.service_objects().items():
            self._signal("/", _OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)])
        device.on_connected(False)

    def power(self, on: bool) -> None:
        """Switch the adapter, as rfkill or an unplugged dongle does."""
        self._powered = on
        if not on:
            for device in self._devices.values():
                self.drop(device)
        self._changed(ADAPTER_PATH, _ADAPTER, {"Powered": on})

    # -- what bleak calls ------------------------------------------------------------------------------------------

    def _handle(self, message: Any) -> Any:
        from dbus_fast import Message, MessageType

        if message.message_type is not MessageType.METHOD_CALL:
            return None
        device = next((d for p, d in self._devices.items() if message.path.startswith(p)), None)
        answer = self._answer(message, device)
        if answer is None:
            name = "org.freedesktop.DBus.Error.UnknownObject"
            return Message.new_error(
                message, name, f"no {message.interface}.{message.member} at {message.path}"
            )
        if isinstance(answer, str):
            return Message.new_error(message, "org.bluez.Error.Failed", answer)
        return answer

    def _answer(self, message: Any, device: FakeDevice | None) -> Any:
        from dbus_fast import Message

        member = message.member
        if member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects()])
        if message.path == ADAPTER_PATH and member in (
            "StartDiscovery",
            "StopDiscovery",
            "SetDiscoveryFilter",
        ):
            return self._discovery(message)
        if device is None:
            return None
        if member == "Connect":
            return self._connect(message, device)
        if member == "Disconnect":
            asyncio.get_running_loop().call_soon(self.drop, device)
            return Message.new_method_return(message)
        if message.interface == _CHARACTERISTIC:
            return self._characteristic(message, device)
        return None

    def _discovery(self, message: Any) -> Any:
        from dbus_fast import Message

        if message.member != "SetDiscoveryFilter":
            if not self._powered:
                return Message.new_error(message, "org.bluez.Error.NotReady", "Resource Not Ready")
            self._discovering = message.member == "StartDiscovery"
            self._changed(ADAPTER_PATH, _ADAPTER, {"Discovering": self._discovering})
        return Message.new_method_return(message)

    def _connect(self, message: Any, device: FakeDevice) -> Any:
        from dbus_fast import Message

        if not self._powered:
            return "adapter is off"

        # In this order: BlueZ answers Connect only when the services are resolved.
        device.connected = True
        self._changed(device.path, _DEVICE, {"Connected": True})
        for path, interfaces in device.service_objects().items():
            self._added(path, interfaces)
        self._changed(device.path, _DEVICE, {"ServicesResolved": True})
        device.on_connected(True)
        return Message.new_method_return(message)

    def _characteristic(self, message: Any, device: FakeDevice) -> Any:
        from dbus_fast import Message

        if not device.connected:
            return "Not connected"
        if message.member == "WriteValue" and message.path == device.write_path:
            device.on_write(bytes(message.body[0]))
            return Message.new_method_return(message)
        if message.path != device.notify_path:
            return None
        if message.member == "StartNotify":
            device.notifying = True
            self._changed(device.notify_path, _CHARACTERISTIC, {"Notifying": True})
            return Message.new_method_return(message)
        if message.member == "AcquireNotify":
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            device._notify_socket, device.notifying = ours, True
            handle = theirs.detach()
            asyncio.get_running_loop().call_later(1.0, os.close, handle)  # the bus has sent its copy by then
            return Message.new_method_return(message, "hq", [0, device.mtu], unix_fds=[handle])
        if message.member == "StopNotify":
            device.notifying = False
            self._close_socket(device)
            return Message.new_method_return(message)
        return None

    # -- what the daemon says by itself -----------------------------------------------------------------------------

    async def _advertise(self) -> None:
        while True:
            await asyncio.sleep(_ADVERTISE_S)
            if not (self._discovering and self._powered):
                continue
            for device in self._devices.values():
                if not device.connected:
                    for path, interfaces in device.device_objects().items():
                        self._added(path, interfaces)
                    self._changed(device.path, _DEVICE, {"RSSI": ("n", device.rssi)})

    def _objects(self) -> dict[str, Any]:
        adapter = {
            "Address": "00:00:00:00:00:01",
            "Name": "edgetool",
            "Alias": "edgetool",
            "Powered": self._powered,
            "Discovering": self._discovering,
            "Roles": ["central"],
            "UUIDs": [],
        }
        objects: dict[str, Interfaces] = {ADAPTER_PATH: {_ADAPTER: adapter}}
        for device in self._devices.values():
            objects.update(device.device_objects())
            if device.connected:
                objects.update(device.service_objects())
        return {path: _variants_of(interfaces) for path, interfaces in objects.items()}

    def _added(self, path: str, interfaces: Interfaces) -> None:
        self._signal("/", _OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, _variants_of(interfaces)])

    def _changed(self, path: str, interface: str, values: dict[str, Any]) -> None:
        self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, _variants(values), []])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        from dbus_fast import Message

        self._bus.send(Message.new_signal(path, interface, member, signature, body))

    @staticmethod
    def _close_socket(device: FakeDevice) -> None:
        if device._notify_socket is not None:
            device._notify_socket.close()
            device._notify_socket = None


def _variants_of(interfaces: Interfaces) -> dict[str, Any]:
    return {name: _variants(values) for name, values in interfaces.items()}


def _variants(values: dict[str, Any]) -> dict[str, Any]:
    """D-Bus variants of plain values; a pair names its signature."""
    from dbus_fast import Variant

    def variant(value: Any) -> Any:
        if isinstance(value, tuple):
            return Variant(*value)
        if isinstance(value, bool):
            return Variant("b", value)
        return Variant("as" if isinstance(value, list) else "s", value)

    return {name: variant(value) for name, value in values.items()}
