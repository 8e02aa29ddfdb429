"""LOGISTIC, TANH and RELU as ops of their own.

The Cross-LSTM has its sigmoid and tanh inside the LSTM op; these are here for foreign graphs. They follow TFLM; desktop LiteRT
computes LOGISTIC and TANH on int8 by a table from float32 instead, which is not in the reference.
"""

from __future__ import annotations

import math

import numpy as np

from quantization.arithmetic import gemmlowp
from quantization.arithmetic.activations import sigmoid_from_table, tanh_from_table
from quantization.arithmetic.affine import Affine
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    power_of_two_exponent,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
)
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.view import size
from quantization.ops.call import Call, FloatCall, Values
from quantization.ops.signature import Shape, Signature

#: Integer bits of the fixed-point input of the int8 kernels.
INPUT_BITS = 4


def _table_axis(scale: np.float32) -> tuple[int, int]:
    """Multiplier and left shift that bring int16 input onto the sigmoid table's axis; (0, 0) for scale 2**-12.

    Source: ``tensorflow/lite/micro/kernels/logistic_common.cc`` and ``tanh.cc`` (``CalculateArithmeticOpData``).
    """
    exponent = power_of_two_exponent(float(scale))
    if float(scale) == 2.0**exponent and exponent == -12:
        return 0, 0
    multiplier, left_shift = float(scale) * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and left_shift <= 30:
        left_shift += 1
        multiplier *= 2.0
    return int(multiplier), left_shift


def _squash_8(values: Integers, quantization: Affine, function: str) -> Integers:
    """int8 sigmoid or tanh in gemmlowp's Q4.27: exact to the last step but for the rounding of the input."""
    multiplier, left_shift = quantize_multiplier(float(quantization.single) * 2.0 ** (31 - INPUT_BITS))
    radius = math.floor(((1 << INPUT_BITS) - 1) * 2.0 ** (31 - INPUT_BITS) / 2.0**left_shift)
    x = values - quantization.zero_point
    inside = np.abs(x) < radius
    scaled = multiply_by_quantized_multiplier(np.where(inside, x, 0), multiplier, left_shift)
    if function == "sigmoid":
        result = rounding_divide_by_power_of_two(gemmlowp.logistic(scaled, INPUT_BITS, 32), 23) - 128
    else:
        result = rounding_divide_by_power_of_two(gemmlowp.tanh(scaled, INPUT_BITS, 32), 24)
    saturated = np.where(x < 0, -128, 127)
    return np.where(inside, np.clip(result, -128, 127), saturated)


def logistic(values: Integers, quantization: Affine) -> Integers:
    """LOGISTIC: int8 to scale 1/256 and zero point -128, int16 to scale 1/32768.

    Source: tflite-micro ``tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h``.
    """
    if quantization.bits == 16:
        return sigmoid_from_table(values, *_table_axis(quantization.single))
    return _squash_8(values, quantization, "sigmoid")


def tanh(values: Integers, quantization: Affine) -> Integers:
    """TANH: int8 to scale 1/128, int16 to scale 1/32768. Source: ``integer_ops/tanh.h``."""
    if quantization.bits == 16:
        return tanh_from_table(values, *_table_axis(quantization.single))
    return _squash_8(values, quantization, "tanh")


def relu(values: Integers, quantization: Affine, output: Affine) -> Integers:
    """RELU: max(zy, clamp(zy + M (x - zx))), M = s_x / s_y in single precision, two roundings.

    Source: ``tensorflow/lite/micro/kernels/activations_common.cc`` (``CalculateReluOpData``, ``ReluQuantized``).
    """
    multiplier, shift = quantize_multiplier(float(quantization.single / output.single))
    low, high = output.range
    scaled = multiply_by_quantized_multiplier(values - quantization.zero_point, multiplier, shift)
    return np.clip(scaled + output.zero_point, max(low, output.zero_point), high)


def check_squash(op: Signature) -> list[Shape]:
    """LOGISTIC and TANH: one value."""
    op.require_same_types(0)
    if not op.is_real:
        values = op.affine(0)
        op.result_affine()
        if values.bits == 8:
            quantize_multiplier(float(values.single) * 2.0 ** (31 - INPUT_BITS))
        elif _table_axis(values.single)[0] > 32767:
            op.refuse(
                f"its input has scale {float(values.single):.3g}; at most {32767 / 12288:.3g} fits the table"
            )
    return [op.shape(0)]


def check_relu(op: Signature) -> list[Shape]:
    """RELU: one value."""
    op.require_same_types(0)
    if not op.is_real:
        quantize_multiplier(float(op.affine(0).single / op.result_affine().single))
    return [op.shape(0)]


def run_logistic(call: Call) -> list[Values]:
    """LOGISTIC."""
    return [logistic(call.integers(0), call.operand(0).affine)]


def run_tanh(call: Call) -> list[Values]:
    """TANH."""
    return [tanh(call.integers(0), call.operand(0).affine)]


def run_relu(call: Call) -> list[Values]:
    """RELU."""
    return [relu(call.integers(0), call.operand(0).affine, call.output.affine)]


def real_logistic(call: FloatCall) -> list[Values]:
    """LOGISTIC, by the tangent so that no exponential overflows."""
    return [0.5 * (1.0 + np.tanh(0.5 * call.read(0)))]


def real_tanh(call: FloatCall) -> list[Values]:
    """TANH."""
    return [np.tanh(call.read(0))]


def lower_squash(low: Lowering) -> list[str]:
    """LOGISTIC and TANH: the table of the LSTM on int16, one of all 256 results on int8."""
    op = low.op
    bits, values = low.same_bits(op.inputs[0], op.outputs[0]), low.affine(op.inputs[0])
    count = size(low.graph, op.inputs[0])
    source, target = low.pointer(op.inputs[0]), low.pointer(op.outputs[0])
    if bits == 8:
        function = logistic if op.kind == "LOGISTIC" else tanh
        table = function(np.arange(-128, 128, dtype=np.int64), values).astype(np.int8)
        low.context.use("et_table.c", header="et_squash.h")
        return [f"et_table_s8({count}, {low.context.pool.array('table', table)}, {source}, {target});"]
    multiplier, shift = _table_axis(values.single)
    if multiplier == 0:
        multiplier, shift = 3 << shift, 0
    half = 1 << (shift - 1) if shift else 0
    low.context.use("et_squash.c", "et_activation.c", header="et_squash.h")
    numbers = low.context.pool.struct(
        "squash", "et_squash", [str(count), str(multiplier), str(half), str(shift)]
    )
    return [f"et_{op.kind.lower()}_s16(&{numbers}, {source}, {target});"]
