"""Virtual nodes over a pseudo-terminal, recorded and replayed: what was sent comes out, and the grid is the live one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np

from firmware_bridge.items import Chunk, LinkChange
from firmware_bridge.protocol.packets import Data
from firmware_bridge.recording.file import RecordingReader, RecordingWriter
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal, serve
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from firmware_bridge.sources import open_source
from firmware_bridge.sources.host import Host
from firmware_bridge.streams.session import Session
from toolkit.data import load


def played() -> Programme:
    """Four seconds of synthetic gait, EMG in 24 bit. The walking trial is in tests/firmware_bridge/test_walking_trial.py."""
    return Programme.of(load("synthetic:people=1,seconds=4,tasks=level")[0], "synthetic", 24)


class Grid:
    """All rows a session gave, joined."""

    def __init__(self) -> None:
        self.session = Session()
        self.parts: dict[str, list[tuple[int, bytes, bytes]]] = {}
        self.samples: list[Data] = []

    def take(self, item: object) -> None:
        step = self.session.process(item)  # type: ignore[arg-type]
        self.samples += [each.packet for each in step.received if isinstance(each.packet, Data)]
        for name, rows in step.rows.items():
            self.parts.setdefault(name, []).append((rows.first, rows.values.tobytes(), rows.valid.tobytes()))


def test_recorded_over_a_pty_and_replayed_equals_what_was_sent(tmp_path: Path) -> None:
    link = VirtualLink(VirtualNode(played(), 3, streaming=False), keep_sent=True)
    live, recording = Grid(), tmp_path / "trial.etl"

    async def run() -> None:
        with PseudoTerminal(tmp_path / "port") as terminal:
            source = open_source(f"serial://{tmp_path}/port")
            started = time.monotonic()
            playing = asyncio.create_task(serve(terminal, [link], lambda: time.monotonic() - started, 4.0))
            async with source:
                writer = RecordingWriter(recording, source.links, 0, time.monotonic_ns())
                host = Host(source)
                await host.start()
                reading = asyncio.create_task(read(source, writer))
                while not playing.done():
                    await host.sync()
                    await asyncio.wait({playing}, timeout=0.5)
                await playing
                # The last frames may still be in the port when the node stops.
                await asyncio.wait_for(arrived(), 20)
                await source.close()
                await reading
                writer.close(live.session.receiver.ledger())

    async def arrived() -> None:
        while len(live.samples) < sum(isinstance(each.packet, Data) for each in link.sent) - 2:
            await asyncio.sleep(0.005)

    async def read(source: object, writer: RecordingWriter) -> None:
        async for item in source:  # type: ignore[attr-defined]
            writer.append(item, time.monotonic_ns())
            live.take(item)

    asyncio.run(run())
    sent = [each.packet for each in link.sent if isinstance(each.packet, Data)]
    assert len(sent) > 300
    # The last frames may still have been on their way when the node stopped.
    assert live.samples == sent[: len(live.samples)] and len(sent) - len(live.samples) <= 2
    assert live.session.receiver.balance().delivered == live.session.receiver.balance().sent
    assert set(live.parts) == {"imu", "emg"}

    again = Grid()
    for item in RecordingReader.open(recording).items():
        if isinstance(item, Chunk | LinkChange):
            again.take(item)
    assert again.samples == live.samples
    assert again.parts == live.parts
    valid = np.frombuffer(b"".join(part[2] for part in live.parts["emg"]), np.bool_)
    emg = next(iter(live.session.receiver.descriptors.values())).streams[1]
    assert emg.name == "emg" and len(valid) > 3.0 * emg.rate_hz and valid[1:].all()


def test_unplugged_and_plugged_in_again_goes_on_and_the_gap_is_known(tmp_path: Path) -> None:
    node = VirtualNode(played())
    link, session = VirtualLink(node), Session()
    changes: list[bool] = []

    async def run() -> None:
        async with open_source(f"serial://{tmp_path}/port?reconnect_s=0.01") as source:
            async for item in source:
                session.process(item)
                if isinstance(item, LinkChange):
                    changes.append(item.up)
                if changes == [False, True] and session.receiver.balance().delivered > delivered[0] + 20:
                    return

    async def scenario() -> None:
        started = time.monotonic()
        with PseudoTerminal(tmp_path / "port") as terminal:
            task = asyncio.create_task(run())
            await serve(terminal, [link], lambda: time.monotonic() - started, 0.5)
        delivered[0] = session.receiver.balance().delivered
        assert delivered[0] > 20
        # The port is gone for a while; the node measures on and nothing of it arrives.
        while not changes:
            await asyncio.sleep(0.005)
        link.advance(1.0)
        with PseudoTerminal(tmp_path / "port") as terminal:
            playing = asyncio.create_task(
                serve(terminal, [link], lambda: 1.0 + time.monotonic() - started, 20.0)
            )
            await asyncio.wait_for(task, 10)
            playing.cancel()

    delivered = [0]
    asyncio.run(scenario())
    balance = session.receiver.balance()
    assert changes == [False, True]
    assert balance.balances and balance.gap > 10
