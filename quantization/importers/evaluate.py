"""What a network computes, node by node in numpy: the float that an import is measured against.

Each function is ATen's op of that name (https://docs.pytorch.org/cppdocs, ``aten/src/ATen/native``), written from its
definition and not from the lowering, so that the two prove each other.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantization.importers.program import Program, Ref
from toolkit.errors import CheckpointError
from toolkit.reading import reading

Array = NDArray[np.floating[Any]]
Arguments = Mapping[str, Any]
#: Elements of one value that a network computes, a thousand times those of one for a body.
ELEMENTS = 1 << 24


def run(program: Program, inputs: Mapping[str, Array], *, dtype: DTypeLike = np.float64) -> Array:
    """The output (N, O) for ``inputs`` {name: (N, T, C)}, one window after the other."""
    weights = {name: values.astype(dtype) for name, values in program.weights.items()}
    count = len(next(iter(inputs.values())))
    rows = []
    for window in range(count):
        fed = {name: np.asarray(inputs[name][window : window + 1], dtype) for name in program.inputs}
        rows.append(values_of(program, weights | fed)[program.output].reshape(-1))
    return np.stack(rows) if rows else np.zeros((0, math.prod(program.shapes[program.output])))


def values_of(program: Program, known: Mapping[str, Array]) -> dict[str, Array]:
    """Every value by name, from weights and inputs; CheckpointError if a node's arguments are not its op's."""
    values = dict(known)
    with np.errstate(over="ignore"):  # of an exponential whose reciprocal is then 0, as it should be
        for node in program.nodes:
            with reading(
                f"node {node.target} {node.where}".strip(), "one that its op allows", CheckpointError
            ):
                given = TARGETS[node.target](
                    {key: _resolved(value, values) for key, value in node.arguments.items()}
                )
                results = given if isinstance(given, tuple) else (given,)
                values.update(zip(node.outputs, results))
    return values


def _resolved(value: Any, values: Mapping[str, Array]) -> Any:
    if isinstance(value, Ref):
        return values[value.name]
    return [_resolved(item, values) for item in value] if isinstance(value, list) else value


# -- recurrent layers -------------------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    result: Array = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def _lstm_cell(gates: Array, recurrent: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(gates + recurrent, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def _gru_cell(gates: Array, recurrent: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
    (r, z, n), (hr, hz, hn) = np.split(gates, 3, axis=-1), np.split(recurrent, 3, axis=-1)
    reset, update = sigmoid(r + hr), sigmoid(z + hz)
    return (1.0 - update) * np.tanh(n + reset * hn) + update * hidden, cell


def layers_of(a: Arguments) -> list[list[tuple[Any, ...]]]:
    """Weights of a recurrent node, [layer][direction] of (input, hidden, bias of input, bias of hidden).

    Without biases the last two are None. ValueError if their number is not that of the layers.
    """
    parts = 4 if a["has_biases"] else 2
    directions = 2 if a.get("bidirectional") else 1
    params, layers = a["params"], a["num_layers"]
    if layers < 1 or len(params) != layers * directions * parts:
        raise ValueError(f"{len(params)} weights for {layers} layers")
    groups = [tuple(params[i : i + parts]) + (None,) * (4 - parts) for i in range(0, len(params), parts)]
    return [groups[i : i + directions] for i in range(0, len(groups), directions)]


def _recurrent(a: Arguments, states: tuple[Array, Array], cell: Callable[..., tuple[Array, Array]]) -> Any:
    """Outputs and last states of all layers; ``states`` (layers * directions, 1, H) each."""
    x = a["input"] if a["batch_first"] else np.swapaxes(a["input"], 0, 1)
    last: tuple[list[Array], list[Array]] = ([], [])
    for directions in layers_of(a):
        outputs = []
        for direction, (w_in, w_hidden, b_in, b_hidden) in enumerate(directions):
            place = len(last[0])
            h, c = (state[place] for state in states)
            driven = x @ w_in.T + (0.0 if b_in is None else b_in)
            rows = []
            for gates in np.swapaxes(driven[:, ::-1] if direction else driven, 0, 1):
                h, c = cell(gates, h @ w_hidden.T + (0.0 if b_hidden is None else b_hidden), h, c)
                rows.append(h)
            outputs.append(np.stack(rows[::-1] if direction else rows, axis=1))
            last[0].append(h)
            last[1].append(c)
        x = np.concatenate(outputs, axis=-1)
    return (x if a["batch_first"] else np.swapaxes(x, 0, 1)), np.stack(last[0]), np.stack(last[1])


def _lstm(a: Arguments) -> Any:
    return _recurrent(a, (a["hx"][0], a["hx"][1]), _lstm_cell)


def _gru(a: Arguments) -> Any:
    return _recurrent(a, (a["hx"], a["hx"]), _gru_cell)[:2]


# -- products ---------------------------------------------------------------------------------------------------------


def _linear(a: Arguments) -> Array:
    product = _product(np.atleast_2d(a["input"]), a["weight"].T)
    return product if a.get("bias") is None else product + a["bias"]


def convolution_parts(a: Arguments) -> tuple[int, int, int, int]:
    """(stride, padding left and right, dilation, groups) of a conv1d; ValueError for padding by a word."""
    padding = a.get("padding", [0])
    if isinstance(padding, str):
        raise ValueError(f"padding {padding!r} is a word: give its number")
    stride, dilation = ((a.get(key) or [1])[0] for key in ("stride", "dilation"))
    return stride, padding[0], dilation, a.get("groups", 1)


def _taps(x: Array, kernel: int, stride: int, dilation: int = 1) -> list[Array]:
    """What each of ``kernel`` taps sees of x (N, C, T) at every output, (N, C, outputs)."""
    count = (x.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
    return [x[:, :, k * dilation : k * dilation + stride * (count - 1) + 1 : stride] for k in range(kernel)]


def _conv1d(a: Arguments) -> Array:
    stride, padding, dilation, groups = convolution_parts(a)
    bounded(a["input"].shape[1], a["input"].shape[2] + 2 * padding, a["weight"].shape[2])
    x = np.pad(a["input"], ((0, 0), (0, 0), (padding, padding)))
    weight = a["weight"]
    outputs, width, kernel = weight.shape
    columns = np.stack(_taps(x, kernel, stride, dilation), axis=-1)
    count = columns.shape[2]
    grouped = columns.reshape(x.shape[0], groups, width, count, kernel)
    kernels = weight.reshape(groups, outputs // groups, width, kernel)
    result: Array = np.einsum("bgitk,goik->bgot", grouped, kernels).reshape(x.shape[0], outputs, count)
    return result if a.get("bias") is None else result + a["bias"][:, None]


def _attention(a: Arguments) -> Array:
    if a.get("attn_mask") is not None or a.get("is_causal") or a.get("dropout_p"):
        raise ValueError("a mask or dropout within attention is not supported")
    query, key, value = a["query"], a["key"], a["value"]
    scale = a.get("scale")
    scores = _product(query, np.swapaxes(key, -1, -2)) * (
        1 / math.sqrt(query.shape[-1]) if scale is None else scale
    )
    result: Array = softmax(scores, -1) @ value
    return result


def softmax(x: Array, axis: int) -> Array:
    """Shares that sum to 1 along ``axis``."""
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Array = powers / powers.sum(axis=axis, keepdims=True)
    return result


# -- norms, activations, pooling --------------------------------------------------------------------------------------


def _batch_norm(a: Arguments) -> Array:
    shape = (1, -1) + (1,) * (a["input"].ndim - 2)
    result: Array = (a["input"] - a["running_mean"].reshape(shape)) / np.sqrt(
        a["running_var"].reshape(shape) + a["eps"]
    )
    if a.get("weight") is not None:
        result = result * a["weight"].reshape(shape)
    return result if a.get("bias") is None else result + a["bias"].reshape(shape)


def _layer_norm(a: Arguments) -> Array:
    axes = tuple(range(-len(a["normalized_shape"]), 0))
    centred = a["input"] - a["input"].mean(axis=axes, keepdims=True)
    result: Array = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + a.get("eps", 1e-5))
    if a.get("weight") is not None:
        result = result * a["weight"]
    return result if a.get("bias") is None else result + a["bias"]


def _weight_norm(a: Arguments) -> Array:
    v, axis = a["v"], a.get("dim", 0)
    others = tuple(i for i in range(v.ndim) if i != axis)
    result: Array = v * (a["g"] / np.sqrt((v**2).sum(axis=others, keepdims=True)))
    return result


def gelu(x: Array, approximate: str = "none") -> Array:
    """x times the normal distribution's integral up to x (Hendrycks & Gimpel 2016), or its approximation by tanh."""
    if approximate == "tanh":
        result: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    else:
        result = 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))
    return result


def _max_pool(a: Arguments) -> Array:
    kernel, stride, padding, dilation = pooling_parts(a)
    bounded(a["self"].shape[1], a["self"].shape[2] + 2 * padding, kernel)
    x = np.pad(a["self"], ((0, 0), (0, 0), (padding, padding)), constant_values=-np.inf)
    result: Array = np.max(_taps(x, kernel, stride, dilation), axis=0)
    return result


def _average_pool(a: Arguments) -> Array:
    kernel, stride, padding, _ = pooling_parts(a)
    if padding:
        raise ValueError("padding of an average pooling is not supported")
    result: Array = np.mean(_taps(a["self"], kernel, stride), axis=0)
    return result


def pooling_parts(a: Arguments) -> tuple[int, int, int, int]:
    """(kernel, stride, padding, dilation) of a pooling over time."""
    kernel = int(a["kernel_size"][0])
    if a.get("ceil_mode"):
        raise ValueError("ceil_mode is not supported")
    stride, padding, dilation = (
        int((list(a.get(key) or []) or [default])[0])
        for key, default in (("stride", kernel), ("padding", 0), ("dilation", 1))
    )
    return kernel, stride, padding, dilation


def _mean(a: Arguments) -> Array:
    axes = None if not a.get("dim") else tuple(a["dim"])
    result: Array = np.mean(a["self"], axis=axes, keepdims=bool(a.get("keepdim")))
    return result


def _whole_mean(a: Arguments) -> Array:
    if list(a["output_size"]) != [1]:
        raise ValueError(f"an adaptive pooling to {a['output_size']} steps is not supported; to 1 is")
    result: Array = a["self"].mean(axis=-1, keepdims=True)
    return result


def bounded(*shape: int) -> tuple[int, ...]:
    """``shape``, if its elements are not more than :data:`ELEMENTS`: a file's arguments are held hostile."""
    if min(shape, default=0) < 0 or math.prod(shape) > ELEMENTS:
        raise ValueError(f"a value of shape {shape} is too large; at most {ELEMENTS:,} elements are allowed")
    return shape


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[[Arguments], Any]:
    def apply(a: Arguments) -> Any:
        bounded(*np.broadcast_shapes(np.shape(a["self"]), np.shape(a["other"])))
        return operation(a["self"], a["other"] if a.get("alpha", 1) == 1 else a["other"] * a["alpha"])

    return apply


def _product(left: Any, right: Any) -> Array:
    """Matrix product, its size bounded before."""
    bounded(*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    result: Array = left @ right
    return result


# -- movement: the same functions on values and on the ids of elements (quantization.importers.lower) -----------------


def _slice(a: Arguments) -> Any:
    axis = a.get("dim", 0)
    if (a.get("step") or 1) < 1:
        raise ValueError("a slice must go forward")
    place = [slice(None)] * a["self"].ndim
    place[axis] = slice(a.get("start"), a.get("end"), a.get("step"))
    return a["self"][tuple(place)]


def _split(a: Arguments) -> Any:
    sizes, axis = a.get("split_sizes", a.get("split_size")), a.get("dim", 0)
    length = a["self"].shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, length - at) for at in range(0, length, sizes)]
    if sum(sizes) != length or min(sizes) < 0:
        raise ValueError(f"parts {sizes} of {length}")
    return tuple(np.split(a["self"], np.cumsum(sizes)[:-1], axis=axis))


def _chunk(a: Arguments) -> Any:
    length = a["self"].shape[a.get("dim", 0)]
    return _split({**a, "split_sizes": max(1, -(-length // a["chunks"]))})


def _unflatten(a: Arguments) -> Any:
    shape, axis = a["self"].shape, a["dim"] % a["self"].ndim
    return a["self"].reshape(*shape[:axis], *a["sizes"], *shape[axis + 1 :])


def _flatten(a: Arguments) -> Any:
    shape = a["self"].shape
    first, last = a.get("start_dim", 0) % len(shape), a.get("end_dim", -1) % len(shape)
    return a["self"].reshape(*shape[:first], -1, *shape[last + 1 :])


def _squeeze(a: Arguments) -> Any:
    shape = a["self"].shape
    axes = a.get("dim", list(range(len(shape))))
    axes = {axis % len(shape) for axis in ([axes] if isinstance(axes, int) else axes)}
    return a["self"].reshape([n for axis, n in enumerate(shape) if not (axis in axes and n == 1)])


def _expand(a: Arguments) -> Any:
    size, shape = a["size"], a["self"].shape
    lead = len(size) - len(shape)
    bounded(*(max(n, 1) for n in size))
    return np.broadcast_to(a["self"], [shape[i - lead] if n == -1 else n for i, n in enumerate(size)])


def _same(key: str) -> Callable[[Arguments], Any]:
    return lambda a: a[key]


MOVEMENT: dict[str, Callable[[Arguments], Any]] = {
    "select.int": lambda a: np.take(a["self"], a["index"], axis=a["dim"]),
    "slice.Tensor": _slice,
    "transpose.int": lambda a: np.swapaxes(a["self"], a["dim0"], a["dim1"]),
    "permute.default": lambda a: np.transpose(a["self"], a["dims"]),
    "t.default": lambda a: a["self"].T,
    "view.default": lambda a: a["self"].reshape(a["size"]),
    "reshape.default": lambda a: a["self"].reshape(a["shape"]),
    "unflatten.int": _unflatten,
    "flatten.using_ints": _flatten,
    "unsqueeze.default": lambda a: np.expand_dims(a["self"], a["dim"]),
    "squeeze.dim": _squeeze,
    "squeeze.dims": _squeeze,
    "squeeze.default": _squeeze,
    "expand.default": _expand,
    "flip.default": lambda a: np.flip(a["self"], a["dims"]),
    "contiguous.default": _same("self"),
    "clone.default": _same("self"),
    "alias.default": _same("self"),
    "dropout.default": _same("input"),
    "split_with_sizes.default": _split,
    "split.Tensor": _split,
    "split.sizes": _split,
    "chunk.default": _chunk,
    "unbind.int": lambda a: tuple(np.moveaxis(a["self"], a.get("dim", 0), 0)),
    "cat.default": lambda a: np.concatenate(a["tensors"], axis=a.get("dim", 0)),
    "stack.default": lambda a: np.stack(a["tensors"], axis=a.get("dim", 0)),
}


def _pad(a: Arguments) -> Array:
    pad = list(a["pad"])
    if a.get("mode", "constant") != "constant" or min(pad, default=0) < 0 or len(pad) % 2:
        raise ValueError("only padding with a constant is supported")
    axes = [(0, 0)] * a["self"].ndim
    for place in range(len(pad) // 2):
        axes[-1 - place] = (pad[2 * place], pad[2 * place + 1])
    bounded(*(n + sum(more) for n, more in zip(a["self"].shape, axes)))
    return np.pad(a["self"], axes, constant_values=a.get("value") or 0.0)


COMPUTED: dict[str, Callable[[Arguments], Any]] = {
    "zeros.default": lambda a: np.zeros(bounded(*a["size"])),
    "lstm.input": _lstm,
    "gru.input": _gru,
    "linear.default": _linear,
    "conv1d.default": _conv1d,
    "_weight_norm.default": _weight_norm,
    "_weight_norm_interface.default": _weight_norm,
    "batch_norm.default": _batch_norm,
    "layer_norm.default": _layer_norm,
    "scaled_dot_product_attention.default": _attention,
    "bmm.default": lambda a: _product(a["self"], a["mat2"]),
    "matmul.default": lambda a: _product(a["self"], a["other"]),
    "softmax.int": lambda a: softmax(a["self"], a["dim"]),
    "relu.default": lambda a: np.maximum(a["self"], 0.0),
    "gelu.default": lambda a: gelu(a["self"], a.get("approximate", "none")),
    "tanh.default": lambda a: np.tanh(a["self"]),
    "sigmoid.default": lambda a: sigmoid(a["self"]),
    "add.Tensor": _binary(operator.add),
    "sub.Tensor": _binary(operator.sub),
    "mul.Tensor": _binary(operator.mul),
    "div.Tensor": _binary(operator.truediv),
    "add.Scalar": _binary(operator.add),
    "sub.Scalar": _binary(operator.sub),
    "mul.Scalar": _binary(operator.mul),
    "div.Scalar": _binary(operator.truediv),
    "rsub.Scalar": lambda a: _binary(operator.sub)({**a, "self": np.asarray(a["other"]), "other": a["self"]}),
    "neg.default": lambda a: -a["self"],
    "mean.dim": _mean,
    "mean.default": _mean,
    "max_pool1d.default": _max_pool,
    "avg_pool1d.default": _average_pool,
    "adaptive_avg_pool1d.default": _whole_mean,
    "pad.default": _pad,
}


#: Every op that is known, by ATen's name.
TARGETS: dict[str, Callable[[Arguments], Any]] = MOVEMENT | COMPUTED
