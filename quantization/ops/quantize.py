"""QUANTIZE and DEQUANTIZE: between float32 and integers, and from one integer type or scale to another.

Sources, per function, in TensorFlow, the same in tflite-micro.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.affine import Affine, ratio_multiplier
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
)
from quantization.arithmetic.storage import quantized
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.text import scale
from quantization.c_fragments.view import size
from quantization.ops.call import Call, Values
from quantization.ops.signature import FLOAT, INT8, INT16, Shape, Signature


def quantize(values: NDArray[np.float32], output: Affine) -> Integers:
    """QUANTIZE of float32, as :func:`quantization.arithmetic.storage.quantized` does it."""
    dtype = np.dtype(f"int{output.bits}")
    stored: Integers = quantized(values, output.single, output.zero_point, dtype).astype(np.int64)
    return stored


def dequantize(values: Integers, quantization: Affine) -> NDArray[np.float32]:
    """DEQUANTIZE: scale * (q - zero point) in double precision, stored as float32.

    Source: ``tensorflow/lite/kernels/internal/reference/dequantize.h``.
    """
    real: NDArray[np.float32] = (
        float(quantization.single) * (values - quantization.zero_point).astype(np.float64)
    ).astype(np.float32)
    return real


def rescale(values: Integers, quantization: Affine, output: Affine) -> Integers:
    """QUANTIZE from one integer type to another: clamp(zy + M * (x - zx)), M = s_x / s_y in double, two roundings.

    Source: ``tensorflow/lite/kernels/internal/reference/requantize.h`` (``Requantize``).
    """
    multiplier, shift = ratio_multiplier(float(quantization.single), float(output.single))
    scaled = multiply_by_quantized_multiplier(values - quantization.zero_point, multiplier, shift)
    low, high = output.range
    return np.clip(scaled + output.zero_point, low, high)


def check_quantize(op: Signature) -> list[Shape]:
    """From float32, int8 or int16 to int8 or int16."""
    op.require_types((0,), *((source, target) for source in (FLOAT, INT8, INT16) for target in (INT8, INT16)))
    output = op.result_affine()
    if not op.is_real:
        ratio_multiplier(float(op.affine(0).single), float(output.single))
    return [op.shape(0)]


def check_dequantize(op: Signature) -> list[Shape]:
    """From int8 or int16 to float32."""
    op.require_types((0,), (INT8, FLOAT), (INT16, FLOAT))
    op.affine(0)
    return [op.shape(0)]


def run_quantize(call: Call) -> list[Values]:
    """QUANTIZE from float32 or between integer types."""
    if call.is_real:
        return [quantize(call.operand(0).data, call.output.affine)]
    return [rescale(call.integers(0), call.operand(0).affine, call.output.affine)]


def run_dequantize(call: Call) -> list[Values]:
    """DEQUANTIZE to float32."""
    return [dequantize(call.integers(0), call.operand(0).affine)]


def lower_quantize(low: Lowering) -> list[str]:
    op = low.op
    source, target = low.bits(op.inputs[0]), low.bits(op.outputs[0])
    values, output = low.affine(op.inputs[0]), low.affine(op.outputs[0])
    fields = [
        str(size(low.graph, op.inputs[0])),
        str(values.zero_point),
        scale(ratio_multiplier(float(values.single), float(output.single))),
        str(output.zero_point),
    ]
    kernel = f"et_rescale_s{source}_s{target}"
    low.context.use(f"{kernel}.c", header="et_reduce.h")
    numbers = low.context.pool.struct("rescale", "et_rescale", fields)
    return [f"{kernel}(&{numbers}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"]
