"""BATCH_MATMUL: the integer reference equals the engines, its C equals the reference, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from tests.quantization.ops.drawn import (
    DTYPES,
    SEEDS,
    Cases,
    Compiled,
    Draw,
    affine,
    compile_cases,
    product_of_scales,
    scale,
)
from tests.quantization.reference.harness import (
    INT8,
    OneOp,
    compare,
    integers,
    quantization,
    zero_point,
)


@DTYPES
@SEEDS
@pytest.mark.parametrize("adjoint", [(False, False), (True, False), (False, True), (True, True)])
def test_batch_matmul(dtype: np.dtype, seed: int, adjoint: tuple[bool, bool]) -> None:
    random = np.random.default_rng(seed)
    rows, depth, columns = (int(v) for v in random.integers(1, 40, 3))
    a, b = integers(random, dtype, (2, rows, depth)), integers(random, dtype, (2, depth, columns))
    a = a.swapaxes(1, 2).copy() if adjoint[0] else a
    b = b.swapaxes(1, 2).copy() if adjoint[1] else b
    sa, sb = scale(random), scale(random)
    sy = sa * sb * 100 * depth**0.5 * (1 if dtype == INT8 else 300)
    model = OneOp().feed(a, quantization(sa, zero_point(random, dtype)))
    model.feed(b, quantization(sb, zero_point(random, dtype)))
    graph, inputs = model.op(
        "BATCH_MATMUL",
        (2, rows, columns),
        dtype,
        quantization(sy, zero_point(random, dtype)),
        adj_x=adjoint[0],
        adj_y=adjoint[1],
    )
    compare(graph, inputs)


def test_precision_of_the_product_of_scales() -> None:
    product_of_scales("BATCH_MATMUL")


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
    depth, columns = (4 * n, 16 * int(draw.integers(1, 4))) if not transposed else (8 * n, 4 * n)
    return kept(draw, depth, columns, transposed=transposed)


def ragged(draw: Draw, n: int, *, transposed: bool, words: bool) -> Graph:
    """As :func:`mixed`, of sizes that no vector divides; with ``words`` rows of int8 begin at a word, as DSP wants them."""
    across, along = n * (4 if words else 1), int(draw.integers(1, 40))
    depth, columns = (across, along) if transposed else (along, across)
    return kept(draw, depth, columns, transposed=transposed)


def kept(draw: Draw, depth: int, columns: int, *, transposed: bool) -> Graph:
    """int16 [heads, rows, depth] times int8 [heads, depth, columns], or its transpose, all in the state."""
    build = GraphBuilder("mixed")
    heads, rows = int(draw.integers(1, 3)), int(draw.integers(1, 3))
    shapes = (heads, rows, depth), (heads, columns, depth) if transposed else (heads, depth, columns)
    one = Quantization.per_tensor(0.01)
    fed = [build.add(name, shape, t, one) for name, shape, t in zip("ab", shapes, (np.int16, np.int8))]
    held = [
        build.add(f"{name}_kept", shape, t, one) for name, shape, t in zip("ab", shapes, (np.int16, np.int8))
    ]
    for source, target in zip(fed, held):
        build.op("MINIMUM", (source, source), (target,))
    wide = build.add("b16", shapes[1], np.int16, one)
    build.op("QUANTIZE", (held[1],), (wide,))
    y = build.add("y", (heads, rows, columns), np.int16, affine(draw, np.int16, 0.05, 2.0))
    build.op("BATCH_MATMUL", (held[0], wide), (y,), adj_y=transposed)
    return build.build(tuple(fed), (y,))


CASES: Cases = {
    "BATCH_MATMUL int8": lambda d, n: product(d, n, np.int8),
    "BATCH_MATMUL int16": lambda d, n: product(d, n, np.int16),
    "BATCH_MATMUL int16 by int8": lambda d, n: product(d, n, np.int16, widened=True),
    "BATCH_MATMUL int16 by rows of int8": lambda d, n: mixed(d, n, transposed=True),
    "BATCH_MATMUL int16 by columns of int8": lambda d, n: mixed(d, n, transposed=False),
}
#: Apart, so that they fit into an image for a board.
RAGGED: Cases = {
    "BATCH_MATMUL int16 by ragged rows of int8": lambda d, n: ragged(d, n, transposed=True, words=True),
    "BATCH_MATMUL int16 by ragged columns of int8": lambda d, n: ragged(d, n, transposed=False, words=True),
    "BATCH_MATMUL int16 by odd rows of int8": lambda d, n: ragged(d, n, transposed=True, words=False),
    "BATCH_MATMUL int16 by odd columns of int8": lambda d, n: ragged(d, n, transposed=False, words=False),
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases({**CASES, **RAGGED}, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", [*CASES, *RAGGED])
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)
