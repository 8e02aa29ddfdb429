"""A Raspberry Pi with a 32-bit system could not load a bundle at all.

LiteRT has no wheel for armv7l, and docs/PI.md promised tflite-runtime and the native engine there; but ``Bundle.load`` read the
contract in each .tflite with the schema's code out of the LiteRT package, and ``flatbuffers`` came along with nothing else. Now
the schema is a table of our own. The engines' contract suite runs beside tflite-runtime without LiteRT in
tests/runtime/engines/test_tflite_runtime.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.runtime.engines.models import MODELS, make_bundle

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ai_edge_litert", "tensorflow", "torch", "tflite_micro"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
"""
ON_THE_PI = """
import numpy as np
import runtime.daemon.daemon, firmware_bridge.sources
from quantization.analysis.inspect import describe
from quantization.bundle import Bundle
from quantization.tflite.file import graph_of, write
from runtime.engines import open_engine
from toolkit.errors import MissingDependencyError

bundle = Bundle.load(sys.argv[1])
assert write(graph_of(bundle.graph("window", "int8"))) == bundle.graph("window", "int8").content
assert describe(sys.argv[1])["kind"] == "bundle"
engine = open_engine(bundle, "native")
rows = {name: np.ones(count, np.float32) for name, count in engine.channels.items()}
assert np.isfinite(engine.step(rows)).all()
try:
    open_engine(bundle, "litert")
except MissingDependencyError as error:
    print(error)
"""


def test_a_bundle_is_loaded_described_and_run_where_litert_does_not_exist(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", MODELS["small"])
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + ON_THE_PI, str(tmp_path / "bundle")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "EDGETOOL_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pip install ai-edge-litert" in done.stdout
