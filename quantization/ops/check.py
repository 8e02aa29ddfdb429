"""Is a graph that was read from a file one that can be computed at all?

A file's bytes can be whole and its graph nonsense: an op that reads what is computed after it, a product of shapes that do not
meet, a scale of 1e38 whose shift no register holds. Every graph is looked at here once, when it is read, so that neither the
references nor the emitter of C nor an engine meets such a graph. What is refused is said in one line, with the op's place.
"""

from __future__ import annotations

import math

import numpy as np

from quantization.graph.ir import Graph, Op, Tensor
from quantization.ops.signature import INT8, INT16, Signature
from quantization.ops.table import OpKind, row_of
from toolkit.errors import ModelFileError

#: Values of a tensor; more than any model for a small device has.
MOST_VALUES = 1 << 28
#: Of a scale: a product of two stays inside float32.
LEAST_SCALE, MOST_SCALE = 2.0**-60, 2.0**60
#: Inputs that may have one scale an entry of their first axis.
_PER_CHANNEL: dict[str, tuple[int, ...]] = {
    OpKind.FULLY_CONNECTED: (1,),
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: tuple(range(1, 9)),
}


def require_consistent(graph: Graph, where: str = "model") -> None:
    """ModelFileError, beginning with ``where``, for the first op or tensor of ``graph`` that contradicts another."""
    _require_order(graph, where)
    for place, op in enumerate(graph.ops):
        try:
            _require_op(graph, op)
        except ModelFileError as error:
            raise ModelFileError(f"{where}: op {place} ({op.kind}) is inconsistent: {error}") from None


def _require_order(graph: Graph, where: str) -> None:
    """Every op reads what is there, and every tensor is written once."""
    there = {
        index for index, tensor in enumerate(graph.tensors) if tensor.data is not None or tensor.is_variable
    }
    written = set(graph.inputs)
    if len(written) < len(graph.inputs) or written & there:
        raise ModelFileError(f"{where}: a tensor is twice an input, or an input is constant")
    for place, op in enumerate(graph.ops):
        kept = {op.inputs[k] for k in row_of(op.kind).states if k < len(op.inputs)}
        lacking = [i for i in op.inputs if i >= 0 and i not in there and i not in written and i not in kept]
        if lacking:
            name = graph.tensors[lacking[0]].name
            raise ModelFileError(
                f"{where}: op {place} ({op.kind}) reads tensor {name!r} before it is computed"
            )
        for index in op.outputs:
            if index < 0 or index in written or index in there or index in kept:
                raise ModelFileError(
                    f"{where}: op {place} ({op.kind}) writes tensor {index}, which is not its own"
                )
            written.add(index)
    missing = [graph.tensors[i].name for i in graph.outputs if i not in written and i not in there]
    if missing:
        raise ModelFileError(f"{where}: output {missing[0]!r} is not computed")


def _require_op(graph: Graph, op: Op) -> None:
    row = row_of(op.kind)
    if not op.inputs or not op.outputs:
        raise ModelFileError("it has no input or no output")
    values = [(k, i) for k, i in enumerate(op.inputs) if i >= 0 and k not in row.plain]
    for place, index in [*values, *((-1, i) for i in op.outputs)]:
        _require_tensor(graph.tensors[index], per_channel=place in _PER_CHANNEL.get(op.kind, ()))
    shapes = row.check(Signature(graph, op))
    if len(shapes) != len(op.outputs):
        raise ModelFileError(f"it has {len(op.outputs)} outputs; it must have {len(shapes)}")
    for shape, index in zip(shapes, op.outputs):
        tensor = graph.tensors[index]
        if tensor.shape != shape:
            raise ModelFileError(f"its output {tensor.name!r} has shape {tensor.shape}; it computes {shape}")


def _require_tensor(tensor: Tensor, *, per_channel: bool) -> None:
    """A value that ops compute with: of sound size, scale and zero point."""
    count = math.prod(tensor.shape)
    if not 0 < count <= MOST_VALUES:
        raise ModelFileError(
            f"tensor {tensor.name!r} has shape {tensor.shape}; allowed: 1 to {MOST_VALUES:,} values"
        )
    quantization = tensor.quantization
    if quantization is None or tensor.dtype not in (INT8, INT16):
        return
    scale, zero_points = np.asarray(quantization.scale), np.asarray(quantization.zero_point)
    if not ((scale >= LEAST_SCALE) & (scale <= MOST_SCALE)).all():
        raise ModelFileError(
            f"tensor {tensor.name!r} has scale {scale.reshape(-1)[0]:.3g}; allowed: {LEAST_SCALE:.3g} to {MOST_SCALE:.3g}"
        )
    if scale.size != 1 and not (per_channel and quantization.axis == 0 and scale.size == tensor.shape[0]):
        raise ModelFileError(
            f"tensor {tensor.name!r} has {scale.size} scales along axis {quantization.axis}; one is allowed here"
        )
    limits = np.iinfo(tensor.dtype)
    if not ((zero_points >= limits.min) & (zero_points <= limits.max)).all():
        raise ModelFileError(
            f"tensor {tensor.name!r} has zero point {zero_points.reshape(-1)[0]}, which is no {tensor.dtype}"
        )
    if scale.size != 1 and zero_points.any():
        raise ModelFileError(f"tensor {tensor.name!r} has several scales and a zero point other than 0")
