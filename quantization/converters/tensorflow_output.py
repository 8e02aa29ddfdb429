"""The last dense layer of an int8 .tflite in 16-bit activations, so that its output keeps its resolution.

An int8 output has 256 steps over the whole range of moments; that alone is half of the error of an int8
Cross-LSTM. TFLiteConverter cannot mix widths, so its file is changed afterwards: the int8 features
go through QUANTIZE to int16, and FULLY_CONNECTED runs with int16 activations, int8 weights and an int64 bias. Both
operators run on LiteRT and TensorFlow Lite Micro in integers alone; a float last layer is no more
accurate and needs a floating-point unit. Measured figures are in docs/BUNDLE.md.

The weights have one scale: a TFLM before per-channel dense layers takes the first for all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.tflite.model import operator_name
from quantization.tflite.schema import Table, numbers_of
from toolkit.errors import ConversionError

#: The int16 range of the output over the largest moment seen in calibration, so that it never saturates first.
HEADROOM = 4.0
INT16_MAX = 32767
#: Operator versions of TensorFlow's ``op_version.cc``: FULLY_CONNECTED from int16 is 4, QUANTIZE to int16 is 2.
VERSIONS = {"FULLY_CONNECTED": 4, "QUANTIZE": 2}


def refine_output(
    model: Table, weight: NDArray[np.float64], bias: NDArray[np.float64], largest_moment: float
) -> None:
    """Replace the last FULLY_CONNECTED (int8) and DEQUANTIZE of a model; the output becomes int16.

    ``weight`` [outputs, features] and ``bias`` are the layer's float values; ``largest_moment`` in Nm/kg is the
    largest magnitude in calibration. Raises ConversionError if the graph does not end in those two operators.
    """
    graph = model.subgraphs[0]
    names = [operator_name(model, operator) for operator in graph.operators[-2:]]
    if names != ["FULLY_CONNECTED", "DEQUANTIZE"] or len(graph.outputs) != 1:
        raise ConversionError(
            f"TFLiteConverter's graph ends in {', '.join(names)} and must end in FULLY_CONNECTED, DEQUANTIZE: this "
            "tensorflow is not supported; install the version that edgetool[tensorflow] names"
        )
    dense = graph.operators[-2]
    feature = graph.tensors[dense.inputs[0]]
    scale, zero = float(feature.quantization.scale[0]), int(feature.quantization.zero_point[0])
    wide_scale = scale * max(127 - zero, zero + 128) / INT16_MAX
    weight_scale = float(np.abs(weight).max()) / 127 or 1.0
    moment_scale = (HEADROOM * largest_moment or 1.0) / INT16_MAX
    whole_weight = np.rint(weight / weight_scale).astype(np.int8)
    whole_bias = np.rint(bias / (weight_scale * wide_scale)).astype(np.int64)
    types, tensors = numbers_of("TensorType"), graph.tensors
    wide = _tensor(model, "features_int16", feature.shape, types["INT16"], wide_scale)
    weights = _tensor(
        model, "head_output_weight", weight.shape, types["INT8"], weight_scale, whole_weight.tobytes()
    )
    biases = _tensor(
        model,
        "head_output_bias",
        bias.shape,
        types["INT64"],
        weight_scale * wide_scale,
        whole_bias.astype("<i8").tobytes(),
    )
    moments = _tensor(model, "moments", tensors[graph.outputs[0]].shape, types["INT16"], moment_scale)
    widen = Table(
        "Operator", opcode_index=_code(model, "QUANTIZE"), inputs=_ints(dense.inputs[0]), outputs=_ints(wide)
    )
    dense.opcode_index = _code(model, "FULLY_CONNECTED")
    dense.inputs, dense.outputs = _ints(wide, weights, biases), _ints(moments)
    graph.operators[-2:] = [widen, dense]
    for signature in model.signature_defs or []:
        signature.outputs[0].tensor_index = moments
    graph.outputs = _ints(moments)


def _ints(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _tensor(model: Table, name: str, shape: Any, kind: int, scale: float, data: bytes | None = None) -> int:
    """Add a tensor with zero point 0; returns its index. ``data`` None: it is computed."""
    buffer = 0
    if data is not None:
        model.buffers.append(Table("Buffer", data=np.frombuffer(data, np.uint8)))
        buffer = len(model.buffers) - 1
    quantization = Table(
        "QuantizationParameters", scale=np.array([scale], np.float32), zero_point=np.array([0], np.int64)
    )
    graph = model.subgraphs[0]
    graph.tensors.append(
        Table(
            "Tensor",
            name=name.encode(),
            shape=np.array(shape, np.int32),
            type=kind,
            buffer=buffer,
            quantization=quantization,
            has_rank=True,
        )
    )
    return len(graph.tensors) - 1


def _code(model: Table, name: str) -> int:
    """Index of an operator code in the version needed, added if the file has none."""
    number = numbers_of("BuiltinOperator")[name]
    for index, code in enumerate(model.operator_codes):
        if max(code.builtin_code, code.deprecated_builtin_code) == number and code.version >= VERSIONS[name]:
            return index
    code = Table(
        "OperatorCode", deprecated_builtin_code=min(number, 127), version=VERSIONS[name], builtin_code=number
    )
    model.operator_codes.append(code)
    return len(model.operator_codes) - 1
