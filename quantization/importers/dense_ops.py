"""Linear layers, convolutions and batch norm as dense layers over rows, with their ReLU."""

from __future__ import annotations

import numpy as np

from quantization.graph.ir import Role
from quantization.importers.elements import Dense, Floats, Ids, NotAPatternError
from quantization.importers.evaluate import convolution_parts
from quantization.importers.making import Arguments, GraphMaking, UnsupportedError, is_constant


def linear(low: GraphMaking, a: Arguments, name: str) -> Ids:
    if not is_constant(a["weight"]) or not is_constant(a.get("bias")):
        raise UnsupportedError("its weights depend on the input")
    x, weight = a["input"], a["weight"]
    bias = np.zeros(len(weight)) if a.get("bias") is None else a["bias"]
    ids = low.elements.of_dense(Dense(name, low.rows(x), weight, bias, Role.HEAD))
    return ids.reshape(*x.shape[:-1], len(weight))


def conv1d(low: GraphMaking, a: Arguments, name: str) -> Ids:
    """A dense layer over the taps: row t holds the inputs at t * stride + k * dilation - padding, for each k."""
    stride, padding, dilation, groups = convolution_parts(a)
    weight, x = a["weight"], a["input"]
    if not is_constant(weight):
        raise UnsupportedError("its weights depend on the input")
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


def batch_norm(low: GraphMaking, a: Arguments, name: str) -> Ids:
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


def relu(low: GraphMaking, a: Arguments, name: str) -> Ids:
    """Fused into the dense layer before it; else a maximum with 0 by an identity layer."""
    value = a["self"]
    base = low.elements.base_of(value)
    if base is not None and base.dense is not None and base.dense.activation == "NONE":
        dense = base.dense
        fused = Dense(name, dense.x, dense.weight, dense.bias, dense.role, "RELU")
        moved: Ids = low.elements.of_dense(fused).reshape(-1)[value - base.first]
        return moved
    return low.alike(value, name, lambda index, called: _fused_relu(low, index, called))


def _fused_relu(low: GraphMaking, index: int, name: str) -> int:
    """max(x, 0) as x + 0 with the activation that every ADD kernel has."""
    tensor = low.builder.tensors[index]
    zero = low.builder.constant(
        low.elements.name(f"{name}/zero"), np.zeros((1,) * len(tensor.shape), np.float32)
    )
    return low.op(
        "ADD", name, (index, zero), tensor.shape, Role.HEAD, fused_activation_function="RELU", pot_scale_int16=False
    )  # fmt: skip
