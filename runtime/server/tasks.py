"""How the server starts the tasks that it needs beside its requests: the daemon has them supervised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol


class StartTask(Protocol):
    """Runs ``make()`` in a task of this name."""

    def __call__(self, name: str, make: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """The task; cancel it to end it."""
        ...


def start_task(name: str, make: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """A plain task: what ``make()`` raises ends it."""

    async def run() -> None:
        await make()

    return asyncio.create_task(run(), name=name)
