"""What every source must do, run on all of them (the Source class's text)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from firmware_bridge.items import Chunk
from firmware_bridge.simulator import ble_node
from firmware_bridge.simulator.fake_bluez import PrivateBus
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal, serve
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import VirtualNode
from firmware_bridge.sources import open_source
from firmware_bridge.sources.host import Host
from firmware_bridge.streams.receiver import Receiver
from tests.firmware_bridge.simulator.test_faults import small_programme
from tests.firmware_bridge.sources.lsl_outlet import RUN, Outlet
from tests.tools import require, require_package
from toolkit.errors import (
    EdgetoolError,
    LinkError,
    MissingDependencyError,
    UsageError,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "recording_v1.etl"
DATA = "synthetic:people=1,seconds=2,tasks=level"
KINDS = ["replay", "sim", "serial", "ble", "bumble", "lsl", "brainflow"]
#: URLs of the same scheme that lead to nothing.
ABSENT = {
    "replay": "replay:///nowhere/x.etl",
    "sim": "sim:///nowhere/x.npz",
    "serial": "serial:///nowhere/port",
    "ble": "ble://nobody?scan_s=0.3",
    "bumble": "ble://nobody?scan_s=0.3",
    "lsl": "lsl://nobody?resolve_s=0.3",
    "brainflow": "brainflow://cyton?serial_port=/nowhere/port",
}


def need_brainflow() -> None:
    """Its wheel holds no library for Linux on arm."""
    from firmware_bridge.sources.brainflow import _shim

    try:
        _shim()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def world(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A URL of that kind behind which data flow."""
    started = time.monotonic()
    link = VirtualLink(VirtualNode(small_programme(), max_frame=244, streaming=False))
    if kind == "serial":
        with PseudoTerminal(folder / "port") as terminal:
            task = asyncio.create_task(serve(terminal, [link], lambda: time.monotonic() - started, 20))
            yield f"serial://{folder}/port"
            task.cancel()
    elif kind == "ble":
        require("dbus-daemon")
        with PrivateBus() as address:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            ready = asyncio.Event()
            task = asyncio.create_task(
                ble_node.serve([link], address, lambda: time.monotonic() - started, 20, ready.set)
            )
            await ready.wait()
            yield "ble://small?scan_s=2"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    elif kind == "bumble":
        require_package("bumble")
        from firmware_bridge.simulator.bumble_air import Air, BumbleNode, on_air
        from firmware_bridge.simulator.bumble_air import serve as serve_air

        air = Air(mtu=247)
        node = BumbleNode(
            air, "C0:ED:6E:00:00:01", "small", lambda data: link.node.hear(data, time.monotonic() - started)
        )
        await node.start()
        task = asyncio.create_task(serve_air(node, link, lambda: time.monotonic() - started, 20))
        async with on_air(air):
            yield "ble://small?scan_s=2"
        task.cancel()
    elif kind == "lsl":
        require_package("pylsl")
        with Outlet(f"{RUN} contract"):
            yield f"lsl://{RUN} contract?as=imu"
    elif kind == "brainflow":
        need_brainflow()
        yield "brainflow://synthetic?silence_s=3"
    else:
        yield f"replay://{GOLDEN}?speed=max" if kind == "replay" else f"sim://{DATA}"


@pytest.mark.parametrize("kind", KINDS)
def test_items_come_in_order_with_packets_in_them_and_close_ends_the_iteration(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with world(kind, tmp_path, monkeypatch) as url:
            source, receiver = open_source(url), Receiver()
            packets, newest_ns = 0, -1
            async with source:
                assert source.links and all(source.links)
                if source.writable:
                    await Host(source).start()
                async with asyncio.timeout(10):
                    async for item in source:
                        assert 0 <= item.link < len(source.links)
                        assert item.arrival_ns >= newest_ns
                        newest_ns = item.arrival_ns
                        assert not isinstance(item, Chunk) or item.data
                        packets += len(receiver.decode(item))
                        if packets > 20:
                            await source.close()
                            await source.close()  # twice is allowed
                            break
            assert packets > 5 and receiver.balance().balances and source.dropped_bytes == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_closing_wakes_a_task_that_iterates(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with world(kind, tmp_path, monkeypatch) as url:
            async with open_source(url) as source:

                async def read() -> None:
                    async for _ in source:
                        pass

                task = asyncio.create_task(read())
                await asyncio.sleep(0)  # it waits for the first item now
                await source.close()
                await asyncio.wait_for(task, 5)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_and_unknown_options_are_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with world(kind, tmp_path, monkeypatch) as url:
            with pytest.raises(UsageError, match="option 'colour' is not known; allowed: "):
                open_source(url + ("&" if "?" in url else "?") + "colour=red")
            with pytest.raises(EdgetoolError) as caught:
                async with open_source(ABSENT[kind]):
                    pass
            assert "\n" not in str(caught.value)
            if kind == "replay":
                with pytest.raises(LinkError, match="is read-only; nothing can be sent to it"):
                    await open_source(url).write(b"x")

    asyncio.run(scenario())
