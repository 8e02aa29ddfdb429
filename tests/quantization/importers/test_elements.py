"""Tensors of the graph in the making by their elements: what was computed once is found again, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantization.graph.ir import GraphBuilder, Role
from quantization.importers.elements import Dense, Elements


def test_a_layer_is_never_taken_for_one_that_is_gone() -> None:
    """Attention gives a layer that was computed already another role; what comes after may lie where the old one lay."""
    builder = GraphBuilder("g")
    elements = Elements(builder)
    x = elements.of_tensor(builder.add("x", (1, 4, 3), role=Role.INPUT))
    for number in range(50):
        layer = Dense(f"layer{number}", x, np.full((2, 3), 1.0 + number), np.zeros(2), Role.HEAD)
        ids = elements.of_dense(layer)
        made = elements.tensor(ids)
        assert builder.tensors[made].name == f"layer{number}"
        base = elements.base_of(ids)
        assert base is not None and base.dense is not None
        base.dense = replace(base.dense, role=Role.ATTENTION)
        del layer
