"""Frames over a real ATT and GATT stack (bumble, in process): the negotiated MTU holds, and samples are those sent."""

from __future__ import annotations

import asyncio

import pytest

from firmware_bridge.framing import FrameWriter
from firmware_bridge.packets import Command, Data
from firmware_bridge.protocol_table import ANY_NODE, CommandCode
from firmware_bridge.session import Session
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.sources.base import Chunk
from firmware_bridge.sources.ble import NOTIFY, SERVICE, WRITE
from tests.integration.test_simulator_faults import small_programme

pytest.importorskip("bumble", reason="bumble is not installed: no ATT stack to test with")


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
        step = session.take(Chunk(0, place, chunk))
        got += [each.packet for each in step.received if isinstance(each.packet, Data)]
    assert got == [each.packet for each in sent if isinstance(each.packet, Data)] and len(got) > 90
    assert session.receiver.balance().delivered == len(frames)
