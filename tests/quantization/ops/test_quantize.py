"""QUANTIZE and DEQUANTIZE: the integer reference equals the engines, the C equals the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quantization.ops.drawn import (
    DTYPES,
    SEEDS,
    Cases,
    Compiled,
    compile_cases,
    every_int16,
    scale,
    unary,
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


@SEEDS
@pytest.mark.parametrize("source", [INT8, INT16], ids=str)
@pytest.mark.parametrize("target", [INT8, INT16], ids=str)
def test_requantize(seed: int, source: np.dtype, target: np.dtype) -> None:
    random = np.random.default_rng(seed)
    sx = scale(random)
    ratio = np.iinfo(source).max / np.iinfo(target).max * 10 ** random.uniform(-0.5, 1)
    model = OneOp().feed(integers(random, source, (1, 300)), quantization(sx, zero_point(random, source)))
    graph, inputs = model.op(
        "QUANTIZE", (1, 300), target, quantization(sx * ratio, zero_point(random, target))
    )
    compare(graph, inputs)


@DTYPES
@SEEDS
def test_quantize_and_dequantize(dtype: np.dtype, seed: int) -> None:
    random = np.random.default_rng(seed)
    step = np.float32(scale(random))
    quantized = quantization(step, zero_point(random, dtype))
    # Halves, whose rounding direction matters, values on both sides of saturation, and random ones.
    halves = ((np.arange(-60, 60) + 0.5) * step).astype(np.float32)
    rest = random.normal(size=880).astype(np.float32) * step * np.iinfo(dtype).max
    values = np.concatenate([halves, rest])[None]
    graph, inputs = OneOp().feed(values).op("QUANTIZE", values.shape, dtype, quantized)
    compare(graph, inputs)
    stored = integers(random, dtype, (1, 500))
    graph, inputs = OneOp().feed(stored, quantized).op("DEQUANTIZE", stored.shape, np.dtype(np.float32))
    compare(graph, inputs)


@SEEDS
def test_every_int16_value(seed: int) -> None:
    every_int16("QUANTIZE", seed)


CASES: Cases = {
    "QUANTIZE int8 to int8": lambda d, n: unary("QUANTIZE", d, n, np.int8, np.int8),
    "QUANTIZE int8 to int16": lambda d, n: unary("QUANTIZE", d, n, np.int8, np.int16),
    "QUANTIZE int16 to int8": lambda d, n: unary("QUANTIZE", d, n, np.int16, np.int8),
    "QUANTIZE int16 to int16": lambda d, n: unary("QUANTIZE", d, n, np.int16, np.int16),
}


@pytest.fixture(scope="module", params=["gcc", "clang"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_cases(CASES, request.param, tmp_path_factory.mktemp("ops"))


@pytest.mark.parametrize("case", CASES)
def test_c_equals_the_reference(host: Compiled, case: str) -> None:
    host.check(case)
