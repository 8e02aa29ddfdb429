"""What others make of the same checkpoint and calibration windows: rows of ``edgetool bench --peers``.

TFLiteConverter comes with the tensorflow extra. litert-torch with ai-edge-quantizer wants an environment of its own (it brings
other versions of what we use): its Python is named by the environment variable EDGETOOL_PEERS_PYTHON; docs/BENCH.md says how
to make it. A peer that is not there is a row that says why.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantization.bundle import Bundle
from quantization.calibration_windows import draw
from quantization.converters import converter_named
from quantization.graph.graph_file import GraphFile
from quantization.importers.network import cross_lstm
from quantization.tflite.stderr import quiet
from toolkit.errors import EdgetoolError
from toolkit.model.config import STREAMS
from toolkit.model.float_model import FloatModel
from toolkit.records import Recording, Windows

PYTHON_VARIABLE = "EDGETOOL_PEERS_PYTHON"
_SCRIPT = Path(__file__).with_name("litert_torch.py")
#: Converting and calibrating the reference model takes half a minute.
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Peer:
    """A peer's graphs, or the reason why there are none."""

    converter: str
    graphs: tuple[GraphFile, ...] = ()
    reason: str = ""


def build_peers(bundle: Bundle, recordings: list[Recording]) -> list[Peer]:
    """Every peer's graphs from the bundle's checkpoint, with the calibration windows that the bundle was made with."""
    about = bundle.manifest["data"]
    drawn = draw(bundle.checkpoint, recordings, int(about["calibration_windows"]), int(about["seed"]))
    makers: dict[str, Callable[[FloatModel, Windows], tuple[GraphFile, ...]]] = {
        "TFLiteConverter": _tflite_converter,
        "litert-torch": _litert_torch,
    }
    peers = []
    for name, make in makers.items():
        try:
            peers.append(Peer(name, make(bundle.checkpoint, drawn.calibration)))
        except (EdgetoolError, _PeerError, ImportError) as error:
            peers.append(Peer(name, reason=str(error)))
    return peers


class _PeerError(Exception):
    """A peer could not convert; the text is the reason."""


def _tflite_converter(checkpoint: FloatModel, calibration: Windows) -> tuple[GraphFile, ...]:
    with quiet():
        built = converter_named("tensorflow")(checkpoint, calibration, scheme="int8")
    return tuple(graph for graph in built if graph.scheme == "int8")


def _litert_torch(checkpoint: FloatModel, calibration: Windows) -> tuple[GraphFile, ...]:
    checkpoint = cross_lstm(checkpoint, "the comparison with litert-torch")
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        raise _PeerError(
            f"{PYTHON_VARIABLE} does not name the Python of an environment that has it (docs/BENCH.md)"
        )
    if checkpoint.config.streams != STREAMS:
        raise _PeerError("its script takes models of two streams")
    with tempfile.TemporaryDirectory(prefix="edgetool-peer-") as name:
        folder = Path(name)
        inputs = {stream: calibration.inputs[stream] for stream in STREAMS}
        config = json.dumps(checkpoint.config.to_json())
        np.savez(folder / "input.npz", config=np.array(config), **inputs, **checkpoint.weights)  # type: ignore[arg-type]
        command = [python, str(_SCRIPT), str(folder / "input.npz"), name]
        # Our own packages must not be seen by that Python.
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=clean, cwd=name, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _PeerError(f"{python} did not run: {error}") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise _PeerError(f"it failed under {python}: {last}")
        return tuple(
            GraphFile("window", scheme, (folder / f"{scheme}.tflite").read_bytes())
            for scheme in ("float32", "int8")
        )
