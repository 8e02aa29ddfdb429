"""``kill -9`` while recording 8 nodes loses at most 100 ms, and what is there is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware_bridge.recording import RecordingReader
from firmware_bridge.recover import recover
from firmware_bridge.replay import replay
from firmware_bridge.sources.base import Chunk

SCRIPT = Path(__file__).parent / "bridge_metronome.py"


@pytest.mark.parametrize("after_s", [0.7, 1.31, 2.03])
def test_kill_9_at_8_nodes_loses_at_most_100_ms(tmp_path: Path, after_s: float) -> None:
    out, last = tmp_path / "killed.etl", tmp_path / "last"
    last.write_bytes(bytes(8))
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(out), str(last)])
    try:
        deadline = time.monotonic() + 30
        while not out.exists() or out.stat().st_size < 10_000:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(after_s)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    given_ns = int.from_bytes(last.read_bytes(), "little")

    reader = RecordingReader.open(out)
    recorded_ns = max(item.arrival_ns for item in reader.items() if isinstance(item, Chunk))
    assert not reader.closed
    lost_ms = (given_ns - recorded_ns) * 1e-6
    print(f"killed after {after_s} s: lost the last {lost_ms:.1f} ms")
    assert 0 <= lost_ms <= 100

    # All before that is there: no frame of any of the 8 nodes is missing in between.
    recover(out, tmp_path / "mended.etl")
    for path in (out, tmp_path / "mended.etl"):
        summary = replay(path)
        nodes = [terms for name, terms in summary.ledger.items() if "/" in name]
        assert len(nodes) == 8
        assert all(terms["sent"] == terms["delivered"] > 40 for terms in nodes)
        assert [stream.missing for stream in summary.streams] == [0] * 16
