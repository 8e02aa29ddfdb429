"""Work that waits for sensors, from a script, a command or a notebook (whose own event loop already runs)."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def apart(call: Callable[[], T]) -> T:
    """``call()``, in a thread of its own where an event loop runs in this one (``asyncio.run`` refuses to nest)."""
    if not _in_a_loop():
        return call()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def until_stopped(start: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run ``start(stop)`` to its end. Ctrl-C (in a notebook: interrupting the cell) and SIGTERM set ``stop``."""
    if not _in_a_loop():
        return asyncio.run(_stopped_by_signals(start))
    known: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def work() -> T:
        stop = asyncio.Event()
        known.set_result((asyncio.get_running_loop(), stop))
        return await start(stop)

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(asyncio.run, work())
        try:
            return result.result()
        except KeyboardInterrupt:
            loop, stop = known.result()
            loop.call_soon_threadsafe(stop.set)
            return result.result()


async def _stopped_by_signals(start: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    stop = asyncio.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await start(stop)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
