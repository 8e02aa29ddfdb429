"""Which function of the reference computes which op of a graph, and how the op's options reach it.

A handler gets a :class:`Call` and returns the values of the outputs, with the axis of windows first. Ops that move
values work on float32 too; the arithmetic ones are integer only, but for QUANTIZE and DEQUANTIZE.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantization.arithmetic.fixed_point import Integers
from quantization.ops import activation as unary
from quantization.ops import elementwise
from quantization.ops import movement as shape_ops
from quantization.ops.batch_matmul import batch_matmul
from quantization.ops.call import Call, Operand, Values
from quantization.ops.fully_connected import fully_connected
from quantization.ops.lstm import Gate, LstmParameters, lstm
from quantization.ops.mean import mean
from quantization.ops.softmax import require_output, softmax_8, softmax_16

Handler = Callable[[Call], list[Values]]


def _activation(call: Call) -> str:
    return str(call.options.get("fused_activation_function", "NONE"))


def _aligned(first: Operand, second: Operand) -> tuple[Integers, Integers]:
    """Values of two operands with their ranks made equal behind the axis of windows, so that they broadcast."""
    rank = max(len(first.shape), len(second.shape))

    def padded(operand: Operand) -> Integers:
        shape = (len(operand.data), *((1,) * (rank - len(operand.shape))), *operand.shape)
        return operand.data.reshape(shape)

    return padded(first), padded(second)


def run_fully_connected(call: Call) -> list[Values]:
    """FULLY_CONNECTED: all axes but the last are flattened unless keep_num_dims is set."""
    weights = call.operand(1)
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    values = call.integers(0)
    depth = weights.shape[1]
    result = fully_connected(
        values.reshape(len(values), -1, depth),
        call.operand(0).affine,
        weights.constant,
        weights.affine,
        None if bias is None else bias.constant,
        call.output.affine,
        _activation(call),
        semantics=call.semantics,
    )
    return [result.reshape(len(values), *call.output.shape)]


def run_batch_matmul(call: Call) -> list[Values]:
    """BATCH_MATMUL."""
    left, right = _aligned(call.operand(0), call.operand(1))
    return [
        batch_matmul(
            left,
            call.operand(0).affine,
            right,
            call.operand(1).affine,
            call.output.affine,
            transpose_left=bool(call.options.get("adj_x", False)),
            transpose_right=bool(call.options.get("adj_y", False)),
            semantics=call.semantics,
        )
    ]


def run_add(call: Call) -> list[Values]:
    """ADD and SUB."""
    first, second = _aligned(call.operand(0), call.operand(1))
    return [
        elementwise.add(
            first,
            call.operand(0).affine,
            second,
            call.operand(1).affine,
            call.output.affine,
            _activation(call),
            subtract=call.kind == "SUB",
        )
    ]


def run_mul(call: Call) -> list[Values]:
    """MUL."""
    first, second = _aligned(call.operand(0), call.operand(1))
    return [
        elementwise.multiply_elementwise(
            first,
            call.operand(0).affine,
            second,
            call.operand(1).affine,
            call.output.affine,
            _activation(call),
            semantics=call.semantics,
        )
    ]


def run_squared_difference(call: Call) -> list[Values]:
    """SQUARED_DIFFERENCE."""
    first, second = _aligned(call.operand(0), call.operand(1))
    return [
        elementwise.squared_difference(
            first, call.operand(0).affine, second, call.operand(1).affine, call.output.affine
        )
    ]


def run_rsqrt(call: Call) -> list[Values]:
    """RSQRT."""
    quantization, output = call.operand(0).affine, call.output.affine
    if call.semantics == "litert" and quantization.bits == 16:
        return [elementwise.reciprocal_square_root_by_table(call.integers(0), quantization, output)]
    return [elementwise.reciprocal_square_root(call.integers(0), quantization, output)]


def run_mean(call: Call) -> list[Values]:
    """MEAN."""
    rank = len(call.operand(0).shape)
    axes = tuple(int(axis) % rank + 1 for axis in call.operand(1).constant.reshape(-1))
    result = mean(
        call.integers(0),
        call.operand(0).affine,
        call.output.affine,
        axes,
        keep_dimensions=bool(call.options.get("keep_dims", False)),
    )
    return [result]


def run_softmax(call: Call) -> list[Values]:
    """SOFTMAX."""
    quantization = call.operand(0).affine
    beta = float(call.options.get("beta", 1.0))
    require_output(quantization.bits, call.output.affine)
    if quantization.bits == 16:
        return [softmax_16(call.integers(0), quantization, beta, call.semantics)]
    return [softmax_8(call.integers(0), quantization, call.output.affine, beta)]


def run_quantize(call: Call) -> list[Values]:
    """QUANTIZE from float32 or between integer types."""
    if call.is_real:
        return [elementwise.quantize(call.operand(0).data, call.output.affine)]
    return [elementwise.rescale(call.integers(0), call.operand(0).affine, call.output.affine)]


def run_dequantize(call: Call) -> list[Values]:
    """DEQUANTIZE to float32."""
    return [elementwise.dequantize(call.integers(0), call.operand(0).affine)]


def run_lstm(call: Call) -> list[Values]:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: outputs are the hidden states, then the new output state and cell state.

    The two states are variable tensors; the interpreter stores them.
    """
    affine = call.operand(0).affine
    gates = []
    for k in range(4):
        bias = call.inputs[12 + k]
        weights, recurrent = call.operand(1 + k), call.operand(5 + k)
        gates.append(
            Gate(
                weights.constant,
                weights.affine,
                recurrent.constant,
                recurrent.affine,
                None if bias is None else bias.constant,
            )
        )
    state, cell = call.operand(18), call.operand(19)
    intermediate = call.intermediates[4].quantization if len(call.intermediates) > 4 else None
    parameters = LstmParameters(
        (gates[0], gates[1], gates[2], gates[3]),
        affine,
        state.affine,
        cell.affine,
        float(call.options.get("cell_clip", 0.0)),
        intermediate,
    )
    values = call.integers(0)
    time_major = bool(call.options.get("time_major", False))
    if time_major:
        values = values.swapaxes(1, 2)
    count, batch = values.shape[:2]
    units = parameters.gates[0].weights.shape[0]
    start_hidden = np.broadcast_to(state.data.reshape(-1, batch, units), (count, batch, units))
    start_cell = np.broadcast_to(cell.data.reshape(-1, batch, units), (count, batch, units))
    trace = lstm(
        values.reshape(count * batch, *values.shape[2:]),
        start_hidden.reshape(-1, units),
        start_cell.reshape(-1, units),
        parameters,
        call.semantics,
        keep_gates=call.keep_gates,
    )
    if call.keep_gates:
        call.traces["cell"] = trace.cell
        call.traces["gates"] = trace.gates
    hidden = trace.hidden.reshape(count, batch, *trace.hidden.shape[1:])
    final_hidden, final_cell = trace.hidden[:, -1], trace.cell[:, -1]
    return [
        hidden.swapaxes(1, 2) if time_major else hidden,
        final_hidden.reshape(count, *state.shape),
        final_cell.reshape(count, *cell.shape),
    ]


def run_reshape(call: Call) -> list[Values]:
    """RESHAPE."""
    return [shape_ops.reshape(call.operand(0).data, call.output.shape)]


def run_transpose(call: Call) -> list[Values]:
    """TRANSPOSE."""
    return [shape_ops.transpose(call.operand(0).data, call.operand(1).constant.tolist())]


def run_concatenation(call: Call) -> list[Values]:
    """CONCATENATION: the parts' integers are joined as they are, whatever their scales."""
    parts = [operand.data for operand in call.inputs if operand is not None]
    return [shape_ops.concatenate(parts, int(call.options.get("axis", 0)))]


def run_strided_slice(call: Call) -> list[Values]:
    """STRIDED_SLICE."""
    begin, end, strides = (call.operand(k).constant.tolist() for k in (1, 2, 3))
    result = shape_ops.strided_slice(
        call.operand(0).data,
        begin,
        end,
        strides,
        begin_mask=int(call.options.get("begin_mask", 0)),
        end_mask=int(call.options.get("end_mask", 0)),
        shrink_axis_mask=int(call.options.get("shrink_axis_mask", 0)),
    )
    return [result]


def run_slice(call: Call) -> list[Values]:
    """SLICE."""
    begin, size = (call.operand(k).constant.tolist() for k in (1, 2))
    return [shape_ops.slice_values(call.operand(0).data, begin, size)]


def run_gather(call: Call) -> list[Values]:
    """GATHER with constant indices."""
    axis = int(call.options.get("axis", 0))
    return [shape_ops.gather(call.operand(0).data, call.operand(1).constant, axis)]


def run_split(call: Call) -> list[Values]:
    """SPLIT: the axis is the first input."""
    axis = int(call.operand(0).constant.reshape(-1)[0])
    return shape_ops.split(call.operand(1).data, len(call.outputs), axis)


def run_logistic(call: Call) -> list[Values]:
    """LOGISTIC."""
    return [unary.logistic(call.integers(0), call.operand(0).affine)]


def run_tanh(call: Call) -> list[Values]:
    """TANH."""
    return [unary.tanh(call.integers(0), call.operand(0).affine)]


def run_relu(call: Call) -> list[Values]:
    """RELU."""
    return [unary.relu(call.integers(0), call.operand(0).affine, call.output.affine)]


def run_maximum(call: Call) -> list[Values]:
    """MAXIMUM and MINIMUM: of the integers, whatever their scales."""
    first, second = _aligned(call.operand(0), call.operand(1))
    return [np.maximum(first, second) if call.kind == "MAXIMUM" else np.minimum(first, second)]


def run_pack(call: Call) -> list[Values]:
    """PACK: a new axis from equal parts."""
    axis = int(call.options.get("axis", 0)) % len(call.output.shape)
    shape = (*call.output.shape[:axis], 1, *call.output.shape[axis + 1 :])
    parts = [shape_ops.reshape(operand.data, shape) for operand in call.inputs if operand is not None]
    return [shape_ops.concatenate(parts, axis)]


def run_unpack(call: Call) -> list[Values]:
    """UNPACK: one output for each entry of an axis."""
    values = call.operand(0).data
    axis = int(call.options.get("axis", 0)) % (values.ndim - 1)
    return [np.take(values, k, axis=axis + 1) for k in range(len(call.outputs))]


HANDLERS: dict[str, Handler] = {
    "ADD": run_add,
    "BATCH_MATMUL": run_batch_matmul,
    "CONCATENATION": run_concatenation,
    "DEQUANTIZE": run_dequantize,
    "FULLY_CONNECTED": run_fully_connected,
    "GATHER": run_gather,
    "LOGISTIC": run_logistic,
    "MAXIMUM": run_maximum,
    "MEAN": run_mean,
    "MINIMUM": run_maximum,
    "MUL": run_mul,
    "PACK": run_pack,
    "QUANTIZE": run_quantize,
    "RELU": run_relu,
    "RESHAPE": run_reshape,
    "RSQRT": run_rsqrt,
    "SLICE": run_slice,
    "SOFTMAX": run_softmax,
    "SPLIT": run_split,
    "SQUARED_DIFFERENCE": run_squared_difference,
    "STRIDED_SLICE": run_strided_slice,
    "SUB": run_add,
    "TANH": run_tanh,
    "TRANSPOSE": run_transpose,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": run_lstm,
    "UNPACK": run_unpack,
}

#: Ops that work on float32 tensors as well.
MOVES_VALUES = frozenset(
    {
        "CONCATENATION",
        "DEQUANTIZE",
        "GATHER",
        "MAXIMUM",
        "MINIMUM",
        "PACK",
        "QUANTIZE",
        "RESHAPE",
        "SLICE",
        "SPLIT",
        "STRIDED_SLICE",
        "TRANSPOSE",
        "UNPACK",
    }
)
