"""Words to the service manager that started this process, as sd_notify(3) says: one datagram to ``$NOTIFY_SOCKET``."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from toolkit.printable import log_text


class Notifier:
    """Does nothing when no service manager listens. ``environment`` is what it left us, by default the process's own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        own = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = given.get("WATCHDOG_USEC", "")
        #: How often WATCHDOG=1 is due, in s: half of what the manager waits for. None if it does not wait.
        self.watchdog_s = int(usec) * 0.5e-6 if own and usec.isdigit() and int(usec) > 0 else None

    def ready(self) -> None:
        """Start-up is over."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send("STATUS=" + log_text(text.replace("\n", " ")))

    def watchdog(self) -> None:
        """Still alive and at work."""
        self._send("WATCHDOG=1")

    def reloading(self, monotonic_ns: int) -> None:
        """A reload begins; :meth:`ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A leading @ is Linux's abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto(text.encode(), address)
        except OSError:
            return  # the manager is gone or busy; it decides what that means
