"""EIO of fsync was dropped: the system says once, and only there, that what it had taken for the disk is lost.

``recording`` and ``ndjson:`` with ``fsync_s`` went on as if all was well.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from firmware_bridge.items import Chunk
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.streams.session import SessionStep
from runtime.daemon.recorder import Recorder
from runtime.sinks import open_sink
from tests.runtime.sinks.harness import OUTPUTS, estimate, run_sink, until

STEP = SessionStep((), (), {})


def _broken(_: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_recording_says_so_and_begins_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path, again_s=0.0)
    recorder.start(["a"], 0, {})
    recorder.append(Chunk(0, 5, b"one"), STEP, 5)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _broken)
        recorder.sync()
        trouble = str(recorder.trouble)
        assert trouble.startswith("the disk has lost what was written: ") and "Input/output error" in trouble
        recorder.tick(6)
    recorder.tick(7)
    assert recorder.trouble is None
    recorder.append(Chunk(0, 8, b"two"), STEP, 8)
    recorder.close({})
    files = sorted(tmp_path.glob("*.etl"))
    assert len(files) == 2 and all(list(RecordingReader.open(file).items()) for file in files)


def test_a_file_of_estimates_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_sink(f"ndjson:{tmp_path}/m.ndjson?fsync_s=0.000001&flush_s=0", OUTPUTS)
    said: list[str | None] = []
    fsync = os.fsync

    def broken(file: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        _broken(file)

    async def given() -> None:
        monkeypatch.setattr(os, "fsync", broken)
        sink.publish(estimate(0))
        await until(lambda: said.append(sink.trouble) or sink.trouble is not None)  # type: ignore[func-returns-value]

    run_sink(sink, lambda _: given())
    assert "the disk has lost what was written" in str(said[-1])
