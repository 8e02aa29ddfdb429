"""Products of two values and softmax: attention, a score, a softmax and a mixture a head."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from quantization.graph.ir import Role
from quantization.importers.dense_ops import linear
from quantization.importers.elements import Ids, NotAPatternError
from quantization.importers.elementwise_ops import scaled
from quantization.importers.making import Arguments, GraphMaking, UnsupportedError, Value, is_constant


def attention(low: GraphMaking, a: Arguments, name: str) -> Ids:
    if a.get("attn_mask") is not None or a.get("is_causal") or a.get("dropout_p") or a.get("enable_gqa"):
        raise UnsupportedError("a mask or dropout within it")
    scale = a.get("scale") or 1 / math.sqrt(a["query"].shape[-1])
    asked = scaled(low, a["query"], scale, f"{name}/scaled")
    scores = _product(low, asked, np.swapaxes(a["key"], -1, -2), f"{name}/scores")
    shares = softmax(low, {"self": scores, "dim": -1}, f"{name}/shares")
    return _product(low, shares, a["value"], f"{name}/mixed")


def matmul(low: GraphMaking, a: Arguments, name: str) -> Ids:
    return _product(low, a["self"], a["mat2" if "mat2" in a else "other"], name)


def _product(low: GraphMaking, left: Value, right: Value, name: str) -> Ids:
    """Matrix product over the leading axes, a BATCH_MATMUL for each of them."""
    if is_constant(left) or is_constant(right):
        if is_constant(right) and right.ndim == 2:
            return linear(low, {"input": left, "weight": right.T}, name)
        left, right = (low.constant_elements(v) if is_constant(v) else v for v in (left, right))
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*lead, left.shape[-2], right.shape[-1])
    lefts = np.broadcast_to(left, (*lead, *left.shape[-2:])).reshape(-1, *left.shape[-2:])
    rights = np.broadcast_to(right, (*lead, *right.shape[-2:])).reshape(-1, *right.shape[-2:])
    made = [_one_product(low, a, b, name) for a, b in zip(lefts, rights)]
    return np.stack(made).reshape(shape)


def _one_product(low: GraphMaking, left: Ids, right: Ids, name: str) -> Ids:
    for base in [*low.elements.bases_of(left), *low.elements.bases_of(right)]:
        if base.dense is not None:
            base.dense = replace(base.dense, role=Role.ATTENTION)
    with low.builder.part(Role.ATTENTION):
        # Dense layers lie in rows of their outputs: the keys' transposition is the op's own adj_y.
        turned = low.elements.base_of(right)
        adj_y = turned is not None and _lies_turned(right, turned.first, turned.width)
        layer = low.elements.base_of(left)
        is_dense = layer is not None and layer.dense is not None
        a = low.elements.tensor(np.ascontiguousarray(left), row_form=is_dense)
        a = low.elements.reshaped(a, (1, *left.shape))
        b = low.elements.tensor(np.ascontiguousarray(right.T if adj_y else right))
        out = low.op(
            "BATCH_MATMUL", name, (a, b), (1, left.shape[0], right.shape[1]), Role.ATTENTION, adj_x=False, adj_y=adj_y
        )  # fmt: skip
    if layer is not None and layer.dense is not None and layer.dense.activation == "NONE":
        low.products[out] = lambda factor: _one_product(
            low, scaled(low, left, factor, f"{name}/scaled"), right, name
        )
    return low.elements.of_tensor(out)


def _lies_turned(ids: Ids, first: int, width: int) -> bool:
    rows = (ids - first) // width
    return bool(ids.shape[1] > 1 and (rows[0] != rows[0, 0]).any()) or (
        ids.shape[1] == 1 and ids.shape[0] > 1 and bool((rows == rows[0, 0]).all())
    )


def softmax(low: GraphMaking, a: Arguments, name: str) -> Ids:
    value = a["self"]
    if a["dim"] % value.ndim != value.ndim - 1:
        raise UnsupportedError("it runs over an axis that is not the last")
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
