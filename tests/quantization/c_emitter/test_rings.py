"""Rings of a stream: rows stay in place where nothing depends on their order, else they move; both equal the reference."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import lower_graph
from quantization.c_fragments.context import Context
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import STRICT, run, write
from tests.tools import require

ROWS, WIDTH = 5, 4
ONE = Quantization.per_tensor(0.01)


def stream(kind: str) -> Graph:
    """A ring of five rows of four, and what is made of it: the op named by ``kind``."""
    build = GraphBuilder("stream")
    row = build.add("row", (1, 1, WIDTH), np.int16, ONE)
    before = build.add("before", (1, ROWS - 1, WIDTH), np.int16, ONE)
    memory = build.add("memory", (1, ROWS, WIDTH), np.int16, ONE)
    build.op("CONCATENATION", (before, row), (memory,), axis=1)
    begin = build.constant("begin", np.array([0, 1, 0], np.int32))
    count = build.constant("count", np.array([1, ROWS - 1, WIDTH], np.int32))
    after = build.add("after", (1, ROWS - 1, WIDTH), np.int16, ONE)
    build.op("SLICE", (memory, begin, count), (after,))
    if kind == "ATTENTION":
        scores = build.add("scores", (1, 1, ROWS), np.int16, Quantization.per_tensor(0.02))
        build.op("BATCH_MATMUL", (row, memory), (scores,), adj_y=True)
        shares = build.add("shares", (1, 1, ROWS), np.int16, Quantization.per_tensor(2.0**-15))
        build.op("SOFTMAX", (scores,), (shares,), beta=1.0)
        y = build.add("y", (1, 1, WIDTH), np.int16, ONE)
        build.op("BATCH_MATMUL", (shares, memory), (y,))
    elif kind == "FULLY_CONNECTED":
        flat = build.add("flat", (1, ROWS * WIDTH), np.int16, ONE)
        shape = build.constant("shape", np.array([1, ROWS * WIDTH], np.int32))
        build.op("RESHAPE", (memory, shape), (flat,))
        weights = np.arange(-20, 20, dtype=np.int8).reshape(2, ROWS * WIDTH)
        w = build.constant("w", weights, Quantization.per_tensor(0.02))
        y = build.add("y", (1, 2), np.int16, Quantization.per_tensor(0.05))
        build.op("FULLY_CONNECTED", (flat, w), (y,))
    elif kind == "SCORES":
        y = build.add("y", (1, 1, ROWS), np.int16, Quantization.per_tensor(0.02))
        build.op("BATCH_MATMUL", (row, memory), (y,), adj_y=True)
    else:
        shares = build.constant("fixed", np.arange(ROWS, dtype=np.int16).reshape(1, 1, ROWS), ONE)
        y = build.add("y", (1, 1, WIDTH), np.int16, ONE)
        build.op("BATCH_MATMUL", (shares, memory), (y,))
    return build.build((row, before), (y, after)).with_state([(1, 1, 7)])


@pytest.mark.parametrize(
    ("kind", "stays"),
    [("ATTENTION", True), ("FULLY_CONNECTED", False), ("SCORES", False), ("FIXED SHARES", False)],
)
def test_ring_over_three_turns(kind: str, stays: bool, tmp_path: Path) -> None:
    require("gcc")
    graph = stream(kind)
    context = Context("c99", "speed")
    program = lower_graph(context, graph, "run_step")
    assert ("place" in program.text) == stays
    assert ("et_move_down" in program.text) == (not stays)
    headers = "".join(f'#include "kernels/{name}"\n' for name in sorted(context.headers))
    size = max(program.arenas.bytes, 4), max(program.arenas.shorts, 4)
    source = f"""#include <string.h>
{headers}
typedef struct {{ int32_t place; int16_t shorts[{size[1]}]; int8_t bytes[{size[0]}]; }} edgetool_state;
{context.pool.text()}
{program.text.replace("static void", "void")}
void reset(edgetool_state *state) {{ memset(state, 0, sizeof *state); {" ".join(program.reset)} }}
"""
    write({f"kernels/{name}": text for name, text in kernel_files(context).items()}, tmp_path)
    (tmp_path / "stream.c").write_text(source)
    sources = [tmp_path / "stream.c", *sorted((tmp_path / "kernels").glob("*.c"))]
    run(["gcc", *STRICT, "-O2", "-fPIC", "-shared", f"-I{tmp_path}", *sources, "-o", tmp_path / "stream.so"])
    library = ctypes.CDLL(str(tmp_path / "stream.so"))
    state = (ctypes.c_uint32 * 1024)()
    library.reset(state)
    draw = np.random.default_rng(5)
    before = np.full((1, ROWS - 1, WIDTH), 7, np.int16)
    for _ in range(3 * ROWS + 2):
        row = draw.integers(-3000, 3000, (1, 1, WIDTH)).astype(np.int16)
        expected, before = Interpreter(graph).run([row, before])
        given = np.empty_like(expected)
        library.run_step(state, ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(given.ctypes.data))
        np.testing.assert_array_equal(given, expected)
