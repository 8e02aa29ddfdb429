"""An engine and a target of one's own: each is one file and one row of a table, and nothing else knows of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench import bench
from benchmarks.engines import ENGINES, EngineKind
from benchmarks.targets import TARGETS, Kind
from quantization.convert import convert

#: docs/BENCH.md tells this story.
ENGINE = '''
"""Answers every window with the mean moment that it was made with."""

import numpy as np

from benchmarks.engines import CannotRunError
from benchmarks.records import Size


class Mean:
    version, how = "1", "a constant"

    def estimate(self, data, tick):
        tick(len(data.windows))
        return np.zeros((len(data.windows), len(data.joints)), np.float32)

    def single_call(self, data):
        return lambda: 0.0

    def size(self):
        return Size(4)


def load(bundle, graph, threads):
    if graph is None or (graph.graph, graph.scheme) != ("window", "int8"):
        raise CannotRunError("it stands for int8 windows")
    return Mean()
'''
TARGET = '''
"""Gives out zeros, and has no time."""

import numpy as np

from benchmarks.records import Judged, Measured, Size


def judge(job, target):
    zeros = np.zeros((len(job.data.windows), len(job.data.joints)), np.float32)
    return Judged((Measured(target, "zero", "window", "int8", "1", "zeros", zeros, None, Size(1)),))
'''


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("row") / "bundle"
    convert("pretrained", "synthetic:people=4,seconds=3,tasks=level,seed=7", folder, calibration_windows=20)
    return folder


def test_one_file_and_one_row(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "row_engine.py").write_text(ENGINE)
    (tmp_path / "row_target.py").write_text(TARGET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ENGINES, "mean", EngineKind("row_engine:load", any_tflite=False))
    monkeypatch.setitem(TARGETS, "moon", Kind("row_target", "moon:sea"))
    report = bench(bundle, on=["host", "moon:tranquillity"], windows=20)
    rows = {(run.measured.target, run.measured.engine, run.measured.graph): run for run in report.runs}
    mean, moon = rows["host", "mean", "window"], rows["moon:tranquillity", "zero", "window"]
    assert mean.measured.latency is not None and moon.measured.latency is None
    rmse = float(np.sqrt(np.mean(report.data.windows.targets.astype(np.float64) ** 2)))
    assert mean.accuracy.overall.rmse == moon.accuracy.overall.rmse == pytest.approx(rmse)
    reasons = {one.reason for one in report.skipped if one.engine == "mean"}
    assert reasons == {"it stands for int8 windows"}
    sys.modules.pop("row_engine"), sys.modules.pop("row_target")
