"""A serial node that never read, or whose port was lost while a write waited for it.

pyserial spins for a second at each request to a port that says it can be written and takes nothing. When the port went
away meanwhile, the write ended with a TypeError, which killed the task that asks for the time, unseen, and the one that
keeps the source. ``termios.error``, which is no OSError, ended the task that tries a lost port again.
"""

from __future__ import annotations

import asyncio
import os
import termios
from pathlib import Path

import pytest

from firmware_bridge.items import LinkChange
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.sources.host import Host
from firmware_bridge.sources.serial_port import SerialSource
from toolkit.errors import LinkError


def source_at(path: Path) -> SerialSource:
    return SerialSource(SourceUrl.parse(f"serial://{path}?reconnect_s=0.01"))


async def fill(source: SerialSource) -> None:
    """Write until the port has taken nothing for a second."""
    while True:
        await source.write(bytes(512))
        await asyncio.sleep(0)


def test_a_write_never_waits_and_hardly_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, real = 0, os.write

    def counted(handle: int, data: bytes) -> int:
        nonlocal tries
        try:
            return real(handle, data)
        except BlockingIOError:
            tries += 1
            raise

    async def scenario() -> None:
        with PseudoTerminal(tmp_path / "port"):
            async with source_at(tmp_path / "port") as source:
                with pytest.raises(LinkError, match="accepts no data; does its node read"):
                    await fill(source)
                with pytest.raises(LinkError, match="accepts no data"):
                    for _ in range(1000):
                        await source.write(bytes(512))
                        await asyncio.sleep(0.01)

    monkeypatch.setattr(os, "write", counted)
    asyncio.run(asyncio.wait_for(scenario(), 30))
    # One a write that it did not take, and one each 10 ms while it waited.
    assert 0 < tries < 500


def test_what_waits_goes_as_soon_as_the_node_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece, full, real = bytes(range(1, 256)), False, os.write

    def watched(handle: int, data: bytes) -> int:
        nonlocal full
        try:
            return real(handle, data)
        except BlockingIOError:
            full = True
            raise

    async def scenario() -> tuple[bytes, int]:
        got, pieces = bytearray(), 0
        with PseudoTerminal(tmp_path / "port") as terminal:
            async with source_at(tmp_path / "port") as source:
                while not full or pieces % 8:  # the port is full, and some pieces wait
                    await source.write(piece)
                    pieces += 1
                while len(got) < pieces * len(piece):
                    got += terminal.read()
                    await asyncio.sleep(0.001)
        return bytes(got), pieces

    monkeypatch.setattr(os, "write", watched)
    got, pieces = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert got == piece * pieces


def test_the_port_is_lost_while_requests_wait_and_comes_back(tmp_path: Path) -> None:
    async def scenario() -> list[bool]:
        changes: list[bool] = []
        terminal = PseudoTerminal(tmp_path / "port")
        terminal.__enter__()
        async with source_at(tmp_path / "port") as source:
            host = Host(source)
            asking = asyncio.create_task(host.ask())
            with pytest.raises(LinkError):
                await fill(source)
            waiting = asyncio.gather(host.start(), host.sync())
            await asyncio.sleep(0.02)  # they are begun
            terminal.__exit__()
            await waiting
            async for item in source:
                assert isinstance(item, LinkChange)
                changes.append(item.up)
                await host.heard(item)
                if not item.up:
                    terminal.__enter__()
                else:
                    break
            while not terminal.read():  # it is asked to stream again
                await asyncio.sleep(0.005)
            assert not asking.done()
            asking.cancel()
        terminal.__exit__()
        return changes

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == [False, True]


def test_the_port_is_closed_while_a_request_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        with PseudoTerminal(tmp_path / "port"):
            async with source_at(tmp_path / "port") as source:
                host = Host(source)
                with pytest.raises(LinkError):
                    await fill(source)
                waiting = asyncio.gather(host.start(), host.sync())
                await asyncio.sleep(0.02)  # they are begun
                await source.close()
                await waiting
                with pytest.raises(LinkError, match="not connected"):
                    await source.write(b"x")

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_an_error_of_the_terminals_driver_is_a_lost_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import serial

    real, fails, tries = serial.Serial, True, 0

    def opened(*arguments: object, **options: object) -> object:
        nonlocal tries
        tries += 1
        if fails:
            raise termios.error(5, "Input/output error")
        return real(*arguments, **options)

    async def scenario() -> list[bool]:
        nonlocal fails
        changes: list[bool] = []
        terminal = PseudoTerminal(tmp_path / "port")
        terminal.__enter__()
        with pytest.raises(LinkError, match="Input/output error"):
            await source_at(tmp_path / "port").open()
        fails = False
        async with source_at(tmp_path / "port") as source:
            terminal.__exit__()
            async for item in source:
                assert isinstance(item, LinkChange)
                changes.append(item.up)
                if item.up:
                    break
                fails = True
                terminal.__enter__()
                goal = tries + 3
                while tries < goal:
                    await asyncio.sleep(0.005)
                fails = False
        terminal.__exit__()
        return changes

    monkeypatch.setattr(serial, "Serial", opened)
    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == [False, True]
