"""``run --demo`` said nothing for 13 s while it converted its model, and LiteRT's banner stood in the middle of the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_it_says_what_it_does_and_the_log_is_its_own(tmp_path: Path) -> None:
    environment = {**os.environ, "EDGETOOL_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, "-m", "edgetool", "run", "--demo", "--port", "0", "--seconds", "0.2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("time="))
    assert any("converting" in line for line in lines[:first])
    assert all(line.startswith("time=") for line in lines[first:]), done.stderr
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert "converting" not in again.stderr  # once made it is kept


def test_a_json_log_is_json_line_by_line(tmp_path: Path) -> None:
    from tests.runtime.daemon.harness import bundle

    config = tmp_path / "run.toml"
    config.write_text(
        f'[model]\nbundle = "{bundle()}"\n[sources]\nurls = ["sim://synthetic?speed=max&seconds=1"]\n[log]\nform = "json"\n'
    )
    command = [sys.executable, "-m", "edgetool", "run", str(config)]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and [json.loads(line)["event"] for line in done.stderr.splitlines()]
