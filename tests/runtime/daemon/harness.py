"""Daemons in a test's own event loop: settings, a sink that keeps estimates, and the demo's bundle, converted once."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firmware_bridge.sources.base import Source
from runtime.daemon.daemon import Daemon
from runtime.daemon.demo import demo_bundle
from runtime.log.journal import Journal
from runtime.log.notify import Notifier
from runtime.pipeline.estimate import Estimate, State
from runtime.settings import ModelSettings, Settings
from runtime.sinks.interface import Sink


def bundle(folder: Path | None = None) -> Path:
    """The shipped model's bundle, in the cache if ``folder`` is None."""
    return demo_bundle(folder)


class Collect(Sink):
    """Keeps every estimate."""

    name = "collect"

    def __init__(self) -> None:
        self.estimates: list[Estimate] = []
        self.identities: list[tuple[str, str]] = []

    def identify(self, run: str, model: str) -> None:
        self.identities.append((run, model))

    async def open(self) -> None: ...

    def publish(self, estimate: Estimate) -> None:
        self.published += 1
        self.estimates.append(estimate)

    def publish_from_thread(self, estimate: Estimate) -> None:
        self.publish(estimate)

    async def close(self) -> None: ...

    @property
    def states(self) -> list[State]:
        return [estimate.state for estimate in self.estimates]


class Running:
    """A daemon under test: its collected estimates and its log as a list of events."""

    def __init__(
        self,
        settings: Settings,
        opener: Callable[[str], Source] | None = None,
        environment: Any = None,
        extra_sinks: Sequence[Sink] = (),
        **more: Any,
    ) -> None:
        self.text = io.StringIO()
        self.sink = Collect()
        more |= {} if opener is None else {"opener": opener}
        self.daemon = Daemon(
            settings,
            Journal("debug", "json", self.text),
            Notifier(environment or {}),
            extra_sinks=(self.sink, *extra_sinks),
            **more,
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]

    def event(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    @property
    def estimates(self) -> list[Estimate]:
        return self.sink.estimates

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait for something to become true; AssertionError with the log if it does not."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s; log:\n{self.text.getvalue()}") from None

    def newest(self) -> Estimate | None:
        return self.estimates[-1] if self.estimates else None

    def is_state(self, state: State, reason: str = "") -> bool:
        newest = self.newest()
        return newest is not None and newest.state is state and (not reason or reason in newest.reasons)


async def during(running: Running, work: Callable[[Running], Any], seconds: float = 60.0) -> None:
    """Run the daemon while ``work`` goes on, then drain it; what either raises is raised."""
    task = asyncio.create_task(running.daemon.run(seconds))

    async def once_started() -> None:
        await running.until(lambda: running.event("started"))
        await work(running)

    try:
        job = asyncio.ensure_future(once_started())
        await asyncio.wait({task, job}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            job.cancel()
            await task
            raise AssertionError(f"the daemon ended by itself; log:\n{running.text.getvalue()}")
        job.result()
    finally:
        running.daemon.stop()
        await task


def settings(*sources: str, engine: str = "litert", **more: Any) -> Settings:
    return replace(Settings(ModelSettings(bundle(), engine), sources), **more)
