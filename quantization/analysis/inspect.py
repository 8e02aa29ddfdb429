"""What is in a .tflite, a checkpoint or a bundle, as plain JSON. Nothing is run and nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from quantization.bundle import Bundle
from quantization.importers.network import load_model as load_float
from quantization.reference.integer_graph import Interpreter
from quantization.tflite.contract import contract_of
from quantization.tflite.file import read
from quantization.tflite.flatbuffer import FILE_IDENTIFIER
from quantization.tflite.model import load_model, operator_name
from quantization.tflite.operators import Shape, multiply_accumulates
from quantization.tflite.schema import Table, names_of
from toolkit.contract import SensorContract
from toolkit.errors import InputError, ModelFileError
from toolkit.model import SHIPPED, resolve_checkpoint
from toolkit.model.float_model import FloatModel
from toolkit.reading import exists, is_folder, read_file

SCHEMA = 1


def describe(path: str | Path) -> dict[str, Any]:
    """JSON values that describe a file or a bundle's folder; ``kind`` is tflite, checkpoint or bundle.

    The word ``pretrained`` means the shipped checkpoint. Raises ModelFileError for a damaged .tflite, CheckpointError
    for a damaged checkpoint, BundleError for a bundle that was changed, InputError for anything else.
    """
    path = resolve_checkpoint(path) if path in SHIPPED else Path(path)
    if not exists(path):
        raise InputError(
            f"{path} does not exist; give a .tflite, a checkpoint, a bundle's folder or the word pretrained"
        )
    if is_folder(path):
        return describe_bundle(Bundle.load(path))
    content = read_file(path, "a .tflite or a checkpoint")
    if content[4:8] == FILE_IDENTIFIER or path.suffix == ".tflite":
        return describe_tflite(content, path.name)
    if content[8:9] == b"{" or path.suffix == ".safetensors":
        return describe_checkpoint(load_float(content, str(path)), path.name, len(content))
    raise InputError(
        f"{path} is not one of these: a .tflite, a checkpoint (.safetensors), a bundle (the folder of edgetool convert)"
    )


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """The manifest, with each graph described; every hash has been verified."""
    graphs = []
    for graph in bundle.graphs:
        model = describe_tflite(graph.content, graph.file)
        graphs.append({"graph": graph.graph, "scheme": graph.scheme, "notes": list(graph.notes), **model})
    return {
        "schema": SCHEMA,
        "kind": "bundle",
        "name": bundle.path.resolve().name,
        "converter": bundle.converter,
        "signer": None if bundle.signer is None else str(bundle.signer),
        "manifest": dict(bundle.manifest),
        "parameters": bundle.checkpoint.config.parameter_count,
        "graphs": graphs,
        **_contract_json(bundle.contract),
    }


def describe_checkpoint(checkpoint: FloatModel, name: str, size: int) -> dict[str, Any]:
    """Config, weights with their ranges, contract, split and provenance of a checkpoint file of ``size`` bytes."""
    return {
        "schema": SCHEMA,
        "kind": "checkpoint",
        "name": name,
        "bytes": size,
        "sha256": checkpoint.hash,
        "parameters": checkpoint.config.parameter_count,
        "config": checkpoint.config.to_json(),
        "weights": [
            {
                "name": key,
                "shape": list(value.shape),
                "minimum": float(value.min()),
                "maximum": float(value.max()),
            }
            for key, value in checkpoint.weights.items()
        ],
        **_contract_json(checkpoint.contract),
        "split": checkpoint.split,
        "provenance": checkpoint.provenance,
    }


def describe_tflite(content: bytes, name: str) -> dict[str, Any]:
    """Operators, tensors, quantization, multiply-accumulates, sizes and contract of any .tflite."""
    model = load_model(content, name)
    graphs = [_graph(model, graph) for graph in model.subgraphs]
    return {
        "schema": SCHEMA,
        "kind": "tflite",
        "name": name,
        "bytes": len(content),
        "description": _text(model.description),
        "metadata": [_text(item.name) for item in model.metadata or []],
        "macs": sum(graph["macs"] for graph in graphs),
        "subgraphs": graphs,
        "integer_reference": _refusal(content, name),
        **_contract_json(contract_of(model, name)),
    }


def _refusal(content: bytes, name: str) -> str | None:
    """Why the integer reference does not run a .tflite: the first op or type it lacks, with what it has. None: it runs it."""
    try:
        Interpreter(read(content, name))
    except ModelFileError as error:
        return str(error)
    return None


def _contract_json(contract: SensorContract | None) -> dict[str, Any]:
    return {
        "contract_hash": None if contract is None else contract.hash,
        "contract": None if contract is None else contract.to_json(),
    }


def _graph(model: Table, graph: Table) -> dict[str, Any]:
    tensors = [_tensor(model, index, tensor) for index, tensor in enumerate(graph.tensors or [])]
    operators = [
        _operator(model, index, operator, tensors) for index, operator in enumerate(graph.operators or [])
    ]
    return {
        "name": _text(graph.name),
        "inputs": _whole(graph.inputs),
        "outputs": _whole(graph.outputs),
        "macs": sum(operator["macs"] for operator in operators),
        "constant_bytes": sum(t["bytes"] for t in tensors if t["constant"]),
        "operators": operators,
        "tensors": tensors,
    }


def _operator(model: Table, index: int, operator: Table, tensors: list[dict[str, Any]]) -> dict[str, Any]:
    name = operator_name(model, operator)
    inputs, outputs = _whole(operator.inputs), _whole(operator.outputs)
    shapes: list[list[Shape]] = [
        [tuple(tensors[i]["shape"]) if i >= 0 else () for i in part] for part in (inputs, outputs)
    ]
    return {
        "index": index,
        "operator": name,
        "version": int(model.operator_codes[operator.opcode_index].version),
        "inputs": inputs,
        "outputs": outputs,
        "macs": multiply_accumulates(name, *shapes),
    }


def _tensor(model: Table, index: int, tensor: Table) -> dict[str, Any]:
    data = model.buffers[tensor.buffer].data
    constant = data is not None and len(data) > 0
    return {
        "index": index,
        "name": _text(tensor.name),
        "shape": _whole(tensor.shape),
        "type": names_of("TensorType").get(tensor.type, f"TYPE_{tensor.type}").lower(),
        "constant": constant,
        "variable": bool(tensor.is_variable),
        "bytes": len(data) if constant else 0,
        "quantization": _quantization(tensor.quantization),
    }


def _quantization(value: Any) -> dict[str, Any] | None:
    """Scales and zero points; a scale that is not a finite number, as a hostile file may hold, becomes null."""
    if value is None or value.scale is None or not len(value.scale):
        return None
    scales = [float(s) if np.isfinite(s) else None for s in value.scale]
    return {
        "scale": scales,
        "zero_point": _whole(value.zero_point),
        "axis": int(value.quantized_dimension),
    }


def _whole(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="replace")
