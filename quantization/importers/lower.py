"""From an imported network to the float window graph that the passes, the quantizer and the emitter of C take.

Movement of values vanishes (:mod:`quantization.importers.elements`). Convolutions become dense layers over the taps that they
see, so that their integer arithmetic, their C and their .tflite are those of FULLY_CONNECTED. Attention becomes a score, a
softmax and a mixture a head, as in the lowering of our own network, and the same passes fold its projections. What has no op
yet is refused by its name and the author's source line, all in one go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import ABSENT, Graph, GraphBuilder, Role
from quantization.importers.elements import Dense, Elements, Floats, Ids, NotAPatternError
from quantization.importers.evaluate import (
    MOVEMENT,
    TARGETS,
    convolution_parts,
    layers_of,
    pooling_parts,
)
from quantization.importers.program import Node, Program, Ref
from toolkit.errors import ConversionError

#: A value of the network: constants are floats, all else elements (int64) in the network's own shape.
Value = NDArray[Any]
Arguments = Mapping[str, Any]
_MOST_TOLD = 6


class _Unsupported(Exception):
    """What of a node has no form in the graph."""


def is_constant(value: Any) -> bool:
    """Whether a value is known when the network is lowered."""
    return not (isinstance(value, np.ndarray) and value.dtype == np.int64)


def lower_program(
    program: Program, streams: Mapping[str, str], target: Mapping[str, Any] | None = None
) -> Graph:
    """The float window graph: an input [1, T, C] a stream, ``moments`` [1, O].

    ``streams`` gives the stream of each input by its name in the network; ``target`` is what its author standardised
    the moments with, ``mean`` and ``std``, and is undone. Raises ConversionError naming every node that cannot be lowered.
    """
    lowering = _Lowering(program, streams)
    moments = lowering.output(target)
    return lowering.builder.build(tuple(lowering.inputs.values()), (moments,))


class _Lowering:
    """A graph in the making; ``values`` by the names of the program."""

    def __init__(self, program: Program, streams: Mapping[str, str]) -> None:
        self.program = program
        self.builder = GraphBuilder("window")
        self.elements = Elements(self.builder)
        self.inputs = {
            streams[name]: self.builder.add(streams[name], shape, role=Role.INPUT)
            for name, shape in program.inputs.items()
        }
        self.values: dict[str, Any] = dict(program.weights)
        for name, shape in program.inputs.items():
            self.values[name] = self.elements.of_tensor(self.inputs[streams[name]]).reshape(shape)
        self.problems: list[str] = []
        for node in program.nodes:
            self._node(node)
        if self.problems:
            each = list(dict.fromkeys(self.problems))
            more = f"; and {len(each) - _MOST_TOLD} more" if len(each) > _MOST_TOLD else ""
            raise ConversionError(
                f"the network has no int8 form yet: {'; '.join(each[:_MOST_TOLD])}{more}; docs/IMPORT.md lists what has"
            )

    def output(self, target: Mapping[str, Any] | None) -> int:
        """``moments`` [1, O]: the network's output, a last dense layer of its own name and role."""
        ids = self.values[self.program.output]
        if is_constant(ids):
            raise ConversionError("the network's output does not depend on its inputs")
        base = self.elements.base_of(ids.reshape(-1))
        mean, std = (
            np.asarray(1.0 * i if target is None else target[key]) for i, key in enumerate(("mean", "std"))
        )
        flat = ids.reshape(-1)
        if base is not None and base.dense is not None and base.dense.activation == "NONE":
            local = flat - base.first
            rows, columns = np.unique(local // base.width), local % base.width
            if len(rows) == 1:
                dense = base.dense
                weight, bias = dense.weight[columns], dense.bias[columns]
                if target is not None:
                    weight = np.float64(weight) * std.reshape(-1, 1)
                    bias = np.float64(bias) * std + mean
                last = Dense("moments", dense.x[rows], weight, bias, Role.OUTPUT)
                return self.elements.tensor(self.elements.of_dense(last), row_form=True)
        weight = np.eye(len(flat)) * std.reshape(-1, 1)
        last = Dense("moments", flat[None], weight, np.broadcast_to(mean, flat.shape), Role.OUTPUT)
        return self.elements.tensor(self.elements.of_dense(last), row_form=True)

    def _node(self, node: Node) -> None:
        arguments = {key: self._resolved(value) for key, value in node.arguments.items()}
        if any(_missing(value) for value in arguments.values()):
            return  # it depends on a node that was told already
        try:
            found = self._lowered(node, arguments)
        except (_Unsupported, NotAPatternError, ValueError, LookupError, TypeError) as reason:
            where = f" at {node.where}" if node.where else ""
            self.problems.append(f"{node.target}{where}: {reason}")
            return
        self.values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,)))

    def _lowered(self, node: Node, a: Arguments) -> Any:
        tensors = [v for value in a.values() for v in (value if isinstance(value, list) else [value])]
        if all(is_constant(value) for value in tensors):
            return TARGETS[node.target](
                {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in a.items()}
            )
        if node.target in MOVEMENT:
            return MOVEMENT[node.target]({k: self._moved(v) for k, v in a.items()})
        if node.target not in LOWERINGS:
            raise _Unsupported("it has no integer form yet")
        return LOWERINGS[node.target](self, a, node.outputs[0])

    def _moved(self, value: Any) -> Any:
        """Constants among elements get elements of their own, so that they are moved alike."""
        if isinstance(value, list):
            return [self._moved(one) for one in value]
        if isinstance(value, np.ndarray) and is_constant(value):
            return self.constant_elements(value)
        return value

    def constant_elements(self, value: Floats) -> Ids:
        """Elements of a constant, in its shape."""
        matrix = value.reshape(-1, value.shape[-1] if value.ndim else 1).astype(np.float32)
        index = self.builder.constant(self.elements.name("constant"), matrix[None])
        return self.elements.of_tensor(index).reshape(value.shape)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.values.get(value.name, _MISSING)
        return [self._resolved(one) for one in value] if isinstance(value, list) else value

    # -- what ops share -----------------------------------------------------------------------------------------------

    def rows(self, value: Ids) -> Ids:
        """Elements (rows, width) of a value whose last axis is the width."""
        return value.reshape(-1, value.shape[-1])

    def op(
        self,
        kind: str,
        name: str,
        inputs: tuple[int, ...],
        shape: tuple[int, ...],
        role: Role,
        **options: Any,
    ) -> int:
        """An op of one output."""
        out = self.builder.add(self.elements.name(name), shape, role=role)
        self.builder.op(kind, inputs, (out,), **options)
        return out

    def of_family(self, ids: Ids, family: str) -> Ids:
        """The elements of one tensor, which gets the quantization of its ``family``."""
        base = self.elements.base_of(ids)
        assert base is not None and base.tensor is not None
        self.builder.tensors[base.tensor] = replace(self.builder.tensors[base.tensor], family=family)
        return ids

    def layer_constants(self, layer: Dense) -> tuple[int, int]:
        """Weight and bias of a layer that runs several times."""
        return (
            self.builder.constant(f"{layer.name}/weight", layer.weight.astype(np.float32)),
            self.builder.constant(f"{layer.name}/bias", layer.bias.astype(np.float32)),
        )

    def shared_layer(self, layer: Dense, constants: tuple[int, int], row: Ids) -> Ids:
        """The layer on one row (1, inputs)."""
        x = self.elements.tensor(row, row_form=True)
        out = self.op(
            "FULLY_CONNECTED",
            layer.name,
            (x, *constants),
            (1, len(layer.bias)),
            layer.role,
            fused_activation_function=layer.activation,
            keep_num_dims=False,
        )
        return self.elements.of_tensor(out)

    def alike(self, value: Ids, name: str, make: Callable[[int, str], int]) -> Ids:
        """An op on every element of ``value`` where it lies: on each tensor that it fills, else on a tensor of its own."""
        found = self.elements.covered(value)
        if found is None:
            ids = self.rows(value)
            index = make(self.elements.tensor(ids, row_form=True), name)
            return self.elements.of_tensor(index).reshape(value.shape)
        result = value.copy()
        for base in found:
            count = base.rows * base.width
            whole = base.first + np.arange(count).reshape(base.rows, base.width)
            index = self.elements.tensor(whole, row_form=True) if base.tensor is None else base.tensor
            made = self.elements.of_tensor(make(index, name))
            inside = (value >= base.first) & (value < base.first + count)
            result[inside] = made.reshape(-1)[value[inside] - base.first]
        return result


_MISSING = object()


def _missing(value: Any) -> bool:
    return value is _MISSING or (isinstance(value, list) and any(one is _MISSING for one in value))


# -- dense layers -----------------------------------------------------------------------------------------------------


def _linear(low: _Lowering, a: Arguments, name: str) -> Ids:
    if not is_constant(a["weight"]) or not is_constant(a.get("bias")):
        raise _Unsupported("its weights depend on the input")
    x, weight = a["input"], a["weight"]
    bias = np.zeros(len(weight)) if a.get("bias") is None else a["bias"]
    ids = low.elements.of_dense(Dense(name, low.rows(x), weight, bias, Role.HEAD))
    return ids.reshape(*x.shape[:-1], len(weight))


def _conv1d(low: _Lowering, a: Arguments, name: str) -> Ids:
    """A dense layer over the taps: row t holds the inputs at t * stride + k * dilation - padding, for each k."""
    stride, padding, dilation, groups = convolution_parts(a)
    weight, x = a["weight"], a["input"]
    if not is_constant(weight):
        raise _Unsupported("its weights depend on the input")
    outputs, kernel = weight.shape[0], weight.shape[2]
    if groups != 1:
        weight = _block_diagonal(weight, groups)
    steps = x[0].T
    if padding:  # once for all taps, which then are slices of one tensor
        zeros = low.elements.of_zeros(padding, steps.shape[1], low.elements.role_of(steps))
        padded = low.elements.tensor(np.concatenate([zeros, steps, zeros]))
        steps = low.elements.of_tensor(padded)
    count = (len(steps) - dilation * (kernel - 1) - 1) // stride + 1
    taps = [steps[k * dilation : k * dilation + stride * (count - 1) + 1 : stride] for k in range(kernel)]
    flat = np.moveaxis(weight, 2, 1).reshape(outputs, -1)
    bias = np.zeros(outputs) if a.get("bias") is None else a["bias"]
    ids = low.elements.of_dense(Dense(name, np.concatenate(taps, axis=1), flat, bias, Role.HEAD))
    return np.ascontiguousarray(ids.T)[None]


def _block_diagonal(weight: Floats, groups: int) -> Floats:
    """Weights (O, I, K) of a convolution whose groups see only their own channels."""
    outputs, width, kernel = weight.shape
    whole = np.zeros((outputs, width * groups, kernel), weight.dtype)
    each = outputs // groups
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        whole[rows, group * width : (group + 1) * width] = weight[rows]
    return whole


def _batch_norm(low: _Lowering, a: Arguments, name: str) -> Ids:
    """gain * x + offset of each channel: into the convolution before it, if there is one."""
    x = a["input"]
    gain = 1.0 / np.sqrt(np.float64(a["running_var"]) + a["eps"])
    gain = gain if a.get("weight") is None else gain * a["weight"]
    offset = -np.float64(a["running_mean"]) * gain
    offset = offset if a.get("bias") is None else offset + a["bias"]
    base = low.elements.base_of(x)
    steps = np.ascontiguousarray(x[0].T) if x.ndim == 3 else x
    if base is None or base.dense is None or base.dense.activation != "NONE":
        dense = Dense(name, steps, np.diag(gain), offset, Role.HEAD)
    else:
        columns = (steps - base.first) % base.width
        if (columns != np.arange(base.width)).any():
            raise NotAPatternError("its channels are not those of the layer before it")
        weight = gain[:, None] * base.dense.weight
        rows = (steps[:, 0] - base.first) // base.width
        dense = Dense(name, base.dense.x[rows], weight, gain * base.dense.bias + offset, Role.HEAD)
    ids = low.elements.of_dense(dense)
    return np.ascontiguousarray(ids.T)[None] if x.ndim == 3 else ids


def _relu(low: _Lowering, a: Arguments, name: str) -> Ids:
    """Fused into the dense layer before it; else a maximum with 0 by an identity layer."""
    value = a["self"]
    base = low.elements.base_of(value)
    if base is not None and base.dense is not None and base.dense.activation == "NONE":
        dense = base.dense
        fused = Dense(name, dense.x, dense.weight, dense.bias, dense.role, "RELU")
        moved: Ids = low.elements.of_dense(fused).reshape(-1)[value - base.first]
        return moved
    return low.alike(value, name, lambda index, called: _fused_relu(low, index, called))


def _fused_relu(low: _Lowering, index: int, name: str) -> int:
    """max(x, 0) as x + 0 with the activation that every ADD kernel has."""
    tensor = low.builder.tensors[index]
    zero = low.builder.constant(
        low.elements.name(f"{name}/zero"), np.zeros((1,) * len(tensor.shape), np.float32)
    )
    return low.op(
        "ADD", name, (index, zero), tensor.shape, Role.HEAD, fused_activation_function="RELU", pot_scale_int16=False
    )  # fmt: skip


# -- recurrent layers -------------------------------------------------------------------------------------------------


def _lstm(low: _Lowering, a: Arguments, name: str) -> tuple[Any, ...]:
    return _recurrent(low, a, name, a["hx"], _lstm_layer)


def _gru(low: _Lowering, a: Arguments, name: str) -> tuple[Any, ...]:
    return _recurrent(low, a, name, [a["hx"]], _gru_layer)[:2]


def _recurrent(
    low: _Lowering, a: Arguments, name: str, first: list[Value], layer_of: Callable[..., Ids]
) -> tuple[Any, ...]:
    """Outputs, last hidden states, and a last cell state that nothing gives, of all layers and directions."""
    if not all(is_constant(state) and not np.any(state) for state in first):
        raise _Unsupported("its first state is not zero")
    x = a["input"] if a["batch_first"] else np.swapaxes(a["input"], 0, 1)
    last = []
    for number, directions in enumerate(layers_of(a)):
        outputs = []
        for backward, weights in enumerate(directions):
            rows = low.rows(x)[::-1] if backward else low.rows(x)
            called = low.elements.name(f"{name}/{number}" + ("/backward" if backward else ""))
            states = layer_of(low, called, np.ascontiguousarray(rows), weights)
            last.append(states[-1:])
            outputs.append(states[::-1] if backward else states)
        x = np.concatenate(outputs, axis=1)[None]
    result = x if a["batch_first"] else np.swapaxes(x, 0, 1)
    return result, np.stack(last), _MISSING


def _lstm_layer(low: _Lowering, name: str, rows: Ids, weights: tuple[Any, ...]) -> Ids:
    """Hidden states (T, H) of one layer in one direction, in the order in which it runs."""
    builder = low.builder
    driven, recurrent, *biases = weights
    hidden = recurrent.shape[1]
    if recurrent.shape[0] != 4 * hidden:
        raise _Unsupported("its output is projected (proj_size)")
    bias = np.zeros(4 * hidden) if biases[0] is None else np.float64(biases[0]) + biases[1]
    gates = ("input", "forget", "cell", "output")

    def constants(key: str, values: Floats) -> list[int]:
        parts = np.split(values.astype(np.float32), 4)
        return [builder.constant(f"{name}/{gate}/{key}", part) for gate, part in zip(gates, parts)]

    x = low.elements.tensor(rows)
    state = builder.add(f"{name}/h", (1, hidden), is_variable=True, role=Role.HIDDEN)
    cell = builder.add(f"{name}/c", (1, hidden), is_variable=True, role=Role.CELL)
    inputs = [x, *constants("weight_ih", driven), *constants("weight_hh", recurrent), *[ABSENT] * 3]
    inputs += [*constants("bias", bias), ABSENT, ABSENT, state, cell, *[ABSENT] * 4]
    out = builder.add(f"{name}/hidden", (1, len(rows), hidden), role=Role.HIDDEN)
    builder.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        tuple(inputs),
        (out,),
        fused_activation_function="TANH",
        cell_clip=0.0,
        proj_clip=0.0,
        time_major=False,
    )
    return low.elements.of_tensor(out)


def _gru_layer(low: _Lowering, name: str, rows: Ids, weights: tuple[Any, ...]) -> Ids:
    """Hidden states (T, H) of a GRU layer in torch's form (Cho et al. 2014, reset behind the product), step by step.

    No engine has a GRU in int8, so that each step is its own ops: the weights are stored once, and steps share their
    scales. ``h' = n + z (h - n)`` with ``n = tanh(Wn x + bn + r (Un h + cn))``.
    """
    driven_weight, recurrent, driven_bias, own_bias = weights
    hidden = recurrent.shape[1]
    zero = np.zeros(3 * hidden)
    own = zero if own_bias is None else own_bias.astype(np.float64)
    bias = zero if driven_bias is None else driven_bias.astype(np.float64)
    # What the hidden state adds to reset and update is added once; that of the candidate stands within the reset.
    bias = bias + np.concatenate([own[: 2 * hidden], np.zeros(hidden)])
    inside = np.concatenate([np.zeros(2 * hidden), own[2 * hidden :]])
    driven = low.elements.of_dense(Dense(f"{name}/driven", rows, driven_weight, bias, Role.HEAD))
    driven = low.elements.of_tensor(low.elements.tensor(driven))

    def step(kind: str, part: str, left: Value, right: Value) -> Ids:
        return low.of_family(
            _elementwise(low, kind, left, right, f"{name}/{part}", Role.HEAD), f"{name}/{part}"
        )

    def squashed(kind: str, part: str, value: Ids) -> Ids:
        return _unary(kind)(low, {"self": value}, f"{name}/{part}")

    layer = Dense(f"{name}/recurrent", driven[:1], recurrent, inside, Role.HEAD)
    shared = low.layer_constants(layer)
    states: list[Ids] = []
    for row in driven:
        gates, candidate = row[None, : 2 * hidden], row[None, 2 * hidden :]
        if states:
            given = low.of_family(low.shared_layer(layer, shared, states[-1]), layer.name)
            both = squashed("LOGISTIC", "gates", step("ADD", "sums", gates, given[:, : 2 * hidden]))
            kept = step("MUL", "kept", both[:, :hidden], given[:, 2 * hidden :])
        else:  # from a state of zero
            both = squashed("LOGISTIC", "gates", gates)
            kept = step("MUL", "kept", both[:, :hidden], inside[None, 2 * hidden :])
        new = squashed("TANH", "new", step("ADD", "candidate", candidate, kept))
        update = both[:, hidden:]
        before = (
            step("SUB", "change", states[-1], new) if states else _scaled(low, new, -1.0, f"{name}/change")
        )
        states.append(step("ADD", "hidden", new, step("MUL", "moved", update, before)))
    return np.concatenate(states)


# -- attention --------------------------------------------------------------------------------------------------------


def _attention(low: _Lowering, a: Arguments, name: str) -> Ids:
    if a.get("attn_mask") is not None or a.get("is_causal") or a.get("dropout_p") or a.get("enable_gqa"):
        raise _Unsupported("a mask or dropout within it")
    scale = a.get("scale") or 1 / math.sqrt(a["query"].shape[-1])
    asked = _scaled(low, a["query"], scale, f"{name}/scaled")
    scores = _product(low, asked, np.swapaxes(a["key"], -1, -2), f"{name}/scores")
    shares = _softmax(low, {"self": scores, "dim": -1}, f"{name}/shares")
    return _product(low, shares, a["value"], f"{name}/mixed")


def _matmul(low: _Lowering, a: Arguments, name: str) -> Ids:
    return _product(low, a["self"], a["mat2" if "mat2" in a else "other"], name)


def _product(low: _Lowering, left: Value, right: Value, name: str) -> Ids:
    """Matrix product over the leading axes, a BATCH_MATMUL for each of them."""
    if is_constant(left) or is_constant(right):
        if is_constant(right) and right.ndim == 2:
            return _linear(low, {"input": left, "weight": right.T}, name)
        left, right = (low.constant_elements(v) if is_constant(v) else v for v in (left, right))
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*lead, left.shape[-2], right.shape[-1])
    lefts = np.broadcast_to(left, (*lead, *left.shape[-2:])).reshape(-1, *left.shape[-2:])
    rights = np.broadcast_to(right, (*lead, *right.shape[-2:])).reshape(-1, *right.shape[-2:])
    made = [_one_product(low, a, b, name) for a, b in zip(lefts, rights)]
    return np.stack(made).reshape(shape)


def _one_product(low: _Lowering, left: Ids, right: Ids, name: str) -> Ids:
    for base in [*low.elements.bases_of(left), *low.elements.bases_of(right)]:
        if base.dense is not None:
            base.dense = replace(base.dense, role=Role.ATTENTION)
    with low.builder.part(Role.ATTENTION):
        # Dense layers lie in rows of their outputs: the keys' transposition is the op's own adj_y.
        turned = low.elements.base_of(right)
        adj_y = turned is not None and _lies_turned(right, turned.first, turned.width)
        a = low.elements.tensor(np.ascontiguousarray(left), row_form=True)
        a = low.elements.reshaped(a, (1, *left.shape))
        b = low.elements.tensor(np.ascontiguousarray(right.T if adj_y else right))
        out = low.op(
            "BATCH_MATMUL", name, (a, b), (1, left.shape[0], right.shape[1]), Role.ATTENTION, adj_x=False, adj_y=adj_y
        )  # fmt: skip
    return low.elements.of_tensor(out)


def _lies_turned(ids: Ids, first: int, width: int) -> bool:
    rows = (ids - first) // width
    return bool(ids.shape[1] > 1 and (rows[0] != rows[0, 0]).any()) or (
        ids.shape[1] == 1 and ids.shape[0] > 1 and bool((rows == rows[0, 0]).all())
    )


def _softmax(low: _Lowering, a: Arguments, name: str) -> Ids:
    value = a["self"]
    if a["dim"] % value.ndim != value.ndim - 1:
        raise _Unsupported("it runs over an axis that is not the last")
    width = value.shape[-1]
    for base in low.elements.bases_of(value):
        if base.tensor is not None and low.builder.tensors[base.tensor].role == Role.ATTENTION:
            tensor = low.builder.tensors[base.tensor]
            low.builder.tensors[base.tensor] = replace(tensor, role=Role.SCORES)

    def make(index: int, called: str) -> int:
        shape = low.builder.tensors[index].shape
        if shape[-1] != width:
            raise NotAPatternError("its rows are not those of what it reads")
        return low.op("SOFTMAX", called, (index,), shape, Role.ATTENTION_WEIGHTS, beta=1.0)

    return low.alike(value, name, make)


# -- element by element -----------------------------------------------------------------------------------------------

_OPTIONS: dict[str, dict[str, Any]] = {
    "ADD": {"fused_activation_function": "NONE", "pot_scale_int16": False},
    "SUB": {"fused_activation_function": "NONE", "pot_scale_int16": False},
    "MUL": {"fused_activation_function": "NONE"},
}


def _scaled(low: _Lowering, value: Value, factor: float, name: str) -> Ids:
    """``value`` times a number: into the dense layer that gives it, if there is one."""
    base = low.elements.base_of(value)
    if base is not None and base.dense is not None and base.dense.activation == "NONE":
        dense = base.dense
        weight, bias = (values.astype(np.float64) * factor for values in (dense.weight, dense.bias))
        scaled = replace(dense, name=name, weight=weight, bias=bias)
        moved: Ids = low.elements.of_dense(scaled).reshape(-1)[value - base.first]
        return moved
    return _elementwise(low, "MUL", value, np.array([factor]), name, Role.HEAD)


def _binary(kind: str) -> Callable[[_Lowering, Arguments, str], Ids]:
    def lower(low: _Lowering, a: Arguments, name: str) -> Ids:
        left, right = a["self"], a["other"]
        alpha = a.get("alpha", 1)
        left, right = (v if isinstance(v, np.ndarray) else np.asarray(v, np.float64) for v in (left, right))
        if alpha != 1:
            right = right * alpha if is_constant(right) else _scaled(low, right, alpha, f"{name}/scaled")
        if kind == "DIV":
            if not is_constant(right):
                raise _Unsupported("it divides by what depends on the input")
            right = 1.0 / np.float64(right)
        if kind in ("DIV", "MUL"):
            for one, other in ((left, right), (right, left)):
                if is_constant(other) and other.size == 1 and not is_constant(one):
                    return _scaled(low, one, float(other.reshape(())), name)
        return _elementwise(low, "MUL" if kind == "DIV" else kind, left, right, name, Role.HEAD)

    return lower


def _elementwise(low: _Lowering, kind: str, left: Value, right: Value, name: str, role: Role) -> Ids:
    """ADD, SUB, MUL or MAXIMUM of two values that broadcast, in the layout of the larger one's own tensor."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    sides = [np.broadcast_to(side, shape) for side in (left, right)]
    order = _layout(low, [side for side in (left, right) if not is_constant(side)], shape)
    grids = [side.reshape(-1)[order] for side in sides]
    inputs = tuple(_operand(low, grid, name) for grid in grids)
    rows, width = order.shape
    own = (1, width) if rows == 1 else (1, rows, width)
    out = low.op(kind, name, inputs, own, role, **_OPTIONS.get(kind, {}))
    result = np.empty(order.size, np.int64)
    result[order.reshape(-1)] = low.elements.of_tensor(out).reshape(-1)
    return result.reshape(shape)


def _layout(low: _Lowering, sides: list[Ids], shape: tuple[int, ...]) -> Ids:
    """Places (rows, width) of a value's flat elements in the order in which one of ``sides`` lies in memory."""
    count = math.prod(shape)
    for side in sides:
        base = low.elements.base_of(side) if side.shape == shape else None
        if base is not None and count == base.rows * base.width:
            order = np.argsort(side.reshape(-1), kind="stable")
            if (np.diff(side.reshape(-1)[order]) == 1).all():
                return order.reshape(base.rows, base.width)
    return np.arange(count).reshape(-1, shape[-1] if shape else 1)


def _operand(low: _Lowering, grid: Value, name: str) -> int:
    """The tensor of one side (rows, width): of one row, or of one column, where all are the same."""
    rank = 2 if len(grid) == 1 else 3
    if (grid == grid[:1]).all():
        grid = grid[:1]
    if (grid == grid[:, :1]).all():
        grid = grid[:, :1]
    if is_constant(grid):
        values = grid.astype(np.float32).reshape((1,) * (rank - 2) + grid.shape)
        return low.builder.constant(low.elements.name(f"{name}/constant"), values)
    index = low.elements.tensor(np.ascontiguousarray(grid), row_form=rank == 2)
    return low.elements.reshaped(index, (1, *grid.shape)) if rank == 3 else index


def _unary(kind: str) -> Callable[[_Lowering, Arguments, str], Ids]:
    """TANH or LOGISTIC of each element."""

    def lower(low: _Lowering, a: Arguments, name: str) -> Ids:
        def make(index: int, called: str) -> int:
            return low.op(kind, called, (index,), low.builder.tensors[index].shape, Role.SQUASHED)

        return low.alike(a["self"], name, make)

    return lower


def _gelu(low: _Lowering, a: Arguments, name: str) -> Ids:
    if a.get("approximate", "none") != "none":
        raise _Unsupported("its approximation by tanh; the exact form has one")

    def make(index: int, called: str) -> int:
        shape = low.builder.tensors[index].shape
        return low.op("GELU", called, (index,), shape, Role.NARROW, approximate=False)

    return low.alike(a["self"], name, make)


def _layer_norm(low: _Lowering, a: Arguments, name: str) -> Ids:
    """norm(x), each step an op, as the lowering of our own network writes it."""
    value = a["input"]
    if len(a["normalized_shape"]) != 1:
        raise _Unsupported("it normalises over more than the last axis")
    ids = low.rows(value)
    with low.builder.part(Role.NORM):
        x = low.elements.tensor(ids, row_form=True)
        shape = low.builder.tensors[x].shape
        one = (*shape[:-1], 1)

        def mean(part: str, index: int) -> int:
            axis = low.builder.constant(
                low.elements.name(f"{name}/{part}/axis"), np.array([len(shape) - 1], np.int32)
            )
            return low.op("MEAN", f"{name}/{part}", (index, axis), one, Role.NORM, keep_dims=True)

        def step(kind: str, part: str, left: int, right: int, own: tuple[int, ...]) -> int:
            return low.op(kind, f"{name}/{part}", (left, right), own, Role.NORM, **_OPTIONS[kind])

        def constant(part: str, values: Floats) -> int:
            data = values.astype(np.float32).reshape((1,) * (len(shape) - 1) + (-1,))
            return low.builder.constant(low.elements.name(f"{name}/{part}"), data)

        centred = step("SUB", "centred", x, mean("mean", x), shape)
        variance = mean("variance", step("MUL", "squared", centred, centred, shape))
        epsilon = constant("epsilon", np.array([a.get("eps", 1e-5)]))
        guarded = step("ADD", "guarded", variance, epsilon, one)
        inverse = low.op("RSQRT", f"{name}/inverse", (guarded,), one, Role.NORM)
        result = step("MUL", "normal", centred, inverse, shape)
        if a.get("weight") is not None:
            result = step("MUL", "scaled", result, constant("gain", a["weight"]), shape)
        if a.get("bias") is not None:
            result = step("ADD", "shifted", result, constant("offset", a["bias"]), shape)
    return low.elements.of_tensor(result).reshape(value.shape)


# -- over time --------------------------------------------------------------------------------------------------------


def _mean(low: _Lowering, a: Arguments, name: str) -> Ids:
    value = a["self"]
    axes = sorted(axis % value.ndim for axis in a.get("dim") or range(value.ndim))
    kept = [axis for axis in range(value.ndim) if axis not in axes]
    moved = np.transpose(value, [*axes, *kept]).reshape(math.prod(value.shape[i] for i in axes), -1)
    x = low.elements.tensor(np.ascontiguousarray(moved))
    axis = low.builder.constant(low.elements.name(f"{name}/axis"), np.array([1], np.int32))
    out = low.op("MEAN", name, (x, axis), (1, moved.shape[1]), Role.HEAD, keep_dims=False)
    ids = low.elements.of_tensor(out)
    shape = [1 if i in axes else n for i, n in enumerate(value.shape)]
    return ids.reshape(shape if a.get("keepdim") else [value.shape[i] for i in kept])


def _whole_mean(low: _Lowering, a: Arguments, name: str) -> Ids:
    if list(a["output_size"]) != [1]:
        raise _Unsupported("a pooling to more than one step")
    return _mean(low, {"self": a["self"], "dim": [-1], "keepdim": True}, name)


def _taps(a: Arguments) -> list[Ids]:
    kernel, stride, padding, dilation = pooling_parts(a)
    if padding:
        raise _Unsupported("padding of a pooling")
    x = a["self"]
    count = (x.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
    return [x[:, :, k * dilation : k * dilation + stride * (count - 1) + 1 : stride] for k in range(kernel)]


def _max_pool(low: _Lowering, a: Arguments, name: str) -> Ids:
    """The larger of the first two taps, then of that and the third, and so on."""
    first, *others = (np.swapaxes(tap, 1, 2) for tap in _taps(a))
    for tap in others:
        first = _elementwise(low, "MAXIMUM", first, tap, name, low.elements.role_of(tap) or Role.HEAD)
    return np.swapaxes(first, 1, 2)


def _average_pool(low: _Lowering, a: Arguments, name: str) -> Ids:
    stacked = np.stack([np.swapaxes(tap, 1, 2) for tap in _taps(a)])
    return np.swapaxes(_mean(low, {"self": stacked, "dim": [0]}, name), 1, 2)


def _pad(low: _Lowering, a: Arguments, name: str) -> Ids:
    """Zeros around a value."""
    if a.get("value") or a.get("mode", "constant") != "constant":
        raise _Unsupported("padding with other values than 0")
    value, pad = a["self"], list(a["pad"])
    for place in range(len(pad) // 2):
        axis = value.ndim - 1 - place
        for count, before in ((pad[2 * place], True), (pad[2 * place + 1], False)):
            if count < 0:
                raise _Unsupported("padding below 0")
            if count:
                shape = [count if i == axis else n for i, n in enumerate(value.shape)]
                zeros = low.elements.of_zeros(1, math.prod(shape), low.elements.role_of(value))
                parts = [zeros.reshape(shape), value]
                value = np.concatenate(parts if before else parts[::-1], axis=axis)
    padded: Ids = value
    return padded


LOWERINGS: dict[str, Callable[[_Lowering, Arguments, str], Any]] = {
    "lstm.input": _lstm,
    "gru.input": _gru,
    "linear.default": _linear,
    "conv1d.default": _conv1d,
    "batch_norm.default": _batch_norm,
    "layer_norm.default": _layer_norm,
    "scaled_dot_product_attention.default": _attention,
    "bmm.default": _matmul,
    "matmul.default": _matmul,
    "softmax.int": lambda low, a, name: _softmax(low, a, name),
    "relu.default": _relu,
    "gelu.default": _gelu,
    "tanh.default": _unary("TANH"),
    "sigmoid.default": _unary("LOGISTIC"),
    "add.Tensor": _binary("ADD"),
    "sub.Tensor": _binary("SUB"),
    "mul.Tensor": _binary("MUL"),
    "div.Tensor": _binary("DIV"),
    "add.Scalar": _binary("ADD"),
    "sub.Scalar": _binary("SUB"),
    "mul.Scalar": _binary("MUL"),
    "div.Scalar": _binary("DIV"),
    "rsub.Scalar": lambda low, a, name: _binary("SUB")(
        low, {**a, "self": a["other"], "other": a["self"]}, name
    ),
    "neg.default": lambda low, a, name: _scaled(low, a["self"], -1.0, name),
    "mean.dim": _mean,
    "mean.default": _mean,
    "max_pool1d.default": _max_pool,
    "avg_pool1d.default": _average_pool,
    "adaptive_avg_pool1d.default": _whole_mean,
    "pad.default": _pad,
}
