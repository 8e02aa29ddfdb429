"""What a .tflite costs: its operators, and the multiply-accumulates of one invocation."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, TypeAlias

from quantization.ops.table import row_of
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

    ``inputs`` in the operator's order, ``()`` for one that is left out. MUL counts one an element.
    """
    return row_of(name).macs(inputs, outputs)
