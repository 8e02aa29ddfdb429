"""Fake quantization by hand, and the float replica of an integer graph."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.arithmetic.affine import Affine
from quantization.graph.ir import Graph, GraphBuilder, Quantization
from quantization.reference.fake_quantization import FloatReplica, rounded


def test_rounding_to_a_grid_by_hand() -> None:
    quantization = Affine(np.array([0.5], np.float32), 3, 8)
    values = np.array([0.0, 0.6, 0.74, -0.3, 100.0, -100.0])
    # Steps of a half; the range is 0.5 * (-128 - 3) to 0.5 * (127 - 3).
    assert rounded(values, quantization).tolist() == [0.0, 0.5, 0.5, -0.5, 62.0, -65.5]


def test_sixteen_bits_keep_the_range_and_divide_it_finer() -> None:
    quantization = Affine(np.array([0.5], np.float32), 3, 8)
    values = np.linspace(-65.5, 62.0, 1001)
    step = 127.5 / 65535
    wide = rounded(values, quantization, wide=True)
    assert np.abs(wide - values).max() <= step / 2 * (1 + 1e-9)
    assert rounded(np.array([1e3, -1e3]), quantization, wide=True).tolist() == pytest.approx([62.0, -65.5])


def dense(scale: float, weights: np.ndarray, dtype: type) -> Graph:
    """in [1, 2] -> QUANTIZE -> dense "y", in float or int8 with weights in steps of ``scale``."""
    builder = GraphBuilder("dense")
    real = dtype is np.float32
    source = builder.add("in", (1, 2), dtype, None if real else Quantization.per_tensor(0.1))
    between = source
    if not real:
        between = builder.add("in/wide", (1, 2), dtype, Quantization.per_tensor(0.25))
        builder.op("QUANTIZE", (source,), (between,))
    w = builder.constant("w", weights.astype(dtype), None if real else Quantization.per_tensor(scale))
    b = builder.constant(
        "b",
        np.array([1.0], np.float32) if real else np.array([round(1 / (0.25 * scale))], np.int32),
        None if real else Quantization.per_tensor(0.25 * scale),
    )
    out = builder.add("y", (1, 1), dtype, None if real else Quantization.per_tensor(0.5))
    builder.op("FULLY_CONNECTED", (between, w, b), (out,), fused_activation_function="NONE")
    return builder.build((source,), (out,))


def replica() -> FloatReplica:
    real = dense(0.0, np.array([[0.33, -0.58]]), np.float32)
    # 0.3 and -0.6 in steps of 0.1.
    return FloatReplica(dense(0.1, np.array([[3, -6]]), np.int8), real)


def test_the_replica_is_the_float_graph_until_a_rounding_is_asked_for() -> None:
    found = replica()
    assert found.exact_weights
    assert [(s.name, s.kind, s.bits) for s in found.sources] == [
        ("in", "tensor", 8),
        ("in/wide", "tensor", 8),
        ("y weights", "weights", 8),
        ("y", "tensor", 8),
    ]
    values = {"in": np.array([[1.13, 2.0]])}
    assert found.run(values)["y"][0, 0] == pytest.approx(0.33 * 1.13 - 0.58 * 2.0 + 1.0)
    assert found.run(values, ["in"])["y"][0, 0] == pytest.approx(0.33 * 1.1 - 0.58 * 2.0 + 1.0)
    assert found.run(values, ["in/wide"])["y"][0, 0] == pytest.approx(0.33 * 1.25 - 0.58 * 2.0 + 1.0)
    assert found.run(values, ["y weights"])["y"][0, 0] == pytest.approx(0.3 * 1.13 - 0.6 * 2.0 + 1.0)
    assert found.run(values, ["y"])["y"][0, 0] == 0.0
    # Weights in steps of 0.1 / 256.
    nearly = found.run(values, [], ["y weights"])["y"][0, 0]
    assert nearly == pytest.approx(0.33 * 1.13 - 0.58 * 2.0 + 1.0, abs=0.1 / 512 * (1.13 + 2.0) + 0.025 / 512)


def test_without_a_float_graph_the_integers_are_the_weights() -> None:
    found = FloatReplica(dense(0.1, np.array([[3, -6]]), np.int8))
    assert not found.exact_weights
    values = {"in": np.array([[1.0, 2.0]])}
    assert found.run(values)["y"][0, 0] == pytest.approx(0.3 - 1.2 + 1.0)


def test_the_tail_alone_gives_what_the_whole_gives() -> None:
    found = replica()
    values = {"in": np.array([[1.13, 2.0], [-0.4, 0.7]])}
    whole = found.run(values, ["y weights", "y"])
    tail = found.run_tail(found.run(values), ["y weights", "y"])
    np.testing.assert_array_equal(tail["y"], whole["y"])
