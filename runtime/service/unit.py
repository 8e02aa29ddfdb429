"""The text of the systemd unit that runs a daemon; what each line is for is in docs/SERVICE.md.

Options and their meaning: systemd.service(5), systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Samples and estimates must both have advanced within so many seconds, or the service is started anew.
WATCHDOG_S = 60
#: Whose the service is, a system user without home, shell or password. Not systemd's DynamicUser: its folders, and so
#: recordings and sockets, can be reached by nobody but root.
USER = "edgetool"
#: Makes that user (sysusers.d(5)).
SYSUSERS = f'# Written by: edgetool service install\nu {USER} - "edgetool daemon"\n'
#: Groups that own serial ports and the Bluetooth daemon's door on Debian and Raspberry Pi OS.
GROUPS = ("dialout", "bluetooth")
#: Device majors (kernel, Documentation/admin-guide/devices.txt): USB serial adapters, USB CDC ACM, AMBA and 8250 ports. The
#: first two by number: a name is looked up once, at the start, and would not be found while no such device is plugged in.
DEVICES = ("char-188", "char-166", "char-ttyAMA", "char-ttyS")
#: The first version of systemd that waits longer and longer between restarts.
_BACK_OFF_SINCE = 254


@dataclass(frozen=True)
class Unit:
    """What is particular of one installation. ``user``: for a person's own service manager, which cannot sandbox as much."""

    program: Path
    config: Path
    token_file: Path | None = None
    user: bool = False
    systemd_version: int = 0
    #: 0: none, for sensors that are switched off for long.
    watchdog_s: int = WATCHDOG_S

    def text(self) -> str:
        """The unit file."""
        wanted = "default.target" if self.user else "multi-user.target"
        sections = {
            "Unit": self._unit(),
            "Service": [
                *self._service(),
                *([] if self.user else [*self._identity(), *_SANDBOX, *self._homes()]),
            ],
            "Install": [f"WantedBy={wanted}"],
        }
        parts = ["\n".join([f"[{name}]", *lines]) for name, lines in sections.items()]
        return "# Written by: edgetool service install\n" + "\n\n".join(parts) + "\n"

    def _unit(self) -> list[str]:
        after = [] if self.user else ["After=network.target bluetooth.service"]
        return [
            "Description=edgetool: joint moments from wearable sensors",
            *after,
            # Never give up: a sensor or a card may be back tomorrow.
            "StartLimitIntervalSec=0",
        ]

    def _service(self) -> list[str]:
        return [
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={quoted([str(self.program), 'run', str(self.config)])}",
            "ExecReload=/bin/kill -HUP $MAINPID",
            *([f"WatchdogSec={self.watchdog_s}"] if self.watchdog_s else []),
            "Restart=always",
            "RestartSec=2",
            *(["RestartSteps=6", "RestartMaxDelaySec=60"] if self.systemd_version >= _BACK_OFF_SINCE else []),
            # The native engine is compiled at its first start.
            "TimeoutStartSec=180",
            "TimeoutStopSec=15",
            "LimitCORE=0",
            "Environment=OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
            "StateDirectory=edgetool",
            "RuntimeDirectory=edgetool",
            "CacheDirectory=edgetool",
            "WorkingDirectory=%S/edgetool",
            "UMask=0027",
            "MemoryHigh=384M",
            "MemoryMax=512M",
            "TasksMax=64",
        ]

    def _identity(self) -> list[str]:
        token = (
            []
            if self.token_file is None
            else [f"LoadCredential=server-token:{escaped(str(self.token_file))}"]
        )
        return [
            f"User={USER}",
            f"Group={USER}",
            f"SupplementaryGroups={' '.join(GROUPS)}",
            "CPUWeight=500",
            *token,
        ]

    def _homes(self) -> list[str]:
        inside = any(
            path.is_relative_to("/home") or path.is_relative_to("/root")
            for path in (self.program, self.config)
        )
        return [f"ProtectHome={'read-only' if inside else 'yes'}"]


_SANDBOX: tuple[str, ...] = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "PrivateMounts=yes",
    "PrivateTmp=yes",
    "DevicePolicy=closed",
    *(f"DeviceAllow={device} rw" for device in DEVICES),
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
)


def escaped(text: str) -> str:
    """``text`` where systemd replaces specifiers: ``%`` is itself."""
    return text.replace("%", "%%")


def quoted(words: Sequence[str]) -> str:
    """A command line that systemd splits into exactly these words (systemd.service(5), "Command lines")."""
    result = []
    for word in words:
        text = escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
        plain = text == word and word and not set(word) & set(" \t\n'\";")
        result.append(text if plain else '"' + text.replace("\n", "\\n").replace("\t", "\\t") + '"')
    return " ".join(result)
