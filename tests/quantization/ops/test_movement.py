"""Ops that move values: the integer reference equals the engines bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from quantization.graph.ir import GraphBuilder
from tests.quantization.reference.harness import (
    INT8,
    OneOp,
    compare,
    integers,
    quantization,
)


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
