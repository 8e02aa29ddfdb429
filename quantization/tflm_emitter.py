"""The ``tflm/`` folder of a bundle: what a project that ships TensorFlow Lite Micro needs to run the int8 window graph.

The window graph only: with CMSIS-NN, TFLM clears the LSTM's state on every Invoke, so that a stream graph would give
wrong moments without a word. The names and signatures of TFLM used here are those of ``micro_mutable_op_resolver.h`` and
``micro_interpreter.h`` of github.com/tensorflow/tflite-micro.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Mapping
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.c_fragments.text import ctype, identifier, wrapped
from quantization.graph.graph_file import GraphFile
from quantization.tflite.file import SUPPORTED_OPS, read
from quantization.tflite.model import model_of
from quantization.tflite.operators import operator_counts
from quantization.tflite.run import has_tflm
from quantization.tflite.stderr import native_stderr
from quantization.tflite.tflm_arena import ArenaProbe
from toolkit.errors import ModelFileError

FOLDER = "tflm"
#: What TFLM asks of the model's address, and of the arena's.
ALIGNMENT = 16
#: No microcontroller has more for it.
_LARGEST_ARENA = 4_000_000
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")
#: Methods of MicroMutableOpResolver whose names are not the operator's words in capitals.
_IRREGULAR = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}


def tflm_files(
    window: GraphFile, vectors: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files under ``tflm/`` by their path in the bundle, and the manifest's entry about them.

    ``vectors`` are the bundle's golden vectors. No files, and a note that says why, where TFLM is not installed (the arena
    could not be measured) or refuses the graph.
    """
    reason = _why_not(window, vectors)
    if reason:
        return {}, {"notes": [f"no {FOLDER}/: {reason}"]}
    operators = sorted(operator_counts(model_of(window)))
    recorded, least = recorded_arena(window.content), least_arena(window.content)
    digest = hashlib.sha256(window.content).hexdigest()
    version = importlib.metadata.version("tflite-micro")
    texts = {
        "edgetool_tflm_model.h": _MODEL_HEADER.substitute(
            file=window.file,
            digest=digest,
            size=len(window.content),
            alignment=ALIGNMENT,
            recorded=recorded,
            least=least,
            version=version,
        ),
        "edgetool_tflm_model.cc": model_array(window.content),
        "edgetool_tflm_ops.h": ops_header(operators),
        "edgetool_tflm_golden.h": _golden_header(window, vectors),
        "main.cc": _main(window),
    }
    about = {
        "graph": window.file,
        "operators": operators,
        "arena_recorded_bytes": recorded,
        "arena_least_bytes": least,
        "arena_measured_on": f"tflite-micro {version}, reference kernels, 64-bit pointers",
        "notes": [],
    }
    return {f"{FOLDER}/{name}": text.encode() for name, text in texts.items()}, about


def _why_not(window: GraphFile, vectors: Mapping[str, NDArray[Any]]) -> str:
    if not has_tflm():
        return "tflite-micro is not installed, so that the arena cannot be measured"
    if "moments.window.int8.tflm" not in vectors:
        return next(iter(window.notes), "the graph does not run on TensorFlow Lite Micro")
    return ""


def recorded_arena(content: bytes) -> int:
    """Arena that TFLM's recording allocator counts on this machine, bytes."""
    from tflite_micro import runtime

    with native_stderr() as caught:
        interpreter = runtime.Interpreter.from_bytes(content)
        interpreter.print_allocations()
    found = _ARENA.search(caught.text)
    if found is None:
        raise ModelFileError(
            "TFLM's recording allocator did not say how large its arena is; reinstall tflite-micro"
        )
    return int(found.group(1))


def least_arena(content: bytes) -> int:
    """The smallest arena, in steps of 16 bytes, that TFLM accepts here: planning a small model may need more than it keeps."""
    few, many = 0, -(-_LARGEST_ARENA // ALIGNMENT)
    with ArenaProbe(content) as probe:
        if not probe.enough(many * ALIGNMENT):
            raise ModelFileError(
                f"TFLM does not run the window graph in {_LARGEST_ARENA} bytes; use a smaller model or window"
            )
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if probe.enough(middle * ALIGNMENT) else (middle, many)
    return many * ALIGNMENT


def resolver_method(operator: str) -> str:
    """The method of MicroMutableOpResolver that registers ``operator``; ModelFileError for one outside edgetool's op set."""
    if operator not in SUPPORTED_OPS:
        raise ModelFileError(
            f"operator {operator} has no known registration in TFLM; edgetool's graphs use {', '.join(SUPPORTED_OPS)}"
        )
    words = operator.split("_")
    return _IRREGULAR.get(operator, "Add" + "".join(word.capitalize() for word in words))


def model_array(content: bytes) -> str:
    """The C++ source that holds a .tflite, byte for byte."""
    body = wrapped([str(byte) for byte in content])
    return _MODEL_SOURCE.substitute(body=body, alignment=ALIGNMENT)


def ops_header(operators: list[str]) -> str:
    """Registration of exactly ``operators``."""
    lines = [f"  if (resolver.{resolver_method(name)}() != kTfLiteOk) return false;" for name in operators]
    return _OPS_HEADER.substitute(count=len(operators), lines="\n".join(lines))


def _streams(window: GraphFile) -> list[str]:
    """The window graph's inputs in order."""
    graph = read(window.content)
    return [graph.tensors[index].name for index in graph.inputs]


def _main(window: GraphFile) -> str:
    """The example program with every input of the graph."""
    names = [identifier(stream, "an input") for stream in _streams(window)]
    copies = [
        f"  std::memcpy(interpreter.input({place})->data.raw, edgetool_tflm_golden_{name}, "
        f"sizeof edgetool_tflm_golden_{name});"
        for place, name in enumerate(names)
    ]
    return _MAIN.replace("@INPUTS@", "\n".join(copies))


def _golden_header(window: GraphFile, vectors: Mapping[str, NDArray[Any]]) -> str:
    """The first golden window and what TFLM's kernels give for it."""
    inputs = {
        f"golden_{identifier(stream, 'an input')}": vectors[f"{stream}.window.int8"][0]
        for stream in _streams(window)
    }
    arrays = inputs | {
        "golden_moments": vectors["moments.window.int8.tflm"][0],
    }
    parts = []
    for name, values in arrays.items():
        flat = np.ascontiguousarray(values).reshape(-1)
        body = wrapped([str(value) for value in flat.tolist()])
        parts.append(
            f"static const {ctype(flat.dtype)} edgetool_tflm_{name}[{flat.size}] = {{\n{body}\n}};\n"
        )
    return _GOLDEN_HEADER.substitute(arrays="\n".join(parts))


_MODEL_HEADER = Template("""\
// Generated by edgetool. Do not edit: convert again.
#ifndef EDGETOOL_TFLM_MODEL_H_
#define EDGETOOL_TFLM_MODEL_H_

// $file, SHA-256 $digest.
constexpr unsigned int kEdgetoolModelBytes = $size;
alignas($alignment) extern const unsigned char edgetool_tflm_model[kEdgetoolModelBytes];

// Arena, measured with tflite-micro $version: on a 64-bit host, with the reference kernels. "Recorded" is what
// TFLM's recording allocator counts; "least" is the smallest with which AllocateTensors succeeds. A 32-bit core needs less of
// what the allocator keeps, because each pointer in it is half as wide; kernels of another library (CMSIS-NN) may ask for
// scratch buffers that the reference kernels do not have. So begin with kEdgetoolArenaBytes, which adds a quarter, and then set
// what MicroInterpreter::arena_used_bytes() says on your core.
constexpr unsigned int kEdgetoolArenaRecordedBytes = $recorded;
constexpr unsigned int kEdgetoolArenaLeastBytes = $least;
constexpr unsigned int kEdgetoolArenaBytes = (kEdgetoolArenaLeastBytes + kEdgetoolArenaLeastBytes / 4 + 15) / 16 * 16;

#endif
""")

_MODEL_SOURCE = Template("""\
// Generated by edgetool. Do not edit: convert again.
#include "edgetool_tflm_model.h"

alignas($alignment) const unsigned char edgetool_tflm_model[kEdgetoolModelBytes] = {
$body
};
""")

_OPS_HEADER = Template("""\
// Generated by edgetool: the operators of the graph, and no others.
#ifndef EDGETOOL_TFLM_OPS_H_
#define EDGETOOL_TFLM_OPS_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

// TFLM's classes are in tflite, in newer releases in tflite::micro.
namespace tflite {
namespace micro {}
using namespace micro;
}  // namespace tflite

constexpr unsigned int kEdgetoolOperators = $count;

// False if one could not be registered.
template <unsigned int kOperators>
bool RegisterEdgetoolOperators(tflite::MicroMutableOpResolver<kOperators>& resolver) {
  static_assert(kOperators >= kEdgetoolOperators, "the resolver is too small for this model");
$lines
  return true;
}

#endif
""")

_GOLDEN_HEADER = Template("""\
// Generated by edgetool: the first golden window, quantized, and the integers that TFLM's kernels give for it.
#ifndef EDGETOOL_TFLM_GOLDEN_H_
#define EDGETOOL_TFLM_GOLDEN_H_

#include <cstdint>

$arrays
#endif
""")

_MAIN = """\
// Generated by edgetool: runs the first golden window through TensorFlow Lite Micro and compares it to the last bit.
// Build it with your TFLM library; it needs no other file of edgetool than those beside it.
#include <cstdint>
#include <cstring>

#include "edgetool_tflm_golden.h"
#include "edgetool_tflm_model.h"
#include "edgetool_tflm_ops.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {
alignas(16) uint8_t arena[kEdgetoolArenaBytes];
}  // namespace

int main() {
  static tflite::MicroMutableOpResolver<kEdgetoolOperators> resolver;
  if (!RegisterEdgetoolOperators(resolver)) {
    MicroPrintf("an operator is missing in this TFLM");
    return 1;
  }
  static tflite::MicroInterpreter interpreter(tflite::GetModel(edgetool_tflm_model), resolver, arena, sizeof arena);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    MicroPrintf("the arena is too small or an operator is not supported");
    return 1;
  }
  MicroPrintf("arena: %d bytes used", static_cast<int>(interpreter.arena_used_bytes()));

  // The fused LSTM keeps its state from Invoke to Invoke: reset it before every window.
  if (interpreter.Reset() != kTfLiteOk) {
    return 1;
  }
@INPUTS@
  if (interpreter.Invoke() != kTfLiteOk) {
    return 1;
  }
  const int differs = std::memcmp(interpreter.output(0)->data.raw, edgetool_tflm_golden_moments,
                                  sizeof edgetool_tflm_golden_moments);
  MicroPrintf(differs == 0 ? "golden window: equal" : "golden window: DIFFERS");
  return differs != 0;
}
"""
