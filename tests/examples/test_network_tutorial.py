"""docs/tutorials/network.md, command by command: a network of PyTorch and CSV of a Delsys base, to a board and the daemon."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from edgetool.cli import edgetool
from tests.quantization.importers.networks import Sizes, exported, made
from tests.tools import require
from toolkit.data import load
from toolkit.records import Signal

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "network.md"
SECONDS = 8
IMU, EMG = 4000 / 27, 52000 / 27  # Hz: 2 and 26 samples in a frame of 13.5 ms
UNITS = {"mV": ("mV", 1.0), "m/s^2": ("g", 1 / 9.80665), "rad/s": ("deg/s", 180 / np.pi)}


def sampled(signal: Signal, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times = np.arange(int((SECONDS - 0.1) * rate)) / rate
    own = np.arange(len(signal.samples)) / signal.spec.rate_hz
    return times, np.stack([np.interp(times, own, column) for column in signal.samples.T], axis=1)


def write_trial(folder: Path) -> None:
    """Synthetic gait as a Delsys export, all columns with their own times, and moments with decimal commas."""
    folder.mkdir()
    (walk,) = load(f"synthetic:people=1,seconds={SECONDS},tasks=level,speeds=1,seed=5")
    names, columns = [], []
    for name, rate in (("emg", EMG), ("imu", IMU)):
        times, values = sampled(walk.signals[name], rate)
        for channel, column in zip(walk.signals[name].spec.channels, values.T):
            unit, factor = UNITS[channel.unit]
            names += ["X[s]", f"{'EMG ' if name == 'emg' else ''}{channel.name} [{unit}]"]
            columns += [[f"{t:.6f}" for t in times], [f"{v:.6f}" for v in factor * column]]
    rows = max(map(len, columns))
    lines = ["Application:,Trigno", "", ",".join(names)]
    lines += [",".join(column[k] if k < len(column) else "" for column in columns) for k in range(rows)]
    (folder / "delsys.csv").write_text("\n".join(lines))
    assert walk.moments is not None
    times, values = sampled(walk.moments, 100.0)
    head = ";".join(["time [s]", *(f"{c.name} [Nm/kg]" for c in walk.moments.spec.channels)])
    table = np.column_stack([times, values])
    numbers = "\n".join(";".join(f"{v:.5f}" for v in row) for row in table).replace(".", ",")
    (folder / "moments.csv").write_text(f"{head}\n{numbers}\n")


def write_network(folder: Path) -> None:
    network = made("her-cross-lstm", Sizes((24, 9), window=40))
    example = tuple(torch.zeros(1, 40, count) for count in (24, 9))
    (folder / "her.pt2").write_bytes(exported(network, example))
    draw = np.random.default_rng(2)
    windows = {
        name: draw.normal(size=(20, 40, n)).astype(np.float32) for name, n in (("imu", 24), ("emg", 9))
    }
    with torch.no_grad():
        outputs = network(torch.from_numpy(windows["imu"]), torch.from_numpy(windows["emg"])).numpy()
    np.savez(folder / "check.npz", outputs=outputs, imu=windows["imu"], emg=windows["emg"])


def commands() -> list[list[str]]:
    return [shlex.split(line)[2:] for line in re.findall(r"^\$ edgetool .*$", PAGE.read_text(), re.M)]


def test_the_page_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require(program)
    write_trial(tmp_path / "trial")
    write_network(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```toml\n(# run\.toml\n.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "run.toml").write_text(blocks[0])
    said = []
    five = commands()
    assert [words[0] for words in five] == ["data", "convert", "validate", "run", "run"]
    for words in five:
        # The page waits a minute for estimates; a window and as many again are enough here.
        more = {"validate": ["--windows", "40"], "run": []}.get(words[0], [])
        words = ["12" if word == "60" else word for word in words]
        done = CliRunner().invoke(edgetool, [*words, *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        said.append(done.output)
    assert "Compared with the network's own outputs (check.npz, 20 windows)" in said[1].replace("\n", " ")
    assert re.search(r"pass\s+qemu:cortex-m4\s+window\s+differing_outputs\s+0", said[2])
    assert "imu: 24 channels at 148.148 Hz" in said[3] and "emg: 9 channels at 1925.93 Hz" in said[3]
    estimates = [json.loads(line) for line in (tmp_path / "estimates.ndjson").read_text().splitlines()]
    whole = [
        one["moments"] for one in estimates if one["state"] in ("ok", "stale", "degraded") and one["moments"]
    ]
    assert whole and np.isfinite([list(one.values()) for one in whole]).all()
    states = {reason for one in estimates for reason in one["reasons"]}
    assert "warm-up" in states and not states & {"contract-mismatch", "engine", "sensor-off", "not-finite"}
