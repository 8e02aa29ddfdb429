"""How much arithmetic a graph is: what instruction counts are held against."""

from __future__ import annotations

import math
from collections import Counter

from quantization.graph.ir import Graph, Op
from quantization.graph.ring_form import only_widens


def multiply_accumulates(graph: Graph) -> int:
    """Products that are summed in one run of ``graph``: those of LSTM, fully connected and batch matrix products.

    The LSTM's count is T x 4 x H x (inputs + H). Elementwise products are left out.
    """
    return sum(products_by_bits(graph).values())


def products_by_bits(graph: Graph) -> dict[int, int]:
    """:func:`multiply_accumulates` by the bits of the wider factor, which decides how many one SIMD instruction does.

    A QUANTIZE that only widens int8 to int16 changes no value: what reads its result could read the int8.
    """
    widened = {op.outputs[0]: op.inputs[0] for op in graph.ops if only_widens(graph, op)}
    found: Counter[int] = Counter()
    for op in graph.ops:
        count = _products(graph, op)
        if count:
            factors = [graph.tensors[widened.get(index, index)] for index in op.inputs[:2]]
            found[max(8 * tensor.dtype.itemsize for tensor in factors)] += count
    return dict(found)


def _products(graph: Graph, op: Op) -> int:
    shapes = [graph.tensors[i].shape if i >= 0 else () for i in op.inputs]
    output = graph.tensors[op.outputs[0]].shape
    if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        units, depth = output[-1], shapes[0][-1]
        return math.prod(output[:-1]) * 4 * units * (depth + units)
    if op.kind == "FULLY_CONNECTED":
        return math.prod(output) * shapes[1][-1]
    if op.kind == "BATCH_MATMUL":
        # Of the second operand one axis is the output's and the other is summed over, whichever way it is turned.
        return math.prod(output) * (math.prod(shapes[1][-2:]) // output[-1])
    return 0
