"""Two forms of the same stream graph: rings of hidden states in int16, or in int8. Both compute the same bits.

Hidden states are int8 with zero point 0, and the attention multiplies in int16; widening keeps scale and value. *Narrow*
(as :mod:`quantization.quantizer.quantize` makes it): the ring holds int8 and all T rows are widened at every step. *Wide*:
each row is widened once, when it is new, and the ring holds int16.
LiteRT spends 12 us on widening 64 x 64 values and next to nothing on
copying them, so its file has the wide form: twice the ring, a quarter less time a step (docs/CONVERTER.md). A
microcontroller has little RAM and kernels that widen while they load: the emitter of C takes the widening back
(:mod:`quantization.c_emitter.narrow_rings`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantization.graph.ir import Graph, Op, Tensor
from quantization.graph.rewrite import Rewriter
from toolkit.errors import ModelFileError

_INT8, _INT16 = np.dtype(np.int8), np.dtype(np.int16)


def widen(graph: Graph) -> Graph:
    """The wide form of a narrow stream graph; a graph without int8 rings comes back as it is."""
    work = Rewriter(graph)
    for ring in _rings(graph, _INT8):
        join = _only(work, ring, "CONCATENATION")
        memory, hidden = join.outputs[0], join.inputs[1]
        cast = next(op for op in work.consumers(memory) if op.kind == "QUANTIZE")
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
    return work.build()


def _rings(graph: Graph, dtype: np.dtype[np.generic]) -> list[int]:
    return [
        i for i in graph.inputs if graph.tensors[i].name.endswith("/ring") and graph.tensors[i].dtype == dtype
    ]


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
