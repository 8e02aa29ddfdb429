"""Reading and writing .tflite files (TensorFlow Lite's flatbuffer, schema version 3) as the intermediate form.

Bytes are hostile until they are a graph: whatever is
wrong with them ends in one ModelFileError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import (
    Graph,
    Op,
    Quantization,
    Tensor,
)
from quantization.ops.check import require_consistent
from quantization.ops.table import OpKind, row_of
from quantization.tflite.model import dump_model, load_model, model_of
from quantization.tflite.schema import Table, fields_of, names_of, numbers_of
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


def read(content: bytes, where: str = "model") -> Graph:
    """The graph of a .tflite file's bytes. ``where`` names it in errors.

    Raises ModelFileError if the bytes are not a whole .tflite file of one subgraph, or if an op or a tensor type is not
    supported (it is named, with the supported set).
    """
    return _read(load_model(content, where), where)


def graph_of(file: GraphFile) -> Graph:
    """The graph in ``file``, read when it is first asked for. Raises as :func:`read`."""
    if "graph" not in file.kept:
        file.kept["graph"] = _read(model_of(file), file.file)
    graph: Graph = file.kept["graph"]
    return graph


def _read(model: Table, where: str) -> Graph:
    try:
        graph = _graph(model, where)
        require_consistent(graph, where)
        return graph
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ModelFileError(
            f"{where} is truncated or damaged ({type(error).__name__}: {error}); convert or copy it again"
        ) from None


def _graph(model: Table, where: str) -> Graph:
    if model.version != _SCHEMA_VERSION or model.subgraphs is None or len(model.subgraphs) != 1:
        count = 0 if model.subgraphs is None else len(model.subgraphs)
        raise ModelFileError(
            f"{where} has schema version {model.version} and {count} subgraphs; supported: version 3 with 1 subgraph"
        )
    subgraph = model.subgraphs[0]
    buffers = [_content(buffer) for buffer in model.buffers or []]
    tensors = tuple(_tensor(index, raw, buffers, where) for index, raw in enumerate(subgraph.tensors or []))
    ops = tuple(
        _op(place, raw, model.operator_codes, where) for place, raw in enumerate(subgraph.operators or [])
    )
    metadata = {_text(entry.name or b""): buffers[entry.buffer] for entry in model.metadata or []}
    return Graph(
        _text(subgraph.name or b"main"),
        tensors,
        ops,
        _indices(subgraph.inputs),
        _indices(subgraph.outputs),
        metadata,
    )


def _content(buffer: Table) -> bytes:
    return b"" if buffer.data is None else bytes(buffer.data)


def _text(value: bytes) -> str:
    return value.decode()


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(np.asarray(values).tolist())


def _tensor(index: int, raw: Table, buffers: list[bytes], where: str) -> Tensor:
    name = _text(raw.name or b"")
    type_name = names_of("TensorType").get(raw.type, str(raw.type))
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
    return Tensor(name, shape, dtype, _quantization(raw.quantization), data, bool(raw.is_variable))


def _quantization(raw: Table | None) -> Quantization | None:
    if raw is None or raw.scale is None or len(raw.scale) == 0:
        return None
    scale = np.asarray(raw.scale, np.float32)
    points = (
        np.zeros(len(scale), np.int64) if raw.zero_point is None else np.asarray(raw.zero_point, np.int64)
    )
    if len(points) != len(scale) or not np.isfinite(scale).all():
        raise ValueError("a tensor's scales and zero points do not fit together")
    return Quantization(scale, points, int(raw.quantized_dimension))


def _op(place: int, raw: Table, codes: list[Table], where: str) -> Op:
    code = codes[raw.opcode_index]
    number = max(int(code.builtin_code), int(code.deprecated_builtin_code))
    kind = names_of("BuiltinOperator").get(number, str(number))
    if kind == "CUSTOM":
        kind = f"CUSTOM {_text(code.custom_code or b'')}"
    if kind not in SUPPORTED_OPS:
        raise ModelFileError(
            f"{where}: op {place} is {kind}, which is not supported; supported: {', '.join(SUPPORTED_OPS)}"
        )
    options = {} if raw.builtin_options is None else _options(raw.builtin_options)
    return Op(kind, _indices(raw.inputs), _indices(raw.outputs), options, _indices(raw.intermediates))


def _options(table: Table) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for field in fields_of(table.kind):
        name, value = field.name, getattr(table, field.name)
        if name in _ENUMERATIONS:
            value = names_of(_ENUMERATIONS[name])[value]
        elif name in _TYPE_OPTIONS:
            value = names_of("TensorType")[value]
        elif value is not None and not isinstance(value, bool | int | float):
            value = _indices(value)
        options[name] = value
    return options


def write(graph: Graph) -> bytes:
    """The bytes of a .tflite file with ``graph``; the same graph gives the same bytes."""
    return dump_model(_Writer(graph).model())


class _Writer:
    """Fills the schema's tables from a graph. Buffer 0 is the empty one, as the format demands."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._buffers = [Table("Buffer")]
        self._codes: list[tuple[str, int]] = []

    def model(self) -> Table:
        """The root table."""
        graph = self._graph
        subgraph = Table(
            "SubGraph",
            name=graph.name,
            tensors=[self._tensor(tensor) for tensor in graph.tensors],
            operators=[self._op(op) for op in graph.ops],
            inputs=graph.inputs,
            outputs=graph.outputs,
        )
        return Table(
            "Model",
            version=_SCHEMA_VERSION,
            description="edgetool",
            subgraphs=[subgraph],
            operator_codes=[self._code(kind, version) for kind, version in self._codes],
            metadata=[
                Table("Metadata", name=name, buffer=self._store(content))
                for name, content in sorted(graph.metadata.items())
            ],
            buffers=self._buffers,
        )

    def _store(self, content: bytes) -> int:
        data = np.frombuffer(content, np.uint8) if content else None
        self._buffers.append(Table("Buffer", data=data))
        return len(self._buffers) - 1

    def _tensor(self, tensor: Tensor) -> Table:
        quantization = None
        if tensor.quantization is not None:
            quantization = Table(
                "QuantizationParameters",
                scale=tensor.quantization.scale,
                zero_point=tensor.quantization.zero_point,
                quantized_dimension=tensor.quantization.axis,
            )
        return Table(
            "Tensor",
            name=tensor.name,
            shape=tensor.shape,
            type=numbers_of("TensorType")[_type_name(tensor.dtype)],
            is_variable=tensor.is_variable,
            buffer=0 if tensor.data is None else self._store(np.ascontiguousarray(tensor.data).tobytes()),
            quantization=quantization,
        )

    def _op(self, op: Op) -> Table:
        if op.kind not in SUPPORTED_OPS:
            raise ModelFileError(f"op {op.kind} is not supported; supported: {', '.join(SUPPORTED_OPS)}")
        row = row_of(op.kind)
        code = (op.kind, row.versions.get(_type_name(self._graph.tensors[op.inputs[0]].dtype), 1))
        if code not in self._codes:
            self._codes.append(code)
        return Table(
            "Operator",
            opcode_index=self._codes.index(code),
            inputs=op.inputs,
            outputs=op.outputs,
            intermediates=op.intermediates or None,
            builtin_options=None if row.options is None else self._options(row.options, op),
            builtin_options_type=0 if row.options is None else numbers_of("BuiltinOptions")[row.options],
        )

    def _options(self, table: str, op: Op) -> Table:
        known = [field.name for field in fields_of(table)]
        options = {}
        for name, value in op.options.items():
            if name not in known:
                raise ModelFileError(
                    f"op {op.kind} has no option {name!r}; it has {', '.join(known) or 'none'}"
                )
            if name in _ENUMERATIONS:
                value = numbers_of(_ENUMERATIONS[name])[value]
            elif name in _TYPE_OPTIONS:
                value = numbers_of("TensorType")[value]
            options[name] = value
        return Table(table, **options)

    def _code(self, kind: str, version: int) -> Table:
        number = numbers_of("BuiltinOperator")[kind]
        return Table(
            "OperatorCode", builtin_code=number, deprecated_builtin_code=min(number, 127), version=version
        )


def _type_name(dtype: np.dtype[Any]) -> str:
    return next(name for name, known in _DTYPES.items() if known == dtype)
