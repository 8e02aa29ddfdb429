"""``tflm/`` of a bundle: the array is the file, the operators are the graph's, the arena is enough and not by chance.

``main.cc`` and the resolver need TensorFlow Lite Micro's headers, which no package that the tests may install holds. Here they
are compiled against a stand-in with the declarations that they use, as read in TFLM's source, which shows that the C++ is sound
and what the program does; and TFLM's library is asked for a registration of every operator they name.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantization import tflm_emitter
from quantization.converters import builtin
from quantization.golden import golden_vectors
from quantization.graph.graph_file import GraphFile
from quantization.tflite.file import SUPPORTED_OPS
from quantization.tflite.model import load_model, operator_name
from quantization.tflite.run import has_tflm, run_tflm
from tests.quantization.c_emitter.harness import run
from tests.quantization.c_emitter.test_models import drawn_checkpoint, drawn_windows
from tests.tools import require
from toolkit.errors import ModelFileError

needs_tflm = pytest.mark.skipif(
    not has_tflm(), reason="NOT TESTED: tflite-micro is not installed (x86-64 Linux only)"
)


@pytest.fixture(scope="module")
def emitted() -> tuple[GraphFile, dict[str, Any], dict[str, str], dict[str, Any]]:
    """Window graph of a drawn model, golden vectors, files, and the manifest's entry."""
    checkpoint = drawn_checkpoint(3)
    windows = drawn_windows(checkpoint.config, 8, 3)
    built = builtin.build(checkpoint, windows, scheme="int8")
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


#: Declarations as in micro_mutable_op_resolver.h, micro_interpreter.h, micro_log.h and schema_generated.h; behind them a
#: graph that gives the golden outputs (xor WRONG) for the golden inputs, after a Reset, with enough arena and every operator
#: registered once.
STAND_IN = """
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteTensor { union { char* raw; int8_t* int8; } data; size_t bytes; };
#define MicroPrintf(...) (std::printf(__VA_ARGS__), std::printf("\\n"))
namespace tflite {
struct Model { const void* content; };
inline const Model* GetModel(const void* buffer) { static Model model; model.content = buffer; return &model; }
OPEN
class MicroOpResolver { public: virtual ~MicroOpResolver() {} unsigned int registered = 0; };
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
METHODS
 private:
  TfLiteStatus Add(bool& there) {
    if (there || registered == tOpCount) return kTfLiteError;
    there = true;
    ++registered;
    return kTfLiteOk;
  }
};
class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& resolver, uint8_t* arena, size_t arena_size)
      : ready_(model->content && resolver.registered == OPERATORS && arena && arena_size >= LEAST) {}
  TfLiteStatus AllocateTensors() { return ready_ ? kTfLiteOk : kTfLiteError; }
  size_t arena_used_bytes() const { return LEAST; }
  TfLiteStatus Reset() { reset_ = true; return kTfLiteOk; }
  TfLiteTensor* input(size_t index) { return &inputs_[index]; }
  TfLiteTensor* output(size_t) { return &output_; }
  TfLiteStatus Invoke() {
    if (!reset_ || std::memcmp(imu_, edgetool_tflm_golden_imu, sizeof imu_) != 0 ||
        std::memcmp(emg_, edgetool_tflm_golden_emg, sizeof emg_) != 0) return kTfLiteError;
    std::memcpy(moments_, edgetool_tflm_golden_moments, sizeof moments_);
    moments_[0] = static_cast<char>(moments_[0] ^ WRONG);
    return kTfLiteOk;
  }

 private:
  bool ready_, reset_ = false;
  char imu_[sizeof edgetool_tflm_golden_imu], emg_[sizeof edgetool_tflm_golden_emg];
  char moments_[sizeof edgetool_tflm_golden_moments];
  TfLiteTensor inputs_[2] = {{{imu_}, sizeof imu_}, {{emg_}, sizeof emg_}}, output_ = {{moments_}, sizeof moments_};
};
CLOSE
}  // namespace tflite
"""
HEADERS = (
    "micro/micro_mutable_op_resolver.h",
    "micro/micro_interpreter.h",
    "micro/micro_log.h",
    "schema/schema_generated.h",
)


@needs_tflm
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize(("inner", "wrong"), [(False, 0), (True, 0), (False, 1)])
def test_the_example_registers_resets_runs_and_compares(
    emitted: tuple[GraphFile, Any, dict[str, str], dict[str, Any]],
    compiler: str,
    inner: bool,
    wrong: int,
    tmp_path: Path,
) -> None:
    """In ``tflite`` or, as newer releases have it, ``tflite::micro``."""
    require(compiler)
    _, _, files, about = emitted
    for name, text in files.items():
        (tmp_path / Path(name).name).write_text(text)
    methods = [
        f"  TfLiteStatus {tflm_emitter.resolver_method(name)}() {{ static bool there; return Add(there); }}"
        for name in SUPPORTED_OPS
    ]
    text = STAND_IN.replace("METHODS", "\n".join(methods))
    text = text.replace("OPEN", "namespace micro {" * inner).replace("CLOSE", "}" * inner)
    for name in HEADERS:
        path = tmp_path / "tensorflow" / "lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#pragma once\n#include "edgetool_tflm_golden.h"\n#include "stand_in.h"\n')
    (tmp_path / "stand_in.h").write_text(text)
    facts = {"OPERATORS": len(about["operators"]), "LEAST": about["arena_least_bytes"], "WRONG": wrong}
    options = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{tmp_path}"]
    options += [f"-D{name}={value}" for name, value in facts.items()]
    run([compiler, *options, *sorted(tmp_path.glob("*.cc")), "-o", tmp_path / "example"])
    done = subprocess.run([tmp_path / "example"], capture_output=True, text=True)
    last = "golden window: DIFFERS" if wrong else "golden window: equal"
    assert done.stdout.splitlines() == [f"arena: {about['arena_least_bytes']} bytes used", last]
    assert done.returncode == wrong


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
