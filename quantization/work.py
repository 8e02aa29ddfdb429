"""How much arithmetic a graph is: what instruction counts are held against."""

from __future__ import annotations

import math

from quantization.ir import Graph


def multiply_accumulates(graph: Graph) -> int:
    """Products that are summed in one run of ``graph``: those of LSTM, fully connected and batch matrix products.

    The LSTM's count is T x 4 x H x (inputs + H). Elementwise products are left out.
    """
    total = 0
    for op in graph.ops:
        shapes = [graph.tensors[i].shape if i >= 0 else () for i in op.inputs]
        output = graph.tensors[op.outputs[0]].shape
        if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            units, depth = output[-1], shapes[0][-1]
            total += math.prod(output[:-1]) * 4 * units * (depth + units)
        elif op.kind == "FULLY_CONNECTED":
            total += math.prod(output) * shapes[1][-1]
        elif op.kind == "BATCH_MATMUL":
            # Of the second operand one axis is the output's and the other is summed over, whichever way it is turned.
            total += math.prod(output) * (math.prod(shapes[1][-2:]) // output[-1])
    return total
