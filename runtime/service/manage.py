"""Installing a daemon as a systemd service, asking how it is, and removing it; ``edgetool service`` is a face of this.

Nothing is written before the config has been read and tried, and the unit is written whole or not at all.
"""

from __future__ import annotations

import grp
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.config import read_config
from runtime.daemon.check import check
from runtime.daemon.priority import REALTIME
from runtime.server.access import Access
from runtime.service.unit import (
    GROUPS,
    SYSUSERS,
    USER,
    WATCHDOG_S,
    Unit,
    unquoted,
)
from runtime.settings import Settings
from toolkit.errors import (
    EdgetoolError,
    InputError,
    MissingDependencyError,
    OutputError,
    UsageError,
)
from toolkit.files import write_bytes
from toolkit.reading import DOCUMENT_BYTES, parse_json

#: The service, and with a name one of several: ``edgetool@left``.
NAME = "edgetool.service"
_SYSTEM = Path("etc/systemd/system")
#: Where the service may write; systemd makes it for the service's user.
STATE_FOLDER = Path("/var/lib/edgetool")


@dataclass(frozen=True)
class Place:
    """Where a unit goes and which service manager is told. ``prefix`` stands for ``/``; with one no manager is told.

    The manager has ``patience_s`` to answer: it does when the service has started, and compiling its engine may take three
    minutes (TimeoutStartSec).
    """

    user: bool = False
    prefix: Path | None = None
    patience_s: float = 240
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", self.name):
            raise UsageError(
                f"name is {self.name!r}; it must be 1 to 32 small letters, digits, - or _, such as left"
            )

    @property
    def service(self) -> str:
        """What systemd calls it."""
        return NAME if self.name is None else f"edgetool@{self.name}.service"

    @property
    def unit(self) -> Path:
        """Path of the unit file."""
        if self.user:
            home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
            folder = home / "systemd/user"
            return (folder if self.prefix is None else self.prefix / folder.relative_to("/")) / self.service
        return (self.prefix or Path("/")) / _SYSTEM / self.service

    @property
    def sysusers(self) -> Path | None:
        """Path of the file that makes the service's user; None for a person's own service."""
        return None if self.user else (self.prefix or Path("/")) / "etc/sysusers.d/edgetool.conf"

    def within(self, path: Path, what: str, way_out: str = "put it there") -> Path:
        """``path`` as a computer that starts from the prefix names it; UsageError if it does not lie below it."""
        if self.prefix is None:
            return path
        if not path.is_relative_to(self.prefix):
            raise UsageError(
                f"{what} is {path}, which is not below --prefix {self.prefix} and so not in the image; {way_out}"
            )
        return Path("/") / path.relative_to(self.prefix)

    def outside(self, path: Path | None) -> Path | None:
        """A path that a unit below the prefix names, as this computer names it."""
        if self.prefix is None or path is None:
            return path
        return self.prefix / path.relative_to("/")

    @property
    def managed(self) -> bool:
        """Whether a systemd runs here (sd_booted(3)) and is meant."""
        return (
            self.prefix is None
            and Path("/run/systemd/system").is_dir()
            and shutil.which("systemctl") is not None
        )

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask or tell the manager."""
        command = ["systemctl", *(["--user"] if self.user else []), "--no-pager", *words]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=self.patience_s)
        except (OSError, subprocess.TimeoutExpired):
            raise OutputError(
                f"{' '.join(command)} gave no answer within {self.patience_s} s; see how it is by hand: "
                f"systemctl status {self.service}"
            ) from None


@dataclass(frozen=True)
class Installation:
    """What was done, or with a dry run what would be: ``lines`` say so to a person."""

    unit: Path
    text: str
    lines: tuple[str, ...]


def install(
    config: Path,
    place: Place,
    *,
    watchdog_s: int = WATCHDOG_S,
    dry_run: bool = False,
    replace: bool = False,
    program: Path | None = None,
) -> Installation:
    """Check ``config``, write the unit, and start it where a systemd runs.

    ``watchdog_s``: a daemon in which samples or estimates have stood still for longer is started anew; 0: never. ``replace``: a
    service that runs another config may be replaced. ``program``: the ``edgetool`` that the unit starts, by default the one of
    this installation. With a prefix the unit names both as the computer will that starts from there.

    Raises the config's own errors, UsageError if the service's user could not read or write what the config names or this is
    not root, MissingDependencyError if no systemd runs here (a dry run and a prefix need none), OutputError if it refuses.
    """
    config = config.absolute()
    settings = read_config(config)
    # The service itself, or a daemon started by hand that it will follow, holds port and files: that is no reason not to.
    checked = check(settings, holds=True)
    text = _unit(config, settings, place, watchdog_s, program).text()
    if not replace:
        _require_same_config(place, config)
    if dry_run:
        return Installation(place.unit, text, (*checked, f"would write {place.unit}"))
    if place.prefix is None:
        _require_allowed(place)
        closed = None if place.user else _closed_to_others(Path(sys.base_prefix))
        if closed is not None:
            raise UsageError(
                f"the Python of this installation is {sys.base_prefix}, and {closed} may not be read by the service's user; "
                "make the environment with the system's Python (/usr/bin/python3 -m venv), or install with --user"
            )
    lines = list(checked)
    if place.sysusers is not None:
        write_bytes(place.sysusers, SYSUSERS.encode())
        lines.append(f"wrote     {place.sysusers}")
    write_bytes(place.unit, text.encode())
    lines.append(f"wrote     {place.unit}")
    if place.prefix is None:
        lines += _start(place)
    return Installation(place.unit, text, tuple(lines))


def _unit(config: Path, settings: Settings, place: Place, watchdog_s: int, program: Path | None) -> Unit:
    """The unit that runs ``config``; UsageError if the service's user could not read or write what it names."""
    inside = program
    if inside is None:
        program = _program()
        inside = place.within(program, "the program", "--program PATH says where edgetool will be")
        if not place.user:
            require_reachable(config, program, settings, place)
    elif not place.user:
        require_reachable(config, None, settings, place)
    return Unit(
        inside,
        place.within(config, "the config"),
        _credential(settings, place),
        place.user,
        _systemd_version(),
        watchdog_s,
        place.name,
        settings.service.nice,
        _realtime(settings, place),
        Path(sys.base_prefix) if place.prefix is None else None,
    )


def _realtime(settings: Settings, place: Place) -> int:
    """The priority that a unit allows: the config's, else REALTIME for a system service; a person's own may rarely have any."""
    wanted = settings.service.realtime
    return wanted if wanted is not None else 0 if place.user else REALTIME


def _start(place: Place) -> list[str]:
    """Have systemd read the unit and start it now and with the computer."""
    if place.sysusers is not None:
        _run("systemd-sysusers", str(place.sysusers))
    for words in (("daemon-reload",), ("enable", place.service), ("restart", place.service)):
        _told(place, *words)
    lines = [f"started   {place.service}, now and whenever this computer starts"]
    if place.user:
        lines.append("to keep it without a login: loginctl enable-linger")
    return lines


def uninstall(place: Place) -> tuple[str, ...]:
    """Stop the service and remove its unit; what it recorded stays. UsageError if there is none or this is not root."""
    if not place.unit.exists():
        raise UsageError(f"{place.unit} does not exist: no service is installed there; nothing to remove")
    if place.prefix is None and not place.user and os.geteuid() != 0:
        raise UsageError(
            f"removing {place.unit} needs root; run it with sudo, or with --user for your own service"
        )
    if place.managed:
        _told(place, "disable", "--now", place.service)
    try:
        place.unit.unlink()
        if place.sysusers is not None and not any(place.unit.parent.glob("edgetool*.service")):
            place.sysusers.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove {place.unit}: {error.strerror}") from None
    if place.managed:
        _told(place, "daemon-reload")
    kept = "your recordings" if place.user else f"{STATE_FOLDER} and the user {USER}, whose it is"
    return (f"removed   {place.unit}", f"kept      {kept}")


@dataclass(frozen=True)
class ServiceStatus:
    """``well`` if the service is active and its daemon says that it is well; ``figures`` by name, only what is known."""

    well: bool
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"well": self.well, **self.figures}


#: Properties of the unit that are shown (org.freedesktop.systemd1(5)).
_PROPERTIES = (
    "ActiveState",
    "SubState",
    "StatusText",
    "MainPID",
    "NRestarts",
    "Result",
    "ExecMainStatus",
    "MemoryCurrent",
    "ActiveEnterTimestamp",
)


def status(place: Place) -> ServiceStatus:
    """How the service is. UsageError if none is installed."""
    if not place.unit.exists():
        raise UsageError(
            f"{place.unit} does not exist: no service is installed there; edgetool service install CONFIG does it"
        )
    figures: dict[str, Any] = {"unit": str(place.unit)}
    active = False
    if place.managed:
        shown = place.systemctl("show", place.service, f"--property={','.join(_PROPERTIES)}").stdout
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        figures.update({name: value for name, value in values.items() if value and value != "[not set]"})
        active = values.get("ActiveState") == "active"
        if not active:
            figures["last_words"] = _last_words(place)
    config = place.outside(_config_of(place.unit))
    figures["config"] = str(config)
    wrong = _wrong(config)
    if wrong is not None:
        figures["config_error"] = wrong
    answer = _health(config)
    if answer is not None:
        figures["health"] = answer
    return ServiceStatus(active and (answer is None or bool(answer.get("well"))), figures)


def require_reachable(config: Path, program: Path | None, settings: Settings, place: Place) -> None:
    """UsageError for the first thing that the service's user, who is nobody in particular, could not read or write."""
    needed = {"the program": program, "the config": config, "model.bundle": settings.model.bundle}
    for what, path in needed.items():
        if path is None:
            continue
        closed = _closed_to_others(path)
        if closed is not None:
            raise UsageError(
                f"{what} is {path}, and {closed} may not be read by the service's user; put it below /opt or /etc/edgetool, "
                f"or chmod o+rX {closed}, or install with --user"
            )
    recording = settings.recording
    folder = STATE_FOLDER if place.name is None else STATE_FOLDER / place.name
    if recording is not None and not recording.folder.resolve().is_relative_to(folder):
        raise UsageError(
            f"recording.folder is {recording.folder}; the service may write only below {folder}: use "
            f'"{folder}/recordings", or install with --user'
        )


def _closed_to_others(path: Path) -> Path | None:
    """The first of a path and its folders that neither everybody nor the service's groups may read (folders: enter)."""
    groups = {_group_id(name) for name in (*GROUPS, USER)}
    whole = path.resolve()
    for part in [*reversed(whole.parents), whole]:
        try:
            found = part.stat()
        except OSError as error:
            raise InputError(f"cannot look at {part}: {error.strerror}") from None
        last = part == whole and not stat.S_ISDIR(found.st_mode)
        by_others, by_group = (stat.S_IROTH, stat.S_IRGRP) if last else (stat.S_IXOTH, stat.S_IXGRP)
        if not (found.st_mode & by_others or (found.st_gid in groups and found.st_mode & by_group)):
            return part
    return None


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _program() -> Path:
    """The ``edgetool`` beside the Python that runs this: the unit must start this installation and no other."""
    program = Path(sys.executable).parent / "edgetool"
    if not program.is_file():
        raise MissingDependencyError(
            f"{program} does not exist: the service needs it; install the wheel into this environment: "
            "pip install 'FILE.whl[pi]' (docs/SERVICE.md)"
        )
    if re.search(r"""['"\\$\x00-\x1f]""", str(program)):
        raise UsageError(
            f"{program} has a quote, backslash, $ or control character in its path, which systemd does not start; "
            "make the environment in a folder without, such as /opt/edgetool"
        )
    return program


def _systemd_version() -> int:
    """Version of the systemd here, 0 if there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return 0
    found = re.match(
        r"systemd (\d+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    )
    return int(found[1]) if found is not None else 0


def _require_allowed(place: Place) -> None:
    if not place.managed:
        raise MissingDependencyError(
            "no systemd runs here, so no service can be installed; --dry-run shows the unit, and whatever starts programs "
            "here can run: edgetool run CONFIG"
        )
    if not place.user and os.geteuid() != 0:
        raise UsageError(
            f"writing {place.unit} needs root; run it with sudo, or install with --user for yourself"
        )


def _told(place: Place, *words: str) -> None:
    done = place.systemctl(*words)
    if done.returncode != 0:
        why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        log = f"journalctl {'--user ' if place.user else ''}-u {place.service} -n 50"
        raise OutputError(f"systemctl {' '.join(words)} failed: {why}; what the service said: {log}")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise OutputError(
            f"{' '.join(command)} gave no answer within 60 s; run it by hand to see more"
        ) from None
    except OSError as error:
        raise MissingDependencyError(
            f"cannot run {command[0]}: {error.strerror}; it is part of systemd"
        ) from None
    if done.returncode != 0:
        raise OutputError(
            f"{' '.join(command)} failed: {' '.join(done.stderr.split())}; run it by hand to see more"
        )


def _config_of(unit: Path) -> Path | None:
    """The config that an installed unit runs, as the unit names it."""
    found = re.search(
        r'^ExecStart=.* run (?:--realtime )?(?:"((?:[^"\\]|\\.)*)"|(\S+))$', unit.read_text(), re.MULTILINE
    )
    return None if found is None else Path(unquoted(found[2] if found[1] is None else found[1]))


def _require_same_config(place: Place, config: Path) -> None:
    """UsageError if a service that runs another config would be replaced."""
    if not place.unit.exists():
        return
    running = place.outside(_config_of(place.unit))
    if running is not None and running != config:
        raise UsageError(
            f"{place.unit} runs {running}; to replace it give --replace, to run both install this one with --name NAME"
        )


def _credential(settings: Settings, place: Place) -> Path | None:
    if settings.server is None or place.user or settings.server.token_file is None:
        return None
    return place.within(settings.server.token_file.absolute(), "server.token_file")


def _wrong(config: Path | None) -> str | None:
    """What is wrong with the config now: a service with it does not start."""
    if config is None:
        return "the unit does not say which config it runs; install it again"
    try:
        read_config(config)
    except EdgetoolError as error:
        return str(error)
    return None


def _last_words(place: Place) -> str:
    """The newest error that the service has told the journal; empty if that cannot be asked."""
    command = ["journalctl", *(["--user"] if place.user else []), "-u", place.service, "-n", "1", "-o", "cat"]
    try:
        done = subprocess.run([*command, "-p", "err"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _health(config: Path | None) -> dict[str, Any] | None:
    """What the daemon's /healthz says; None if it serves none or cannot be asked."""
    try:
        server = read_config(config).server if config is not None else None
        if server is None:
            return None
        access = Access.of(server)
    except (InputError, UsageError):
        return None
    host = access.host if access.host not in ("0.0.0.0", "::") else "127.0.0.1"
    url = f"http://[{host}]:{access.port}/healthz" if ":" in host else f"http://{host}:{access.port}/healthz"
    headers = {"Authorization": f"Bearer {access.token}"} if access.token is not None else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as response:
            answer = parse_json(response.read(DOCUMENT_BYTES), url, "the health of a daemon in JSON")
    except urllib.error.HTTPError as error:
        try:
            answer = parse_json(error.read(DOCUMENT_BYTES), url, "the health of a daemon in JSON")
        except InputError:
            return {"well": False, "why": [f"{url} answers {error.code}"]}
    except (OSError, ValueError, InputError) as error:
        return {"well": False, "why": [f"{url} does not answer: {getattr(error, 'reason', error)}"]}
    return answer if isinstance(answer, dict) else None


def describe(found: ServiceStatus) -> Sequence[str]:
    """The status as lines of words."""
    words = {
        "ActiveState": "service", "SubState": "is", "ActiveEnterTimestamp": "since", "StatusText": "says", "MainPID": "process",
        "NRestarts": "restarts", "Result": "result", "ExecMainStatus": "exit code", "MemoryCurrent": "memory", "unit": "unit",
        "config": "config", "config_error": "why", "last_words": "last said",
    }  # fmt: skip
    figures = found.figures
    lines = [f"{word:<10}{_shown(name, figures[name])}" for name, word in words.items() if figures.get(name)]
    health = figures.get("health")
    if health is not None:
        lines.append(
            f"{'health':<10}{'well' if health.get('well') else 'not well: ' + '; '.join(health.get('why', []))}"
        )
        lines += [f"{'warning':<10}{warning}" for warning in health.get("warnings", [])]
    return lines


def _shown(name: str, value: str) -> str:
    return f"{int(value) / 1e6:.0f} MB" if name == "MemoryCurrent" and value.isdigit() else value
