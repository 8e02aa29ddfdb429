"""FULLY_CONNECTED: the integer reference equals the engines, its C equals the reference, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantization.graph.ir import Graph, GraphBuilder, Quantization
from tests.quantization.ops.drawn import (
    DTYPES,
    SEEDS,
    SHORT,
    Cases,
    Compiled,
    Draw,
    affine,
    compile_cases,
    product_of_scales,
    scale,
    values,
)
from tests.quantization.reference.harness import (
    INT8,
    INT16,
    OneOp,
    compare,
    integers,
    quantization,
    zero_point,
)


@DTYPES
@SEEDS
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", ["NONE", "RELU"])
def test_fully_connected(dtype: np.dtype, seed: int, per_channel: bool, activation: str) -> None:
    random = np.random.default_rng(seed)
    depth, units = (int(v) for v in random.integers(1, 80, 2))
    sx = scale(random)
    sw = 10 ** random.uniform(-3, -2, units if per_channel else 1)
    sy = (
        sx * float(sw.max()) * 128 * depth**0.5 * (1 if dtype == INT8 else 10) * 10 ** random.uniform(-0.5, 1)
    )
    model = OneOp().feed(integers(random, dtype, (20, depth)), quantization(sx, zero_point(random, dtype)))
    model.constant(random.integers(-127, 128, (units, depth)).astype(np.int8), quantization(sw))
    if dtype == INT16 and seed == 0:
        model.absent()
    else:
        bias = random.integers(-5000, 5000, units).astype(np.int32 if dtype == INT8 else np.int64)
        model.constant(bias, quantization(np.float32(sx) * sw.astype(np.float32)))
    graph, inputs = model.op(
        "FULLY_CONNECTED",
        (20, units),
        dtype,
        quantization(sy, zero_point(random, dtype)),
        fused_activation_function=activation,
    )
    compare(graph, inputs)


def test_precision_of_the_product_of_scales() -> None:
    product_of_scales("FULLY_CONNECTED")


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


CASES: Cases = {
    "FULLY_CONNECTED int8": lambda d, n: dense(d, n, np.int8),
    "FULLY_CONNECTED int16": lambda d, n: dense(d, n, np.int16),
    "FULLY_CONNECTED int16, 64-bit sums": lambda d, n: dense(d, n, np.int16, 2**36),
    "FULLY_CONNECTED int16, 32-bit sums": lambda d, n: rows_of_dense(d, n),
    "FULLY_CONNECTED int16 by widened int8": lambda d, n: rows_of_dense(d, n, widened=True),
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)
