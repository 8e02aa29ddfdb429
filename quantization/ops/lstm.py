"""UNIDIRECTIONAL_SEQUENCE_LSTM with int8 weights, int8 (or int16) activations and an int16 cell.

Per time step and unit, with gates g in (input, forget, cell, output) and Q3.12 gate sums:

    u_g = M_xg * (sum_k W_gk (x_k - zx) + b_g),    M_xg = s_x s_Wg / 2**-12
    v_g = M_hg * (sum_k R_gk (h_k - zh)),          M_hg = s_h s_Rg / 2**-12
    i, f, o = sigmoid(u + v),  g = tanh(u + v)     in Q0.15
    c = sat16(f c + i g),  clipped to +-cell_clip  cell scale 2**p
    h = clamp(zh + M_o * o * tanh(c)),             M_o = 2**-30 / s_h

``tflm``: u and v are each saturated to int16, then their sum is. f c and i g are each scaled by a quantized
multiplier and saturated. Sigmoid and tanh are the table of ``activations``. A cell scale that is not a power of two is not
refused by TFLM: products use the true scale, tanh the nearest power.
Source: tflite-micro ``tensorflow/lite/micro/kernels/lstm_eval.h`` (``LstmStep``, ``CalculateLstmGate``, ``UpdateLstmCell``,
``UpdateLstmHidden``), ``lstm_eval.cc`` and ``lstm_eval_common.cc`` (``PrepareGateParametersInteger``).

``litert``: u is saturated to int16, and u + v is saturated once. f c is a rounding shift by 15 and i g by 30 + p, cut (not
saturated) to 16 bits. Sigmoid and tanh are gemmlowp's int16 fixed point. Multipliers come from scales multiplied in single
precision. Source: TensorFlow ``tensorflow/lite/kernels/lstm_eval.cc`` (``CalculateLstmGateInteger8x8_16``,
``UpdateLstmCellInteger``, ``CalculateLstmOutputInteger8x8_16``), ``unidirectional_sequence_lstm.cc``
(``PopulateQuantizedLstmParams8x8_16``) and ``internal/reference/portable_tensor_utils.cc``.

Peephole, projection, input-gate coupling and internal layer norm are not in the op set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantization.arithmetic.activations import gate_table
from quantization.arithmetic.affine import Affine, matmul_multiplier
from quantization.arithmetic.fixed_point import (
    Integers,
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    power_of_two_exponent,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
    saturate,
    wrap,
)
from quantization.arithmetic.matrix import exact_matmul
from quantization.ops.call import Call, FloatCall, Shapes, Values
from quantization.ops.signature import FLOAT, INT8, INT16, INT32, INT64, Shape, Signature
from toolkit.errors import ModelFileError

#: Scale of the gate sums, Q3.12, and of the activations' outputs, Q0.15.
GATE_SCALE = 2.0**-12
UNIT_SCALE = 2.0**-15

#: Gates in the op's order, and the places of the two state tensors among its inputs.
GATES = ("input", "forget", "cell", "output")
HIDDEN_STATE, CELL_STATE = 18, 19

#: Windows computed at once: keeps the working set inside the cache.
CHUNK = 64


@dataclass(frozen=True)
class Gate:
    """Weights of one gate: ``weights`` (H, input), ``recurrent`` (H, H), ``bias`` (H,) or None."""

    weights: Integers
    weights_quantization: Affine
    recurrent: Integers
    recurrent_quantization: Affine
    bias: Integers | None


@dataclass(frozen=True)
class LstmParameters:
    """Everything of the op but its input and state. Gates in the op's order: input, forget, cell, output.

    ``hidden`` quantizes the output state; ``litert_hidden`` is the quantization LiteRT reads from the op's fifth
    intermediate tensor instead (None: the same). ``cell_clip`` of 0 is none.
    """

    gates: tuple[Gate, Gate, Gate, Gate]
    input: Affine
    hidden: Affine
    cell: Affine
    cell_clip: float
    litert_hidden: Affine | None = None


@dataclass(frozen=True)
class LstmTrace:
    """All time steps: ``hidden`` and ``cell`` (N, T, H), and the Q3.12 gate sums (N, T, 4, H) when asked for."""

    hidden: Integers
    cell: Integers
    gates: Integers | None


class _Step:
    """The integer constants of one LSTM, and one step of it on a batch of independent windows."""

    def __init__(self, parameters: LstmParameters, semantics: str) -> None:
        self.semantics = semantics
        self.parameters = parameters
        self.wide = parameters.input.bits == 16
        self.exponent = power_of_two_exponent(float(parameters.cell.single))
        if semantics == "litert":
            _require_desktop_cell(parameters.cell, self.exponent)
        self.units = parameters.gates[0].weights.shape[0]
        gates = parameters.gates
        self.weights = np.concatenate([g.weights - g.weights_quantization.zero_point for g in gates]).T
        self.recurrent = np.concatenate([g.recurrent - g.recurrent_quantization.zero_point for g in gates]).T
        self.bias = np.concatenate(
            [np.zeros(self.units, np.int64) if g.bias is None else g.bias for g in gates]
        )
        self.input_scaling = self._scaling([g.weights_quantization for g in gates], parameters.input)
        self.recurrent_scaling = self._scaling([g.recurrent_quantization for g in gates], parameters.hidden)
        cell_scale = float(parameters.cell.single)
        self.forget_scaling = quantize_multiplier(UNIT_SCALE * cell_scale / cell_scale)
        self.input_gate_scaling = quantize_multiplier(UNIT_SCALE * UNIT_SCALE / cell_scale)
        self.output = (
            (parameters.litert_hidden or parameters.hidden) if semantics == "litert" else parameters.hidden
        )
        self.output_scaling = self._output_scaling()
        self.clip = self._quantized_clip()
        self.sigmoid = gate_table("sigmoid", semantics)
        self.tanh = gate_table("tanh", semantics)
        self.tanh_cell = gate_table("tanh", semantics, self.exponent)

    def _scaling(self, quantizations: list[Affine], values: Affine) -> tuple[Integers, Integers]:
        """Multiplier and shift of each of the 4 H gate sums."""
        multipliers, shifts = [], []
        for quantization in quantizations:
            if self.semantics == "litert":
                # A float expression: (s_x * s_W) / s in single precision.
                real = float(
                    np.float32(np.float32(values.single * quantization.single) / np.float32(GATE_SCALE))
                )
                pair = quantize_multiplier(real)
                multiplier, shift = np.array(pair[0], np.int64), np.array(pair[1], np.int64)
            else:
                multiplier, shift = matmul_multiplier(values, quantization, GATE_SCALE)
            multipliers.append(np.broadcast_to(multiplier, (self.units,)))
            shifts.append(np.broadcast_to(shift, (self.units,)))
        return np.concatenate(multipliers), np.concatenate(shifts)

    def _output_scaling(self) -> tuple[int, int]:
        scale = float(self.output.single)
        if self.semantics == "litert":
            return quantize_multiplier(float(np.float32(UNIT_SCALE / scale * UNIT_SCALE)))
        return quantize_multiplier(UNIT_SCALE * UNIT_SCALE / scale)

    def _quantized_clip(self) -> int:
        """The cell's clipping value in steps, cut towards zero; 0 for none."""
        clip, scale = np.float32(self.parameters.cell_clip), self.parameters.cell.single
        if clip <= 0:
            return 0
        quotient = float(clip / scale) if self.semantics == "litert" else float(clip) / float(scale)
        return int(min(max(quotient, -32768.0), 32767.0))

    def _scaled(self, total: Integers, scaling: tuple[Integers, Integers]) -> Integers:
        if self.wide:
            return multiply_by_quantized_multiplier_64(total, *scaling)
        return multiply_by_quantized_multiplier(wrap(total, 32), *scaling)

    def input_sums(self, values: Integers) -> Integers:
        """u of all gates and time steps, saturated to int16: values (n, T, input) -> (n, T, 4 H)."""
        total = exact_matmul(values - self.parameters.input.zero_point, self.weights) + self.bias
        return saturate(self._scaled(total, self.input_scaling), 16)

    def gate_sums(self, input_sums: Integers, hidden: Integers) -> Integers:
        """u + v of all gates at one time step: (n, 4 H), saturated to int16."""
        total = exact_matmul(hidden - self.parameters.hidden.zero_point, self.recurrent)
        recurrent = self._scaled(total, self.recurrent_scaling)
        if self.semantics == "tflm":
            recurrent = saturate(recurrent, 16)
        return saturate(input_sums + recurrent, 16)

    def update_cell(self, sums: Integers, cell: Integers) -> Integers:
        """c from the gate sums (n, 4 H) and the former c (n, H)."""
        units = self.units
        input_gate = self.sigmoid[sums[:, :units] + 32768]
        forget_gate = self.sigmoid[sums[:, units : 2 * units] + 32768]
        candidate = self.tanh[sums[:, 2 * units : 3 * units] + 32768]
        if self.semantics == "tflm":
            kept = saturate(multiply_by_quantized_multiplier(forget_gate * cell, *self.forget_scaling), 16)
            added = saturate(
                multiply_by_quantized_multiplier(input_gate * candidate, *self.input_gate_scaling), 16
            )
        else:
            kept = wrap(rounding_divide_by_power_of_two(forget_gate * cell, 15), 16)
            added = wrap(rounding_divide_by_power_of_two(input_gate * candidate, 30 + self.exponent), 16)
        updated = saturate(kept + added, 16)
        return np.clip(updated, -self.clip, self.clip) if self.clip > 0 else updated

    def update_hidden(self, sums: Integers, cell: Integers) -> Integers:
        """h from the gate sums (n, 4 H) and the new c (n, H)."""
        output_gate = self.sigmoid[sums[:, 3 * self.units :] + 32768]
        product = output_gate * self.tanh_cell[cell + 32768]
        low, high = self.output.range
        scaled = multiply_by_quantized_multiplier(product, *self.output_scaling)
        return np.clip(scaled + self.output.zero_point, low, high)


def _require_desktop_cell(cell: Affine, exponent: int) -> None:
    """LiteRT runs other cell scales without complaint, and wrongly: its tanh knows 0 to 6 integer bits only."""
    if float(cell.single) != 2.0**exponent or not -15 <= exponent <= -9:
        raise ModelFileError(
            f"the LSTM's cell scale is {float(cell.single):g}; desktop LiteRT computes powers of two from 2^-15 to 2^-9 only"
        )


def lstm(
    values: Integers,
    hidden: Integers,
    cell: Integers,
    parameters: LstmParameters,
    semantics: str = "tflm",
    *,
    keep_gates: bool = False,
) -> LstmTrace:
    """Run an LSTM over time: values (N, T, input), initial hidden and cell (N, H) -> :class:`LstmTrace`.

    The N windows are independent of each other.
    """
    step = _Step(parameters, semantics)
    count, steps, _ = values.shape
    all_hidden = np.empty((count, steps, step.units), np.int64)
    all_cell = np.empty_like(all_hidden)
    all_sums = np.empty((count, steps, 4, step.units), np.int64) if keep_gates else None
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        input_sums = step.input_sums(values[part])
        h, c = hidden[part], cell[part]
        for t in range(steps):
            sums = step.gate_sums(input_sums[:, t], h)
            c = step.update_cell(sums, c)
            h = step.update_hidden(sums, c)
            all_hidden[part, t], all_cell[part, t] = h, c
            if all_sums is not None:
                all_sums[part, t] = sums.reshape(-1, 4, step.units)
    return LstmTrace(all_hidden, all_cell, all_sums)


def products(inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-accumulates: eight weight matrices a time step; products by element are not counted; 0 for other shapes."""
    if len(inputs) < 9 or len(inputs[0]) != 3:
        return 0
    return inputs[0][0] * inputs[0][1] * sum(math.prod(shape) for shape in inputs[1:9] if shape)


def check_lstm(op: Signature) -> list[Shape]:
    """Values (batch, steps, inputs), or (steps, batch, inputs) if time-major; eight matrices, four biases, two states."""
    if any(op.has(place) for place in (9, 10, 11, 16, 17, 20, 21, 22, 23)):
        op.refuse("it has peepholes, a projection or layer norm inside, which no kernel here computes")
    if len(op.shape(0)) != 3 or len(op.shape(1)) != 2:
        op.refuse(
            f"its input has shape {op.shape(0)} and its weights {op.shape(1)}; they must have three axes and two"
        )
    first, second, depth = op.shape(0)
    batch = second if op.options.get("time_major") else first
    units = op.shape(1)[0]
    for gate in range(4):
        op.require_shape(1 + gate, (units, depth))
        op.require_shape(5 + gate, (units, units))
        if op.has(12 + gate):
            op.require_shape(12 + gate, (units,))
    for place in (HIDDEN_STATE, CELL_STATE):
        op.require_shape(place, (batch, units))
    op.require_activation("TANH")
    clip = float(op.options.get("cell_clip", 0.0))
    if not math.isfinite(clip):
        op.refuse(f"its cell_clip is {clip}; it must be a number")
    _check_lstm_types(op)
    if op.tensor(0).dtype != FLOAT:
        _check_lstm_scales(op)
    return [(first, second, units)]


def _check_lstm_types(op: Signature) -> None:
    """Float32 throughout (with weights of float32 or int8), or integers with int8 weights and an int16 cell."""
    values = op.tensor(0).dtype
    wide = (INT16, INT16, INT16)
    op.require_types((0, HIDDEN_STATE), (FLOAT, FLOAT, FLOAT), (INT8, INT8, INT8), wide)
    weights = {op.tensor(place).dtype for place in range(1, 9)}
    biases = {op.tensor(12 + gate).dtype for gate in range(4) if op.has(12 + gate)}
    cell = op.tensor(CELL_STATE).dtype
    if values == FLOAT:
        sound = len(weights) == 1 and weights <= {FLOAT, INT8} and biases <= {FLOAT} and cell == FLOAT
    else:
        sound = weights == {INT8} and biases <= {INT32, INT64} and cell == INT16
    if not sound:
        kinds = sorted(t.name for t in weights | biases | {cell})
        op.refuse(f"its weights, biases and cell are {', '.join(kinds)} beside values of {values}")


def _check_lstm_scales(op: Signature) -> None:
    values, hidden, cell = (op.affine(place) for place in (0, HIDDEN_STATE, CELL_STATE))
    op.result_affine()
    for place in range(1, 9):
        matmul_multiplier(values if place < 5 else hidden, op.affine(place), GATE_SCALE)
    exponent = power_of_two_exponent(float(cell.single))
    if not -30 <= exponent <= 0:
        op.refuse(f"its cell has scale {float(cell.single):.3g}; allowed: from 2^-30 to 1")
    for scale in (float(cell.single), float(hidden.single)):
        quantize_multiplier(UNIT_SCALE * UNIT_SCALE / scale)


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
    state, cell = call.operand(HIDDEN_STATE), call.operand(CELL_STATE)
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


def _real_sigmoid(x: Values) -> Values:
    result: Values = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def real_lstm(call: FloatCall) -> list[Values]:
    """UNIDIRECTIONAL_SEQUENCE_LSTM row by row: hidden states (N, T, H), then the last hidden state and cell state (N, H).

    Gates i, f, g, o come from weights 1 to 4 (input), 5 to 8 (recurrent) and biases 12 to 15 of the op. The cell state over
    time and the gate sums before their activation are kept beside the output, as ``cell`` and ``gate/NAME``.
    """
    x = call.read(0)
    weight, recurrent, bias = (
        np.concatenate([call.read(first + gate) for gate in range(4)]) for first in (1, 5, 12)
    )
    h, c = call.read(HIDDEN_STATE), call.read(CELL_STATE)
    driven = x @ weight.T + bias
    clip = float(call.options.get("cell_clip", 0.0)) or np.inf
    gates, cells, outputs = [], [], []
    for row in range(x.shape[1]):
        sums = driven[:, row] + h @ recurrent.T
        i, f, g, o = np.split(sums, 4, axis=1)
        c = np.clip(_real_sigmoid(f) * c + _real_sigmoid(i) * np.tanh(g), -clip, clip)
        c = call.seen("/cell", c)
        h = call.seen("", _real_sigmoid(o) * np.tanh(c))
        gates.append(sums)
        cells.append(c)
        outputs.append(h)
    call.traces["cell"] = np.stack(cells, axis=1)
    for gate, part in zip(GATES, np.split(np.stack(gates, axis=1), 4, axis=2)):
        call.traces[f"gate/{gate}"] = part
    return [np.stack(outputs, axis=1), h, c]
