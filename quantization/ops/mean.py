"""MEAN, the reduction of layer norm.

    y = clamp(zy + M' * sum (x - zx)),    M' ~ s_x / (s_y * n)

where the 31-bit multiplier of s_x / s_y, shifted left by floor(log2 n), is divided by n with truncation. Equal
quantization of input and output is no special case (in older versions of the kernel it was: they truncated the
plain average).

Source: tflite-micro ``tensorflow/lite/micro/kernels/reduce_common.cc`` (``EvalMean``) and
``tensorflow/lite/kernels/internal/reference/reduce.h`` (``QuantizedMeanOrSum``).
"""

from __future__ import annotations

import math

import numpy as np

from quantization.arithmetic.affine import Affine, ratio_multiplier
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    wrap,
)
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.text import scale
from quantization.ops.call import Call, FloatCall, Values
from quantization.ops.signature import Shape, Signature


def mean_multiplier(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """Fold 1 / count into a multiplier and shift, as ``QuantizedMeanOrSum`` does."""
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def mean(
    values: Integers,
    quantization: Affine,
    output: Affine,
    axes: tuple[int, ...],
    *,
    keep_dimensions: bool,
    wide: bool = False,
) -> Integers:
    """Average over ``axes``. ``wide`` applies the multiplier to an int64 sum (desktop LiteRT on int16)."""
    total = values.sum(axis=axes, keepdims=keep_dimensions)
    count = math.prod(values.shape[axis] for axis in axes)
    multiplier, shift = mean_multiplier(
        *ratio_multiplier(float(quantization.single), float(output.single)), count
    )
    centred = total - quantization.zero_point * count
    if wide:
        scaled = multiply_by_quantized_multiplier_64(centred, multiplier, shift)
    else:
        scaled = multiply_by_quantized_multiplier(wrap(centred, 32), multiplier, shift)
    low, high = output.range
    return np.clip(scaled + output.zero_point, low, high)


def check_mean(op: Signature) -> list[Shape]:
    """MEAN and SUM over constant axes."""
    shape = op.shape(0)
    axes = {op.axis(axis, len(shape)) for axis in op.integers(1)}
    if not axes:
        op.refuse("it averages over no axis")
    op.require_same_types(0)
    if not op.is_real:
        ratio_multiplier(float(op.affine(0).single), float(op.result_affine().single))
    if op.options.get("keep_dims", False):
        return [tuple(1 if axis in axes else n for axis, n in enumerate(shape))]
    return [tuple(n for axis, n in enumerate(shape) if axis not in axes)]


def run_mean(call: Call) -> list[Values]:
    """MEAN."""
    rank = len(call.operand(0).shape)
    axes = tuple(sorted({int(axis) % rank + 1 for axis in call.operand(1).constant.reshape(-1)}))
    result = mean(
        call.integers(0),
        call.operand(0).affine,
        call.output.affine,
        axes,
        keep_dimensions=bool(call.options.get("keep_dims", False)),
    )
    return [result]


def real_mean(call: FloatCall) -> list[Values]:
    """MEAN."""
    values = call.read(0)
    axes = tuple(sorted({int(axis) % values.ndim for axis in call.read(1).reshape(-1)}))
    return [values.mean(axis=axes, keepdims=bool(call.options.get("keep_dims", False)))]


def lower_mean(low: Lowering) -> list[str]:
    op = low.op
    bits = low.same_bits(op.inputs[0], op.outputs[0])
    values, output = low.affine(op.inputs[0]), low.affine(op.outputs[0])
    shape = low.shape(op.inputs[0])
    axes = sorted({int(a) % len(shape) for a in low.constant(op.inputs[1]).reshape(-1)})
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise low.refuse("it averages over axes that are not neighbours")
    count = int(np.prod(shape[axes[0] : axes[-1] + 1]))
    pair = ratio_multiplier(float(values.single), float(output.single))
    fields = [
        str(int(np.prod(shape[: axes[0]]))),
        str(count),
        str(int(np.prod(shape[axes[-1] + 1 :]))),
        str(values.zero_point * count),
        scale(mean_multiplier(*pair, count)),
        str(output.zero_point),
    ]
    low.context.use(f"et_mean_s{bits}.c", header="et_reduce.h")
    numbers = low.context.pool.struct("mean", "et_mean", fields)
    return [f"et_mean_s{bits}(&{numbers}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"]
