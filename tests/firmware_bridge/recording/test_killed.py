"""``kill -9`` while recording 8 nodes loses at most 100 ms, and what is there is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.studies.decoder_speed import node_bytes
from firmware_bridge.items import Chunk
from firmware_bridge.recording.file import RecordingReader, RecordingWriter
from firmware_bridge.recording.recover import recover
from firmware_bridge.tools.replay import replay

#: What the installed command runs.
MAIN = "from edgetool.cli import main; main()"
SCRIPT = Path(__file__).parent / "metronome.py"


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


def eight_nodes(path: Path, seconds: float) -> Path:
    """A recording of 8 nodes at the documented load, made without waiting."""
    writer = RecordingWriter(path, [f"node {i}" for i in range(8)], 0, 0)
    wires = [node_bytes(seconds, node)[0] for node in range(8)]
    count = len(wires[0]) // 200
    for place in range(count):
        now = int((place + 1) * seconds / count * 1e9)
        for link, wire in enumerate(wires):
            writer.append(Chunk(link, now, wire[place * 200 : (place + 1) * 200]), now)
    writer.close({})
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_the_command_ends_in_order_or_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM close the recording and print the ledger; SIGKILL leaves whole blocks."""
    played, out = eight_nodes(tmp_path / "played.etl", 30.0), tmp_path / "out.etl"
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "record", "--source", f"replay://{played}?speed=1", "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not out.exists() or out.stat().st_size < 60_000:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(number)
        output = process.communicate(timeout=30)[0]
    summary = replay(out)
    assert summary.closed == (number != signal.SIGKILL)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert ("Wrote " in output) == summary.closed
    assert summary.as_recorded is (True if summary.closed else None)
    nodes = [terms for name, terms in summary.ledger.items() if "/" in name]
    assert len(nodes) == 8 and all(terms["sent"] == terms["delivered"] > 10 for terms in nodes)
