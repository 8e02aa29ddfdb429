"""The text of the systemd unit that runs a daemon; what each line is for is in docs/SERVICE.md.

Options and their meaning: systemd.service(5), systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError

#: Samples and estimates must both have advanced within so many seconds, or the service is started anew.
WATCHDOG_S = 60
#: Whose the service is, a system user without home, shell or password. Not systemd's DynamicUser: its folders, and so
#: recordings and sockets, can be reached by nobody but root.
USER = "edgetool"
#: Groups that own serial ports and the Bluetooth daemon's door on Debian and Raspberry Pi OS.
GROUPS = ("dialout", "bluetooth")
#: Makes that user, and the groups where there are none (no BlueZ): a unit that names a group that does not exist fails for ever
#: with 216/GROUP (sysusers.d(5)).
SYSUSERS = f'# Written by: edgetool service install\nu {USER} - "edgetool daemon"\n' + "".join(
    f"g {group} -\n" for group in GROUPS
)
#: Of a daemon whose config or bundle is wrong: starting it again does not help.
WRONG_CONFIG = 2
#: Device majors (kernel, Documentation/admin-guide/devices.txt): USB serial adapters, USB CDC ACM, AMBA and 8250 ports. The
#: first two by number: a name is looked up once, at the start, and would not be found while no such device is plugged in.
DEVICES = ("char-188", "char-166", "char-ttyAMA", "char-ttyS")
#: How long a thread of the daemon may work at real-time priority without once waiting, s, before it is killed; the daemon sets
#: a shorter one itself.
REALTIME_LIMIT_S = 10
#: The first version of systemd that waits longer and longer between restarts.
_BACK_OFF_SINCE = 254


@dataclass(frozen=True)
class Unit:
    """What is particular of one installation. ``user``: for a person's own service manager, which cannot sandbox as much.

    ``name``: of one of several daemons, each with folders of its own. ``nice``: -20 (goes first) to 19. ``realtime``: 0, or a
    priority from 1 to 50 of SCHED_FIFO. Every text of the outside goes through :func:`quoted` or :func:`setting`.
    """

    program: Path
    config: Path
    token_file: Path | None = None
    user: bool = False
    systemd_version: int = 0
    #: 0: none, for sensors that are switched off for long.
    watchdog_s: int = WATCHDOG_S
    name: str | None = None
    nice: int = 0
    realtime: int = 0
    #: Where the Python is that runs the program (a virtual environment only points at it); None: beside it.
    interpreter: Path | None = None

    @property
    def folder(self) -> str:
        """Below /var/lib, /var/cache and /run."""
        return "edgetool" if self.name is None else f"edgetool/{self.name}"

    def text(self) -> str:
        """The unit file."""
        wanted = "default.target" if self.user else "multi-user.target"
        sections = {
            "Unit": self._unit(),
            "Service": [
                *self._service(),
                *([] if self.user else [*self._identity(), *self._sandbox(), *self._homes()]),
            ],
            "Install": [f"WantedBy={wanted}"],
        }
        parts = ["\n".join([f"[{name}]", *lines]) for name, lines in sections.items()]
        return "# Written by: edgetool service install\n" + "\n\n".join(parts) + "\n"

    def _unit(self) -> list[str]:
        after = [] if self.user else ["After=network.target bluetooth.service"]
        return [
            f"Description=edgetool: joint moments from wearable sensors{'' if self.name is None else f' ({self.name})'}",
            *after,
            # Never give up: a sensor or a card may be back tomorrow.
            "StartLimitIntervalSec=0",
        ]

    def _service(self) -> list[str]:
        return [
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={quoted([str(self.program), 'run', *self._flags(), str(self.config)])}",
            "ExecReload=/bin/kill -HUP $MAINPID",
            *([f"WatchdogSec={self.watchdog_s}"] if self.watchdog_s else []),
            "Restart=always",
            # A config that is wrong is wrong the next time, too; `edgetool service status` says what is wrong with it.
            f"RestartPreventExitStatus={WRONG_CONFIG}",
            "RestartSec=2",
            *(["RestartSteps=6", "RestartMaxDelaySec=60"] if self.systemd_version >= _BACK_OFF_SINCE else []),
            # The native engine is compiled at its first start.
            "TimeoutStartSec=180",
            "TimeoutStopSec=15",
            "LimitCORE=0",
            "Environment=OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
            f"StateDirectory={self.folder}",
            f"RuntimeDirectory={self.folder}",
            f"CacheDirectory={self.folder}",
            f"WorkingDirectory=%S/{self.folder}",
            *self._priority(),
            "UMask=0027",
            "MemoryHigh=384M",
            "MemoryMax=512M",
            "TasksMax=64",
        ]

    def _identity(self) -> list[str]:
        token = (
            []
            if self.token_file is None
            else [f"LoadCredential=server-token:{setting('server.token_file', str(self.token_file))}"]
        )
        return [
            f"User={USER}",
            f"Group={USER}",
            f"SupplementaryGroups={' '.join(GROUPS)}",
            "CPUWeight=500",
            *token,
        ]

    def _priority(self) -> list[str]:
        nice = [f"Nice={self.nice}"] if self.nice else []
        # The daemon takes SCHED_FIFO itself once its model is there. Not CPUSchedulingPolicy=fifo: what loads and compiles the
        # model would go before everything too, and where a kernel refuses it the service would never start (214/SETSCHEDULER).
        realtime = (
            [f"LimitRTPRIO={self.realtime}", f"LimitRTTIME={REALTIME_LIMIT_S}s"] if self.realtime else []
        )
        return [*nice, *realtime]

    def _flags(self) -> list[str]:
        return ["--realtime"] if self.realtime else []

    def _sandbox(self) -> list[str]:
        return [line for line in _SANDBOX if not (self.realtime and line.startswith("RestrictRealtime="))]

    def _homes(self) -> list[str]:
        inside = any(
            path.is_relative_to("/home") or path.is_relative_to("/root")
            for path in (self.program, self.config, self.interpreter or self.program)
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


def setting(what: str, text: str) -> str:
    """``text`` as the value of a setting that systemd takes as it stands, to the end of the line.

    UsageError for what cannot be said there: control characters, of which a newline would begin a setting of its own, blanks at
    the ends, and a backslash at the end, which would join the next line.
    """
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise UsageError(
            f"{what} is {text!r}; a systemd unit cannot name it: rename it without control characters, without blanks at its "
            "ends and without a backslash at its end"
        )
    return escaped(text)


def quoted(words: Sequence[str]) -> str:
    """A command line that systemd splits into exactly these words (systemd.service(5), "Command lines").

    UsageError for a word that holds NUL or is no text (a file name of bytes that are not UTF-8).
    """
    result = []
    for word in words:
        if "\0" in word or any("\ud800" <= c <= "\udfff" for c in word):
            raise UsageError(f"{word!r} cannot be a word of a systemd unit; rename the file")
        text = escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
        plain = text == word and word and word.isprintable() and not set(word) & set(" '\";")
        result.append(text if plain else '"' + "".join(map(_in_quotes, text)) + '"')
    return " ".join(result)


def unquoted(text: str) -> str:
    """The word that :func:`quoted` wrote as ``text``, without its quotes."""
    back = re.sub(
        rb"\\(?:x([0-9a-f]{2})|(.))", lambda m: bytes([int(m[1], 16)]) if m[1] else m[2], text.encode()
    )
    return back.decode().replace("$$", "$").replace("%%", "%")


def _in_quotes(character: str) -> str:
    """Within quotes systemd reads C's escapes; what is not printable is written as those of its bytes."""
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
