"""How much arithmetic a graph is: what instruction counts are held against."""

from __future__ import annotations

from collections import Counter

from quantization.graph.ir import Graph, Op
from quantization.graph.ring_form import only_widens
from quantization.ops.table import Trait, has, row_of


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
    if not has(op, Trait.SUMS_PRODUCTS):
        return 0
    inputs, outputs = (
        [graph.tensors[i].shape if i >= 0 else () for i in part] for part in (op.inputs, op.outputs)
    )
    return row_of(op.kind).macs(inputs, outputs)
