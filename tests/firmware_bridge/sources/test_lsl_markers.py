"""Markers of LSL streams: texts and codes with their times, streams that come back, floods and hostile text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from firmware_bridge.sources.lsl_markers import follow_markers, stream_name
from tests.firmware_bridge.sources.lsl_outlet import RUN
from tests.runtime.sinks.harness import until
from tests.tools import require_package
from toolkit.errors import UsageError


class Sender:
    """An outlet of markers."""

    def __init__(self, name: str, form: str = "string", channels: int = 1) -> None:
        self._pylsl = require_package("pylsl")
        info = self._pylsl.StreamInfo(name, "Markers", channels, 0.0, form, f"test {name}")
        self._outlet: Any = self._pylsl.StreamOutlet(info)

    def send(self, *values: object, ago_s: float = 0.0) -> int:
        """Push one marker of ``ago_s`` ago; when that was, in ns of the monotonic clock."""
        now_ns = time.monotonic_ns()
        self._outlet.push_sample(list(values), self._pylsl.local_clock() - ago_s)
        return now_ns - round(ago_s * 1e9)

    @property
    def heard(self) -> bool:
        return bool(self._outlet.have_consumers())

    def close(self) -> None:
        self._outlet = None


def during(name: str, work: Callable[[list[tuple[str, int]], list[str]], Any]) -> None:
    """Run ``work`` with what comes and what is told while markers of ``name`` are followed."""

    async def run() -> None:
        came: list[tuple[str, int]] = []
        told: list[str] = []
        task = asyncio.create_task(
            follow_markers(name, lambda text, at_ns: came.append((text, at_ns)), told.append)
        )
        try:
            await work(came, told)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_texts_come_with_the_time_of_their_stamps() -> None:
    name = f"{RUN} texts"
    sender = Sender(name)

    async def work(came: list[tuple[str, int]], told: list[str]) -> None:
        await until(lambda: any("are heard" in words for words in told) and sender.heard)
        sent = [sender.send("heel strike"), sender.send("\x1b[31mstart\n", ago_s=20.0), sender.send("  ")]
        sent.append(sender.send("last", ago_s=-5.0))  # from the future: when it came
        await until(lambda: len(came) == 3)
        assert [text for text, _ in came] == ["heel strike", "\\x1b[31mstart", "last"]
        # Between two readings of two clocks a busy machine may hold up anybody; a stamp that is not used is 20 s off.
        assert abs(came[0][1] - sent[0]) < 2e9 and abs(came[1][1] - sent[1]) < 2e9
        assert came[0][1] - came[1][1] == pytest.approx(20e9, abs=2e9)
        assert sent[0] <= came[2][1] <= time.monotonic_ns()

    during(name, work)


def test_codes_are_texts_and_a_stream_that_comes_back_is_heard_again() -> None:
    name = f"{RUN} codes"
    senders = [Sender(name, "int32", 2)]

    async def work(came: list[tuple[str, int]], told: list[str]) -> None:
        await until(lambda: len(told) == 1 and senders[0].heard)
        senders[0].send(7, -1)
        await until(lambda: [text for text, _ in came] == ["7 -1"])
        senders.pop().close()
        await until(lambda: "are lost" in told[-1])
        senders.append(Sender(name, "double64"))
        await until(lambda: "are heard" in told[-1] and senders[0].heard)
        senders[0].send(2.0)
        await until(lambda: [text for text, _ in came] == ["7 -1", "2"])

    during(name, work)


def test_a_flood_is_cut_off_and_told_once() -> None:
    name = f"{RUN} flood"
    sender = Sender(name)

    async def work(came: list[tuple[str, int]], told: list[str]) -> None:
        await until(lambda: len(told) == 1 and sender.heard)
        begun_s = time.monotonic()
        for number in range(2_000):
            sender.send(f"m{number}")
        await until(lambda: any("more than 100 markers per second" in words for words in told))
        took_s = time.monotonic() - begun_s
        assert len(came) <= 100 + 100 * took_s + 1 and came[0][0] == "m0" and len(told) == 2

    during(name, work)


@pytest.mark.parametrize("url", ["lsl://a?type=x", "serial:///dev/x", "Stimulus", "lsl://"])
def test_what_names_no_stream_of_markers(url: str) -> None:
    with pytest.raises(UsageError, match=r"must be lsl://NAME|not a source URL"):
        stream_name(url)
    assert stream_name("lsl://My%20Stimulus") == "My Stimulus"
