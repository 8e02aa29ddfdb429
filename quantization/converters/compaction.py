"""Removes what no operator of a .tflite uses: tensors, buffers and operator codes left over by a change."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TENSOR_LISTS = ("inputs", "outputs", "intermediates")


def compact(model: Any) -> None:
    """Drop unused tensors of each subgraph of a model, then unused buffers and operator codes, and renumber.

    Buffer 0 stays: the schema reserves it as the empty one. Order is kept.
    """
    for index, graph in enumerate(model.subgraphs):
        _compact_tensors(model, index, graph)
    _compact_buffers(model)
    used = sorted({operator.opcode_index for graph in model.subgraphs for operator in graph.operators})
    model.operator_codes = [model.operator_codes[i] for i in used]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcode_index = used.index(operator.opcode_index)


def _compact_tensors(model: Any, index: int, graph: Any) -> None:
    lists = [(graph, "inputs"), (graph, "outputs")]
    lists += [(operator, name) for operator in graph.operators for name in _TENSOR_LISTS]
    used = sorted({int(i) for owner, name in lists for i in _read(owner, name) if i >= 0})
    place = {old: new for new, old in enumerate(used)}
    for owner, name in lists:
        if getattr(owner, name) is not None:
            setattr(owner, name, np.array([place.get(int(i), -1) for i in _read(owner, name)], np.int32))
    graph.tensors = [graph.tensors[i] for i in used]
    for signature in model.signature_defs or []:
        if signature.subgraph_index == index:
            for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
                entry.tensor_index = place[entry.tensor_index]


def _compact_buffers(model: Any) -> None:
    owners = [tensor for graph in model.subgraphs for tensor in graph.tensors] + list(model.metadata or [])
    used = sorted({0, *(int(owner.buffer) for owner in owners)})
    place = {old: new for new, old in enumerate(used)}
    for owner in owners:
        owner.buffer = place[int(owner.buffer)]
    model.buffers = [model.buffers[i] for i in used]


def _read(owner: Any, name: str) -> NDArray[np.int32]:
    values = getattr(owner, name)
    return np.array([] if values is None else values, np.int32)
