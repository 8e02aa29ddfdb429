"""A daemon as a process: signals end and reload it, and the server shows it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

from runtime.daemon.check import open_secrets
from runtime.daemon.daemon import Daemon
from runtime.settings import ServiceSettings, Settings
from runtime.status.status import DaemonStatus


async def serve(
    settings: Settings, seconds: float | None = None, stop: asyncio.Event | None = None
) -> DaemonStatus:
    """Run a daemon until SIGTERM, SIGINT, the end of its sources, ``seconds`` or ``stop``; SIGHUP reloads the model.

    Only the main thread hears signals; in another, ``stop`` is the way to end it early.
    """
    daemon = Daemon(settings)
    for warning in (*ask_for_priority(settings.service), *open_secrets(settings)):
        daemon.journal.warning("warning", reason=warning)
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


def ask_for_priority(wanted: ServiceSettings) -> Iterator[str]:
    """Take the place in the queue for the processor that the config asks for; a line for each that this user may not have.

    Threads that are started later inherit it. A unit has given it already: then this changes nothing.
    """
    if wanted.nice:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, wanted.nice)
        except OSError as error:
            yield f"service.nice is {wanted.nice} and this user may not have it: {error.strerror}"
    if wanted.realtime and hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(wanted.realtime))
        except OSError as error:
            yield f"service.realtime is {wanted.realtime} and this user may not have it: {error.strerror}"


async def _stop_when(stop: asyncio.Event, daemon: Daemon) -> None:
    await stop.wait()
    daemon.stop()
