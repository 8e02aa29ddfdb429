"""What the tests of single ops share: drawn sizes and quantizations, and the C of many ops as one library.

Equal means bit for bit. Output scales are drawn around the values' own, so that results spread over the output's
range: with most of them saturated a wrong rounding would not show.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import Program, lower_graph
from quantization.c_fragments.context import Context
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.ops.check import require_consistent
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import STRICT, run, write
from tests.quantization.reference.harness import INT8, INT16, OneOp, compare, integers, quantization
from tests.tools import require

DTYPES = pytest.mark.parametrize("dtype", [INT8, INT16], ids=str)
SEEDS = pytest.mark.parametrize("seed", range(6))
#: About a register of int16 and of int8.
SHORT = (1, 7, 8, 15, 16, 17)
#: About the loops over two and four registers: a whole turn of them and a rest.
LONG = (31, 32, 33, 47, 63, 65)
Draw = np.random.Generator
#: Name, which begins with the op -> a graph of the op at a length.
Cases = Mapping[str, Callable[[Draw, int], Graph]]
Operations = tuple[Context, list[Program], list[Graph], list[str]]


def scale(random: np.random.Generator, low: float = -3.0, high: float = -1.0) -> float:
    return float(np.float32(10 ** random.uniform(low, high)))


def product_of_scales(kind: str) -> None:
    """Scales whose product is half the output's in single precision: accumulators are ties there, and not in double."""
    random = np.random.default_rng(7)
    values = np.arange(-60, 60).astype(np.int8)[:, None]
    for _ in range(20):
        sa, sb = np.float32(scale(random, -3, 0)), np.float32(scale(random, -3, 0))
        sy = quantization(np.float32(2) * np.float32(sa * sb))
        one = np.ones((1, 1), np.int8)
        model = OneOp().feed(values if kind != "BATCH_MATMUL" else values[None], quantization(sa))
        if kind == "FULLY_CONNECTED":
            model.constant(one, quantization(sb)).absent()
        else:
            model.feed(one if kind == "MUL" else one[None], quantization(sb))
        shape = (1, 120, 1) if kind == "BATCH_MATMUL" else (120, 1)
        compare(*model.op(kind, shape, INT8, sy))


def every_int16(kind: str, seed: int) -> None:
    """Exhaustive over one operand: 65,536 values meet the last bit of every multiplier."""
    random = np.random.default_rng(seed)
    values = np.arange(-32768, 32768).astype(np.int16)[None, :, None]
    sx = scale(random)
    model = OneOp().feed(values, quantization(sx))
    ratio = random.uniform(1.02, 3)
    if kind in ("ADD", "SUB"):
        model.feed(integers(random, INT16, (1, 1, 1)), quantization(sx * random.uniform(0.1, 0.9)))
    elif kind == "MUL":
        model.feed(np.array([[[random.integers(9000, 32768)]]], np.int16), quantization(scale(random)))
        ratio *= float(model.builder.tensors[1].quantization.scale[0]) * 32768
    elif kind == "MEAN":
        model.constant(np.array([2], np.int32))
    options = {"keep_dims": True} if kind == "MEAN" else {}
    compare(*model.op(kind, values.shape, INT16, quantization(sx * ratio), **options))


def affine(draw: Draw, dtype: Any, low: float = 0.002, high: float = 0.05) -> Quantization:
    """A scale, and for int8 any zero point."""
    zero = int(draw.integers(-128, 128)) if dtype == np.int8 else 0
    return Quantization.per_tensor(float(np.float32(draw.uniform(low, high))), zero)


def values(draw: Draw, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Integers over the whole range, extremes included; every fourth array is of extremes alone."""
    limits = np.iinfo(dtype)
    if draw.integers(4) == 0:
        return draw.choice([limits.min, limits.max], shape, p=[0.1, 0.9]).astype(dtype)
    drawn = draw.integers(limits.min, limits.max + 1, shape).astype(dtype)
    flat = drawn.reshape(-1)
    flat[: min(2, flat.size)] = [limits.min, limits.max][: min(2, flat.size)]
    return drawn


def unary(kind: str, draw: Draw, n: int, source: Any, target: Any) -> Graph:
    build = GraphBuilder(kind)
    low = Quantization.per_tensor(0.013, -128 if source == np.int8 else 0)
    x = build.add("x", (1, n), source, low if kind == "RSQRT" else affine(draw, source))
    y = build.add("y", (1, n), target, affine(draw, target))
    build.op(kind, (x,), (y,))
    return build.build((x,), (y,))


def lengths(case: str) -> tuple[int, ...]:
    """The lengths that a case is drawn at. The assembly of attention takes no rest: its sizes are these times 4 and 8."""
    return SHORT if case.endswith(("rows of int8", "columns of int8")) else SHORT + LONG


def draw_inputs(graph: Graph, draw: Draw, kind: str) -> list[NDArray[Any]]:
    inputs = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        drawn = values(draw, tensor.shape, tensor.dtype)
        # The root of a negative number is not defined.
        inputs.append(
            np.maximum(drawn, tensor.quantization.zero_point[0]).astype(drawn.dtype)
            if kind == "RSQRT"
            else drawn
        )
    return inputs


def operations(cases: Cases, core: str, wanted: Sequence[int] = SHORT + LONG) -> Operations:
    """Every case at every one of its lengths that is wanted, as one function each, called run_0, run_1, ..."""
    context = Context(core, "speed")
    programs, made, names = [], [], []
    for case, make in cases.items():
        draw = np.random.default_rng(list(case.encode()))
        for n in (n for n in lengths(case) if n in wanted):
            made.append(make(draw, n))
            require_consistent(made[-1])
            programs.append(lower_graph(context, made[-1], f"run_{len(programs)}"))
            names.append(f"{case} at length {n}")
    return context, programs, made, names


def source_text(context: Context, programs: list[Program]) -> str:
    """Includes, the state's type, constants and functions."""
    shorts = max(p.arenas.shorts for p in programs) + 4
    size = max(p.arenas.bytes for p in programs) + 4
    state = f"typedef struct {{ uint32_t steps; int16_t shorts[{shorts & ~1}]; int8_t bytes[{size}]; }} edgetool_state;"
    headers = "".join(
        f'#include "kernels/{name}"\n' for name in sorted(context.headers) if name.endswith(".h")
    )
    return "\n".join(
        ["#include <string.h>", headers, state, context.pool.text(), *(p.text for p in programs)]
    )


@dataclass(frozen=True)
class Compiled:
    """Every case at every one of its lengths as a function of one library."""

    library: ctypes.CDLL
    graphs: list[Graph]
    names: list[str]

    def check(self, case: str) -> None:
        """The functions of ``case`` equal the reference on drawn inputs."""
        draw = np.random.default_rng(len(case))
        state = (ctypes.c_uint8 * 65536)(*([0x55] * 65536))
        places = [k for k, name in enumerate(self.names) if name.rsplit(" at ", 1)[0] == case]
        assert len(places) == len(lengths(case))
        for place in places:
            graph = self.graphs[place]
            for _ in range(50):
                inputs = draw_inputs(graph, draw, case.split()[0])
                (expected,) = Interpreter(graph).run(inputs)
                given = np.empty_like(expected)
                pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*inputs, given)]
                getattr(self.library, f"run_{place}")(state, *pointers)
                np.testing.assert_array_equal(given, expected, err_msg=self.names[place])


def compile_cases(cases: Cases, compiler: str, folder: Path) -> Compiled:
    """The cases compiled for this machine, warnings as errors."""
    require(compiler)
    context, programs, made, names = operations(cases, "c99")
    write({f"kernels/{name}": text for name, text in kernel_files(context).items()}, folder)
    (folder / "ops.c").write_text(source_text(context, programs).replace("static void run_", "void run_"))
    sources = [folder / "ops.c", *sorted((folder / "kernels").glob("*.c"))]
    library = folder / "ops.so"
    run([compiler, *STRICT, "-O2", "-fPIC", "-shared", f"-I{folder}", *sources, "-o", library])
    return Compiled(ctypes.CDLL(str(library)), made, names)
