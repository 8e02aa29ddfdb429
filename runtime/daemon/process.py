"""A daemon as a process: signals end and reload it, and the server shows it."""

from __future__ import annotations

import asyncio
import signal
import threading

from runtime.daemon.check import open_secrets
from runtime.daemon.daemon import Daemon
from runtime.daemon.priority import ask_for_priority
from runtime.settings import Settings
from runtime.status.status import DaemonStatus


async def serve(
    settings: Settings, seconds: float | None = None, stop: asyncio.Event | None = None
) -> DaemonStatus:
    """Run a daemon until SIGTERM, SIGINT, the end of its sources, ``seconds`` or ``stop``; SIGHUP reloads the model.

    Only the main thread hears signals; in another, ``stop`` is the way to end it early.
    """
    daemon = Daemon(settings)

    def warn(reason: str) -> None:
        daemon.journal.warning("warning", reason=reason)

    for reason in open_secrets(settings):
        warn(reason)
    daemon.when_ready = lambda: ask_for_priority(settings.service, warn)
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.stop)
        loop.add_signal_handler(signal.SIGHUP, daemon.ask_for_reload)
    waiting = None if stop is None else asyncio.create_task(_stop_when(stop, daemon))
    try:
        await daemon.run(seconds)
    finally:
        if waiting is not None:
            waiting.cancel()
    return daemon.status()


async def _stop_when(stop: asyncio.Event, daemon: Daemon) -> None:
    await stop.wait()
    daemon.stop()
