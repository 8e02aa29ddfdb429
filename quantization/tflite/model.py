"""A .tflite file as the schema's tables: loading with every index checked, packing, metadata entries, names of operators."""

from __future__ import annotations

import struct

import numpy as np

from quantization.graph.graph_file import GraphFile
from quantization.tflite.flatbuffer import (
    FILE_IDENTIFIER,
    MAX_BYTES,
    TooLargeError,
    pack,
    unpack,
)
from quantization.tflite.schema import Table, names_of
from toolkit.errors import ModelFileError


def load_model(content: bytes, where: str = "model") -> Table:
    """The file's root, a ``Model``; ModelFileError begins with ``where`` and says what is wrong.

    Every offset is followed once and every index is checked, so that a truncated or mangled file is refused here and not by a
    runtime.
    """
    if len(content) > MAX_BYTES:
        raise ModelFileError(f"{where} has {len(content)} bytes; models up to {MAX_BYTES} bytes are read")
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise ModelFileError(
            f"{where} is not a .tflite file: bytes 4 to 7 are {content[4:8]!r} and must be {FILE_IDENTIFIER!r}; give a "
            ".tflite file"
        )
    try:
        model = unpack(content)
    except (struct.error, IndexError, ValueError) as error:
        problem = str(error) if isinstance(error, TooLargeError) else f"{type(error).__name__}: {error}"
    else:
        problem = _unsound(model)
        if not problem:
            return model
    raise ModelFileError(
        f"{where} is truncated or damaged ({len(content)} bytes; {problem}); convert or copy it again"
    )


def model_of(file: GraphFile) -> Table:
    """The tables of a graph, read when they are first asked for; not to be changed."""
    if "model" not in file.kept:
        file.kept["model"] = load_model(file.content, file.file)
    model: Table = file.kept["model"]
    return model


def _unsound(model: Table) -> str:
    """The first index of a model that leads outside what it indexes, in words; "" if all are sound."""
    if not model.subgraphs or not model.operator_codes or not model.buffers:
        return "it holds no graph"
    buffers = len(model.buffers)
    for entry in model.metadata or []:
        if entry.buffer >= buffers:
            return f"metadata is in buffer {entry.buffer} of {buffers}"
    for graph in model.subgraphs:
        problem = _unsound_graph(graph, buffers, len(model.operator_codes))
        if problem:
            return problem
    return ""


def _unsound_graph(graph: Table, buffers: int, codes: int) -> str:
    count = len(graph.tensors or [])
    for index, tensor in enumerate(graph.tensors or []):
        if tensor.buffer >= buffers:
            return f"tensor {index} is in buffer {tensor.buffer} of {buffers}"
    for place, operator in enumerate(graph.operators or []):
        if operator.opcode_index >= codes:
            return f"operator {place} has code {operator.opcode_index} of {codes}"
        for indices in (operator.inputs, operator.outputs, operator.intermediates):
            if indices is not None and any(not -1 <= i < count for i in indices.tolist()):
                return f"operator {place} names a tensor that is none of the {count}"
    for indices in (graph.inputs, graph.outputs):
        if indices is not None and any(not 0 <= i < count for i in indices.tolist()):
            return f"an input or output is none of the {count} tensors"
    return ""


def dump_model(model: Table) -> bytes:
    """The bytes of a model, the same for the same content, buffers aligned to 16 bytes."""
    return pack(model)


def set_entry(model: Table, name: str, value: bytes) -> None:
    """Put metadata ``name`` into a model, in place of one of that name."""
    data = np.frombuffer(value, np.uint8)
    for entry in model.metadata or []:
        if entry.name == name.encode():
            model.buffers[entry.buffer].data = data
            return
    model.buffers = [*model.buffers, Table("Buffer", data=data)]
    entry = Table("Metadata", name=name.encode(), buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]


def remove_entry(model: Table, name: str) -> None:
    """Remove metadata ``name`` from a model and empty its buffer, if it is there."""
    kept = []
    for entry in model.metadata or []:
        if entry.name == name.encode():
            model.buffers[entry.buffer].data = None
        else:
            kept.append(entry)
    model.metadata = kept


def get_entry(model: Table, name: str) -> bytes | None:
    """The bytes of metadata ``name`` of a model, or None."""
    for entry in model.metadata or []:
        if entry.name == name.encode():
            data = model.buffers[entry.buffer].data
            return None if data is None else bytes(data)
    return None


def operator_name(model: Table, operator: Table) -> str:
    """The schema's name of an operator of ``model``; custom operators by their own name.

    Codes above 127 are only in ``builtin_code``; old files only have ``deprecated_builtin_code``.
    """
    code = model.operator_codes[operator.opcode_index]
    if code.custom_code:
        return f"CUSTOM:{code.custom_code.decode(errors='replace')}"
    number = max(code.builtin_code, code.deprecated_builtin_code)
    return names_of("BuiltinOperator").get(number, f"BUILTIN_{number}")
