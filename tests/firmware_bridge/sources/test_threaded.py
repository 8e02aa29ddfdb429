"""What sources with a reading thread have in common: order, loss and return of the link, failure, a full queue, closing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_bridge.items import Chunk, Item, LinkChange
from firmware_bridge.protocol.table import Format
from firmware_bridge.sources import lsl, open_source
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.sources.threaded import QUEUE_ITEMS, ThreadedSource
from firmware_bridge.streams.session import Session
from tests.tools import require_package
from toolkit.errors import InputError, LinkError, MissingDependencyError


class Scripted(ThreadedSource):
    """Reads what ``script`` gives for each connection; counts connections."""

    def __init__(self, script: Callable[[int], Iterator[bytes]], queue_items: int = QUEUE_ITEMS) -> None:
        super().__init__(SourceUrl("x://y", "x", "y"), 0.001, queue_items)
        self._script = script
        self.connected = self.disconnected = 0
        self.refuse: set[int] = set()

    @property
    def links(self) -> tuple[str, ...]:
        return ("scripted",)

    def connect(self) -> None:
        self.connected += 1
        if self.connected in self.refuse:
            raise LinkError("not yet")

    def read(self) -> Iterator[bytes]:
        return self._script(self.connected)

    def disconnect(self) -> None:
        self.disconnected += 1


async def gather(source: ThreadedSource) -> list[Item]:
    async with asyncio.timeout(5), source:
        return [item async for item in source]


def test_chunks_come_in_order_and_the_end_ends_it() -> None:
    source = Scripted(lambda _: iter([b"a", b"", b"b", b"c"]))
    items = asyncio.run(gather(source))
    assert [item.data for item in items if isinstance(item, Chunk)] == [b"a", b"b", b"c"]
    assert source.disconnected >= 1


def test_a_lost_link_is_made_again_as_often_as_it_takes() -> None:
    def script(connection: int) -> Iterator[bytes]:
        yield b"%d" % connection
        if connection < 4:
            raise LinkError("pulled out")

    source = Scripted(script)
    source.refuse = {2, 3}
    items = asyncio.run(gather(source))
    assert [(i.up, i.reason) if isinstance(i, LinkChange) else i.data for i in items] == [
        b"1",
        (False, "pulled out"),
        (True, "scripted is connected again"),
        b"4",
    ]


@pytest.mark.parametrize("error", [InputError("no such channel"), ZeroDivisionError("a bug")])
def test_another_error_reaches_the_consumer(error: Exception) -> None:
    def script(_: int) -> Iterator[bytes]:
        yield b"a"
        raise error

    with pytest.raises(type(error), match=str(error)):
        asyncio.run(gather(Scripted(script)))


def test_a_source_that_cannot_be_opened_is_let_go_of() -> None:
    source = Scripted(lambda _: iter([]))
    source.refuse = {1}
    with pytest.raises(LinkError, match="not yet"):
        asyncio.run(gather(source))
    assert source.disconnected == 1


def test_what_a_slow_consumer_leaves_is_dropped_and_counted() -> None:
    done = threading.Event()

    def script(_: int) -> Iterator[bytes]:
        for _ in range(50):
            yield b"12345"
        done.set()
        yield b""

    async def scenario() -> int:
        source = Scripted(script, queue_items=10)
        async with source:
            await asyncio.to_thread(done.wait, 5)
            await asyncio.sleep(0)  # what the thread has handed over by then is put into the queue
            kept = [item async for item in source]
        assert source.dropped_bytes % 5 == 0
        # The end takes the place of the oldest that waits.
        assert 9 <= len(kept) <= 10
        return source.dropped_bytes

    assert asyncio.run(scenario()) == 40 * 5


def test_closing_stops_the_thread() -> None:
    def script(_: int) -> Iterator[bytes]:
        while True:
            time.sleep(0.002)
            yield b"x"

    async def scenario() -> None:
        source = Scripted(script)
        await source.open()
        (thread,) = [each for each in threading.enumerate() if each.name == "edgetool x"]
        items = aiter(source)
        await anext(items)
        await source.close()
        assert not thread.is_alive() and source.disconnected == 1
        rest = [item async for item in items]
        assert all(isinstance(item, Chunk) for item in rest)

    asyncio.run(scenario())


def test_another_machines_lsl_clock_is_mapped_within_the_bar() -> None:
    """The sender's clock runs 80 ppm fast and began 98,765 s earlier; LSL's estimate is wrong by all of its uncertainty."""
    pylsl = require_package("pylsl")
    begun_s = pylsl.local_clock()
    uncertainty_s = 0.002

    def theirs(ours_s: float) -> float:
        return 98_765.4 + (ours_s - begun_s) * (1 + 80e-6)

    taken: list[float] = []

    def pull() -> lsl.Pulled:
        time.sleep(0.01)
        due_s = begun_s + len(taken) / 200
        rows = []
        while due_s < pylsl.local_clock() - 0.001:
            taken.append(due_s)
            rows.append(due_s)
            due_s = begun_s + len(taken) / 200
        return [[float(k)] for k in range(len(taken) - len(rows), len(taken))], [theirs(t) for t in rows]

    def correct() -> lsl.Correction:
        now_s = pylsl.local_clock()
        return lsl.Correction(now_s - theirs(now_s) + uncertainty_s, uncertainty_s + lsl.STALE_S)

    channel = lsl.ChannelDescriptor("a", "uV", 1.0)
    stream = lsl.StreamDescriptor(0, "emg", Format.FLOAT32, 200.0, (channel,))
    node = lsl.SampleNode(lsl.Descriptor("far", (stream,)), 1)
    maker = lsl.FrameMaker("far away", node, lsl.SampleClock(200.0), [0], "f4")
    session, errors = Session(), []
    for data in maker.frames(pull, correct):
        for each in session.process(Chunk(0, time.monotonic_ns(), data)).samples if data else ():
            true = [taken[int(value)] for value in each.values[:, 0]]
            assert all(abs(t - s) <= each.error_s + 2e-6 for t, s in zip(true, each.times_s, strict=True))
            errors.append(each.error_s)
        if len(taken) > 500:
            break
    # The bounds are twice the uncertainty apart; more would say that the exchanges are not used.
    assert errors[-1] < 4 * uncertainty_s
    (key,) = session.receiver.descriptors
    clock = session.clock(key)
    assert clock is not None and clock.synced


def test_a_source_that_is_not_asked_for_is_not_loaded() -> None:
    code = (
        "import sys, firmware_bridge.sources, firmware_bridge.tools.monitor\n"
        "import firmware_bridge.tools.record, firmware_bridge.tools.doctor\n"
        "print(sorted({'pylsl', 'brainflow', 'bleak', 'serial', 'bumble', 'dbus_fast'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("module", "url", "text"),
    [
        ("pylsl", "lsl://x", r"lsl:// needs pylsl; install it: pip install 'edgetool\[lsl\]'"),
        (
            "brainflow",
            "brainflow://synthetic",
            r"needs brainflow; install it: pip install 'edgetool\[brainflow\]'",
        ),
    ],
)
def test_an_extra_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, url: str, text: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=text) as caught:
        asyncio.run(gather(open_source(url)))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_libraries_that_a_wheel_does_not_hold_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a Raspberry Pi both wheels install and hold no library for it."""
    (tmp_path / "pylsl.py").write_text("raise RuntimeError('LSL binary library file was not found.')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pylsl finds no liblsl .* set PYLSL_LIB"):
        lsl.load_pylsl()
    shim = types.ModuleType("brainflow.board_shim")

    def fails() -> None:
        raise OSError("libBoardController.so: wrong ELF class")

    shim.BoardShim = types.SimpleNamespace(disable_board_logger=fails)  # type: ignore[attr-defined]
    package = types.ModuleType("brainflow")
    package.board_shim = shim  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "brainflow", package)
    monkeypatch.setitem(sys.modules, "brainflow.board_shim", shim)
    with pytest.raises(
        MissingDependencyError, match=r"cannot load its library \(libBoardController.so: wrong ELF"
    ):
        asyncio.run(gather(open_source("brainflow://synthetic")))  # type: ignore[arg-type]
