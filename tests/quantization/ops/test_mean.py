"""MEAN: the integer reference equals the engines, its C equals the reference, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantization.graph.ir import Graph, GraphBuilder
from tests.quantization.ops.drawn import (
    DTYPES,
    SEEDS,
    Cases,
    Compiled,
    Draw,
    affine,
    compile_cases,
    every_int16,
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
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("axes", [(2,), (1,), (0, 2)])
def test_mean(dtype: np.dtype, seed: int, same: bool, axes: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    keep = bool(seed % 2)
    values = integers(random, dtype, (2, 5, int(random.integers(1, 70))))
    quantized = quantization(scale(random), zero_point(random, dtype))
    output = (
        quantized
        if same
        else quantization(float(quantized.scale[0]) * 10 ** random.uniform(-1, 1), zero_point(random, dtype))
    )
    shape = values.mean(axis=axes, keepdims=keep).shape
    model = OneOp().feed(values, quantized).constant(np.array(axes, np.int32))
    graph, inputs = model.op("MEAN", shape, dtype, output, keep_dims=keep)
    # Desktop LiteRT averages int16 in another precision.
    compare(graph, inputs, desktop=dtype == INT8)


@SEEDS
def test_every_int16_value(seed: int) -> None:
    every_int16("MEAN", seed)


def mean(draw: Draw, n: int, dtype: Any) -> Graph:
    build = GraphBuilder("mean")
    x = build.add("x", (2, n, 3), dtype, affine(draw, dtype))
    axis = build.constant("axis", np.array([int(draw.integers(0, 3))], np.int32))
    shape = tuple(1 if k == int(build.tensors[axis].data[0]) else v for k, v in enumerate((2, n, 3)))
    y = build.add("y", shape, dtype, affine(draw, dtype))
    build.op("MEAN", (x, axis), (y,), keep_dims=True)
    return build.build((x,), (y,))


CASES: Cases = {
    "MEAN int8": lambda d, n: mean(d, n, np.int8),
    "MEAN int16": lambda d, n: mean(d, n, np.int16),
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)
