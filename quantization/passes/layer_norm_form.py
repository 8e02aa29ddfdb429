"""The gain and offset of a layer norm go into the dense layer behind it.

``W (g * n + o) + b = (W diag(g)) n + (W o + b)``: exact in real numbers. Four elementwise ops fewer, and two tensors fewer
to quantize; what is left of the norm is centring and division by the deviation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantization.graph.ir import Graph, Op
from quantization.graph.rewrite import Rewriter


def fold_norm_gain(graph: Graph) -> Graph:
    """Fold ADD(MUL(n, g), o) of every part of a CONCATENATION that one FULLY_CONNECTED reads."""
    work = Rewriter(graph)
    for join in [op for op in work.ops if op.kind == "CONCATENATION"]:
        readers = work.consumers(join.outputs[0])
        if len(readers) != 1 or readers[0].kind != "FULLY_CONNECTED" or join.outputs[0] in graph.outputs:
            continue
        parts = [_gain_and_offset(work, index) for index in join.inputs]
        if not any(gain is not None for _, gain, _ in parts):
            continue
        layer = readers[0]
        weight, bias = work.data(layer.inputs[1]), work.data(layer.inputs[2])
        assert weight is not None and bias is not None
        widths = [work.tensors[index].shape[-1] for index in join.inputs]
        gains = np.concatenate([np.ones(w) if g is None else g for (_, g, _), w in zip(parts, widths)])
        offsets = np.concatenate([np.zeros(w) if o is None else o for (_, _, o), w in zip(parts, widths)])
        name = work.tensors[layer.outputs[0]].name
        folded = replace(
            layer,
            inputs=(
                layer.inputs[0],
                work.constant(f"{name}/weight", weight.astype(np.float64) * gains),
                work.constant(f"{name}/bias", bias + weight.astype(np.float64) @ offsets),
            ),
        )
        work.swap(layer, [folded])
        work.swap(join, [replace(join, inputs=tuple(source for source, _, _ in parts))])
    return work.build()


def _gain_and_offset(work: Rewriter, index: int) -> tuple[int, np.ndarray | None, np.ndarray | None]:
    """(n, g, o) if the tensor is n * g + o with constant rows g and o, else the tensor itself."""
    add: Op | None = work.producer(index)
    if add is None or add.kind != "ADD" or len(work.consumers(index)) != 1:
        return index, None, None
    scale, offset = work.producer(add.inputs[0]), work.data(add.inputs[1])
    if scale is None or scale.kind != "MUL" or offset is None:
        return index, None, None
    gain = work.data(scale.inputs[1])
    if gain is None or not work.only_reader(add.inputs[0], add):
        return index, None, None
    return scale.inputs[0], gain.reshape(-1).astype(np.float64), offset.reshape(-1).astype(np.float64)
