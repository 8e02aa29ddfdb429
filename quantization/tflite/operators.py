"""What a .tflite costs: its operators, and the multiply-accumulates of one invocation."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from quantization.ops.table import row_of
from quantization.tflite.model import operator_name
from quantization.tflite.schema import Table

Shape: TypeAlias = tuple[int, ...]


def operator_counts(model: Table) -> dict[str, int]:
    """Number of each operator over all subgraphs of a model, names in alphabetical order."""
    counts = Counter(
        operator_name(model, operator) for graph in model.subgraphs for operator in graph.operators or []
    )
    return dict(sorted(counts.items()))


def multiply_accumulates(name: str, inputs: list[Shape], outputs: list[Shape]) -> int:
    """Multiply-accumulates of one operator from the shapes of its tensors; 0 for those that do none.

    ``inputs`` in the operator's order, ``()`` for one that is left out. MUL counts one an element.
    """
    return row_of(name).macs(inputs, outputs)
