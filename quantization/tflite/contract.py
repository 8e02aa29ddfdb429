"""The sensor contract inside a .tflite, and safe loading and packing of the file's object form.

A .tflite is a flatbuffer (schema: ``tensorflow/compiler/mlir/lite/schema/schema.fbs``, here the classes that
ai-edge-litert generates from it). Its root has a list of named metadata entries, each pointing at a buffer;
runtimes ignore the names they do not know. edgetool keeps one entry, :data:`CONTRACT_ENTRY`: JSON with the
contract and its hash.
"""

from __future__ import annotations

import json
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from quantization.tflite.limits import FILE_IDENTIFIER, MAX_BYTES, require_modest
from toolkit.contract import SensorContract
from toolkit.errors import ContractError, ModelFileError

CONTRACT_ENTRY = "edgetool.contract"
#: The schema's ``force_align: 16`` on buffer data, which the generated Python code does not honour.
BUFFER_ALIGNMENT = 16


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """A builder that puts byte vectors on 16-byte boundaries, so that a device may read weights in place."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:
        if x.dtype == np.uint8:
            self.Prep(BUFFER_ALIGNMENT, x.size)
        offset: int = super().CreateNumpyVector(x)
        return offset


def load_model(content: bytes, where: str = "model") -> Any:
    """The file as the schema's ``ModelT``; ModelFileError begins with ``where`` and says what is wrong.

    Every offset is followed once, so a truncated or mangled file is refused here and not by a runtime.
    """
    from ai_edge_litert import schema_py_generated as schema

    if len(content) > MAX_BYTES:
        raise ModelFileError(f"{where} has {len(content)} bytes; models up to {MAX_BYTES} bytes are read")
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise ModelFileError(
            f"{where} is not a .tflite: bytes 4 to 7 are {content[4:8]!r} and must be b'TFL3'; give a .tflite file"
        )
    try:
        require_modest(content)
        model = schema.ModelT.InitFromPackedBuf(content, 0)
    except Exception as error:  # the generated code raises whatever a bad offset leads to
        raise ModelFileError(
            f"{where} is damaged or truncated ({len(content)} bytes; {type(error).__name__}: {error}); "
            "convert or download it again"
        ) from None
    problem = _unsound(model)
    if problem:
        raise ModelFileError(f"{where} is damaged or truncated ({problem}); convert or download it again")
    return model


def _unsound(model: Any) -> str | None:
    """The first index of a ``ModelT`` that leads outside what it indexes, in words; None if all are sound."""
    if not model.subgraphs or not model.operatorCodes or not model.buffers:
        return "it holds no graph"
    buffers = len(model.buffers)
    for entry in model.metadata or []:
        if entry.buffer >= buffers:
            return f"metadata is in buffer {entry.buffer} of {buffers}"
    for graph in model.subgraphs:
        count = len(graph.tensors or [])
        for index, tensor in enumerate(graph.tensors or []):
            if tensor.buffer >= buffers:
                return f"tensor {index} is in buffer {tensor.buffer} of {buffers}"
        for place, operator in enumerate(graph.operators or []):
            if operator.opcodeIndex >= len(model.operatorCodes):
                return f"operator {place} has code {operator.opcodeIndex} of {len(model.operatorCodes)}"
            for indices in (operator.inputs, operator.outputs, operator.intermediates):
                if indices is not None and any(not -1 <= i < count for i in indices):
                    return f"operator {place} names a tensor that is none of the {count}"
        for indices in (graph.inputs, graph.outputs):
            if indices is not None and any(not 0 <= i < count for i in indices):
                return f"an input or output is none of the {count} tensors"
    return None


def dump_model(model: Any) -> bytes:
    """The bytes of a ``ModelT``, the same for the same content, buffers aligned to 16 bytes."""
    for buffer in model.buffers:
        if buffer.data is not None and not isinstance(buffer.data, np.ndarray):
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def set_entry(model: Any, name: str, value: bytes) -> None:
    """Put metadata ``name`` into a ``ModelT``, in place of one of that name."""
    from ai_edge_litert import schema_py_generated as schema

    data = np.frombuffer(value, np.uint8)
    for entry in model.metadata or []:
        if entry.name == name.encode():
            model.buffers[entry.buffer].data = data
            return
    model.buffers = [*model.buffers, schema.BufferT(data=data)]
    entry = schema.MetadataT(name=name, buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]


def remove_entry(model: Any, name: str) -> None:
    """Remove metadata ``name`` from a ``ModelT`` and empty its buffer, if it is there."""
    kept = []
    for entry in model.metadata or []:
        if entry.name.decode() == name:
            model.buffers[entry.buffer].data = None
        else:
            kept.append(entry)
    model.metadata = kept


def get_entry(model: Any, name: str) -> bytes | None:
    """The bytes of metadata ``name`` of a ``ModelT``, or None."""
    for entry in model.metadata or []:
        if entry.name is not None and entry.name == name.encode() and entry.buffer < len(model.buffers):
            data = model.buffers[entry.buffer].data
            return None if data is None else bytes(data)
    return None


def embed_contract(content: bytes, contract: SensorContract) -> bytes:
    """``content`` with the contract in its metadata; a contract that is there is replaced."""
    model = load_model(content)
    value = {"contract": contract.to_json(), "hash": contract.hash}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    set_entry(model, CONTRACT_ENTRY, text.encode())
    return dump_model(model)


def read_contract(content: bytes, where: str = "model") -> SensorContract | None:
    """The contract in a .tflite's metadata, None if it has none; ModelFileError if it is damaged."""
    value = get_entry(load_model(content, where), CONTRACT_ENTRY)
    return None if value is None else parse_contract(value, where)


def parse_contract(value: bytes, where: str) -> SensorContract:
    """The contract of a metadata entry; ModelFileError if it is no contract or differs from its own hash."""
    try:
        document = json.loads(value)
        contract = SensorContract.from_json(document["contract"])
        stored = document["hash"]
    except (ValueError, KeyError, TypeError, ContractError) as error:
        raise ModelFileError(
            f"{where}: its metadata {CONTRACT_ENTRY} is damaged ({type(error).__name__}: {error}); convert again"
        ) from None
    if stored != contract.hash:
        raise ModelFileError(
            f"{where}: the contract in its metadata has hash {contract.hash} and says {stored}; it was changed: convert again"
        )
    return contract
