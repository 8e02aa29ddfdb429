"""Two forms of the same stream graph: rings of hidden states in int16, or in int8. Both compute the same bits.

Hidden states are int8 with zero point 0, and the attention multiplies in int16; widening keeps scale and value. *Narrow*
(as :mod:`quantization.quantizer.quantize` makes it): the ring holds int8 and all T rows are widened at every step. *Wide*:
each row is widened once, when it is new, and the ring holds int16.
LiteRT spends 12 us on widening 64 x 64 values and next to nothing on
copying them, so its file has the wide form: twice the ring, a quarter less time a step (docs/CONVERTER.md). A
microcontroller has little RAM and kernels that widen while they load: the emitter of C takes the widening back
(:func:`narrow`). Widening does not change a value, so with a start value inside int8 every element of a wide ring is an
int8, and joining first and widening after gives the same graph on half the bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantization.graph.ir import Graph, Op, Quantization, Tensor
from quantization.graph.rewrite import Rewriter
from toolkit.errors import ModelFileError

_INT8, _INT16 = np.dtype(np.int8), np.dtype(np.int16)


def only_widens(graph: Graph, op: Op) -> bool:
    """True for a QUANTIZE from int8 to int16 with one scale and zero points 0: the values stay."""
    if op.kind != "QUANTIZE":
        return False
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    a, b = source.quantization, target.quantization
    return bool(
        (source.dtype, target.dtype) == (_INT8, _INT16)
        and a is not None
        and b is not None
        and a.scale[0] == b.scale[0]
        and a.zero_point[0] == b.zero_point[0] == 0
    )


def widen(graph: Graph) -> Graph:
    """The wide form of a narrow stream graph; a graph without int8 rings comes back as it is."""
    work = Rewriter(graph)
    for ring in _rings(graph, _INT8):
        join = _only(work, ring, "CONCATENATION")
        memory, hidden = join.outputs[0], join.inputs[1]
        casts = [op for op in work.consumers(memory) if only_widens(graph, op)]
        if len(casts) != 1 or len(work.consumers(memory)) != 2:
            continue  # taps of a convolution, which are int8
        cast = casts[0]
        moved_on = next(op for op in work.consumers(memory) if op.kind == "STRIDED_SLICE")
        wide = _retyped(work, hidden, _INT16, f"{work.tensors[hidden].name}/int16")
        for index in (ring, moved_on.outputs[0]):
            work.tensors[index] = replace(work.tensors[index], dtype=_INT16)
        work.swap(
            join,
            [
                Op("QUANTIZE", (hidden,), (wide,)),
                replace(join, inputs=(ring, wide), outputs=cast.outputs),
            ],
        )
        work.swap(cast, [])
        work.swap(moved_on, [_slice(work, moved_on, cast.outputs[0])])
    return work.build().with_same_state(graph)


def narrow(graph: Graph) -> Graph:
    """The narrow form of a stream graph: every ring of widened int8 in int8; other tensors and all results are as before."""
    given = graph
    for one in () if graph.state is None else graph.state.carried:
        before, after = graph.inputs[one.input_place], graph.outputs[one.output_place]
        found = _narrowable(graph, before, after, one.initial)
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
    return graph.with_same_state(given)


def _rings(graph: Graph, dtype: np.dtype[np.generic]) -> list[int]:
    """Carried inputs of type ``dtype``; the mask is int16."""
    carried = () if graph.state is None else graph.state.carried
    places = [graph.inputs[one.input_place] for one in carried]
    return [index for index in places if graph.tensors[index].dtype == dtype]


def _only(work: Rewriter, index: int, kind: str) -> Op:
    reader = work.consumers(index)
    if len(reader) != 1 or reader[0].kind != kind:
        raise ModelFileError(
            f"ring {work.tensors[index].name} must be read by one {kind}; convert the checkpoint again"
        )
    return reader[0]


def _retyped(work: Rewriter, index: int, dtype: np.dtype[np.generic], name: str) -> int:
    tensor = work.tensors[index]
    return work.add(Tensor(name, tensor.shape, dtype, tensor.quantization))


def _integers(work: Rewriter, name: str, values: list[int]) -> int:
    data = np.array(values, np.int32)
    return work.add(Tensor(name, data.shape, data.dtype, None, data))


def _slice(work: Rewriter, op: Op, source: int) -> Op:
    """All rows but the oldest, by SLICE: LiteRT's STRIDED_SLICE of int16 goes value by value."""
    name, shape = work.tensors[op.outputs[0]].name, work.tensors[op.outputs[0]].shape
    begin, size = _integers(work, f"{name}/first", [0, 1, 0]), _integers(work, f"{name}/size", list(shape))
    return Op("SLICE", (source, begin, size), op.outputs)


def _narrowable(graph: Graph, before: int, after: int, start: float) -> tuple[Op, Op, dict[int, int]] | None:
    """The joining and the moving op of a ring that only holds widened int8, and the int8 source of each new part."""
    if graph.tensors[before].dtype != _INT16 or not -128 <= start <= 127:
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
    if any(maker is None or not only_widens(graph, maker) for maker in parts.values()):
        return None
    readers = [op for op in graph.ops if memory in op.inputs and op is not moving]
    if any(op.kind != "BATCH_MATMUL" or op.inputs[0] == memory for op in readers):
        return None
    return joining, moving, {part: maker.inputs[0] for part, maker in parts.items() if maker is not None}


def _narrowed(tensor: Tensor) -> Tensor:
    assert tensor.quantization is not None
    quantization = Quantization(tensor.quantization.scale, tensor.quantization.zero_point)
    return replace(tensor, dtype=_INT8, quantization=quantization)
