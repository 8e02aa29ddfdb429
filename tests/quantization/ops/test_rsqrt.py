"""RSQRT: the integer reference equals the engines, its C equals the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quantization.ops.drawn import (
    DTYPES,
    SEEDS,
    Cases,
    Compiled,
    compile_cases,
    scale,
    unary,
)
from tests.quantization.reference.harness import (
    INT8,
    OneOp,
    compare,
    quantization,
    zero_point,
)


@DTYPES
@SEEDS
def test_rsqrt(dtype: np.dtype, seed: int) -> None:
    random = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    zero = limits.min if dtype == INT8 else 0
    values = np.arange(zero, limits.max + 1, 1 if dtype == INT8 else 11).astype(dtype)[None]
    sx = scale(random, -4, 0)
    sy = (sx * 5) ** -0.5 / limits.max * 10 ** random.uniform(-0.5, 1)
    model = OneOp().feed(values, quantization(sx, zero))
    graph, inputs = model.op("RSQRT", values.shape, dtype, quantization(sy, zero_point(random, dtype)))
    compare(graph, inputs)


CASES: Cases = {
    "RSQRT int8": lambda d, n: unary("RSQRT", d, n, np.int8, np.int8),
    "RSQRT int16": lambda d, n: unary("RSQRT", d, n, np.int16, np.int16),
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)
