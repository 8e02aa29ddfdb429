"""The service under a systemd that has booted: a container on a copy-on-write layer over this computer's own files.

What the container writes lies in the layer, which is thrown away; nothing of this computer changes. Needs root, overlayfs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.daemon.harness import bundle
from tests.tools import require

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """
[model]
bundle = "bundle"
engine = "litert"
[sources]
urls = ["sim://synthetic"]
[[sinks]]
url = "ndjson:moments.ndjson"
[server]
[recording]
folder = "/var/lib/edgetool/recordings"
"""
#: Runs once the container is up, and switches it off.
UNIT = """
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart={python} {root}/tests/runtime/service/story.py /story.json
StandardOutput=file:/story.log
StandardError=file:/story.log
ExecStopPost=/bin/systemctl poweroff --force
[Install]
WantedBy=multi-user.target
"""


@contextmanager
def layer() -> Iterator[Path]:
    """This computer's files, to be written over without being changed."""
    folder = Path(tempfile.mkdtemp(prefix="edgetool-booted-"))
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    options = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
    command = ["mount", "-t", "overlay", "overlay", "-o", options, str(folder / "root")]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        if done.returncode != 0:
            pytest.skip(f"no overlay can be mounted here, the service is NOT booted: {done.stderr.strip()}")
        yield folder / "root"
    finally:
        subprocess.run(["umount", str(folder / "root")], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _open_to_all(root: Path, path: Path) -> None:
    """Let everybody enter the folders down to ``path``, in the layer."""
    for folder in [path, *path.parents]:
        there = root / folder.relative_to("/")
        if there.is_dir():
            there.chmod(there.stat().st_mode | 0o055)


def _furnish(root: Path) -> None:
    """Program, config and the story that is told; the code is that of this checkout."""
    python = Path(sys.executable)
    for path in (ROOT, python.parent, Path(sys.base_prefix), Path(sys.prefix)):
        _open_to_all(root, path)
    program = root / "opt/edgetool/bin/edgetool"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec env PYTHONPATH={ROOT} {python} -m edgetool "$@"\n')
    program.chmod(0o755)
    folder = root / "etc/edgetool"
    folder.mkdir(parents=True)
    shutil.copytree(bundle(), folder / "bundle")
    for name in ("run.toml", "other.toml"):
        (folder / name).write_text(CONFIG)
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    unit = root / "etc/systemd/system/edgetool-story.service"
    unit.write_text(UNIT.format(python=python, root=ROOT))
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit.name).symlink_to(f"/etc/systemd/system/{unit.name}")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the steps of the story found."""
    nspawn = require("systemd-nspawn")
    if os.geteuid() != 0:
        pytest.skip("not root: the service is NOT booted in a container")
    if ROOT.is_relative_to("/tmp") or Path(sys.prefix).is_relative_to("/tmp"):
        pytest.skip("this tree lies below /tmp, which a container has of its own: the service is NOT booted")
    log = tmp_path_factory.mktemp("booted") / "boot.log"
    with layer() as root:
        _furnish(root)
        command = [nspawn, "-D", str(root), "--keep-unit", "--register=no", "--link-journal=no"]
        with log.open("w") as out:
            subprocess.run(
                [*command, "--private-network", "--boot", "systemd.unit=multi-user.target"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=900,
            )
        story = root / "story.json"
        if not story.exists() and "Welcome to" not in log.read_text():
            pytest.skip(f"no container boots here, the service is NOT booted: {log.read_text()[-300:]!r}")
        said = (root / "story.log").read_text() if (root / "story.log").exists() else ""
        assert story.exists(), said + log.read_text()[-3000:]
        found: dict[str, Any] = json.loads(story.read_text())
        return found


def test_it_is_installed_and_well(told: dict[str, Any]) -> None:
    assert told["install"]["rc"] == 0, told["install"]
    assert told["active"] == "active" and told["user"] == "edgetool", told["journal"]
    assert told["well"] and told["well"]["well"], told["journal"]
    assert told["status"]["rc"] == 0 and "health    well" in told["status"]["out"], told["status"]


def test_reload_keeps_the_process(told: dict[str, Any]) -> None:
    assert told["reload"]["rc"] == 0 and told["reloaded"] and told["same_process_after_reload"]


def test_it_is_back_after_kill_9_and_after_a_hang(told: dict[str, Any]) -> None:
    assert told["after_kill"] and told["restarts_after_kill"] == "1"
    assert told["after_hang"] and told["restarts_after_hang"] == "2"  # the watchdog


def test_a_wrong_config_is_not_started_again_and_status_says_why(told: dict[str, Any]) -> None:
    assert told["wrong"] == {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "2"}
    assert told["wrong_restarts"][0] == told["wrong_restarts"][1]
    assert told["status_wrong"]["rc"] == 1
    assert "sources has no key 'url'" in told["status_wrong"]["out"], told["status_wrong"]
    assert told["mended"]


def test_another_config_does_not_take_its_place(told: dict[str, Any]) -> None:
    assert told["other"]["rc"] == 2 and "--replace" in told["other"]["err"]


def test_it_ends_in_order_and_is_gone(told: dict[str, Any]) -> None:
    assert told["stop"]["rc"] == 0 and told["stopped"] and len(told["recordings"]) >= 3
    assert told["uninstall"]["rc"] == 0 and told["unit_gone"]
