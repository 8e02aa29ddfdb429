"""Every op's kernel equals the integer reference bit for bit, at lengths about the vector width."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import Program, lower_graph
from quantization.c_fragments.context import Context
from quantization.c_fragments.text import Pool
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import BOARDS, STRICT, emulate, link_image, run, write
from tests.tools import require

#: About a register of int16 and of int8.
SHORT = (1, 7, 8, 15, 16, 17)
#: About the loops over two and four registers: a whole turn of them and a rest.
LONG = (31, 32, 33, 47, 63, 65)
Draw = np.random.Generator


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


def binary(kind: str, draw: Draw, n: int, dtype: Any) -> Graph:
    build = GraphBuilder(kind)
    shared = affine(draw, dtype)
    same = kind == "MINIMUM"
    a = build.add("a", (1, n), dtype, shared if same else affine(draw, dtype))
    b = build.add(
        "b",
        (1, 1) if draw.integers(2) else (1, n),
        dtype,
        shared if same else affine(draw, dtype),
    )
    high = 2.0 if kind in ("MUL", "SQUARED_DIFFERENCE") else 0.05
    y = build.add("y", (1, n), dtype, shared if same else affine(draw, dtype, 0.01, high))
    build.op(kind, (a, b), (y,))
    return build.build((a, b), (y,))


def dense(draw: Draw, n: int, dtype: Any, largest_bias: int = 5000) -> Graph:
    """One row; with a ``largest_bias`` of more than 31 bits the sums need 64."""
    build = GraphBuilder("dense")
    x = build.add("x", (1, n), dtype, affine(draw, dtype))
    units = int(draw.integers(1, 9))
    per_channel = bool(draw.integers(2))
    scales = draw.uniform(0.001, 0.02, units if per_channel else 1).astype(np.float32)
    weights = build.constant(
        "w", values(draw, (units, n), np.int8), Quantization(scales, np.zeros(len(scales), np.int64))
    )
    bias = draw.integers(-largest_bias, largest_bias, units).astype(
        np.int32 if dtype == np.int8 else np.int64
    )
    b = build.constant("b", bias, Quantization.per_tensor(0.001))
    y = build.add("y", (1, units), dtype, affine(draw, dtype, 0.05, 5.0))
    build.op("FULLY_CONNECTED", (x, weights, b), (y,), fused_activation_function="RELU")
    return build.build((x,), (y,))


def rows_of_dense(draw: Draw, n: int, *, widened: bool = False) -> Graph:
    """int16 layers with 32-bit sums, as assembly has them: depth n or 8 n, one or two rows, ReLU or none."""
    build = GraphBuilder("rows")
    depth = n * int(draw.choice([1, 8] if n in SHORT else [1]))
    rows, units = int(draw.integers(1, 3)), int(draw.integers(1, 10))
    one = Quantization.per_tensor(0.01)
    fed = build.add("x", (rows, depth), np.int8 if widened else np.int16, one)
    x = build.add("x16", (rows, depth), np.int16, one)
    build.op("QUANTIZE" if widened else "MINIMUM", (fed,) if widened else (fed, fed), (x,))
    scales = draw.uniform(0.001, 0.02, units if draw.integers(2) else 1).astype(np.float32)
    kind = Quantization(scales, np.zeros(len(scales), np.int64))
    weights = build.constant("w", np.maximum(values(draw, (units, depth), np.int8), -127), kind)
    bias = draw.integers(-(2**24), 2**24, units)
    b = build.constant("b", bias.astype(np.int64), Quantization.per_tensor(0.001))
    y = build.add("y", (rows, units), np.int16, affine(draw, np.int16, 0.05, 2.0))
    options = {"fused_activation_function": "RELU"} if draw.integers(2) else {}
    build.op("FULLY_CONNECTED", (x, weights, b), (y,), **options)
    return build.build((fed,), (y,))


def product(draw: Draw, n: int, dtype: Any, *, widened: bool = False) -> Graph:
    """[heads, rows, n] times [heads, n, columns], either operand transposed or not."""
    build = GraphBuilder("product")
    flips = [bool(draw.integers(2)) for _ in range(2)]
    heads, rows, columns = int(draw.integers(1, 3)), int(draw.integers(1, 4)), int(draw.integers(1, 19))
    a = build.add("a", (heads, n, rows) if flips[0] else (heads, rows, n), dtype, affine(draw, dtype))
    shape = (heads, columns, n) if flips[1] else (heads, n, columns)
    b = fed = build.add(
        "b",
        shape,
        np.int8 if widened else dtype,
        Quantization.per_tensor(0.01) if widened else affine(draw, dtype),
    )
    if widened:
        b = build.add("b16", shape, np.int16, Quantization.per_tensor(0.01))
        build.op("QUANTIZE", (fed,), (b,))
    y = build.add("y", (heads, rows, columns), dtype, affine(draw, dtype, 0.05, 2.0))
    build.op("BATCH_MATMUL", (a, b), (y,), adj_x=flips[0], adj_y=flips[1])
    return build.build((a, fed), (y,))


def mixed(draw: Draw, n: int, *, transposed: bool) -> Graph:
    """int16 by widened int8 as the assembly has them: operands in the state, 1 to 3 times 8 rows or columns of 4 n."""
    build = GraphBuilder("mixed")
    heads, rows = int(draw.integers(1, 3)), int(draw.integers(1, 3))
    depth, columns = (4 * n, 16 * int(draw.integers(1, 4))) if not transposed else (8 * n, 4 * n)
    shapes = (heads, rows, depth), (heads, columns, depth) if transposed else (heads, depth, columns)
    one = Quantization.per_tensor(0.01)
    fed = [build.add(name, shape, t, one) for name, shape, t in zip("ab", shapes, (np.int16, np.int8))]
    kept = [
        build.add(f"{name}_kept", shape, t, one) for name, shape, t in zip("ab", shapes, (np.int16, np.int8))
    ]
    for source, core in zip(fed, kept):
        build.op("MINIMUM", (source, source), (core,))
    wide = build.add("b16", shapes[1], np.int16, one)
    build.op("QUANTIZE", (kept[1],), (wide,))
    y = build.add("y", (heads, rows, columns), np.int16, affine(draw, np.int16, 0.05, 2.0))
    build.op("BATCH_MATMUL", (kept[0], wide), (y,), adj_y=transposed)
    return build.build(tuple(fed), (y,))


def softmax(draw: Draw, n: int, source: Any, core: Any) -> Graph:
    build = GraphBuilder("softmax")
    x = build.add("x", (1, 2, n), source, affine(draw, source, 0.0005, 0.2))
    out = {8: (1 / 256, -128), 16: (1 / 32768, 0)}[8 * np.dtype(core).itemsize]
    if np.dtype(source).itemsize == 1 and np.dtype(core).itemsize == 2:
        out = (1 / 65536, -32768)
    y = build.add("y", (1, 2, n), core, Quantization.per_tensor(*out))
    build.op("SOFTMAX", (x,), (y,), beta=1.0)
    return build.build((x,), (y,))


def mean(draw: Draw, n: int, dtype: Any) -> Graph:
    build = GraphBuilder("mean")
    x = build.add("x", (2, n, 3), dtype, affine(draw, dtype))
    axis = build.constant("axis", np.array([int(draw.integers(0, 3))], np.int32))
    shape = tuple(1 if k == int(build.tensors[axis].data[0]) else v for k, v in enumerate((2, n, 3)))
    y = build.add("y", shape, dtype, affine(draw, dtype))
    build.op("MEAN", (x, axis), (y,), keep_dims=True)
    return build.build((x,), (y,))


def unary(kind: str, draw: Draw, n: int, source: Any, core: Any) -> Graph:
    build = GraphBuilder(kind)
    low = Quantization.per_tensor(0.013, -128 if source == np.int8 else 0)
    x = build.add("x", (1, n), source, low if kind == "RSQRT" else affine(draw, source))
    y = build.add("y", (1, n), core, affine(draw, core))
    build.op(kind, (x,), (y,))
    return build.build((x,), (y,))


CASES: dict[str, Callable[[Draw, int], Graph]] = {
    **{
        f"{kind} {np.dtype(t).name}": (lambda d, n, k=kind, t=t: binary(k, d, n, t))
        for kind in ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "MINIMUM")
        for t in (np.int8, np.int16)
    },
    "FULLY_CONNECTED int8": lambda d, n: dense(d, n, np.int8),
    "FULLY_CONNECTED int16": lambda d, n: dense(d, n, np.int16),
    "FULLY_CONNECTED int16, 64-bit sums": lambda d, n: dense(d, n, np.int16, 2**36),
    "FULLY_CONNECTED int16, 32-bit sums": lambda d, n: rows_of_dense(d, n),
    "FULLY_CONNECTED int16 by widened int8": lambda d, n: rows_of_dense(d, n, widened=True),
    "BATCH_MATMUL int8": lambda d, n: product(d, n, np.int8),
    "BATCH_MATMUL int16": lambda d, n: product(d, n, np.int16),
    "BATCH_MATMUL int16 by int8": lambda d, n: product(d, n, np.int16, widened=True),
    "BATCH_MATMUL int16 by rows of int8": lambda d, n: mixed(d, n, transposed=True),
    "BATCH_MATMUL int16 by columns of int8": lambda d, n: mixed(d, n, transposed=False),
    "SOFTMAX int8": lambda d, n: softmax(d, n, np.int8, np.int8),
    "SOFTMAX int8 to int16": lambda d, n: softmax(d, n, np.int8, np.int16),
    "SOFTMAX int16": lambda d, n: softmax(d, n, np.int16, np.int16),
    "MEAN int8": lambda d, n: mean(d, n, np.int8),
    "MEAN int16": lambda d, n: mean(d, n, np.int16),
    "RSQRT int8": lambda d, n: unary("RSQRT", d, n, np.int8, np.int8),
    "RSQRT int16": lambda d, n: unary("RSQRT", d, n, np.int16, np.int16),
    "QUANTIZE int8 to int8": lambda d, n: unary("QUANTIZE", d, n, np.int8, np.int8),
    "QUANTIZE int8 to int16": lambda d, n: unary("QUANTIZE", d, n, np.int8, np.int16),
    "QUANTIZE int16 to int8": lambda d, n: unary("QUANTIZE", d, n, np.int16, np.int8),
    "QUANTIZE int16 to int16": lambda d, n: unary("QUANTIZE", d, n, np.int16, np.int16),
}


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


Operations = tuple[Context, list[Program], list[Graph], list[str]]


def all_operations(core: str, wanted: Sequence[int] = SHORT + LONG) -> Operations:
    """Every case at every one of its lengths that is wanted, as one function each, called run_0, run_1, ..."""
    context = Context(core, "speed")
    programs, made, names = [], [], []
    for case, make in CASES.items():
        draw = np.random.default_rng(list(case.encode()))
        for n in (n for n in lengths(case) if n in wanted):
            made.append(make(draw, n))
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


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ctypes.CDLL, list[Graph], list[str]]:
    """All operations compiled for this machine, warnings as errors."""
    require(request.param)
    context, programs, made, names = all_operations("c99")
    folder = tmp_path_factory.mktemp("ops")
    write({f"kernels/{name}": text for name, text in kernel_files(context).items()}, folder)
    (folder / "ops.c").write_text(source_text(context, programs).replace("static void run_", "void run_"))
    sources = [folder / "ops.c", *sorted((folder / "kernels").glob("*.c"))]
    library = folder / "ops.so"
    run([request.param, *STRICT, "-O2", "-fPIC", "-shared", f"-I{folder}", *sources, "-o", library])
    return ctypes.CDLL(str(library)), made, names


@pytest.mark.parametrize("case", CASES)
def test_op_equals_the_reference(host: tuple[ctypes.CDLL, list[Graph], list[str]], case: str) -> None:
    library, made, names = host
    draw = np.random.default_rng(len(case))
    state = (ctypes.c_uint8 * 65536)(*([0x55] * 65536))
    places = [k for k, name in enumerate(names) if name.rsplit(" at ", 1)[0] == case]
    assert len(places) == len(lengths(case))
    for place in places:
        graph = made[place]
        for _ in range(50):
            inputs = draw_inputs(graph, draw, case.split()[0])
            (expected,) = Interpreter(graph).run(inputs)
            given = np.empty_like(expected)
            pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*inputs, given)]
            getattr(library, f"run_{place}")(state, *pointers)
            np.testing.assert_array_equal(given, expected, err_msg=names[place])


DRAWS = 4
BOARD_MAIN = """
#include <string.h>
#include "target.h"
{declarations}
int main(void) {{
    static edgetool_state state;
    int32_t failed = -1;
{calls}
    target_print_number(failed);
    return failed != -1;
}}
"""


@pytest.mark.parametrize("wanted", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("core", BOARDS)
def test_ops_on_board(core: str, wanted: tuple[int, ...], tmp_path: Path) -> None:
    """All ops at the wanted lengths in one image: the DSP and Helium forms of the kernels against the reference."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    context, programs, made, names = all_operations(core, wanted)
    dense = ("et_dense_mve_s16", "et_dense_mve_s8") if core == "cortex-m55" else ("et_dense_dsp",)
    attention = ("et_mixed_rows", "et_mixed_columns") if wanted is SHORT else ()
    for kernel in (*dense, *attention, "et_sum_s16", "et_product_s16", "et_fully_connected_s16"):
        assert any(f"{kernel}(" in program.text for program in programs), kernel
    arrays, calls = Pool("data_"), []
    for number, (program, graph) in enumerate(zip(programs, made)):
        draw = np.random.default_rng(number)
        for _ in range(DRAWS):
            inputs = draw_inputs(graph, draw, names[number].split()[0])
            (expected,) = Interpreter(graph).run(inputs)
            given = [arrays.array("x", drawn) for drawn in inputs]
            wanted = arrays.array("y", expected)
            calls.append(
                f"    {{ {program.outputs[0].ctype} y[{expected.size}]; run_{number}(&state, {', '.join(given)}, y);\n"
                f"      if (memcmp(y, {wanted}, sizeof y) != 0 && failed < 0) {{ failed = {number}; }} }}"
            )
    text = source_text(context, programs) + arrays.text()
    write({f"kernels/{name}": text for name, text in kernel_files(context).items()}, tmp_path)
    main = BOARD_MAIN.format(declarations=text, calls="\n".join(calls))
    sources = sorted(p for p in (tmp_path / "kernels").iterdir() if p.suffix in (".c", ".S"))
    status, said = emulate(link_image(tmp_path, main, core, *sources), core)
    assert said.lstrip("-").isdigit(), said
    assert (status, said) == (0, "-1"), names[int(said)]
