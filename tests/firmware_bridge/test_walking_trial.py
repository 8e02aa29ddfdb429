"""The whole walking trial from a virtual node to the model's grid: over serial, BLE (fake BlueZ) and bumble's ATT.

Recorded with ``record`` and replayed: the samples are those of the trial byte for byte, the replayed grid is the live one bit
for bit. Without the trial's files the synthetic gait of the same length is played, and the test's name says so. The trial lasts
61 s; it is played 8 times as fast, by a sensor of 8 times the rate (``Programme.faster``), so that stamps and clocks are true.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.items import Item
from firmware_bridge.protocol.packets import Data
from firmware_bridge.simulator import ble_node
from firmware_bridge.simulator.fake_bluez import PrivateBus
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal
from firmware_bridge.simulator.pseudo_terminal import serve as serve_port
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from firmware_bridge.streams.session import Session
from firmware_bridge.tools.record import record
from tests.tools import require, require_package
from toolkit.data import load

TRIAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "opensim_walk36"
DATASET = Path(__file__).resolve().parents[2] / "examples" / "opensim_walk36.toml"
THERE = TRIAL.is_dir() and DATASET.exists()
WHAT = "walking-trial" if THERE else "synthetic-gait-for-want-of-the-trial"
#: 1 plays it in real time: a minute for each way.
SPEED = float(os.environ.get("EDGETOOL_TRIAL_SPEED", "8"))


def programme() -> Programme:
    data = f"{DATASET}:root={TRIAL}" if THERE else "synthetic:people=1,seconds=61,tasks=level"
    return Programme.of(load(data)[0], "trial").faster(SPEED)


class Grid:
    """All samples and all rows that a session gave."""

    def __init__(self) -> None:
        self.session = Session()
        self.samples: list[Data] = []
        self.rows: dict[str, list[tuple[int, bytes, bytes]]] = {}
        #: Samples that have come, by stream number.
        self.heard: dict[int, int] = {}

    def take(self, item: Item) -> None:
        step = self.session.process(item)
        self.samples += [each.packet for each in step.received if isinstance(each.packet, Data)]
        for each in step.received:
            if isinstance(each.packet, Data):
                self.heard[each.packet.stream] = self.heard.get(each.packet.stream, 0) + each.packet.samples
        for name, rows in step.rows.items():
            self.rows.setdefault(name, []).append((rows.first, rows.values.tobytes(), rows.valid.tobytes()))


class Watched(Source):
    """A source whose items a live grid sees on their way to the recorder."""

    def __init__(self, source: Source, live: Grid) -> None:
        super().__init__(source.url)
        self._source, self._live = source, live

    @property
    def links(self) -> tuple[str, ...]:
        return self._source.links

    @property
    def writable(self) -> bool:
        return self._source.writable

    async def open(self) -> None:
        await self._source.open()

    async def close(self) -> None:
        await self._source.close()

    async def write(self, data: bytes, link: int = 0) -> None:
        await self._source.write(data, link)

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for item in self._source:
            self._live.take(item)
            yield item


class Player:
    """A node's link whose time begins when the host says start."""

    def __init__(self, max_frame: int) -> None:
        self.link = VirtualLink(
            VirtualNode(programme(), 3, max_frame=max_frame, streaming=False), keep_sent=True
        )
        self._begun_s: float | None = None

    def clock(self) -> float:
        if self._begun_s is None:
            if not self.link.node.streaming:
                return 0.0
            self._begun_s = time.monotonic()
        return time.monotonic() - self._begun_s

    @property
    def sent(self) -> list[Data]:
        return [each.packet for each in self.link.sent if isinstance(each.packet, Data)]


Serve = Callable[[Player, float], Awaitable[object]]


@asynccontextmanager
async def serial(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int, Serve]]:
    with PseudoTerminal(folder / "port") as terminal:

        async def play(player: Player, seconds: float) -> None:
            await serve_port(terminal, [player.link], player.clock, seconds)

        yield f"serial://{folder}/port", 512, play


@asynccontextmanager
async def fake_bluez(_: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int, Serve]]:
    require("dbus-daemon")
    with PrivateBus() as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)

        async def play(player: Player, seconds: float) -> None:
            await ble_node.serve([player.link], bus, player.clock, seconds)

        yield f"ble://{ble_node.address_of(0)}?scan_s=3", ble_node.MAX_FRAME, play


@asynccontextmanager
async def bumble(_: Path, __: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int, Serve]]:
    require_package("bumble")
    from firmware_bridge.simulator.bumble_air import Air, BumbleNode, on_air
    from firmware_bridge.simulator.bumble_air import serve as serve_air

    air = Air(mtu=247)

    async def play(player: Player, seconds: float) -> None:
        node = BumbleNode(
            air, "C0:ED:6E:00:00:00", "trial", lambda data: player.link.node.hear(data, player.clock())
        )
        await node.start()
        try:
            await serve_air(node, player.link, player.clock, seconds)
        finally:
            assert node.too_long == 0

    async with on_air(air):
        yield "ble://trial?scan_s=3", 244, play


WAYS = {"serial": serial, "fake-bluez": fake_bluez, "bumble": bumble}


@pytest.mark.parametrize("what", [WHAT])
@pytest.mark.parametrize("way", ["serial", pytest.param("fake-bluez", marks=pytest.mark.service), "bumble"])
def test_sent_recorded_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, what: str
) -> None:
    live, out = Grid(), tmp_path / "trial.etl"

    async def run() -> Player:
        async with WAYS[way](tmp_path, monkeypatch) as (url, max_frame, play):
            player, stop = Player(max_frame), asyncio.Event()
            playing = asyncio.ensure_future(play(player, float("inf")))
            recording = asyncio.create_task(record(Watched(open_source(url), live), out, stop=stop))
            rows = {number: len(table) for number, table in player.link.node.programme.tables.items()}
            # It ends when the last row has come, however long this machine takes for it.
            while not (playing.done() or recording.done()) and any(
                live.heard.get(number, 0) < count for number, count in rows.items()
            ):
                await asyncio.sleep(0.02)
            stop.set()
            await asyncio.wait_for(recording, 5)
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            return player

    player = asyncio.run(asyncio.wait_for(run(), 90 + 70 / SPEED))
    balance = live.session.receiver.balance()
    assert balance.delivered == balance.sent and balance.balances
    sent = player.sent
    assert live.samples == sent[: len(live.samples)]
    # What was sent is the trial, every row of it: 6,097 of each stream (and the first few once more, played in a circle).
    node = player.link.node
    for stream in node.programme.descriptor.streams:
        table = node.programme.tables[stream.stream]
        got = np.concatenate([data.values() for data in live.samples if data.stream == stream.stream])
        assert not THERE or len(table) == 6097
        assert len(got) >= len(table) and np.array_equal(got[: len(table)], table)

    replayed = Grid()

    async def again() -> None:
        async with open_source(f"replay://{out}?speed=max") as source:
            async for item in source:
                replayed.take(item)

    asyncio.run(again())
    assert replayed.samples == live.samples
    assert set(live.rows) == {"imu", "emg"} and replayed.rows == live.rows
    valid = np.frombuffer(b"".join(part[2] for part in live.rows["imu"]), np.bool_)
    assert len(valid) > 0.9 * len(node.programme.tables[0])
    print(
        f"{way}: {what}, {balance.delivered} frames, {len(valid)} rows of imu, {valid.mean():.4f} of them measured"
    )
