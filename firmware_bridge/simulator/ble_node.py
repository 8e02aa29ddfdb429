"""Virtual nodes over BLE without a radio: a private bus, the fake org.bluez, one device a node."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from firmware_bridge.items import Chunk, LinkChange
from firmware_bridge.simulator.fake_bluez import FakeBluez, FakeDevice
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.sources.ble import NOTIFY, SERVICE, WRITE

#: What a notification carries at the MTU of 247 that radios commonly agree on.
MAX_FRAME = 244
_TICK_S = 0.005
#: Notifications that wait in a node while its link is full; the oldest are lost beyond that.
_WAITING = 512


def address_of(index: int) -> str:
    """The random static address of the simulated node of that index."""
    return f"C0:ED:6E:00:00:{index:02X}"


async def serve(
    links: list[VirtualLink],
    bus_address: str,
    clock: Callable[[], float],
    seconds: float = float("inf"),
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Advertise and play ``links`` on the bus until ``clock`` (s, from 0) passes ``seconds``; ``ready`` is called once seen.

    The fault ``silent_s`` kills the notifications without a word, and only a new connection brings them back;
    ``link_loss_s`` hangs up.
    """
    bluez = FakeBluez()
    await bluez.start(bus_address)
    devices = [_device(link, index, clock) for index, link in enumerate(links)]
    waiting = [deque[bytes](maxlen=_WAITING) for _ in links]
    silent = [link.node.faults.silent_s or float("inf") for link in links]
    for link, device in zip(links, devices, strict=True):
        link.silent_for_s = 0.0
        bluez.add(device)
    ready()
    try:
        while (now_s := clock()) < seconds:
            for index, (link, device) in enumerate(zip(links, devices, strict=True)):
                if now_s >= silent[index]:
                    device.silenced, silent[index] = True, float("inf")
                for item in link.advance(now_s):
                    if isinstance(item, Chunk):
                        waiting[index].append(item.data)
                    elif isinstance(item, LinkChange) and not item.up:
                        bluez.drop(device)
                _send(bluez, device, waiting[index])
            await asyncio.sleep(_TICK_S)
    finally:
        await bluez.stop()


def _send(bluez: FakeBluez, device: FakeDevice, waiting: deque[bytes]) -> None:
    """Notify what waits until the link is full; what nobody listens to is lost, as on air."""
    while waiting:
        if device.connected and device.notifying and not bluez.send(device, waiting[0]):
            return
        waiting.popleft()


def _device(link: VirtualLink, index: int, clock: Callable[[], float]) -> FakeDevice:
    name = link.node.programme.descriptor.name
    device = FakeDevice(
        address_of(index), name, SERVICE, NOTIFY, WRITE, lambda data: link.node.hear(data, clock())
    )

    def connected(now: bool) -> None:
        device.silenced = device.silenced and not now

    device.on_connected = connected
    return device
