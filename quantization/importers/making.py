"""What every lowered op works with: the graph in the making, its elements, and what is not supported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import GraphBuilder, Role
from quantization.importers.elements import Dense, Elements, Floats, Ids

#: A value of the network: constants are floats, all else elements (int64) in the network's own shape.
Value = NDArray[Any]
Arguments = Mapping[str, Any]
#: In the place of a value that no op gives.
NOTHING = object()


class UnsupportedError(Exception):
    """What of a node has no form in the graph."""


def is_constant(value: Any) -> bool:
    """Whether a value is known when the network is lowered."""
    return not (isinstance(value, np.ndarray) and value.dtype == np.int64)


class GraphMaking:
    """A graph in the making: its ``builder`` and the ``elements`` of its tensors."""

    def __init__(self, name: str) -> None:
        self.builder = GraphBuilder(name)
        self.elements = Elements(self.builder)
        #: Tensor of a matrix product -> what makes it again with its left side times a number.
        self.products: dict[int, Callable[[float], Ids]] = {}

    def constant_elements(self, value: Floats) -> Ids:
        """Elements of a constant, in its shape."""
        matrix = value.reshape(-1, value.shape[-1] if value.ndim else 1).astype(np.float32)
        index = self.builder.constant(self.elements.name("constant"), matrix[None])
        return self.elements.of_tensor(index).reshape(value.shape)

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
