"""Ops that move values of one tensor: which of its elements make each output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import Graph, Op
from quantization.ops.call import Call, Operand, Values
from quantization.ops.table import OpKind, Trait, has, row_of
from toolkit.errors import ModelFileError


def view_results(graph: Graph, op: Op) -> list[NDArray[np.int64]] | None:
    """For an op that moves values of one tensor: the elements of it that make each output; None for other ops.

    The op itself is run, on the numbers of the elements.
    """
    if not has(op, Trait.VIEWS):
        return None
    row = row_of(op.kind)
    source = next(place for place in range(len(op.inputs)) if place not in row.plain)

    def operand(place: int | None, index: int) -> Operand:
        tensor = graph.tensors[index]
        values: Values | None = None
        if place == source:
            values = np.arange(np.prod(tensor.shape, dtype=np.int64)).reshape(1, *tensor.shape)
        elif place is not None and tensor.data is not None:
            values = tensor.data[None]
        elif place is not None and op.kind != OpKind.RESHAPE:  # its shape is that of its output
            raise ModelFileError(f"tensor {tensor.name!r} must be constant to be turned into C")
        return Operand(tensor.name, tensor.shape, tensor.dtype, None, values)

    inputs = tuple(operand(place, index) for place, index in enumerate(op.inputs))
    outputs = tuple(operand(None, index) for index in op.outputs)
    assert row.integer is not None
    moved = row.integer(Call(op.kind, op.options, inputs, outputs, (), "tflm"))
    return [
        part.reshape(graph.tensors[index].shape) if part.size else part
        for part, index in zip(moved, op.outputs)
    ]
