"""``ble://`` with bleak's unmodified client over the fake org.bluez: loss of any kind, and the gap is in the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from firmware_bridge.items import Chunk, LinkChange
from firmware_bridge.protocol.decoder import Received
from firmware_bridge.protocol.packets import Data
from firmware_bridge.simulator import ble_node
from firmware_bridge.simulator.fake_bluez import FakeBluez, FakeDevice, PrivateBus
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.sources import open_source
from firmware_bridge.sources.ble import NOTIFY, SERVICE, WRITE
from firmware_bridge.sources.host import Host
from firmware_bridge.streams.session import Session
from tests.firmware_bridge.simulator.test_faults import small_programme

pytestmark = pytest.mark.usefixtures("dbus_daemon")
ADDRESS = "C0:FF:EE:00:00:01"


class World:
    """A node behind a fake bluetoothd on a private bus, and the host's session."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.link = VirtualLink(
            VirtualNode(small_programme(), max_frame=244, streaming=False), keep_sent=True
        )
        self.device = FakeDevice(ADDRESS, "edge node", SERVICE, NOTIFY, WRITE, self.heard)
        self.session, self.changes, self.received = Session(), list[bool](), list[Received]()
        self.started = time.monotonic()
        self.bus, self.bluez = PrivateBus(), FakeBluez()

    def heard(self, data: bytes) -> None:
        self.link.node.hear(data, time.monotonic() - self.started)

    async def born(self) -> None:
        self.monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", self.bus.__enter__())
        self.bluez = FakeBluez()
        await self.bluez.start(self.bus.address)
        self.bluez.add(self.device)

    async def died(self) -> None:
        await self.bluez.stop()
        self.bus.__exit__()
        self.device.connected = self.device.notifying = False

    async def play(self) -> None:
        while True:
            for item in self.link.advance(time.monotonic() - self.started):
                if isinstance(item, Chunk):
                    self.bluez.send(self.device, item.data)
            await asyncio.sleep(0.005)

    async def listen(self, source: object) -> None:
        host = Host(source)  # type: ignore[arg-type]
        await host.start()
        async for item in source:  # type: ignore[attr-defined]
            self.received += self.session.process(item).received
            if isinstance(item, LinkChange):
                self.changes.append(item.up)
            await host.heard(item)

    def check(self) -> None:
        """What came is what was sent, each packet once and in order; the ledger's gap is what did not come of it."""
        sent = {(each.boot, each.sequence): each for each in self.link.sent}
        for each in self.received:
            true = sent[each.boot, each.sequence]
            assert each.packet == true.packet and each.device_us == true.device_us
        numbers = [each.sequence for each in self.received]
        assert numbers == sorted(set(numbers))
        frames = {s.sequence: len(s.frames) for s in self.link.sent}
        came = sum(frames[number] for number in numbers)
        balance = self.session.receiver.balance()
        first, last = numbers[0], numbers[-1] + frames[numbers[-1]] - 1
        assert balance.balances and balance.sent >= last - first + 1
        # A message of several frames may have begun to come: its frames count as delivered.
        assert 0 <= balance.delivered - came < 8 and balance.gap == balance.sent - balance.delivered > 0
        assert balance.duplicate == balance.reordered == balance.crc_failed == balance.dropped_in_host == 0

    async def flows(self, more: int = 20) -> float:
        """Seconds until so many more frames have come."""
        begun, goal = time.monotonic(), self.session.receiver.balance().delivered + more
        while self.session.receiver.balance().delivered < goal:
            assert time.monotonic() - begun < 15, "data do not flow"
            await asyncio.sleep(0.01)
        return time.monotonic() - begun


@asynccontextmanager
async def world(monkeypatch: pytest.MonkeyPatch, options: str = "") -> AsyncIterator[World]:
    it = World(monkeypatch)
    await it.born()
    playing = asyncio.create_task(it.play())
    url = f"ble://{ADDRESS}?scan_s=2&silence_s=1{options}"
    try:
        async with open_source(url) as source:
            listening = asyncio.create_task(it.listen(source))
            await it.flows()
            yield it
            listening.cancel()
    finally:
        playing.cancel()
        await it.died()


async def lost(it: World) -> None:
    """Wait until the source has said so."""
    while not it.changes:
        await asyncio.sleep(0.01)


async def peer_hangs_up(it: World) -> None:
    it.bluez.drop(it.device)


async def adapter_off_and_on(it: World) -> None:
    it.bluez.power(False)
    await lost(it)
    it.bluez.power(True)


async def bus_dies_and_comes_back(it: World) -> None:
    await it.died()
    await lost(it)
    await it.born()


async def silence(it: World) -> None:
    it.device.silenced = True
    await lost(it)
    it.device.silenced = False


CAUSES = {
    "peer hangs up": peer_hangs_up,
    "adapter off and on": adapter_off_and_on,
    "bus dies": bus_dies_and_comes_back,
    "silence": silence,
}


@pytest.mark.parametrize("mode", ["start", "acquire"])
@pytest.mark.parametrize("cause", CAUSES)
def test_data_flow_again_within_5_s_and_the_gap_is_known(
    monkeypatch: pytest.MonkeyPatch, cause: str, mode: str
) -> None:
    async def scenario() -> None:
        async with world(monkeypatch, f"&notify={mode}") as it:
            await CAUSES[cause](it)
            took_s = await it.flows()
            balance = it.session.receiver.balance()
            print(f"{cause}, {mode}: data again after {took_s:.2f} s, gap {balance.gap} frames")
            assert took_s < 5.0
            assert it.changes == [False, True]
            it.check()

    asyncio.run(scenario())


def test_node_found_by_name_and_by_service_and_samples_are_those_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(address: str) -> None:
        it = World(monkeypatch)
        await it.born()
        playing = asyncio.create_task(it.play())
        got = []
        async with open_source(f"ble://{address}?scan_s=2") as source:
            await Host(source).start()
            async for item in source:
                got += [p.packet for p in it.session.process(item).received if isinstance(p.packet, Data)]
                if len(got) >= 40:
                    break
        playing.cancel()
        await it.died()
        sent = [each.packet for each in it.link.sent if isinstance(each.packet, Data)]
        assert got == sent[sent.index(got[0]) :][: len(got)]

    for address in ("edge node", "any"):
        asyncio.run(scenario(address))


def test_the_fault_silent_s_lasts_until_the_host_connects_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``edgetool simulate --ble --fault silent_s=1`` acts it out. The watchdog waits for longer than a silence of 2 s."""

    async def scenario() -> None:
        node = VirtualNode(small_programme(), faults=Faults(silent_s=1.0), max_frame=244, streaming=False)
        session, changes = Session(), list[LinkChange]()
        begun_s = time.monotonic()
        with PrivateBus() as address:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            ready = asyncio.Event()
            playing = asyncio.create_task(
                ble_node.serve(
                    [VirtualLink(node)], address, lambda: time.monotonic() - begun_s, 30, ready.set
                )
            )
            await ready.wait()
            async with asyncio.timeout(15), open_source("ble://any?scan_s=2&silence_s=2.6") as source:
                host, back = Host(source), 0
                await host.start()
                async for item in source:
                    session.process(item)
                    await host.heard(item)
                    delivered = session.receiver.balance().delivered
                    if isinstance(item, LinkChange):
                        changes.append(item)
                        back = delivered
                    if len(changes) == 2 and delivered > back + 20:
                        break
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        assert [change.up for change in changes] == [False, True]
        assert changes[0].reason == "no data from any for 2.6 s"
        balance = session.receiver.balance()
        # 100 data packets a second, and 2.6 s of them at least.
        assert balance.balances and balance.gap > 200 and balance.reboots == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("address", [ADDRESS, "edge node", "any"])
def test_a_connection_that_a_killed_program_left_behind_is_taken_over(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Such a node does not advertise, so a scan would never find it."""

    async def scenario() -> None:
        it = World(monkeypatch)
        it.device.connected = it.device.notifying = True
        await it.born()
        playing = asyncio.create_task(it.play())
        async with asyncio.timeout(10), open_source(f"ble://{address}?scan_s=1") as source:
            listening = asyncio.create_task(it.listen(source))
            await it.flows()
            listening.cancel()
            assert not it.changes
        assert not it.device.connected  # and it is let go of in the end
        playing.cancel()
        await it.died()

    asyncio.run(scenario())


def test_a_connection_left_behind_that_is_dead_is_ended_and_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        it = World(monkeypatch)
        it.device.connected = it.device.notifying = it.device.silenced = True

        def connected(now: bool) -> None:
            it.device.silenced = it.device.silenced and now  # a hang-up revives it

        it.device.on_connected = connected
        await it.born()
        playing = asyncio.create_task(it.play())
        async with asyncio.timeout(10), open_source("ble://any?scan_s=1&silence_s=0.5") as source:
            listening = asyncio.create_task(it.listen(source))
            await it.flows()
            listening.cancel()
            assert it.changes == [False, True]
        playing.cancel()
        await it.died()

    asyncio.run(scenario())
