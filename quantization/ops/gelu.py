"""GELU on int8: x times the normal distribution's integral up to x (Hendrycks & Gimpel 2016, arXiv:1606.08415).

A table of all 256 results, made in single precision as LiteRT makes its own:

    y = clamp(zy + round(gelu(s_x * (x - zx)) * (1 / s_y)))

Source: TensorFlow ``tensorflow/lite/kernels/gelu.cc`` and ``kernels/internal/common.h`` (``LUTPopulate``). TensorFlow Lite
Micro has no GELU: a graph with one runs on LiteRT and as C.
"""

from __future__ import annotations

import math

import numpy as np

from quantization.arithmetic.affine import Affine
from quantization.arithmetic.fixed_point import Integers
from quantization.c_fragments.op_source import Lowering
from quantization.c_fragments.view import size
from quantization.ops.call import Call, FloatCall, Values
from quantization.ops.signature import FLOAT, INT8, Shape, Signature


def gelu(x: Values) -> Values:
    """On real numbers, in the precision of the values."""
    root = np.vectorize(math.erf, otypes=[np.float64])(np.float64(x) * math.sqrt(0.5))
    result: Values = x * (0.5 * (1.0 + root)).astype(x.dtype)
    return result


def gelu_table(quantization: Affine, output: Affine) -> Integers:
    """Results of -128 to 127, int64 (256,)."""
    real = quantization.single * (np.arange(-128, 128) - quantization.zero_point).astype(np.float32)
    scaled = gelu(real) * (np.float32(1) / output.single)
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
    table: Integers = np.clip(rounded.astype(np.int64) + output.zero_point, *output.range)
    return table


def check_gelu(op: Signature) -> list[Shape]:
    """One value, float32 or int8, and the exact form."""
    op.require_types((0,), (FLOAT, FLOAT), (INT8, INT8))
    if op.options.get("approximate", False):
        op.refuse("it approximates by tanh; allowed: the exact form")
    return [op.shape(0)]


def run_gelu(call: Call) -> list[Values]:
    """GELU."""
    return [gelu_table(call.operand(0).affine, call.output.affine)[call.integers(0) + 128]]


def real_gelu(call: FloatCall) -> list[Values]:
    """GELU."""
    return [gelu(call.read(0))]


def lower_gelu(low: Lowering) -> list[str]:
    op = low.op
    table = gelu_table(low.affine(op.inputs[0]), low.affine(op.outputs[0])).astype(np.int8)
    low.context.use("et_table.c", header="et_squash.h")
    name = low.context.pool.array("table", table)
    count = size(low.graph, op.inputs[0])
    return [f"et_table_s8({count}, {name}, {low.pointer(op.inputs[0])}, {low.pointer(op.outputs[0])});"]
