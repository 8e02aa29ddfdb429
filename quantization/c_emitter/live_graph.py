"""What of a graph becomes one C function: its ports, the state that it keeps, and the ops that are computed, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantization.c_fragments.context import Context
from quantization.c_fragments.text import identifier
from quantization.graph.ir import ABSENT, Graph, Op
from quantization.graph.ring_form import only_widens
from quantization.graph.state import CarriedTensor
from quantization.ops.fully_connected import read_narrow
from quantization.ops.table import row_of
from toolkit.errors import ModelFileError


@dataclass(frozen=True, eq=False)
class LiveGraph:
    """``inputs`` and ``outputs`` are the integer tensors of the C interface with their names in C, in the graph's order;
    ``order`` holds the places of the ops that they and the graph's state need, in running order."""

    graph: Graph
    inputs: dict[int, str]
    outputs: dict[int, str]
    order: tuple[int, ...]

    @property
    def ops(self) -> tuple[Op, ...]:
        """The ops that are computed, in running order."""
        return tuple(self.graph.ops[place] for place in self.order)

    @property
    def is_stream(self) -> bool:
        """True if what the ops keep lasts from call to call; else each call starts from zero state."""
        return self.graph.state is not None

    @property
    def carried(self) -> tuple[CarriedTensor, ...]:
        """State inputs and outputs that the function keeps itself."""
        return _carried(self.graph)

    def before(self, one: CarriedTensor) -> int:
        """The input that holds a carried tensor."""
        return self.graph.inputs[one.input_place]

    def after(self, one: CarriedTensor) -> int:
        """The output that is the input of the next run."""
        return self.graph.outputs[one.output_place]

    @property
    def states(self) -> list[tuple[int, int]]:
        """Tensors that ops keep from call to call, with the place of their op in ``ops``."""
        return [(op.inputs[at], time) for time, op in enumerate(self.ops) for at in row_of(op.kind).states]

    def readers(self, index: int) -> list[Op]:
        """The computed ops that read a tensor."""
        return [op for op in self.ops if index in op.inputs]

    def leaves(self, index: int) -> bool:
        """True if a tensor is given to the caller or carried on, and must lie in a place of its own."""
        return index in self.outputs or any(index == self.after(one) for one in self.carried)


def producer(graph: Graph, index: int) -> Op | None:
    """The op that gives a tensor; None for what is fed or constant."""
    return next((op for op in graph.ops if index in op.outputs), None)


def _carried(graph: Graph) -> tuple[CarriedTensor, ...]:
    return () if graph.state is None else graph.state.carried


def live_graph(context: Context, graph: Graph) -> LiveGraph:
    """The graph as one C function; ModelFileError for ports that are not integers behind one QUANTIZE or DEQUANTIZE."""
    widenings = {op.outputs[0]: op.inputs[0] for op in graph.ops if only_widens(graph, op)}
    graph = read_narrow(graph, context, widenings)
    state_inputs = {graph.inputs[one.input_place] for one in _carried(graph)}
    state_outputs = {graph.outputs[one.output_place] for one in _carried(graph)}
    fed = [i for i in graph.inputs if i not in state_inputs]
    given = [i for i in graph.outputs if i not in state_outputs]
    inputs = {_quantized_input(graph, i): identifier(graph.tensors[i].name, "an input") for i in fed}
    # Nobody needs an output's own name, which is any text that a file holds.
    names = ("moments", *(f"moments_{number}" for number in range(1, len(given))))
    outputs = {_quantized_output(graph, i): name for i, name in zip(given, names)}
    order = tuple(
        place
        for place in _live_ops(graph, (*outputs, *state_outputs))
        if not set(graph.ops[place].outputs) & set(inputs)
    )
    return LiveGraph(graph, inputs, outputs, order)


def _live_ops(graph: Graph, outputs: tuple[int, ...]) -> list[int]:
    """Places of the ops that ``outputs`` need, in running order."""
    needed = set(outputs)
    keep: list[int] = []
    for place in range(len(graph.ops) - 1, -1, -1):
        op = graph.ops[place]
        if needed.intersection(op.outputs):
            keep.append(place)
            needed.update(index for index in op.inputs if index != ABSENT)
    return keep[::-1]


def _quantized_input(graph: Graph, index: int) -> int:
    """The int8 tensor behind a graph input: itself, or the result of the one QUANTIZE of a float32 input."""
    if graph.tensors[index].dtype != np.float32:
        return index
    readers = [op for op in graph.ops if index in op.inputs]
    if len(readers) != 1 or readers[0].kind != "QUANTIZE":
        raise ModelFileError(
            f"input {graph.tensors[index].name!r} is float32 and not quantized by one QUANTIZE; only int8 graphs become C"
        )
    return readers[0].outputs[0]


def _quantized_output(graph: Graph, index: int) -> int:
    """The integer tensor behind a graph output: itself, or what a final DEQUANTIZE reads."""
    if graph.tensors[index].dtype != np.float32:
        return index
    op = producer(graph, index)
    if op is None or op.kind != "DEQUANTIZE":
        raise ModelFileError(
            f"output {graph.tensors[index].name!r} is float32 and not the result of a DEQUANTIZE; only int8 graphs become C"
        )
    return op.inputs[0]
