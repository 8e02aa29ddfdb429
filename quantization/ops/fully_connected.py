"""FULLY_CONNECTED: a dense layer on int8 or int16 activations with int8 weights.

    y[j] = clamp(zy + M_j * (sum_k (x[k] - zx) * (w[j, k] - zw) + b[j]))

M_j = s_x * s_w[j] / s_y.

``tflm``: int8 has an int32 sum and M_j is applied with two roundings. int16 with an int64 bias (or none) has an int64
sum, and M_j has 16 bits and one rounding.
Source: tflite-micro ``tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h``
(``FullyConnected``, ``FullyConnectedPerChannel``) and ``tensorflow/lite/micro/kernels/fully_connected_common.cc``.

``litert``: M_j has 31 bits and one rounding, for int8 and int16.
Source: TensorFlow ``tensorflow/lite/kernels/fully_connected.cc``, which calls ruy.

As C: int8; int16 with 32-bit sums, in assembly where the core has it; int16 with 64-bit sums.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine, activation_range, matmul_multiplier
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    multiply_with_single_rounding,
    wrap,
)
from quantization.arithmetic.matrix import exact_matmul
from quantization.c_fragments.context import Context
from quantization.c_fragments.op_source import Lowering, affine
from quantization.c_fragments.view import size
from quantization.c_fragments.weight_layout import (
    folded_bias,
    fully_connected_dsp_stream,
    fully_connected_mve_stream,
)
from quantization.graph.ir import ABSENT, Graph, Op
from quantization.ops.call import Call, FloatCall, Shapes, Values
from quantization.ops.signature import FLOAT, INT8, INT16, INT32, INT64, Shape, Signature

Pair = tuple[int, int]
#: A tensor of int16 in the state, at a fixed place.
_SHORTS = re.compile(r"&state->shorts\[(\d+)\]$")


def accumulate(
    values: Integers, zero_point: int, weights: Integers, weight_zero_point: int, bias: Integers | None
) -> Integers:
    """sum_k (x[..., k] - zx) * (w[j, k] - zw) + b[j]: values (..., depth), weights (units, depth)."""
    total = exact_matmul(values - zero_point, np.ascontiguousarray((weights - weight_zero_point).T))
    return total if bias is None else total + bias


def requantize(total: Integers, multiplier: Integers | int, shift: Integers | int, *, wide: bool) -> Integers:
    """Scale an accumulator: ``wide`` is the int64 accumulator of 16-bit activations, else an int32 one."""
    if wide:
        return multiply_by_quantized_multiplier_64(total, multiplier, shift)
    return multiply_by_quantized_multiplier(wrap(total, 32), multiplier, shift)


def fully_connected(
    values: Integers,
    values_quantization: Affine,
    weights: Integers,
    weights_quantization: Affine,
    bias: Integers | None,
    output: Affine,
    activation: str = "NONE",
    *,
    semantics: str = "tflm",
) -> Integers:
    """Dense layer: values (..., depth), weights (units, depth), bias (units,) -> (..., units)."""
    total = accumulate(values, values_quantization.zero_point, weights, weights_quantization.zero_point, bias)
    low, high = activation_range(activation, output)
    multiplier, shift = matmul_multiplier(values_quantization, weights_quantization, float(output.single))
    if semantics == "litert":
        scaled = multiply_with_single_rounding(total, multiplier, shift)
    else:
        scaled = requantize(total, multiplier, shift, wide=values_quantization.bits == 16)
    return np.clip(scaled + output.zero_point, low, high)


def products(inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-accumulates: each row takes all weights; 0 for shapes that do not fit, as a foreign file may hold."""
    if len(inputs) < 2 or not outputs or len(inputs[1]) != 2:
        return 0
    return math.prod(outputs[0]) // max(1, inputs[1][0]) * math.prod(inputs[1])


def check_fully_connected(op: Signature) -> list[Shape]:
    """Values of whole rows, weights (units, depth), bias (units,); float32 values may have int8 weights."""
    weights = op.tensor(1)
    if len(weights.shape) != 2:
        op.refuse(f"its weights have shape {weights.shape}; they must have two axes")
    units, depth = weights.shape
    x, given = op.shape(0), op.result().shape
    rows = math.prod(x) // depth
    keeps = bool(op.options.get("keep_num_dims", False))
    if rows * depth != math.prod(x) or (keeps and x[-1:] != (depth,)):
        op.refuse(f"its input has shape {x} and its weights take rows of {depth}")
    op.require_types(
        (0, 1),
        (FLOAT, FLOAT, FLOAT),
        (FLOAT, INT8, FLOAT),
        (INT8, INT8, INT8),
        (INT16, INT8, INT16),
        (INT8, INT8, INT16),
    )
    if op.has(2):
        op.require_shape(2, (units,), (1, units))
        wanted = {FLOAT} if op.is_real else {INT32, INT64}
        if op.tensor(2).dtype not in wanted:
            op.refuse(
                f"its bias is {op.tensor(2).dtype}; allowed: {', '.join(sorted(t.name for t in wanted))}"
            )
    op.require_activation()
    if not op.is_real:
        matmul_multiplier(op.affine(0), op.affine(1), float(op.result_affine().single))
    # Without keep_num_dims converters write the rows as one axis or as they were.
    whole = math.prod(given) == rows * units and given[-1:] == (units,)
    return [(*x[:-1], units) if keeps else given if whole else (rows, units)]


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
        call.activation,
        semantics=call.semantics,
    )
    return [result.reshape(len(values), *call.output.shape)]


def real_fully_connected(call: FloatCall) -> list[Values]:
    """FULLY_CONNECTED; without keep_num_dims the op flattens all axes but the last."""
    bias = call.read(2) if call.has(2) else 0.0
    y = call.activated(call.read(0) @ call.read(1).T + bias)
    return [y.reshape(len(y), *call.shape[1:])]


@dataclass(frozen=True)
class DenseLayer:
    """Numbers of a FULLY_CONNECTED. ``scales`` has one pair, or one for each unit; ``bias`` is int64 [units]."""

    matrix: NDArray[np.int8]
    bias: NDArray[np.int64]
    scales: tuple[Pair, ...]
    low: int
    high: int

    @property
    def factors(self) -> NDArray[np.int32] | None:
        """The factors of ``et_fully_connected_sum32``; None where a scale has none or a sum may not fit 32 bits."""
        factors = [upper_factor(pair) for pair in self.scales]
        if self.reach >= 2**31 or None in factors:
            return None
        return np.array(factors, np.int32)

    @property
    def reach(self) -> int:
        """The largest sum that int16 inputs can give."""
        weights = np.abs(self.matrix.astype(np.int64)).sum(axis=1)
        return int((weights * 32768 + np.abs(self.bias)).max())


def upper_factor(pair: Pair) -> int | None:
    """The factor whose product's upper word is TFLM's 16-bit multiplier with one rounding; None if it has none.

    (v * reduced + 2^(total - 1)) >> total is (v * factor + 2^31) >> 32 with factor = reduced << (32 - total).
    """
    multiplier, shift = pair
    reduced = (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    total = 15 - shift
    factor = reduced << (32 - total) if 1 <= total <= 32 else 2**31
    return factor if factor < 2**31 else None


def read_dense(graph: Graph, op: Op) -> DenseLayer | None:
    """The numbers of a FULLY_CONNECTED with constant symmetric int8 weights; None for others."""
    values, weights, output = (affine(graph, i) for i in (op.inputs[0], op.inputs[1], op.outputs[0]))
    matrix = graph.tensors[op.inputs[1]].data
    if matrix is None or matrix.dtype != np.int8 or weights.zero_point != 0:
        return None
    given: NDArray[Any] | None = None
    if len(op.inputs) > 2 and op.inputs[2] != ABSENT:
        given = graph.tensors[op.inputs[2]].data
        if given is None:
            return None
    bias = np.zeros(len(matrix), np.int64) if given is None else given.astype(np.int64)
    multipliers, shifts = (np.atleast_1d(v) for v in matmul_multiplier(values, weights, float(output.single)))
    low, high = activation_range(str(op.options.get("fused_activation_function", "NONE")), output)
    return DenseLayer(matrix, bias, tuple(zip(multipliers.tolist(), shifts.tolist())), low, high)


def lower_fully_connected(low: Lowering) -> list[str]:
    """The calls of the kernel for a FULLY_CONNECTED."""
    op, pool = low.op, low.context.pool
    layer = read_dense(low.graph, op)
    if layer is None:
        raise low.refuse("its weights must be symmetric int8, and weights and bias constant")
    units, depth = layer.matrix.shape
    rows = size(low.graph, op.inputs[0]) // depth
    x, y = low.pointer(op.inputs[0]), low.pointer(op.outputs[0])
    shape = [str(rows), str(depth), str(units)]
    limits = [str(int(len(layer.scales) > 1)), str(layer.low), str(layer.high)]
    # Words of x must be aligned to 4 bytes for the DSP extension, as tensors in the state are.
    place = _SHORTS.match(x)
    words = place is not None and int(place[1]) % 2 == 0 and (rows == 1 or depth % 2 == 0)
    if low.bits(op.outputs[0]) == 16 and (low.context.helium or words) and has_assembly(low.context, layer):
        return _assembly(low, layer, rows)
    if low.same_bits(op.inputs[0], op.outputs[0]) == 8:
        zero_point = low.affine(op.inputs[0]).zero_point
        folded = folded_bias(layer.matrix, layer.bias.astype(np.int32), zero_point)
        fields = [*shape, pool.array("weights", layer.matrix), pool.array("bias", folded)]
        fields += [pool.scales("scales", layer.scales), limits[0]]
        fields += [str(low.affine(op.outputs[0]).zero_point), *limits[1:]]
        low.context.use("et_fully_connected_s8.c", header="et_fully_connected.h")
        return [f"et_fully_connected_s8(&{pool.struct('dense', 'et_fully_connected', fields)}, {x}, {y});"]
    factors = layer.factors
    if factors is not None:
        fields = [*shape, pool.array("weights", layer.matrix)]
        fields += [pool.array("bias", layer.bias.astype(np.int32)), pool.array("factors", factors), *limits]
        low.context.use("et_fully_connected_sum32_s16.c", header="et_fully_connected_sum32.h")
        if low.context.dsp or low.context.helium:
            low.context.notes.append(
                f"FULLY_CONNECTED {low.graph.tensors[op.outputs[0]].name!r} is portable C: the assembly needs limits of "
                "int16 or a ReLU, and with DSP instructions weights above -128 and rows of inputs that begin at a word"
            )
        return [
            f"et_fully_connected_sum32_s16(&{pool.struct('dense', 'et_fully_connected_sum32', fields)}, {x}, {y});"
        ]
    low.context.notes.append(
        f"FULLY_CONNECTED {low.graph.tensors[op.outputs[0]].name!r} has 64-bit sums: they can reach {layer.reach}"
    )
    fields = [*shape, pool.array("weights", layer.matrix), pool.array("bias", layer.bias)]
    numbers = pool.struct(
        "dense", "et_fully_connected_wide", [*fields, pool.scales("scales", layer.scales), *limits]
    )
    low.context.use("et_fully_connected_s16.c", header="et_fully_connected.h")
    return [f"et_fully_connected_s16(&{numbers}, {x}, {y});"]


def has_assembly(context: Context, layer: DenseLayer) -> bool:
    """True if et_fully_connected_dsp.S or et_fully_connected_mve.S computes the layer."""
    plain = layer.factors is not None and layer.low in (-32768, 0) and layer.high == 32767
    paired = int(layer.matrix.min()) >= -127
    return plain and (context.helium or (context.dsp and paired))


def _assembly(low: Lowering, layer: DenseLayer, rows: int) -> list[str]:
    """A call for each row of the assembly of the core."""
    pool = low.context.pool
    units, depth = layer.matrix.shape
    narrow = low.bits(low.op.inputs[0]) == 8
    factors = layer.factors
    assert factors is not None
    taken = depth
    if low.context.helium:
        kernel, source = f"et_fully_connected_mve_s{8 if narrow else 16}", "et_fully_connected_mve.S"
        stream = fully_connected_mve_stream(layer.matrix, layer.bias, 16 if narrow else 8)
    else:
        kernel, source = "et_fully_connected_dsp", "et_fully_connected_dsp.S"
        # Whole eights: past the end of x the weights are zero.
        taken = depth + -depth % 8
        stream = fully_connected_dsp_stream(np.pad(layer.matrix, ((0, 0), (0, taken - depth))), layer.bias)
        place = _SHORTS.match(low.pointer(low.op.inputs[0]))
        if place is not None:
            last = int(place[1]) + (rows - 1) * depth + taken
            low.context.reach_shorts = max(low.context.reach_shorts, last)
    one = len(factors) == 1
    padded = np.repeat(factors, 4) if one else np.pad(factors, (0, -units % 4))
    fields = [str(taken), str(units), str(layer.low), pool.array("factors", padded), str(0 if one else 16)]
    numbers = pool.struct("dense", "et_fully_connected_arm", [*fields, pool.array("dense_stream", stream)])
    low.context.use(source, header="et_fully_connected_arm.h")
    x, y = (low.pointer(index) for index in (low.op.inputs[0], low.op.outputs[0]))
    if rows == 1:
        return [f"{kernel}(&{numbers}, {x}, {y});"]
    return [
        f"for (int32_t i = 0; i < {rows}; ++i) {{",
        f"    {kernel}(&{numbers}, {x} + i * {depth}, {y} + i * {units});",
        "}",
    ]


def read_narrow(graph: Graph, context: Context, widenings: dict[int, int]) -> Graph:
    """``graph`` with layers that Helium computes on int8 reading what was widened for them.

    ``widenings`` are the tensors that only widen another one, and that one.
    """
    if not context.helium:
        return graph
    ops = list(graph.ops)
    for place, op in enumerate(ops):
        if op.kind == "FULLY_CONNECTED" and op.inputs[0] in widenings:
            layer = read_dense(graph, op)
            wide = graph.tensors[op.outputs[0]].dtype == np.int16
            if wide and layer is not None and has_assembly(context, layer):
                ops[place] = replace(op, inputs=(widenings[op.inputs[0]], *op.inputs[1:]))
    return replace(graph, ops=tuple(ops))
