"""What a .tflite costs: its operators, and the multiply-accumulates of one invocation."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np

from quantization.metadata import load_model


def operator_counts(content: bytes) -> dict[str, int]:
    """Number of each operator over all subgraphs, names in alphabetical order."""
    model = load_model(content)
    counts = Counter(
        operator_name(model, operator) for graph in model.subgraphs for operator in graph.operators
    )
    return dict(sorted(counts.items()))


def operator_name(model: Any, operator: Any) -> str:
    """The schema's name of an operator of a ``ModelT``; custom operators by their own name.

    Codes above 127 are only in ``builtinCode``; old files only have ``deprecatedBuiltinCode`` (schema.fbs).
    """
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return f"CUSTOM:{code.customCode.decode(errors='replace')}"
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return builtin_names().get(number, f"BUILTIN_{number}")


@cache
def builtin_names() -> dict[int, str]:
    """Number -> name of the schema's builtin operators."""
    from ai_edge_litert import schema_py_generated as schema

    return {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}


def multiply_accumulates(name: str, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]]) -> int:
    """Multiply-accumulates of one operator from the shapes of its tensors; 0 for those that do none.

    ``inputs`` in the operator's order, ``()`` for one that is left out. FULLY_CONNECTED: weight elements a row.
    BATCH_MATMUL: output elements times the length of the inner product, which is the first input's size over
    its rows. UNIDIRECTIONAL_SEQUENCE_LSTM: eight weight matrices a time step (inputs 1 to 8) plus the three
    products by element (f*c, i*g, o*tanh(c)) are not counted, as is usual. Elementwise products (MUL) count one
    an element.
    """
    if name == "FULLY_CONNECTED":
        weights = inputs[1]
        rows = _size(outputs[0]) // max(1, weights[0])
        return rows * _size(weights)
    if name == "BATCH_MATMUL":
        left, right, out = inputs[0], inputs[1], outputs[0]
        if len(left) < 2 or len(right) < 2 or len(out) < 2:
            return 0
        inner = _size(left[-2:]) // max(1, out[-2])
        return _size(out) * inner
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        steps = inputs[0][0] * inputs[0][1] if len(inputs[0]) == 3 else 1
        return steps * sum(_size(shape) for shape in inputs[1:9] if shape)
    if name == "MUL":
        return _size(outputs[0])
    return 0


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
