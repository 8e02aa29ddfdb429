"""The sensor of CONTRIBUTING's worked example: one file, one row, and it is recorded, replayed and aligned as any node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.sources import SCHEMES, Scheme
from firmware_bridge.tools.record import record

ROW = Scheme(
    "tests.firmware_bridge.sources.example_sensor", "ExampleSource", "example://NAME", "a goniometer"
)


def test_one_file_and_one_row_make_a_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "example", ROW)
    out = tmp_path / "knee.etl"
    summary = asyncio.run(record(["example://left"], out, 1.5))
    assert summary.ledger["0/0"]["sent"] == summary.ledger["0/0"]["delivered"] > 20
    (track,) = load_tracks(out).tracks
    assert (track.node_name, track.stream.name, track.missing) == ("left", "knee", 0)
    assert len(track.values) > 200 and track.stream.channels[0].unit == "deg"
    # The angle says when it was taken. Without sync replies times are known to 30 ms: 20 deg x 2 pi / s x 30 ms = 3.8 deg.
    taken_s = track.host_s + RecordingReader.open(out).snapshot.started_monotonic_ns * 1e-9
    assert np.abs(track.values[:, 0] - (40.0 + 20.0 * np.sin(2 * np.pi * taken_s))).max() < 3.8
