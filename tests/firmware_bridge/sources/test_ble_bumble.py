"""Frames over a real ATT and GATT stack (bumble, in process): the negotiated MTU holds, and samples are those sent.

First with bumble at both ends, then with bleak's unmodified client over bumble: the ``ble://`` source as users run it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from firmware_bridge.items import Chunk, LinkChange
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import Command, Data
from firmware_bridge.protocol.table import ANY_NODE, CommandCode
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from firmware_bridge.sources.ble import NOTIFY, SERVICE, WRITE
from firmware_bridge.sources.host import Host
from firmware_bridge.streams.session import Session
from tests.firmware_bridge.simulator.test_faults import small_programme
from tests.tools import require_package
from toolkit.errors import LinkError

require_package("bumble")


@pytest.mark.parametrize("mtu", [67, 247])
def test_samples_over_att_with_a_negotiated_mtu(mtu: int) -> None:
    asyncio.run(asyncio.wait_for(scenario(mtu), 30))


async def scenario(mtu: int) -> None:
    from bumble.controller import Controller
    from bumble.device import Device, Peer
    from bumble.gatt import Characteristic, CharacteristicValue, Service
    from bumble.hci import Address
    from bumble.host import Host
    from bumble.link import LocalLink
    from bumble.transport.common import AsyncPipeSink

    link = LocalLink()
    devices = []
    for index in (1, 2):
        controller = Controller(f"C{index}", link=link)
        host = Host(controller, AsyncPipeSink(controller))
        devices.append(Device(address=Address(f"F{index}:F1:F2:F3:F4:F5"), host=host))
    peripheral, central = devices
    node = VirtualNode(small_programme(), max_frame=mtu - 3, streaming=False)
    heard: list[bytes] = []
    notify = Characteristic(NOTIFY, Characteristic.Properties.NOTIFY, Characteristic.READABLE, b"")
    write = Characteristic(
        WRITE,
        Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
        Characteristic.WRITEABLE,
        CharacteristicValue(write=lambda _, value: heard.append(bytes(value))),
    )
    peripheral.add_service(Service(SERVICE, [notify, write]))
    await peripheral.power_on()
    await central.power_on()
    peripheral.advertising_interval_min = 20
    await peripheral.start_advertising(auto_restart=False)
    peer = Peer(await central.connect(peripheral.random_address))
    assert await peer.request_mtu(mtu) == mtu
    await peer.discover_services()
    await peer.discover_characteristics()
    chunks: list[bytes] = []
    await peer.subscribe(
        peer.get_characteristics_by_uuid(notify.uuid)[0], lambda value: chunks.append(bytes(value))
    )
    start = FrameWriter(ANY_NODE, 1, 64).frames(Command(CommandCode.START), 0)[0]
    await peer.write_value(peer.get_characteristics_by_uuid(write.uuid)[0], start, with_response=False)
    while not heard:
        await asyncio.sleep(0.01)
    node.hear(heard[0], 0.0)
    sent = node.advance(1.0)
    frames = [frame for each in sent for frame in each.frames]
    for frame in frames:
        await peripheral.notify_subscribers(notify, frame)
    while len(chunks) < len(frames):
        await asyncio.sleep(0.01)
    assert chunks == frames and max(map(len, chunks)) <= mtu - 3
    session, got = Session(), []
    for place, chunk in enumerate(chunks):
        step = session.process(Chunk(0, place, chunk))
        got += [each.packet for each in step.received if isinstance(each.packet, Data)]
    assert got == [each.packet for each in sent if isinstance(each.packet, Data)] and len(got) > 90
    assert session.receiver.balance().delivered == len(frames)


class World:
    """A node behind bumble, and the session of a host that hears it through bleak."""

    def __init__(self, mtu: int) -> None:
        from firmware_bridge.simulator.bumble_air import Air, BumbleNode

        node = VirtualNode(small_programme(), max_frame=mtu - 3, streaming=False)
        self.link = VirtualLink(node, keep_sent=True)
        self.air = Air(mtu)
        self._begun_s = time.monotonic()
        self.node = BumbleNode(
            self.air, "C0:ED:6E:00:00:01", "edge node", lambda data: self.link.node.hear(data, self.clock())
        )
        self.session, self.changes, self.got = Session(), list[LinkChange](), list[Data]()
        self.longest = 0

    def clock(self) -> float:
        return time.monotonic() - self._begun_s

    async def listen(self, source: Source) -> None:
        host = Host(source)
        await host.start()
        async for item in source:
            step = self.session.process(item)
            self.got += [each.packet for each in step.received if isinstance(each.packet, Data)]
            if isinstance(item, LinkChange):
                self.changes.append(item)
            else:
                self.longest = max(self.longest, len(item.data))
            await host.heard(item)

    async def flows(self, more: int = 50) -> float:
        """Seconds until so many more frames have come."""
        begun_s, goal = time.monotonic(), self.session.receiver.balance().delivered + more
        while self.session.receiver.balance().delivered < goal:
            assert time.monotonic() - begun_s < 15, "data do not flow"
            await asyncio.sleep(0.01)
        return time.monotonic() - begun_s


@asynccontextmanager
async def world(mtu: int, address: str = "edge node") -> AsyncIterator[tuple[World, Source]]:
    from firmware_bridge.simulator.bumble_air import on_air, serve

    it = World(mtu)
    await it.node.start()
    playing = asyncio.create_task(serve(it.node, it.link, it.clock))
    async with on_air(it.air), open_source(f"ble://{address}?scan_s=2&silence_s=1") as source:
        listening = asyncio.create_task(it.listen(source))
        await it.flows()
        yield it, source
        listening.cancel()
    playing.cancel()


@pytest.mark.parametrize("mtu", [67, 247])
@pytest.mark.parametrize("address", ["edge node", "any", "C0:ED:6E:00:00:01"])
def test_bleaks_client_hears_what_was_sent_in_frames_of_the_negotiated_mtu(mtu: int, address: str) -> None:
    async def run() -> None:
        async with world(mtu, address) as (it, source):
            assert source.facts == {"att_mtu": mtu}
            await it.flows()
            sent = [each.packet for each in it.link.sent if isinstance(each.packet, Data)]
            assert it.got == sent[: len(it.got)] and len(it.got) > 50
            assert it.node.too_long == 0
            # The descriptor of two streams is longer than a frame at MTU 67, so the largest frame occurs there.
            assert it.longest <= mtu - 3 and (mtu > 67 or it.longest == 64)
            balance = it.session.receiver.balance()
            assert balance.delivered == balance.sent

    asyncio.run(asyncio.wait_for(run(), 30))


async def peer_hangs_up(it: World) -> None:
    await it.node.drop()


async def silence(it: World) -> None:
    it.node.silenced = True
    while not it.changes:
        await asyncio.sleep(0.01)
    it.node.silenced = False


CAUSES: dict[str, tuple[Callable[[World], Awaitable[None]], str]] = {
    "peer hangs up": (peer_hangs_up, "edge node was disconnected"),
    "silence": (silence, "no data from edge node for 1 s"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_lost_link_is_found_again_and_the_gap_is_in_the_ledger(cause: str) -> None:
    async def run() -> None:
        async with world(247) as (it, _):
            act, reason = CAUSES[cause]
            await act(it)
            assert await it.flows() < 5.0
            assert [change.up for change in it.changes] == [False, True] and it.changes[0].reason == reason
            balance = it.session.receiver.balance()
            assert balance.balances and balance.gap > 0
            numbers = {s.sequence + part for s in it.link.sent for part in range(len(s.frames))}
            assert balance.sent <= len(numbers) and balance.delivered == balance.sent - balance.gap

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_node_that_is_not_there_is_one_line() -> None:
    async def run() -> None:
        from firmware_bridge.simulator.bumble_air import Air, on_air

        async with on_air(Air()):
            with pytest.raises(LinkError, match="no BLE node 'nobody' was seen"):
                async with open_source("ble://nobody?scan_s=0.3"):
                    pass

    asyncio.run(run())
