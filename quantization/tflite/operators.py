"""What a .tflite costs: its operators, and the multiply-accumulates of one invocation."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import Any, TypeAlias

from quantization.tflite.contract import load_model

Shape: TypeAlias = tuple[int, ...]


def operator_counts(content: bytes) -> dict[str, int]:
    """Number of each operator over all subgraphs, names in alphabetical order."""
    model = load_model(content)
    counts = Counter(
        operator_name(model, operator) for graph in model.subgraphs for operator in graph.operators or []
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


def multiply_accumulates(name: str, inputs: list[Shape], outputs: list[Shape]) -> int:
    """Multiply-accumulates of one operator from the shapes of its tensors; 0 for those that do none.

    ``inputs`` in the operator's order, ``()`` for one that is left out. FULLY_CONNECTED: each row takes all weights.
    BATCH_MATMUL: each output element is an inner product. UNIDIRECTIONAL_SEQUENCE_LSTM: eight weight matrices
    (inputs 1 to 8) a time step; its products by element are not counted. MUL: one an element. Shapes that do not
    fit the operator count 0: a foreign file may hold anything.
    """
    if name == "FULLY_CONNECTED" and len(inputs) > 1 and outputs and len(inputs[1]) == 2:
        rows = math.prod(outputs[0]) // max(1, inputs[1][0])
        return rows * math.prod(inputs[1])
    if name == "BATCH_MATMUL" and len(inputs) == 2 and outputs and len(inputs[0]) > 1 and len(outputs[0]) > 1:
        inner = math.prod(inputs[0][-2:]) // max(1, outputs[0][-2])
        return math.prod(outputs[0]) * inner
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM" and len(inputs) > 8 and len(inputs[0]) == 3:
        steps = inputs[0][0] * inputs[0][1]
        return steps * sum(math.prod(shape) for shape in inputs[1:9] if shape)
    if name == "MUL" and outputs:
        return math.prod(outputs[0])
    return 0
