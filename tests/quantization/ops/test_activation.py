"""LOGISTIC, TANH and RELU: the integer reference equals the engines bit for bit, and the C the reference."""

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
    compile_cases,
    scale,
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


@pytest.mark.parametrize("kind", ["LOGISTIC", "TANH"])
def test_every_int16_value_of_sigmoid_and_tanh(kind: str) -> None:
    """Exhaustive: all 65,536 inputs in Q3.12, the format of an LSTM's gate sums."""
    values = np.arange(-32768, 32768).astype(np.int16)[None]
    model = OneOp().feed(values, quantization(2.0**-12))
    graph, inputs = model.op(kind, values.shape, INT16, quantization(2.0**-15))
    compare(graph, inputs)


@DTYPES
@SEEDS
@pytest.mark.parametrize("kind", ["LOGISTIC", "TANH"])
def test_logistic_and_tanh_of_any_scale(dtype: np.dtype, seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    values = integers(random, dtype, (1, 700))
    sx = scale(random, -2.5, -0.5) if dtype == INT8 else scale(random, -4.5, -3)
    out = {INT8: {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}, INT16: {kind: (2.0**-15, 0)}}[dtype][
        kind
    ]
    model = OneOp().feed(values, quantization(sx, zero_point(random, dtype)))
    graph, inputs = model.op(kind, values.shape, dtype, quantization(*out))
    # Desktop LiteRT's int8 kernels are tables from float32, which the reference does not describe.
    compare(graph, inputs, desktop=dtype == INT16)


@SEEDS
def test_relu(seed: int) -> None:
    random = np.random.default_rng(seed)
    quantized = quantization(scale(random), zero_point(random, INT8))
    a = integers(random, INT8, (5, 9))
    output = quantization(
        float(quantized.scale[0]) * 10 ** random.uniform(-0.5, 0.5), zero_point(random, INT8)
    )
    graph, inputs = OneOp().feed(a, quantized).op("RELU", a.shape, INT8, output)
    compare(graph, inputs)


def squash(kind: str, draw: Draw, n: int, dtype: Any, sx: float | None = None) -> Graph:
    build = GraphBuilder(kind)
    narrow = dtype == np.int8
    zero = int(draw.integers(-128, 128)) if narrow else 0
    own = float(np.float32(draw.uniform(0.003, 0.3) if narrow else 10 ** draw.uniform(-4.5, -3)))
    x = build.add("x", (1, n), dtype, Quantization.per_tensor(sx or own, zero))
    out = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}[kind] if narrow else (2.0**-15, 0)
    y = build.add("y", (1, n), dtype, Quantization.per_tensor(*out))
    build.op(kind, (x,), (y,))
    return build.build((x,), (y,))


CASES: Cases = {
    f"{kind} {np.dtype(t).name}": (lambda d, n, k=kind, t=t: squash(k, d, n, t))
    for kind in ("LOGISTIC", "TANH")
    for t in (np.int8, np.int16)
} | {
    f"{kind} of a power of two": (lambda d, n, k=kind: squash(k, d, n, np.int16, 2.0**-12))
    for kind in ("LOGISTIC", "TANH")
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)
