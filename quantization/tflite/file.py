"""Reading and writing .tflite files (TensorFlow Lite's flatbuffer, schema version 3) as the intermediate form.

The schema's code is that of the installed ai-edge-litert package. Bytes are hostile until they are a graph: whatever is
wrong with them ends in one ModelFileError.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import (
    Graph,
    Op,
    Quantization,
    Tensor,
)
from quantization.ops.table import OpKind, row_of
from quantization.tflite.limits import FILE_IDENTIFIER, MAX_BYTES, require_modest
from toolkit.errors import ModelFileError

_SCHEMA_VERSION = 3
#: Of a tensor; more than any op of TensorFlow Lite takes.
_MAX_AXES = 8

#: Tensor types of the schema that are supported, by its name.
_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype(np.float32),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}

#: Option fields that are enumerations, and the enumeration.
_ENUMERATIONS = {
    "fused_activation_function": "ActivationFunctionType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
}
#: Options that hold a tensor type.
_TYPE_OPTIONS = ("quantized_bias_type",)

SUPPORTED_OPS = tuple(sorted(kind.value for kind in OpKind))


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def read(content: bytes, where: str = "model") -> Graph:
    """The graph of a .tflite file's bytes. ``where`` names it in errors.

    Raises ModelFileError if the bytes are not a whole .tflite file of one subgraph, or if an op or a tensor type is not
    supported (it is named, with the supported set).
    """
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise ModelFileError(
            f"{where} is not a .tflite file: bytes 4 to 7 must be {FILE_IDENTIFIER!r}; is it the right file?"
        )
    if len(content) > MAX_BYTES:
        raise ModelFileError(f"{where} has {len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        require_modest(content)
        model = _schema().ModelT.InitFromPackedBuf(content, 0)
        return _graph(model, where)
    except ModelFileError:
        raise
    except (
        struct.error,
        IndexError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        AssertionError,
        RecursionError,
        UnicodeDecodeError,
    ) as error:
        raise ModelFileError(
            f"{where} is truncated or damaged ({type(error).__name__}: {error}); convert or copy it again"
        ) from None


def _graph(model: Any, where: str) -> Graph:
    if model.version != _SCHEMA_VERSION or model.subgraphs is None or len(model.subgraphs) != 1:
        count = 0 if model.subgraphs is None else len(model.subgraphs)
        raise ModelFileError(
            f"{where} has schema version {model.version} and {count} subgraphs; supported: version 3 with 1 subgraph"
        )
    subgraph = model.subgraphs[0]
    buffers = [_content(buffer) for buffer in model.buffers or []]
    tensors = tuple(_tensor(index, raw, buffers, where) for index, raw in enumerate(subgraph.tensors or []))
    ops = tuple(
        _op(place, raw, model.operatorCodes, where) for place, raw in enumerate(subgraph.operators or [])
    )
    metadata = {_text(entry.name): buffers[entry.buffer] for entry in model.metadata or []}
    return Graph(
        _text(subgraph.name or b"main"),
        tensors,
        ops,
        _indices(subgraph.inputs),
        _indices(subgraph.outputs),
        metadata,
    )


def _content(buffer: Any) -> bytes:
    return b"" if buffer.data is None else bytes(np.asarray(buffer.data, np.uint8))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(v) for v in values)


def _tensor(index: int, raw: Any, buffers: list[bytes], where: str) -> Tensor:
    name = _text(raw.name or b"")
    type_name = _names(_schema().TensorType).get(raw.type, str(raw.type))
    if type_name not in _DTYPES:
        raise ModelFileError(
            f"{where}: tensor {index} ({name}) is of type {type_name}; supported: {', '.join(_DTYPES)}"
        )
    dtype, shape = _DTYPES[type_name], _indices(raw.shape)
    if len(shape) > _MAX_AXES:
        raise ModelFileError(f"{where}: tensor {index} ({name}) has {len(shape)} axes; at most {_MAX_AXES}")
    if any(length < 0 for length in shape):
        raise ModelFileError(f"{where}: tensor {index} ({name}) has shape {shape}; lengths must be fixed")
    content = buffers[raw.buffer]
    data: NDArray[Any] | None = None
    if content:
        data = np.frombuffer(content, dtype).reshape(shape)
    return Tensor(name, shape, dtype, _quantization(raw.quantization), data, bool(raw.isVariable))


def _quantization(raw: Any) -> Quantization | None:
    if raw is None or raw.scale is None or len(raw.scale) == 0:
        return None
    scale = np.asarray(raw.scale, np.float32)
    points = np.zeros(len(scale), np.int64) if raw.zeroPoint is None else np.asarray(raw.zeroPoint, np.int64)
    if len(points) != len(scale) or not np.isfinite(scale).all():
        raise ValueError("a tensor's scales and zero points do not fit together")
    return Quantization(scale, points, int(raw.quantizedDimension))


def _op(place: int, raw: Any, codes: Any, where: str) -> Op:
    schema = _schema()
    code = codes[raw.opcodeIndex]
    number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
    kind = _names(schema.BuiltinOperator).get(number, str(number))
    if kind == "CUSTOM":
        kind = f"CUSTOM {_text(code.customCode or b'')}"
    if kind not in SUPPORTED_OPS:
        raise ModelFileError(
            f"{where}: op {place} is {kind}, which is not supported; supported: {', '.join(SUPPORTED_OPS)}"
        )
    options = {} if raw.builtinOptions is None else _options(raw.builtinOptions)
    return Op(kind, _indices(raw.inputs), _indices(raw.outputs), options, _indices(raw.intermediates))


def _options(table: Any) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for field, value in vars(table).items():
        name = _snake(field)
        if name in _ENUMERATIONS:
            value = _names(getattr(_schema(), _ENUMERATIONS[name]))[value]
        elif name in _TYPE_OPTIONS:
            value = _names(_schema().TensorType)[value]
        elif value is not None and not isinstance(value, bool | int | float):
            value = _indices(value)
        options[name] = value
    return options


def write(graph: Graph) -> bytes:
    """The bytes of a .tflite file with ``graph``; the same graph gives the same bytes."""
    import flatbuffers

    model = _Writer(graph).model()
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


class _Writer:
    """Fills the schema's object tree from a graph. Buffer 0 is the empty one, as the format demands."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._schema = _schema()
        self._buffers = [self._buffer(b"")]
        self._codes: list[tuple[str, int]] = []

    def model(self) -> Any:
        """The schema's ModelT."""
        graph, schema = self._graph, self._schema
        subgraph = schema.SubGraphT()
        subgraph.name = graph.name
        subgraph.tensors = [self._tensor(tensor) for tensor in graph.tensors]
        subgraph.operators = [self._op(op) for op in graph.ops]
        subgraph.inputs, subgraph.outputs = list(graph.inputs), list(graph.outputs)
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = "edgetool"
        model.subgraphs = [subgraph]
        model.operatorCodes = [self._code(kind, version) for kind, version in self._codes]
        model.metadata = [self._metadata(name, content) for name, content in sorted(graph.metadata.items())]
        model.buffers = self._buffers
        return model

    def _buffer(self, content: bytes) -> Any:
        buffer = self._schema.BufferT()
        if content:
            buffer.data = np.frombuffer(content, np.uint8)
        return buffer

    def _store(self, content: bytes) -> int:
        self._buffers.append(self._buffer(content))
        return len(self._buffers) - 1

    def _tensor(self, tensor: Tensor) -> Any:
        raw = self._schema.TensorT()
        raw.name = tensor.name
        raw.shape = list(tensor.shape)
        type_name = next(name for name, dtype in _DTYPES.items() if dtype == tensor.dtype)
        raw.type = getattr(self._schema.TensorType, type_name)
        raw.isVariable = tensor.is_variable
        raw.buffer = 0 if tensor.data is None else self._store(np.ascontiguousarray(tensor.data).tobytes())
        if tensor.quantization is not None:
            quantization = self._schema.QuantizationParametersT()
            quantization.scale = tensor.quantization.scale.astype(np.float32)
            quantization.zeroPoint = tensor.quantization.zero_point.astype(np.int64)
            quantization.quantizedDimension = tensor.quantization.axis
            raw.quantization = quantization
        return raw

    def _op(self, op: Op) -> Any:
        if op.kind not in SUPPORTED_OPS:
            raise ModelFileError(f"op {op.kind} is not supported; supported: {', '.join(SUPPORTED_OPS)}")
        row = row_of(op.kind)
        first = self._graph.tensors[op.inputs[0]]
        type_name = next(name for name, dtype in _DTYPES.items() if dtype == first.dtype)
        code = (op.kind, row.versions.get(type_name, 1))
        if code not in self._codes:
            self._codes.append(code)
        raw = self._schema.OperatorT()
        raw.opcodeIndex = self._codes.index(code)
        raw.inputs, raw.outputs = list(op.inputs), list(op.outputs)
        raw.intermediates = list(op.intermediates) or None
        if row.options is not None:
            raw.builtinOptions = self._options(row.options, op)
            raw.builtinOptionsType = getattr(self._schema.BuiltinOptions, row.options)
        return raw

    def _options(self, table: str, op: Op) -> Any:
        raw = getattr(self._schema, f"{table}T")()
        fields = {_snake(field): field for field in vars(raw)}
        for name, value in op.options.items():
            if name not in fields:
                raise ModelFileError(
                    f"op {op.kind} has no option {name!r}; it has {', '.join(fields) or 'none'}"
                )
            if name in _ENUMERATIONS:
                value = getattr(getattr(self._schema, _ENUMERATIONS[name]), value)
            elif name in _TYPE_OPTIONS:
                value = getattr(self._schema.TensorType, value)
            setattr(raw, fields[name], list(value) if isinstance(value, tuple) else value)
        return raw

    def _code(self, kind: str, version: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        return code

    def _metadata(self, name: str, content: bytes) -> Any:
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._store(content)
        return entry
