"""A network as its author's framework wrote it: nodes in running order over named values, in ATen's words.

Small on purpose: what the networks of the family need, so that it is evaluated in numpy
(:mod:`quantization.importers.evaluate`) and lowered op by op (:mod:`quantization.importers.lower`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import CheckpointError

Weights = Mapping[str, NDArray[np.float32]]
#: Problems that a message names before it counts the rest.
_SHOWN = 6


@dataclass(frozen=True)
class Ref:
    """A value by its name: an input, a weight, or what a node gave."""

    name: str


@dataclass(frozen=True)
class Node:
    """``target`` is ATen's name with its overload (``lstm.input``); ``arguments`` by ATen's parameter names hold
    numbers, text, None, :class:`Ref` and lists of them. ``where`` is the author's source line, for messages.
    """

    target: str
    arguments: Mapping[str, Any]
    outputs: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True, eq=False)
class Program:
    """``inputs``: name -> shape [1, T, C], in the order in which the network takes them. ``shapes`` of all values but those."""

    inputs: Mapping[str, tuple[int, ...]]
    weights: Weights
    nodes: tuple[Node, ...]
    output: str
    shapes: Mapping[str, tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values of all but the weights; :meth:`from_json` inverts it."""
        return {
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "nodes": [
                [
                    node.target,
                    {k: _plain(v) for k, v in node.arguments.items()},
                    list(node.outputs),
                    node.where,
                ]
                for node in self.nodes
            ],
            "output": self.output,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], weights: Weights) -> Program:
        """Build from :meth:`to_json`'s form; CheckpointError if it is not one."""
        try:
            nodes = tuple(
                Node(str(t), {str(k): _value(v) for k, v in a.items()}, tuple(map(str, o)), str(w))
                for t, a, o, w in value["nodes"]
            )
            inputs, shapes = (
                {str(name): tuple(int(n) for n in shape) for name, shape in value[key].items()}
                for key in ("inputs", "shapes")
            )
            program = cls(inputs, weights, nodes, str(value["output"]), shapes)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the network is not in edgetool's form: {type(error).__name__} {error}"
            ) from None
        program.require_whole()
        return program

    def require_whole(self) -> None:
        """CheckpointError unless every value that is read was given before, and none twice."""
        known = {*self.inputs, *self.weights}
        for node in self.nodes:
            for name in references(node.arguments):
                if name not in known:
                    raise CheckpointError(f"node {node.target} reads {name!r}, which nothing before it gives")
            twice = known & set(node.outputs)
            if twice:
                raise CheckpointError(f"node {node.target} gives {min(twice)!r} a second time")
            known |= set(node.outputs)
        if self.output not in known:
            raise CheckpointError(f"the output {self.output!r} is given by no node")


def listed(problems: Sequence[str]) -> str:
    """What cannot be imported of a network, for one message: each problem once, the first few by name."""
    each = list(dict.fromkeys(problems))
    more = f"; and {len(each) - _SHOWN} more" if len(each) > _SHOWN else ""
    return f"{'; '.join(each[:_SHOWN])}{more}"


def references(value: Any) -> list[str]:
    """Names of all values within an argument."""
    if isinstance(value, Ref):
        return [value.name]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [name for item in value for name in references(item)] if isinstance(value, list) else []


def _plain(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"value": value.name}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Ref(str(value["value"]))
    if isinstance(value, list):
        return [_value(item) for item in value]
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"an argument is {value!r}")
    return value
