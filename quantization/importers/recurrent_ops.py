"""LSTM and GRU: several layers, both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantization.graph.ir import ABSENT, Role
from quantization.importers.elements import Dense, Floats, Ids
from quantization.importers.elementwise_ops import elementwise, scaled, unary
from quantization.importers.evaluate import layers_of
from quantization.importers.making import (
    NOTHING,
    Arguments,
    GraphMaking,
    UnsupportedError,
    Value,
    is_constant,
)


def lstm(low: GraphMaking, a: Arguments, name: str) -> tuple[Any, ...]:
    return _recurrent(low, a, name, a["hx"], _lstm_layer)


def gru(low: GraphMaking, a: Arguments, name: str) -> tuple[Any, ...]:
    return _recurrent(low, a, name, [a["hx"]], _gru_layer)[:2]


def _recurrent(
    low: GraphMaking, a: Arguments, name: str, first: list[Value], layer_of: Callable[..., Ids]
) -> tuple[Any, ...]:
    """Outputs, last hidden states, and a last cell state that nothing gives, of all layers and directions."""
    if not all(is_constant(state) and not np.any(state) for state in first):
        raise UnsupportedError("its first state is not zero")
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
    return result, np.stack(last), NOTHING


def _lstm_layer(low: GraphMaking, name: str, rows: Ids, weights: tuple[Any, ...]) -> Ids:
    """Hidden states (T, H) of one layer in one direction, in the order in which it runs."""
    builder = low.builder
    driven, recurrent, *biases = weights
    hidden = recurrent.shape[1]
    if recurrent.shape[0] != 4 * hidden:
        raise UnsupportedError("its output is projected (proj_size)")
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


def _gru_layer(low: GraphMaking, name: str, rows: Ids, weights: tuple[Any, ...]) -> Ids:
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
            elementwise(low, kind, left, right, f"{name}/{part}", Role.HEAD), f"{name}/{part}"
        )

    def squashed(kind: str, part: str, value: Ids) -> Ids:
        return unary(kind)(low, {"self": value}, f"{name}/{part}")

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
            step("SUB", "change", states[-1], new) if states else scaled(low, new, -1.0, f"{name}/change")
        )
        states.append(step("ADD", "hidden", new, step("MUL", "moved", update, before)))
    return np.concatenate(states)
