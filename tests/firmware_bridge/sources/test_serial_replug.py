"""A USB adapter pulled out and plugged in again under another name, while another one takes its old name.

Pseudo-terminals stand in for the ports, a folder of links for /dev/serial/by-id.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_bridge.items import LinkChange
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal, serve
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.sources import serial_port
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.sources.host import Host
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import Session
from tests.firmware_bridge.simulator.test_faults import small_programme

OURS, OTHER = 4, 9
NAME = "usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"


def link_of(node: int) -> VirtualLink:
    return VirtualLink(VirtualNode(small_programme(), node))


def counted_tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is looked for, each time that it is."""
    tries: list[str] = []
    real = serial_port.path_of

    def path_of(identity: str) -> str | None:
        tries.append(identity)
        return real(identity)

    monkeypatch.setattr(serial_port, "path_of", path_of)
    return tries


@pytest.mark.parametrize("opened", ["ttyUSB0", f"by-id/{NAME}"])
def test_found_under_another_name_and_the_one_with_the_old_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    tries = counted_tries(monkeypatch)
    session, changes = Session(), list[LinkChange]()
    ours, other, begun_s = link_of(OURS), link_of(OTHER), time.monotonic()

    def clock() -> float:
        return time.monotonic() - begun_s

    async def listen() -> None:
        url = f"serial://{tmp_path}/{opened}?reconnect_s=0.01"
        async with serial_port.SerialSource(SourceUrl.parse(url), by_id) as source:
            host = Host(source)
            async for item in source:
                session.process(item)
                await host.heard(item)
                if isinstance(item, LinkChange):
                    changes.append(item)

    async def delivered(more: int) -> None:
        goal = session.receiver.balance().delivered + more
        while session.receiver.balance().delivered < goal:
            await asyncio.sleep(0.005)

    async def scenario() -> None:
        with PseudoTerminal(tmp_path / "ttyUSB0") as port:
            (by_id / NAME).symlink_to("../ttyUSB0")
            playing = asyncio.create_task(serve(port, [ours], clock))
            listening = asyncio.create_task(listen())
            await delivered(30)
            playing.cancel()
        (by_id / NAME).unlink()  # udev takes the link away with the port
        with PseudoTerminal(tmp_path / "ttyUSB0") as decoy:
            (by_id / "usb-Other_Board_0001-if00").symlink_to("../ttyUSB0")
            playing = asyncio.create_task(serve(decoy, [other], clock))
            while not changes:
                await asyncio.sleep(0.005)
            goal = len(tries) + 20
            while len(tries) < goal:
                await asyncio.sleep(0.005)
            assert [change.up for change in changes] == [False]
            ours.advance(clock())  # what it measured meanwhile is lost
            with PseudoTerminal(tmp_path / "ttyUSB1") as port:
                (by_id / NAME).symlink_to("../ttyUSB1")
                again = asyncio.create_task(serve(port, [ours], clock))
                await delivered(30)
                again.cancel()
                listening.cancel()
            playing.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 15))
    assert [change.up for change in changes] == [False, True]
    (decoder,) = session.receiver.links.values()
    assert set(decoder.nodes) == {OURS}
    balance = decoder.nodes[OURS].balance()
    assert balance.balances and balance.gap > 10 and balance.reboots == 0
    assert NodeKey(0, OTHER) not in session.receiver.descriptors


@dataclass
class Port:
    """What pyserial lists of a port."""

    device: str
    vid: int
    pid: int
    serial_number: str | None


def test_where_there_are_no_links_the_serial_number_names_the_adapter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ports = [Port("/dev/cu.a", 0x0403, 0x6001, "A5"), Port("/dev/cu.b", 0x0403, 0x6001, None)]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    identity = serial_port.identity_of("/dev/cu.a", tmp_path / "none")
    assert identity == "1027:24577:A5"  # 0x0403 : 0x6001
    assert serial_port.identity_of("/dev/cu.b", tmp_path / "none") is None
    ports[0].device = "/dev/cu.c"
    assert serial_port.path_of(identity) == "/dev/cu.c"
    del ports[0]
    assert serial_port.path_of(identity) is None
