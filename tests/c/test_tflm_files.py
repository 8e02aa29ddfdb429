"""``tflm/`` of a bundle: the array is the file, the operators are the graph's, the arena is enough and not by chance.

``main.cc`` and the resolver need TensorFlow Lite Micro's headers, which no package that the tests may install holds: they
are not compiled here. What is checked of them is that TFLM's library has a registration for every operator they name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_harness import require, run
from test_c_models import drawn_checkpoint, drawn_windows

from quantization import native_engine, tflm_emitter
from quantization.convert import golden_vectors
from quantization.engines import GraphFile
from quantization.execute import has_tflm, run_tflm
from quantization.metadata import load_model
from quantization.operations_count import operator_name
from toolkit.errors import ModelFileError

needs_tflm = pytest.mark.skipif(
    not has_tflm(), reason="NOT TESTED: tflite-micro is not installed (x86-64 Linux only)"
)


@pytest.fixture(scope="module")
def emitted() -> tuple[GraphFile, dict[str, Any], dict[str, str], dict[str, Any]]:
    """Window graph of a drawn model, golden vectors, files, and the manifest's entry."""
    checkpoint = drawn_checkpoint(3)
    windows = drawn_windows(checkpoint.config, 8, 3)
    built = native_engine.build(checkpoint, windows, scheme="int8")
    vectors, graphs = golden_vectors(checkpoint, built, windows)
    window = next(g for g in graphs if (g.graph, g.scheme) == ("window", "int8"))
    files, about = tflm_emitter.tflm_files(window, vectors)
    return window, vectors, {name: content.decode() for name, content in files.items()}, about


@needs_tflm
def test_the_compiled_array_is_the_file_and_aligned(
    emitted: tuple[GraphFile, Any, dict[str, str], Any], tmp_path: Path
) -> None:
    require("g++")
    window, _, files, _ = emitted
    for name, text in files.items():
        (tmp_path / Path(name).name).write_text(text)
    (tmp_path / "dump.cc").write_text(
        '#include "edgetool_tflm_model.h"\n#include <cstdint>\n#include <cstdio>\n'
        "int main() {\n"
        "  if (reinterpret_cast<std::uintptr_t>(edgetool_tflm_model) % 16 != 0) return 1;\n"
        "  return std::fwrite(edgetool_tflm_model, 1, sizeof edgetool_tflm_model, stdout) != sizeof edgetool_tflm_model;\n"
        "}\n"
    )
    sources = [tmp_path / "dump.cc", tmp_path / "edgetool_tflm_model.cc"]
    run(["g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *sources, "-o", tmp_path / "dump"])
    run(["sh", "-c", f"{tmp_path}/dump > {tmp_path}/model.tflite"])
    assert (tmp_path / "model.tflite").read_bytes() == window.content


@needs_tflm
def test_the_operators_are_those_of_the_graph(
    emitted: tuple[GraphFile, Any, dict[str, str], dict[str, Any]],
) -> None:
    window, _, files, about = emitted
    model = load_model(window.content)
    used = sorted({operator_name(model, op) for graph in model.subgraphs for op in graph.operators})
    assert about["operators"] == used
    text = files["tflm/edgetool_tflm_ops.h"]
    assert re.findall(r"resolver\.(\w+)\(\)", text) == [tflm_emitter.resolver_method(name) for name in used]
    assert f"kEdgetoolOperators = {len(used)};" in text


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("ADD", "AddAdd"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("FULLY_CONNECTED", "AddFullyConnected"),
        ("RSQRT", "AddRsqrt"),
        ("SQUARED_DIFFERENCE", "AddSquaredDifference"),
        ("STRIDED_SLICE", "AddStridedSlice"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_methods_are_named_as_in_micro_mutable_op_resolver(operator: str, method: str) -> None:
    assert tflm_emitter.resolver_method(operator) == method


def test_an_operator_outside_the_op_set_is_refused() -> None:
    with pytest.raises(ModelFileError, match="CONV_2D has no known registration"):
        tflm_emitter.resolver_method("CONV_2D")


@needs_tflm
def test_tflm_has_a_registration_for_every_operator(
    emitted: tuple[GraphFile, Any, Any, dict[str, Any]],
) -> None:
    import tflite_micro

    assert tflite_micro.__file__ is not None
    library = next(Path(tflite_micro.__file__).parent.rglob("_runtime*.so")).read_bytes()
    for operator in emitted[3]["operators"]:
        assert f"Register_{operator}".encode() in library, operator


@needs_tflm
def test_the_arena_is_the_least_that_tflm_takes(emitted: tuple[GraphFile, Any, Any, Any]) -> None:
    from tflite_micro import runtime

    window, _, files, about = emitted
    least = about["arena_least_bytes"]
    assert runtime.Interpreter.from_bytes(window.content, arena_size=least)
    with pytest.raises(RuntimeError, match="allocate"):
        runtime.Interpreter.from_bytes(window.content, arena_size=least - 16)
    assert about["arena_recorded_bytes"] <= least
    header = files["tflm/edgetool_tflm_model.h"]
    assert f"kEdgetoolArenaLeastBytes = {least};" in header
    assert f"kEdgetoolArenaRecordedBytes = {about['arena_recorded_bytes']};" in header


@needs_tflm
def test_the_golden_window_is_what_tflm_gives(
    emitted: tuple[GraphFile, dict[str, Any], dict[str, str], Any],
) -> None:
    window, vectors, files, _ = emitted
    text = files["tflm/edgetool_tflm_golden.h"]
    arrays = {
        name: [int(v) for v in body.replace(",", " ").split()]
        for name, body in re.findall(r"edgetool_tflm_golden_(\w+)\[\d+\] = \{\n(.*?)\n\};", text, re.DOTALL)
    }
    given = run_tflm(window.content, {name: vectors[name][:1] for name in ("imu", "emg")})
    assert arrays["moments"] == given[0].tolist()
    for name in ("imu", "emg"):
        assert arrays[name] == vectors[f"{name}.window.int8"][0].reshape(-1).tolist()


def test_without_tflm_there_is_a_note_and_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflm_emitter, "has_tflm", lambda: False)
    files, about = tflm_emitter.tflm_files(GraphFile("window", "int8", b""), {})
    assert files == {}
    assert about == {
        "notes": ["no tflm/: tflite-micro is not installed, so that the arena cannot be measured"]
    }


@needs_tflm
def test_a_graph_that_tflm_refuses_has_its_reason_as_note() -> None:
    graph = GraphFile(
        "window", "int8", b"", notes=("does not run on TensorFlow Lite Micro: no kernel for GATHER",)
    )
    files, about = tflm_emitter.tflm_files(graph, {"imu": np.zeros((1, 2, 3), np.float32)})
    assert files == {}
    assert about["notes"] == ["no tflm/: does not run on TensorFlow Lite Micro: no kernel for GATHER"]
