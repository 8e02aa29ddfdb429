"""``edgetool simulate`` and, in another process, ``edgetool monitor`` and ``record``: over a port and over BLE."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.recording.tracks import load_tracks

MAIN = "from edgetool.cli import main; main()"
DATA = "synthetic:people=1,seconds=2,tasks=level"


def edgetool(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )


@contextmanager
def simulate(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-c", MAIN, "simulate", "--data", DATA, "--seconds", "40", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        try:
            yield node
        finally:
            node.terminate()


def test_monitor_and_record_a_simulated_port(tmp_path: Path) -> None:
    with simulate("--serial", str(tmp_path / "port"), "--fault", "drop=0.02", "--seed", "5") as node:
        assert node.stdout is not None
        url = node.stdout.readline().strip()
        assert url == f"serial://{tmp_path}/port"
        state = tmp_path / "state.json"
        done = edgetool("monitor", url, "--seconds", "3", "--json", str(state))
        assert done.returncode == 0, done.stderr
        assert max(len(line) for line in done.stdout.splitlines()) <= 80
        heard = json.loads(state.read_text())
        assert [stream["stream"] for stream in heard["streams"]] == ["imu", "emg"]
        assert heard["ledger"]["0/0"]["gap"] > 0 and heard["nodes"]["0/0"]["synced"]
        done = edgetool("record", "--source", url, "--out", str(tmp_path / "a.etl"), "--seconds", "1")
        assert done.returncode == 0, done.stderr
        assert "equals the one recorded" in edgetool("replay", str(tmp_path / "a.etl")).stdout


@pytest.mark.usefixtures("dbus_daemon")
def test_scan_and_monitor_simulated_ble_nodes(tmp_path: Path) -> None:
    with simulate("--ble", "--nodes", "2") as node:
        assert node.stdout is not None
        bus = node.stdout.readline().strip().removeprefix("export DBUS_SYSTEM_BUS_ADDRESS=").strip("'")
        urls = [node.stdout.readline().strip() for _ in range(2)]
        for _ in range(20):  # until both are on the bus
            seen = edgetool("scan", "--seconds", "1", DBUS_SYSTEM_BUS_ADDRESS=bus)
            if seen.stdout.count("edgetool node") == 2:
                break
        assert seen.stdout.count("edgetool node") == 2 and all(url in seen.stdout for url in urls)
        state = tmp_path / "state.json"
        done = edgetool("monitor", *urls, "--seconds", "3", "--json", str(state), DBUS_SYSTEM_BUS_ADDRESS=bus)
        assert done.returncode == 0, done.stderr
        heard = json.loads(state.read_text())
        assert len(heard["streams"]) == 4 and set(heard["nodes"]) == {"0/0", "1/1"}
        assert all(heard["ledger"][name]["delivered"] > 50 for name in ("0/0", "1/1"))
        done = edgetool("doctor", urls[0], "--seconds", "1", DBUS_SYSTEM_BUS_ADDRESS=bus)
        assert "good     negotiated ATT MTU 247: notifications of up to 244 bytes" in done.stdout
        assert "interval cannot be read through BlueZ; data come every" in " ".join(done.stdout.split())
        assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_a_port_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    done = edgetool("simulate", "--serial", str(tmp_path / "absent" / "port"), "--seconds", "1")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"edgetool: error: cannot make the simulated port {tmp_path}/absent/port: No such file or directory; "
        "choose a place in a folder that exists and can be written\n"
    )


def test_what_was_recorded_is_played_from_a_port(tmp_path: Path) -> None:
    first, second = tmp_path / "a.etl", tmp_path / "b.etl"
    source = "sim://synthetic?nodes=2&speed=max&seconds=2"
    assert edgetool("record", "--source", source, "--out", str(first)).returncode == 0
    command = [
        "simulate",
        "--serial",
        str(tmp_path / "port"),
        "--data",
        str(first),
        "--nodes",
        "2",
        "--seconds",
        "30",
    ]
    with subprocess.Popen(
        [sys.executable, "-u", "-c", MAIN, *command], stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdout is not None
        url = node.stdout.readline().strip()
        done = edgetool("record", "--source", url, "--out", str(second), "--seconds", "1.5")
        node.terminate()
    assert done.returncode == 0, done.stderr
    played, heard = (load_tracks(path).tracks for path in (first, second))
    assert [(t.node_name, t.stream) for t in heard] == [(t.node_name, t.stream) for t in played]
    for one, other in zip(played, heard):
        # The nodes play in a circle from when they were asked to start.
        start = other.number[0]
        circle = one.values[(start + np.arange(len(other.number))) % len(one.values)]
        assert len(other.number) > 200 and np.array_equal(other.values, circle)


def test_ended_by_the_system_nothing_stays_behind(tmp_path: Path) -> None:
    port = tmp_path / "port"
    with simulate("--serial", str(port)) as node:
        assert (
            node.stdout is not None
            and node.stdout.readline().strip() == f"serial://{port}"
            and port.is_symlink()
        )
        node.terminate()
        assert node.wait(10) == 128 + signal.SIGTERM and not port.is_symlink()


@pytest.mark.usefixtures("dbus_daemon")
def test_ended_by_the_system_no_bus_stays_behind() -> None:
    with simulate("--ble") as node:
        assert node.stdout is not None
        path = Path(node.stdout.readline().split("unix:path=")[1].split(",")[0].strip().strip("'"))
        assert path.is_socket()
        node.terminate()
        assert node.wait(10) == 128 + signal.SIGTERM and not path.parent.exists()
