"""Every op of the integer reference equals the kernel it describes, on randomly drawn sizes and quantizations.

Equal means bit for bit. Output scales are drawn around the values' own, so that results spread over the output's
range: with most of them saturated a wrong rounding would not show.
"""

from __future__ import annotations

import numpy as np
import pytest

from quantization.graph.ir import GraphBuilder
from tests.quantization.reference.harness import (
    INT8,
    INT16,
    OneOp,
    compare,
    integers,
    quantization,
    zero_point,
)

DTYPES = pytest.mark.parametrize("dtype", [INT8, INT16], ids=str)
SEEDS = pytest.mark.parametrize("seed", range(6))


def scale(random: np.random.Generator, low: float = -3.0, high: float = -1.0) -> float:
    return float(np.float32(10 ** random.uniform(low, high)))


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


@DTYPES
@SEEDS
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"])
@pytest.mark.parametrize("shape", [(50, 7), (7,), (1, 1), (50, 1)])
def test_binary(dtype: np.dtype, seed: int, kind: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    sa = scale(random)
    sb = sa * 10 ** random.uniform(-1, 1)
    full = float(np.iinfo(dtype).max)
    sy = {
        "ADD": max(sa, sb),
        "SUB": max(sa, sb),
        "MUL": sa * sb * full / 2,
        "SQUARED_DIFFERENCE": max(sa, sb) ** 2 * full,
    }[kind] * 10 ** random.uniform(0, 0.5)
    model = OneOp().feed(integers(random, dtype, (50, 7)), quantization(sa, zero_point(random, dtype)))
    model.feed(integers(random, dtype, shape), quantization(sb, zero_point(random, dtype)))
    graph, inputs = model.op(kind, (50, 7), dtype, quantization(sy, zero_point(random, dtype)))
    # Desktop LiteRT has no int16 SQUARED_DIFFERENCE.
    compare(graph, inputs, desktop=not (kind == "SQUARED_DIFFERENCE" and dtype == INT16))


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
@pytest.mark.parametrize(
    ("dtype", "output", "out_scale", "out_zero"),
    [(INT8, INT8, 1 / 256, -128), (INT8, INT16, 1 / 65536, -32768), (INT16, INT16, 1 / 32768, 0)],
)
def test_softmax(seed: int, dtype: np.dtype, output: np.dtype, out_scale: float, out_zero: int) -> None:
    random = np.random.default_rng(seed)
    values = (integers(random, dtype, (9, int(random.integers(1, 70)))) * random.uniform(0.05, 1)).astype(
        dtype
    )
    sx = scale(random, -3, 0.3) if dtype == INT8 else scale(random, -5, -2)
    model = OneOp().feed(values, quantization(sx, zero_point(random, dtype)))
    beta = float(random.choice([1.0, 0.125]))
    graph, inputs = model.op("SOFTMAX", values.shape, output, quantization(out_scale, out_zero), beta=beta)
    compare(graph, inputs)


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
def test_relu_minimum_maximum(seed: int) -> None:
    random = np.random.default_rng(seed)
    quantized = quantization(scale(random), zero_point(random, INT8))
    a, b = integers(random, INT8, (5, 9)), integers(random, INT8, (5, 9))
    output = quantization(
        float(quantized.scale[0]) * 10 ** random.uniform(-0.5, 0.5), zero_point(random, INT8)
    )
    graph, inputs = OneOp().feed(a, quantized).op("RELU", a.shape, INT8, output)
    compare(graph, inputs)
    for kind in ("MINIMUM", "MAXIMUM"):
        graph, inputs = OneOp().feed(a, quantized).feed(b, quantized).op(kind, a.shape, INT8, quantized)
        compare(graph, inputs)


@pytest.mark.parametrize("kind", ["FULLY_CONNECTED", "BATCH_MATMUL", "MUL"])
def test_precision_of_the_product_of_scales(kind: str) -> None:
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


@SEEDS
@pytest.mark.parametrize("kind", ["QUANTIZE", "ADD", "SUB", "MUL", "MEAN"])
def test_every_int16_value(kind: str, seed: int) -> None:
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


def test_ops_that_move_values() -> None:
    random = np.random.default_rng(0)
    quantized = quantization(0.1, 3)
    values = integers(random, INT8, (2, 5, 6))

    def vector(*entries: int) -> np.ndarray:
        return np.array(entries, np.int32)

    cases = [
        OneOp().feed(values, quantized).constant(vector(6, 10)).op("RESHAPE", (6, 10), INT8, quantized),
        OneOp().feed(values, quantized).constant(vector(2, 0, 1)).op("TRANSPOSE", (6, 2, 5), INT8, quantized),
        OneOp().feed(values, quantized).feed(values[:, :2].copy(), quantized).op(
            "CONCATENATION", (2, 7, 6), INT8, quantized, axis=1
        ),
        OneOp().feed(values, quantized).constant(vector(0, -1, 0)).constant(vector(0, 0, 0)).constant(vector(1, 1, 1)).op(
            "STRIDED_SLICE", (2, 6), INT8, quantized, begin_mask=5, end_mask=7, shrink_axis_mask=2
        ),
        OneOp().feed(values, quantized).constant(vector(0, 1, 1)).constant(vector(2, 4, 5)).constant(vector(1, 2, 3)).op(
            "STRIDED_SLICE", (2, 2, 2), INT8, quantized
        ),
        OneOp().feed(values, quantized).constant(vector(0, 1, 2)).constant(vector(-1, 2, 3)).op(
            "SLICE", (2, 2, 3), INT8, quantized
        ),
        OneOp().feed(values, quantized).constant(vector(4, 0, 1)).op("GATHER", (2, 3, 6), INT8, quantized, axis=1),
    ]  # fmt: skip
    for graph, inputs in cases:
        compare(graph, inputs)


@pytest.mark.parametrize("kind", ["SPLIT", "UNPACK", "PACK"])
def test_ops_that_part_and_join(kind: str) -> None:
    random = np.random.default_rng(1)
    quantized = quantization(0.1, 3)
    values = integers(random, INT8, (2, 3, 4))
    builder = GraphBuilder(kind)
    if kind == "PACK":
        fed = tuple(builder.add(f"in{k}", (2, 4), INT8, quantized) for k in range(3))
        outs = (builder.add("out", (2, 3, 4), INT8, quantized),)
        builder.op("PACK", fed, outs, axis=1, values_count=3)
        inputs = [values[:, k].copy() for k in range(3)]
    else:
        fed = (builder.add("in", (2, 3, 4), INT8, quantized),)
        shape = (2, 1, 4) if kind == "SPLIT" else (2, 4)
        outs = tuple(builder.add(f"out{k}", shape, INT8, quantized) for k in range(3))
        inputs = [values]
        if kind == "SPLIT":
            axis = builder.constant("axis", np.array([1], np.int32))
            builder.op("SPLIT", (axis, *fed), outs, num_splits=3)
        else:
            builder.op("UNPACK", fed, outs, axis=1, num=3)
    compare(builder.build(fed, outs), inputs)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_lstm_with_a_batch_and_time_first(time_major: bool, batch: int) -> None:
    """A batch inside the graph, and time before it: forms that foreign files have."""
    random = np.random.default_rng(2)
    steps, depth, units = 5, 4, 3
    builder = GraphBuilder("lstm")
    shape = (steps, batch, depth) if time_major else (batch, steps, depth)
    hidden = quantization(0.008, -7)
    source = builder.add("in", shape, INT8, quantization(0.03, 5))

    def weights(name: str, columns: int) -> list[int]:
        drawn = random.integers(-127, 128, (4, units, columns)).astype(np.int8)
        return [builder.constant(f"{name}{k}", drawn[k], quantization(0.005)) for k in range(4)]

    driven, recurrent = weights("w", depth), weights("r", units)
    biases = [
        builder.constant(
            f"b{k}", random.integers(-3000, 3000, units).astype(np.int32), quantization(0.03 * 0.005)
        )
        for k in range(4)
    ]
    states = (
        builder.add("h", (batch, units), INT8, hidden, is_variable=True),
        builder.add("c", (batch, units), INT16, quantization(2.0**-11), is_variable=True),
    )
    out = builder.add("out", (*shape[:2], units), INT8, hidden)
    intermediates = (*(builder.add(f"g{k}", (0,)) for k in range(4)), builder.add("gh", (0,), INT8, hidden))
    places = (source, *driven, *recurrent, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1)
    builder.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        places,
        (out,),
        intermediates,
        fused_activation_function="TANH",
        cell_clip=10.0,
        time_major=time_major,
    )
    compare(builder.build((source,), (out,)), [integers(random, INT8, shape)])
