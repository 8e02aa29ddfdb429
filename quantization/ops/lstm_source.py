"""The LSTM op as C: its numbers, its weights in the order of the core's kernel, and the function over time steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from quantization.arithmetic.affine import Affine, matmul_multiplier
from quantization.arithmetic.fixed_point import power_of_two_exponent, quantize_multiplier
from quantization.c_fragments.context import Context
from quantization.c_fragments.op_source import Lowering, affine
from quantization.c_fragments.text import scale
from quantization.c_fragments.weight_layout import (
    LstmWeights,
    blocks,
    dsp_refusal,
    dsp_stream,
    folded_bias,
    mve_stream,
)
from quantization.graph.ir import ABSENT, Graph, Op
from quantization.ops.lstm import CELL_STATE, HIDDEN_STATE
from toolkit.errors import ModelFileError

_GATE_SCALE = 2.0**-12
_UNIT_SCALE = 2.0**-15
Pair = tuple[int, int]


@dataclass(frozen=True)
class LstmLayer:
    """Everything of an LSTM op: weights, and the numbers of ``et_lstm_numbers``."""

    weights: LstmWeights
    input_scales: tuple[Pair, ...]
    recurrent_scales: tuple[Pair, ...]
    forget_cell: Pair
    input_cell: Pair
    hidden: Pair
    cell_shift: int
    cell_clip: int


def _refuse(graph: Graph, op: Op, reason: str) -> ModelFileError:
    name = graph.tensors[op.outputs[0]].name
    return ModelFileError(f"LSTM {name!r} cannot become C: {reason}")


def _require_plain(graph: Graph, op: Op) -> None:
    tensors = graph.tensors
    if tensors[op.inputs[0]].dtype != np.int8 or tensors[op.inputs[0]].shape[0] != 1:
        raise _refuse(graph, op, "its input must be int8 with batch 1")
    if op.options.get("time_major"):
        raise _refuse(graph, op, "it is time-major; convert with batch first")
    if op.options.get("fused_activation_function", "TANH") != "TANH":
        raise _refuse(graph, op, "its activation must be TANH")
    if any(len(op.inputs) > place and op.inputs[place] != ABSENT for place in (9, 10, 11, 16, 17)):
        raise _refuse(graph, op, "peepholes and projections are not supported")
    if any(index != ABSENT for index in op.inputs[20:24]):
        raise _refuse(graph, op, "layer norm inside the LSTM is not supported")
    if any(index == ABSENT for index in (*op.inputs[1:9], *op.inputs[18:20])):
        raise _refuse(graph, op, "it lacks weights or state tensors")


def read_layer(graph: Graph, op: Op) -> LstmLayer:
    """The layer of an UNIDIRECTIONAL_SEQUENCE_LSTM; ModelFileError says what is not supported."""
    _require_plain(graph, op)
    values, hidden, cell = (affine(graph, op.inputs[place]) for place in (0, HIDDEN_STATE, CELL_STATE))

    def data(index: int) -> Any:
        array = graph.tensors[index].data
        if array is None or affine(graph, index).zero_point != 0:
            raise _refuse(graph, op, f"weights {graph.tensors[index].name!r} must be constant and symmetric")
        return array

    def scaling(place: int, source: Affine) -> Pair:
        weights = affine(graph, op.inputs[place])
        if weights.scale.size != 1:
            raise _refuse(graph, op, "its weights must have one scale per matrix")
        multiplier, shift = matmul_multiplier(source, weights, _GATE_SCALE)
        return int(multiplier), int(shift)

    inputs = np.stack([data(op.inputs[1 + gate]) for gate in range(4)])
    recurrent = np.stack([data(op.inputs[5 + gate]) for gate in range(4)])
    zeros = np.zeros(inputs.shape[1], np.int32)
    bias = np.stack(
        [zeros if op.inputs[12 + g] == ABSENT else _int32(graph, op.inputs[12 + g]) for g in range(4)]
    )
    exponent = power_of_two_exponent(float(cell.single))
    if float(cell.single) != 2.0**exponent or not -15 <= exponent <= -3:
        raise _refuse(
            graph,
            op,
            f"its cell scale is {float(cell.single)!r}; it must be a power of two from 2^-15 to 2^-3",
        )
    clip = float(op.options.get("cell_clip", 0.0))
    quantized_clip = int(min(clip / float(cell.single), 32767.0)) if clip > 0 else 0
    hidden_scale = quantize_multiplier(_UNIT_SCALE * _UNIT_SCALE / float(hidden.single))
    if hidden_scale[1] >= 0:
        raise _refuse(graph, op, f"its hidden scale is {float(hidden.single)!r}, below 2^-30")
    return LstmLayer(
        LstmWeights(inputs, recurrent, bias, values.zero_point, hidden.zero_point),
        tuple(scaling(1 + gate, values) for gate in range(4)),
        tuple(scaling(5 + gate, hidden) for gate in range(4)),
        quantize_multiplier(_UNIT_SCALE),
        quantize_multiplier(_UNIT_SCALE * _UNIT_SCALE / float(cell.single)),
        hidden_scale,
        exponent + 12,
        quantized_clip,
    )


def _int32(graph: Graph, index: int) -> Any:
    array = graph.tensors[index].data
    if array is None or array.dtype != np.int32:
        raise ModelFileError(f"bias {graph.tensors[index].name!r} must be constant int32")
    return array


def lower_lstm(low: Lowering) -> list[str]:
    """The call of the layer's function, its states cleared before it or carried on behind it."""
    op = low.op
    layer = read_layer(low.graph, op)
    name = layer_function(low.context, layer)
    steps, units = low.shape(op.inputs[0])[1], layer.weights.units
    before, cell = low.pointer(op.inputs[HIDDEN_STATE]), low.pointer(op.inputs[CELL_STATE])
    x, hidden = low.pointer(op.inputs[0]), low.pointer(op.outputs[0])
    clear = [
        f"memset({before}, {layer.weights.hidden_zero_point}, {units});",
        f"memset({cell}, 0, {2 * units});",
    ]
    call = f"{name}({x}, {steps}, {before}, {cell}, {hidden});"
    if low.reset is None:
        return [*clear, call]
    low.reset += clear
    last = f"{hidden} + {(steps - 1) * units}" if steps > 1 else hidden
    return [call, f"memcpy({before}, {last}, {units});"]


def layer_function(context: Context, layer: LstmLayer) -> str:
    """Name of a C function for ``layer``:

    void NAME(const int8_t *x, int32_t steps, const int8_t *before, int16_t *cell, int8_t *hidden)

    runs ``steps`` time steps from hidden state ``before`` and writes all hidden states.
    """
    kernel = _choose_kernel(context, layer)
    body = {"dsp": _dsp, "helium": _helium, "portable": _portable}[kernel](context, layer)
    for name, text in context.functions.items():
        if text == body.replace("@NAME@", name):
            return name
    name = f"lstm_{sum(n.startswith('lstm_') for n in context.functions)}"
    context.functions[name] = body.replace("@NAME@", name)
    if kernel != "portable":
        _assembly(context, layer, name, dsp=kernel == "dsp")
    return name


def _choose_kernel(context: Context, layer: LstmLayer) -> Literal["dsp", "helium", "portable"]:
    """Assembly where speed is preferred and the weights fit it; one C function for all layers is the smallest."""
    if context.prefer == "size" or context.row.kernels == "portable":
        return "portable"
    if context.helium:
        return "helium"
    reason = dsp_refusal(layer.weights)
    if reason is not None:
        context.notes.append(f"an LSTM runs in portable C and not in the DSP kernel: {reason}")
        return "portable"
    return "dsp"


def _loop(layer: LstmLayer, before: str, step: str) -> str:
    """The function over time steps: ``before`` are declarations, ``step`` the statements of one step."""
    return (
        "static void @NAME@(const int8_t *x, int32_t steps, const int8_t *before, int16_t *cell, int8_t *hidden) {\n"
        f"{before}"
        "    for (int32_t step = 0; step < steps; ++step) {\n"
        f"{step}"
        "        before = hidden;\n"
        f"        hidden += {layer.weights.units};\n"
        f"        x += {layer.weights.inputs};\n"
        "    }\n"
        "}\n"
    )


def _portable(context: Context, layer: LstmLayer) -> str:
    context.use("et_lstm.c", "et_activation.c", header="et_lstm.h")
    weights, pool = layer.weights, context.pool
    numbers = pool.struct(
        "lstm_numbers",
        "et_lstm_numbers",
        [
            "{" + ", ".join(scale(pair) for pair in layer.input_scales) + "}",
            "{" + ", ".join(scale(pair) for pair in layer.recurrent_scales) + "}",
            scale(layer.forget_cell),
            scale(layer.input_cell),
            scale(layer.hidden),
            str(layer.cell_shift),
            str(layer.cell_clip),
            str(weights.input_zero_point),
            str(weights.hidden_zero_point),
        ],
    )
    arrays = pool.struct(
        "lstm_weights",
        "et_lstm_weights",
        [
            str(weights.inputs),
            str(weights.units),
            pool.array("lstm_input", weights.input),
            pool.array("lstm_recurrent", weights.recurrent),
            pool.array("lstm_input_bias", folded_bias(weights.input, weights.bias, weights.input_zero_point)),
            pool.array(
                "lstm_recurrent_bias", folded_bias(weights.recurrent, None, weights.hidden_zero_point)
            ),
        ],
    )
    return _loop(layer, "", f"        et_lstm_step(&{numbers}, &{arrays}, x, before, cell, hidden);\n")


def _half(shift: int) -> int:
    """Half of the second rounding, 2^(-shift - 1)."""
    return 1 << (-shift - 1) if shift < 0 else 0


def _dsp(context: Context, layer: LstmLayer) -> str:
    context.use("et_lstm_dsp.c", "et_piecewise_linear.c", header="et_lstm_dsp.h")
    weights, pool = layer.weights, context.pool

    def row(values: list[int]) -> str:
        return "{" + ", ".join(map(str, values)) + "}"

    tanh = 3 << layer.cell_shift if layer.cell_shift >= 0 else 1 << (-layer.cell_shift - 1)
    numbers = pool.struct(
        "lstm_numbers",
        "et_lstm_dsp_numbers",
        [
            row([m for m, _ in layer.input_scales]),
            row([_half(s) for _, s in layer.input_scales]),
            row([m for m, _ in layer.recurrent_scales]),
            row([_half(s) for _, s in layer.recurrent_scales]),
            "3",
            "&et_sigmoid_lines[ET_SIGMOID_ZERO]",
            "&et_tanh_lines[ET_TANH_ZERO]",
            str(1 + (1 << -layer.forget_cell[1])),
            str(1 + (1 << -layer.input_cell[1])),
            str(tanh),
            str(layer.hidden[0]),
            str(_half(layer.hidden[1]) + weights.hidden_zero_point * (1 << -layer.hidden[1])),
        ],
    )
    words = dsp_stream(weights)
    stream = pool.array("lstm_stream", words)
    before = (
        f"    int32_t input_words[{2 * blocks(weights.inputs)}];\n"
        f"    int32_t hidden_words[{2 * blocks(weights.units)}];\n"
    )
    step = (
        "        const et_lstm_dsp_call call = {\n"
        "            input_words,\n"
        f"            et_lstm_dsp_expand(x, {weights.inputs}, {weights.input_zero_point}, input_words),\n"
        "            hidden_words,\n"
        f"            et_lstm_dsp_expand(before, {weights.units}, {weights.hidden_zero_point}, hidden_words),\n"
        f"            &{numbers}, {stream}, &{stream}[{words.size}], cell, hidden,\n"
        "        };\n"
        "        edgetool_@NAME@_units(&call);\n"
    )
    return "void edgetool_@NAME@_units(const et_lstm_dsp_call *call);\n\n" + _loop(layer, before, step)


def _helium(context: Context, layer: LstmLayer) -> str:
    context.use("et_piecewise_linear_mve.c", header="et_lstm_mve.h")
    weights, pool = layer.weights, context.pool
    numbers = pool.struct(
        "lstm_numbers",
        "et_lstm_mve_numbers",
        [
            "&et_sigmoid_bases[192]",
            "&et_sigmoid_slopes[192]",
            "&et_tanh_bases[256]",
            "&et_tanh_slopes[256]",
            "{" + ", ".join(str(m) for m, _ in layer.input_scales) + "}",
            "{" + ", ".join(str(m) for m, _ in layer.recurrent_scales) + "}",
            str(layer.hidden[0]),
            str(weights.hidden_zero_point),
            str(3 << max(layer.cell_shift, 0)),
        ],
    )
    stream = pool.array("lstm_stream", mve_stream(weights), aligned=4)
    step = (
        f"        const et_lstm_mve_call call = {{{stream}, &{numbers}, cell, hidden, x, before}};\n"
        "        edgetool_@NAME@_units(&call);\n"
    )
    return "void edgetool_@NAME@_units(const et_lstm_mve_call *call);\n\n" + _loop(layer, "", step)


def _assembly(context: Context, layer: LstmLayer, name: str, *, dsp: bool) -> None:
    """Instance of the assembly template of the core for ``layer``."""
    weights = layer.weights
    defines = {"NAME": f"edgetool_{name}_units"}
    if dsp:
        defines |= {"INPUT_BLOCKS": str(blocks(weights.inputs)), "UNIT_BLOCKS": str(blocks(weights.units))}
    else:
        defines |= {"INPUTS": str(weights.inputs), "UNITS": str(weights.units)}
    for gate in range(4):
        defines[f"INPUT_SHIFT_{gate}"] = str(layer.input_scales[gate][1])
        defines[f"RECURRENT_SHIFT_{gate}"] = str(layer.recurrent_scales[gate][1])
    defines |= {
        "FORGET_SHIFT": str(layer.forget_cell[1]),
        "INPUT_CELL_SHIFT": str(layer.input_cell[1]),
        "HIDDEN_SHIFT": str(layer.hidden[1]),
        "CELL_SHIFT": str(layer.cell_shift),
        "CELL_CLIP": str(layer.cell_clip),
    }
    template = "et_lstm_dsp_template.S" if dsp else "et_lstm_mve_template.S"
    lines = [f"#define ET_LSTM_{key} {value}" for key, value in defines.items()]
    context.assembly.append("\n".join([*lines, f'#include "kernels/{template}"', ""]))
    context.headers.add(template)
