"""Rings of widened hidden states are kept as the int8 values they hold: half the memory, the same results.

Stream graphs keep int16 rings where that is faster on a desktop: ring' = join(ring, widen(h))[1:]. Widening does not change
a value, so with a start value inside int8 every element of the ring is an int8; joining first and widening after,
join(ring, h) and widen(join), gives the same graph on half the bytes, and the matrix product reads the int8 itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quantization.graph.ir import (
    Graph,
    Op,
    Quantization,
    Tensor,
)

INT8 = np.dtype(np.int8)
Carried = Sequence[tuple[str, str, int]]


def _same_values(graph: Graph, op: Op) -> bool:
    """True for a QUANTIZE from int8 to int16 that keeps scale and zero point 0."""
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.kind != "QUANTIZE" or source.dtype != INT8 or target.dtype != np.int16:
        return False
    a, b = source.quantization, target.quantization
    assert a is not None and b is not None
    return bool(a.scale[0] == b.scale[0] and a.zero_point[0] == b.zero_point[0] == 0)


def _narrowable(graph: Graph, before: int, after: int, start: int) -> tuple[Op, Op, dict[int, int]] | None:
    """The joining and the moving op of a ring that only holds widened int8, and the int8 source of each new part."""
    if graph.tensors[before].dtype != np.int16 or not -128 <= start <= 127:
        return None
    moving = next((op for op in graph.ops if after in op.outputs), None)
    if moving is None or moving.kind not in ("SLICE", "STRIDED_SLICE"):
        return None
    memory = moving.inputs[0]
    joining = next((op for op in graph.ops if memory in op.outputs), None)
    if joining is None or joining.kind != "CONCATENATION" or joining.inputs[0] != before:
        return None
    makers = {op.outputs[0]: op for op in graph.ops}
    parts = {part: makers.get(part) for part in joining.inputs[1:]}
    if any(maker is None or not _same_values(graph, maker) for maker in parts.values()):
        return None
    readers = [op for op in graph.ops if memory in op.inputs and op is not moving]
    if any(op.kind != "BATCH_MATMUL" or op.inputs[0] == memory for op in readers):
        return None
    return joining, moving, {part: maker.inputs[0] for part, maker in parts.items() if maker is not None}


def _narrowed(tensor: Tensor) -> Tensor:
    assert tensor.quantization is not None
    quantization = Quantization(tensor.quantization.scale, tensor.quantization.zero_point)
    return replace(tensor, dtype=INT8, quantization=quantization)


def narrow_rings(graph: Graph, carried: Carried) -> Graph:
    """``graph`` with every ring of widened int8 in int8; other tensors and all results are as before."""
    for before_name, after_name, start in carried:
        before, after = graph.index(before_name), graph.index(after_name)
        found = _narrowable(graph, before, after, start)
        if found is None:
            continue
        joining, moving, sources = found
        memory = joining.outputs[0]
        tensors = list(graph.tensors)
        wide = len(tensors)
        tensors.append(replace(tensors[memory], name=f"{tensors[memory].name}/wide"))
        for index in (before, after, memory):
            tensors[index] = _narrowed(tensors[index])
        ops: list[Op] = []
        for op in graph.ops:
            if op is joining:
                inputs = tuple(sources.get(part, part) for part in op.inputs)
                ops += [replace(op, inputs=inputs), Op("QUANTIZE", (memory,), (wide,))]
            elif op is moving:
                ops.append(op)
            else:
                ops.append(replace(op, inputs=tuple(wide if i == memory else i for i in op.inputs)))
        graph = replace(graph, tensors=tuple(tensors), ops=tuple(ops))
    return graph
