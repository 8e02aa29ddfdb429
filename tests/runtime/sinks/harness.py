"""Moments to give to sinks, and how tests run one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks.interface import Sink
from toolkit.contract import Channel

OUTPUTS = (Channel("hip_flexion", "Nm/kg"), Channel("knee_extension", "Nm/kg"))


def estimate(sequence: int, state: State = State.OK) -> Estimate:
    """Taken at 5 ms within 0.25 ms, in at 9 ms, out at 11.5 ms: age 2.5 ms, latency 6.5 ms."""
    reasons = () if state is State.OK else ("gap",)
    return Estimate(sequence, 5_000_000, 0.25, 9_000_000, 11_500_000, state, reasons, (sequence / 3, -0.1))


def run_sink(sink: Sink, given: Callable[[Sink], Coroutine[Any, Any, None] | object]) -> None:
    """Open, do ``given``, close."""

    async def run() -> None:
        await sink.open()
        try:
            outcome = given(sink)
            if asyncio.iscoroutine(outcome):
                await outcome
        finally:
            await sink.close()

    asyncio.run(run())


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for another thread or process; the bound only ends a test that has failed."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.005)
