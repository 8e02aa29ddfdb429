"""A daemon as a process: signals end and reload it, and the server shows it."""

from __future__ import annotations

import asyncio
import signal

from runtime.daemon.daemon import Daemon
from runtime.settings import Settings
from runtime.status.status import DaemonStatus


async def serve(settings: Settings, seconds: float | None = None) -> DaemonStatus:
    """Run a daemon until SIGTERM, SIGINT, the end of its sources or ``seconds``; SIGHUP reloads the model."""
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.ask_for_reload)
    await daemon.run(seconds)
    return daemon.status()
