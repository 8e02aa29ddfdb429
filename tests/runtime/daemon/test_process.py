"""``edgetool run`` as a process: signals, sudden death, the demo, and what it loads."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.recording.recover import recover
from runtime.config import read_config
from tests.runtime.daemon.harness import bundle
from tests.tools import require_package

#: What the installed command runs.
MAIN = "from edgetool.cli import main; main()"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def _config(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "run.toml"
    path.write_text(
        f"""
[model]
bundle = {str(bundle())!r}
[sources]
urls = ["sim://synthetic"]
[[sinks]]
url = "ndjson:{tmp_path / "moments.ndjson"}"
[recording]
folder = "recordings"
[log]
form = "json"
{more}
"""
    )
    return path


@contextmanager
def _running(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    log = cwd / f"log-{time.monotonic_ns()}"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", *arguments],
            cwd=cwd,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=out,
            text=True,
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def _until(condition: Callable[[], Any], log: Path, seconds: float = 40.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s; log:\n{log.read_text()}"
        time.sleep(0.02)
    return found


def _moments(tmp_path: Path) -> list[dict[str, Any]]:
    """Whole lines only: the last may still be on its way."""
    path = tmp_path / "moments.ndjson"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _events(log: Path) -> list[dict[str, Any]]:
    """The log's lines; LiteRT writes lines of its own."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_sigterm_drains_and_sighup_reloads(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with _running(str(config), cwd=tmp_path) as (process, log):
        _until(lambda: any(m["state"] == "ok" for m in _moments(tmp_path)), log)
        process.send_signal(signal.SIGHUP)
        _until(lambda: any(e["event"] == "reloaded" for e in _events(log)), log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    estimates = _moments(tmp_path)
    assert [m["sequence"] for m in estimates] == list(range(len(estimates)))
    stopped = _events(log)[-1]
    assert (stopped["event"], stopped["moments"]) == ("stopped", len(estimates))
    (file,) = (tmp_path / "recordings").glob("*.etl")
    whole = RecordingReader.open(file)
    assert list(whole.items()) and whole.closed


def test_kill_9_leaves_what_is_whole_and_a_new_start_goes_on(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with _running(str(config), cwd=tmp_path) as (process, log):
        _until(lambda: sum(m["state"] == "ok" for m in _moments(tmp_path)) > 50, log)
        process.send_signal(signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL
    killed = _moments(tmp_path)
    (file,) = (tmp_path / "recordings").glob("*.etl")
    recover(file, tmp_path / "mended.etl")
    mended = RecordingReader.open(tmp_path / "mended.etl")
    arrivals = [item.arrival_ns for item in mended.items() if hasattr(item, "arrival_ns")]
    # At most 100 ms before the newest estimate that had been written (docs/RECORDING.md) are missing.
    assert max(arrivals) > max(m["arrival_ns"] for m in killed) - 100_000_000
    with _running(str(config), cwd=tmp_path) as (process, log):
        _until(
            lambda: _moments(tmp_path)[-1]["state"] == "ok" and len(_moments(tmp_path)) > len(killed) + 80,
            log,
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    again = _moments(tmp_path)[len(killed) :]
    assert any(m["sequence"] == 0 for m in again[:2])  # one line may have been torn by the kill
    assert len(list((tmp_path / "recordings").glob("*.etl"))) == 2


def test_demo_and_control_c(tmp_path: Path) -> None:
    with _running("--demo", "--port", "0", cwd=tmp_path) as (process, log):
        url = _until(lambda: re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()), log)[0]

        def status() -> Any:
            return json.load(urllib.request.urlopen(f"{url}api/status", timeout=20))

        # On a busy machine estimates may be late or decimated; usable ones come all the same.
        _until(lambda: status()["state_moments"]["ok"] + status()["state_moments"]["degraded"] > 0, log)
        assert status()["model"]["engine"] == "litert"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert "event=stopped" in log.read_text()
    assert "synthetic" in log.read_text()


def test_seconds_and_status_file(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with _running(str(config), "--seconds", "2", "--json", "status.json", cwd=tmp_path) as (process, log):
        assert process.wait(40) == 0, log.read_text()
    status = json.loads((tmp_path / "status.json").read_text())
    assert sum(status["state_moments"].values()) > 10 and status["uptime_s"] >= 2
    assert status["sinks"][0]["published"] == sum(status["state_moments"].values()) == len(_moments(tmp_path))


def test_the_daemon_loads_no_heavy_package(tmp_path: Path) -> None:
    """Neither torch nor tensorflow, and none of scipy, pandas, matplotlib, which cost memory on a Pi."""
    script = (
        "import sys; sys.argv = ['edgetool', 'run', sys.argv[1], '--seconds', '1.5']\n"
        "from edgetool.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'tensorflow', 'scipy', 'pandas', 'matplotlib', 'rich', 'pytest'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(_config(tmp_path, "[server]\nport = 0"))],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert result.stdout.splitlines()[-1] == "heavy: []", result.stderr


def test_example_config_is_whole(tmp_path: Path) -> None:
    """The example in the repository reads, and runs when its bundle is there."""
    example = Path(__file__).parents[3] / "examples" / "run.toml"
    settings = read_config(example)
    assert settings.sources == ("sim://synthetic",) and settings.model.bundle.name == "bundle"
    # What is commented out is the default, so with it nothing changes but what has none.
    text = re.sub(r"^# (\w+ = )", r"\1", example.read_text(), flags=re.MULTILINE)
    without = "host|port|token_file|folder|prefix|markers|mass_kg|from|check_names"
    without += "|unit|axes|scale|resample|notch_hz|foot_accel_x"
    text = re.sub(rf"^({without}) = .*\n", "", text, flags=re.MULTILINE)
    path = tmp_path / "run.toml"
    path.write_text(text)
    spelt_out = read_config(path)
    assert (spelt_out.rules, spelt_out.alignment, spelt_out.log) == (
        settings.rules,
        settings.alignment,
        settings.log,
    )


def test_usage_is_checked() -> None:
    for arguments, words in (
        ([], "give either a CONFIG file or --demo"),
        (["x.toml", "--demo"], "give either a CONFIG file or --demo"),
        (["x.toml", "--engine", "native"], "are for --demo"),
        (["absent.toml"], "absent.toml cannot be read"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", MAIN, "run", *arguments], capture_output=True, text=True, timeout=30
        )
        assert result.returncode == 2
        assert words in result.stderr


def test_check_finds_what_a_sink_lacks(tmp_path: Path) -> None:
    require_package("paho.mqtt.client")
    path = _config(tmp_path)
    path.write_text(path.read_text() + '[[sinks]]\nurl = "mqtt://me@broker/t"\npassword_file = "absent"\n')
    result = subprocess.run(
        [sys.executable, "-c", MAIN, "run", "--check", str(path)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert f"cannot read password_file {tmp_path / 'absent'}: No such file" in result.stderr


def _check(path: Path, before: str = "pass") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {before}; {MAIN}", "run", "--check", str(path)],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "EDGETOOL_SERVER_TOKEN": ""},
        timeout=60,
    )


def test_check_finds_what_the_server_lacks(tmp_path: Path) -> None:
    open_to_all = _check(_config(tmp_path, '[server]\nhost = "0.0.0.0"\n'))
    assert open_to_all.returncode == 2
    assert "can be reached by others and there is no token" in open_to_all.stderr

    no_packages = _check(_config(tmp_path, "[server]\n"), 'sys.modules["aiohttp"] = None')
    assert no_packages.returncode == 2
    assert "pip install 'edgetool[pi]', or leave out [server]" in no_packages.stderr

    (tmp_path / "token").write_text("0123456789abcdef\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    whole = _check(_config(tmp_path, f'[server]\nhost = "::"\nport = {port}\ntoken_file = "token"\n'))
    assert whole.returncode == 0, whole.stderr
    assert f"server    http://[::]:{port}/ with a token\n" in whole.stdout
    assert f"recording {tmp_path / 'recordings'}/session-*\n" in whole.stdout
    assert "0123456789abcdef" not in whole.stdout + whole.stderr


@pytest.mark.parametrize("engine", ["litert", "native"])
def test_check(tmp_path: Path, engine: str) -> None:
    path = _config(tmp_path)
    path.write_text(path.read_text().replace("[sources]", f'engine = "{engine}"\n[sources]'))
    result = subprocess.run(
        [sys.executable, "-c", MAIN, "run", "--check", str(path)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert (
        f"engine    {engine}" in result.stdout
        and "input     imu: 24 channels at 200 Hz from imu" in result.stdout
    )
    assert not (tmp_path / "recordings").exists() and not (tmp_path / "moments.ndjson").exists()
