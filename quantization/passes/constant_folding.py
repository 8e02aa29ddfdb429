"""A product with a constant number goes into the dense layer before it.

``c * (W x + b) = (c W) x + (c b)``: exact in real numbers, one rounding in float32. It takes the 1/sqrt(head size) of the
attention into the query projection.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantization.graph.ir import Graph
from quantization.graph.rewrite import Rewriter


def fold_constants(graph: Graph) -> Graph:
    """Fold MUL(FULLY_CONNECTED(x), constant of one value) where nothing else reads the layer's output."""
    work = Rewriter(graph)
    for op in list(work.ops):
        if op.kind != "MUL":
            continue
        layer, factor = work.producer(op.inputs[0]), work.data(op.inputs[1])
        if layer is None or layer.kind != "FULLY_CONNECTED" or factor is None or factor.size != 1:
            continue
        if not work.only_reader(op.inputs[0], op) or layer.options["fused_activation_function"] != "NONE":
            continue
        weight, bias = work.data(layer.inputs[1]), work.data(layer.inputs[2])
        assert weight is not None and bias is not None
        name = work.tensors[op.outputs[0]].name
        value = np.float64(factor.reshape(())[()])
        folded = replace(
            layer,
            inputs=(
                layer.inputs[0],
                work.constant(f"{name}/weight", weight * value),
                work.constant(f"{name}/bias", bias * value),
            ),
            outputs=op.outputs,
        )
        work.swap(layer, [])
        work.swap(op, [folded])
    return work.build()
