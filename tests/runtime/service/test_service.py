"""The systemd unit and what installs it: judged by systemd's own programs where they are there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetool.cli import main
from runtime.daemon.demo import demo_bundle
from runtime.pipeline.estimate import State
from runtime.service import manage as service
from runtime.service.manage import (
    Place,
    install,
    status,
    uninstall,
)
from runtime.service.unit import Unit, quoted
from runtime.settings import ServerSettings
from tests.runtime.daemon.harness import bundle
from tests.runtime.server.served import TOKEN, served
from tests.tools import require
from toolkit.errors import (
    EdgetoolError,
    InputError,
    MissingDependencyError,
    OutputError,
    UsageError,
)

CONFIG = '[model]\nbundle = "bundle"\n\n[sources]\nurls = ["serial:///dev/ttyUSB0"]\n'


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody may read, with a program, a bundle and a config; pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="edgetool-service-"))
    try:
        shutil.copytree(bundle(), folder / "bundle")
        program = folder / "edgetool"
        program.write_text("#!/bin/sh\n")
        (folder / "run.toml").write_text(CONFIG)
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        program.chmod(0o755)
        monkeypatch.setattr(service, "_program", lambda: program)
        yield folder
    finally:
        shutil.rmtree(folder)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require("systemd-analyze"), *words], capture_output=True, text=True, timeout=60)


def version() -> int:
    return int(analyze("--version").stdout.split()[1])


def lines_of(text: str) -> dict[str, list[str]]:
    """Every option of a unit and its values."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


# The unit


@pytest.mark.parametrize("user", [False, True])
def test_systemd_finds_nothing_wrong(public: Path, user: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = public / "edgetool.service"
    program = public / "a b%d" / "edgetool"
    program.parent.mkdir()
    shutil.copy(public / "edgetool", program)
    # Names that need quoting: the verifier looks for the program, and finds it only if they are quoted rightly.
    unit.write_text(
        Unit(program, public / 'with "quotes" 100 %.toml', public / "50 %", user, version()).text()
    )
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(public))
    done = analyze(*(["--user"] if user else []), "verify", str(unit))
    about_us = [line for line in done.stderr.splitlines() if "edgetool" in line]
    assert (done.returncode, about_us) == (0, [])


def test_a_wrong_unit_would_be_found(public: Path) -> None:
    unit = public / "edgetool.service"
    unit.write_text(
        Unit(public / "missing", public / "run.toml").text().replace("Type=notify", "Type=notified")
    )
    done = analyze("verify", str(unit))
    assert "notified" in done.stderr and "missing is not executable" in done.stderr


def test_exposure(public: Path) -> None:
    unit = public / "edgetool.service"
    unit.write_text(Unit(public / "edgetool", public / "run.toml").text())
    done = analyze("security", "--offline=true", "--threshold=20", str(unit))
    found = re.search(r"Overall exposure level for edgetool.service: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    print(f"systemd-analyze security: {found[1]}")
    # 0 is best, 10 worst. docs/SERVICE.md says what is left: network, serial ports and Bluetooth, which the daemon is for.
    assert float(found[1]) <= 1.7


def test_what_the_unit_promises() -> None:
    text = Unit(
        Path("/opt/edgetool/bin/edgetool"), Path("/etc/edgetool/run.toml"), Path("/etc/edgetool/token")
    ).text()
    options = lines_of(text)
    assert options["ExecStart"] == ["/opt/edgetool/bin/edgetool run /etc/edgetool/run.toml"]
    assert (
        options["Type"] == ["notify"]
        and options["WatchdogSec"] == ["60"]
        and options["Restart"] == ["always"]
    )
    assert options["User"] == ["edgetool"] and options["SupplementaryGroups"] == ["dialout bluetooth"]
    assert options["CapabilityBoundingSet"] == [""] and options["NoNewPrivileges"] == ["yes"]
    assert options["ProtectSystem"] == ["strict"] and options["ProtectHome"] == ["yes"]
    assert options["LoadCredential"] == ["server-token:/etc/edgetool/token"]
    assert (
        options["StateDirectory"] == options["RuntimeDirectory"] == options["CacheDirectory"] == ["edgetool"]
    )
    assert options["DevicePolicy"] == ["closed"] and "char-188 rw" in options["DeviceAllow"]
    assert options["WantedBy"] == ["multi-user.target"]
    # A service that is given up after five failures is no service for months.
    assert options["StartLimitIntervalSec"] == ["0"] and TOKEN not in text


def test_homes_can_be_read_only_if_something_lies_there() -> None:
    inside = Unit(Path("/home/pi/venv/bin/edgetool"), Path("/etc/edgetool/run.toml")).text()
    assert lines_of(inside)["ProtectHome"] == ["read-only"]


def test_restarts_back_off_where_systemd_can() -> None:
    old, new = (Unit(Path("/a"), Path("/b"), systemd_version=v).text() for v in (252, 254))
    assert "RestartSteps" not in old and lines_of(new)["RestartMaxDelaySec"] == ["60"]


def test_without_a_watchdog() -> None:
    assert "WatchdogSec" not in lines_of(Unit(Path("/a"), Path("/b"), watchdog_s=0).text())


def test_real_time_priority_is_allowed_and_bounded() -> None:
    """The daemon takes it itself, once its model is there: a kernel that refuses it costs a warning, not the service."""
    plain, allowed = (lines_of(Unit(Path("/a"), Path("/b"), realtime=n).text()) for n in (0, 10))
    assert plain["RestrictRealtime"] == ["yes"] and "LimitRTPRIO" not in plain
    assert plain["ExecStart"] == ["/a run /b"] and allowed["ExecStart"] == ["/a run --realtime /b"]
    assert allowed["LimitRTPRIO"] == ["10"] and allowed["LimitRTTIME"] == ["10s"]
    assert "RestrictRealtime" not in allowed and "CPUSchedulingPolicy" not in allowed
    assert set(plain) - {"RestrictRealtime"} == set(allowed) - {"LimitRTPRIO", "LimitRTTIME"}


@pytest.mark.parametrize(
    ("service", "user", "realtime"),
    [
        ("", False, 10),
        ("", True, 0),
        ("[service]\nrealtime = 0\n", False, 0),
        ("[service]\nrealtime = 20\n", False, 20),
    ],
)
def test_a_system_service_goes_first_unless_its_config_says_otherwise(
    public: Path, service: str, user: bool, realtime: int
) -> None:
    (public / "run.toml").write_text(CONFIG + service)
    options = lines_of(install(public / "run.toml", Place(user, public), dry_run=True).text)
    assert options.get("LimitRTPRIO", ["0"]) == [str(realtime)]
    assert ("--realtime" in options["ExecStart"][0]) == bool(realtime)


def test_a_users_unit_has_no_identity_of_its_own() -> None:
    options = lines_of(Unit(Path("/a"), Path("/b"), user=True).text())
    assert "User" not in options and "DevicePolicy" not in options
    assert options["WantedBy"] == ["default.target"] and options["Type"] == ["notify"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["/bin/edgetool", "run", "/etc/x.toml"], "/bin/edgetool run /etc/x.toml"),
        (["/a b", "c"], '"/a b" c'),
        (["50%", "$HOME"], '"50%%" "$$HOME"'),
        (['say "hi"', "a\\b"], '"say \\"hi\\"" "a\\\\b"'),
        (["it's", ""], '"it\'s" ""'),
    ],
)
def test_quoting(words: list[str], line: str) -> None:
    assert quoted(words) == line


def test_memory_that_is_never_writable_and_executable(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute, by the kernel's own switch for it (PR_SET_MDWE, Linux 6.3): numpy, cffi, LiteRT, compiler."""
    script = (
        "import ctypes, os, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(77)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    for engine in ("native", "litert"):
        config, result = tmp_path / f"{engine}.toml", tmp_path / f"{engine}.json"
        # As fast as it goes, to its end: how many estimates there are does not depend on the machine.
        config.write_text(
            f'[model]\nbundle = "{demo_bundle()}"\nengine = "{engine}"\n'
            '[sources]\nurls = ["sim://synthetic?speed=max&seconds=3"]\n[server]\nport = 0\n'
        )
        program = str(Path(sys.executable).parent / "edgetool")
        command = [sys.executable, "-c", script, program, "run", str(config), "--json", str(result)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        if done.returncode == 77:
            pytest.skip("THIS KERNEL HAS NO PR_SET_MDWE (Linux 6.3): MemoryDenyWriteExecute is not tried")
        assert done.returncode == 0, done.stderr
        found = json.loads(result.read_text())
        assert (
            found["model"]["engine"] == engine
            and found["state_moments"]["ok"] + found["state_moments"]["degraded"] > 20
        )


# Installing


def test_the_config_of_the_docs_can_be_installed(public: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs/SERVICE.md").read_text()
    found = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    (public / "run.toml").write_text(found[1])
    done = install(public / "run.toml", Place(prefix=public))
    assert any(line.startswith("engine    native") for line in done.lines)


def test_a_dry_run_shows_and_writes_nothing(public: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(public.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(["service", "install", str(public / "run.toml"), "--dry-run", "--prefix", str(public)])
    shown = capsys.readouterr()
    assert end.value.code == 0 and sorted(public.rglob("*")) == before
    assert "ExecStart=/edgetool run --realtime /run.toml\n" in shown.out  # as the image will have it
    assert "source    serial:///dev/ttyUSB0" in shown.err
    assert f"would write {public}/etc/systemd/system/edgetool.service" in shown.err


def test_install_then_status_then_uninstall(public: Path) -> None:
    place = Place(prefix=public)
    done = install(public / "run.toml", place)
    unit = public / "etc/systemd/system/edgetool.service"
    assert done.unit == unit and unit.read_text() == done.text and unit.stat().st_mode & 0o777 == 0o644
    found = status(place)
    assert found.figures["config"] == str(public / "run.toml") and not found.well
    users = public / "etc/sysusers.d/edgetool.conf"
    assert users.read_text().splitlines()[1] == 'u edgetool - "edgetool daemon"'
    assert uninstall(place)[0] == f"removed   {unit}" and not unit.exists() and not users.exists()
    assert (public / "run.toml").exists()
    with pytest.raises(UsageError, match="no service is installed there; nothing to remove"):
        uninstall(place)
    with pytest.raises(
        UsageError, match="no service is installed there; edgetool service install CONFIG does it"
    ):
        status(place)


def test_a_config_that_cannot_run_is_not_installed(public: Path) -> None:
    place = Place(prefix=public)
    for text, error, words in (
        (CONFIG.replace("urls", "url"), InputError, r"run.toml:5: sources has no key 'url'"),
        (CONFIG.replace('"bundle"', '"nowhere"'), EdgetoolError, r"nowhere"),
    ):
        (public / "run.toml").write_text(text)
        with pytest.raises(error, match=words):
            install(public / "run.toml", place)
        assert not place.unit.exists()


def test_what_the_services_user_may_not_read_is_said_before(public: Path) -> None:
    place = Place(prefix=public)
    (public / "run.toml").chmod(0o600)
    with pytest.raises(
        UsageError, match=rf"the config is .*, and {public}/run.toml may not be read by the service's user"
    ):
        install(public / "run.toml", place)
    (public / "run.toml").chmod(0o644)
    (public / "bundle").chmod(0o700)
    with pytest.raises(
        UsageError, match=rf"model.bundle is .*, and {public}/bundle may not be read.* install with --user"
    ):
        install(public / "run.toml", place)
    (public / "run.toml").write_text(CONFIG.replace('"bundle"', f'"{bundle()}"'))
    install(
        public / "run.toml", Place(user=True, prefix=public)
    )  # one's own service may read one's own files


def test_recordings_must_lie_where_the_service_may_write(public: Path) -> None:
    (public / "run.toml").write_text(CONFIG + '\n[recording]\nfolder = "recordings"\n')
    with pytest.raises(
        UsageError, match=r'may write only below /var/lib/edgetool: use "/var/lib/edgetool/recordings"'
    ):
        install(public / "run.toml", Place(prefix=public))
    (public / "run.toml").write_text(CONFIG + '\n[recording]\nfolder = "/var/lib/edgetool/recordings"\n')
    install(public / "run.toml", Place(prefix=public))


def test_a_token_reaches_the_service_as_a_credential(public: Path) -> None:
    (public / "token").write_text(TOKEN)
    (public / "token").chmod(0o600)
    (public / "run.toml").write_text(CONFIG + '\n[server]\nhost = "0.0.0.0"\ntoken_file = "token"\n')
    text = install(public / "run.toml", Place(prefix=public)).text
    assert "LoadCredential=server-token:/token\n" in text and TOKEN not in text


def test_without_systemd_or_root_one_line_says_so(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "managed", False)
    with pytest.raises(MissingDependencyError, match=r"no systemd runs here.* --dry-run shows the unit"):
        install(public / "run.toml", Place())
    monkeypatch.setattr(Place, "managed", True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        UsageError, match=r"writing /etc/systemd/system/edgetool.service needs root; run it with sudo"
    ):
        install(public / "run.toml", Place())


def test_a_program_that_systemd_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "joe's"
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    with pytest.raises(
        MissingDependencyError, match=r"edgetool does not exist: .*pip install 'FILE.whl\[pi\]'"
    ):
        service._program()
    (folder / "edgetool").touch()
    with pytest.raises(UsageError, match=r"has a quote, backslash, \$ or control character in its path"):
        service._program()


@pytest.fixture
def manager(public: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it is told; the unit is a user's, below ``public``."""
    calls = public / "calls"
    program = public / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        'case "$*" in\n'
        '  --version) echo "systemd 257 (257.1)";;\n'
        '  *show*) printf "ActiveState=active\\nSubState=running\\nMainPID=7\\nNRestarts=2\\nMemoryCurrent=90000000\\n";;\n'
        '  *restart*) [ ! -e ' + str(public / "broken") + ' ] || { echo "Job failed." >&2; exit 1; };;\n'
        "esac\n"
    )  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(public / "config"))
    monkeypatch.setattr(Place, "managed", True)
    return calls


def test_the_manager_is_told_in_order(public: Path, manager: Path) -> None:
    place = Place(user=True)
    assert place.unit == public / "config/systemd/user/edgetool.service"
    done = install(public / "run.toml", place)
    assert (
        "RestartSteps=6" in done.text
        and done.lines[-1] == "to keep it without a login: loginctl enable-linger"
    )
    found = status(place)
    assert found.well and found.figures["NRestarts"] == "2"
    assert "memory    90 MB" in service.describe(found)
    uninstall(place)
    told = [line for line in manager.read_text().splitlines() if line != "--version" and " show " not in line]
    assert told == [
        "--user --no-pager daemon-reload",
        "--user --no-pager enable edgetool.service",
        "--user --no-pager restart edgetool.service",
        "--user --no-pager disable --now edgetool.service",
        "--user --no-pager daemon-reload",
    ]


def test_systemd_can_make_the_services_user(public: Path) -> None:
    program = require("systemd-sysusers")
    install(public / "run.toml", Place(prefix=public))
    (public / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    command = [program, f"--root={public}", str(public / "etc/sysusers.d/edgetool.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = (public / "etc/passwd").read_text().splitlines()
    name, _, number, _, words, home, shell = next(x for x in lines if x.startswith("edgetool:")).split(":")
    assert (name, words, home) == ("edgetool", "edgetool daemon", "/")
    assert "nologin" in shell and 0 < int(number) < 1000


def test_a_manager_that_refuses(public: Path, manager: Path) -> None:
    (public / "broken").touch()
    with pytest.raises(
        OutputError,
        match=r"restart .* failed: Job failed.; .* journalctl --user -u edgetool.service",
    ):
        install(public / "run.toml", Place(user=True))


def test_a_manager_that_does_not_answer(public: Path, manager: Path) -> None:
    install(public / "run.toml", Place(user=True))
    (public / "bin/systemctl").write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(OutputError, match=r"systemctl --user .* gave no answer within 0.3 s"):
        status(Place(user=True, patience_s=0.3))


def test_status_asks_the_daemon_itself(
    public: Path, manager: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (public / "token").write_text(TOKEN)
    with served(tmp_path, ServerSettings(port=0, token_file=public / "token")) as one:
        port = int(one.url.rsplit(":", 1)[1].rstrip("/"))
        (public / "run.toml").write_text(CONFIG + f'\n[server]\nport = {port}\ntoken_file = "token"\n')
        place = Place(user=True)
        install(public / "run.toml", place)
        one.do(lambda daemon: daemon.publish())
        assert status(place).well
        one.do(lambda daemon: daemon.publish(State.INVALID, ("sensor-off",)))
        with pytest.raises(SystemExit) as end:
            main(["service", "status", "--user", "--json", str(public / "status.json")])
        assert end.value.code == 1 and "health    not well: invalid: sensor-off\n" in capsys.readouterr().out
        assert json.loads((public / "status.json").read_text())["well"] is False
    gone = status(place)
    assert not gone.well and "does not answer" in gone.figures["health"]["why"][0]
