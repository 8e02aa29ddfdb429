"""One graph as one C function over a caller's memory: the ops of a live graph, called in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from quantization.arithmetic.affine import Affine
from quantization.c_emitter.live_graph import LiveGraph, live_graph
from quantization.c_emitter.memory import ARENAS, Arenas, place, stored_dtype
from quantization.c_emitter.rings import find_rings
from quantization.c_emitter.views import no_views, resolve_views
from quantization.c_fragments.context import Context
from quantization.c_fragments.op_source import Lowering, affine
from quantization.c_fragments.text import ctype
from quantization.c_fragments.view import copy_view, size
from quantization.graph.ir import Graph, Op
from quantization.graph.ring_form import only_widens
from quantization.graph.state import CarriedTensor
from quantization.ops.table import kinds_with, row_of
from quantization.ops.views import view_results
from toolkit.errors import ModelFileError


@dataclass(frozen=True)
class Port:
    """An input or output of the C function: parameter ``name``, quantized tensor ``tensor``, its elements."""

    name: str
    tensor: int
    count: int
    ctype: str
    affine: Affine


@dataclass
class Program:
    """The C function of a graph. ``input_offsets`` are places in ``bytes`` or ``shorts`` for quantized inputs."""

    name: str
    text: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    arenas: Arenas
    reset: list[str] = field(default_factory=list)
    input_offsets: dict[str, int] = field(default_factory=dict)


class GraphFunction:
    """Turns a live graph into C; see :func:`lower_graph`."""

    def __init__(self, context: Context, live: LiveGraph) -> None:
        self.context, self.live, self.graph = context, live, live.graph
        self.rings = find_rings(live)
        self.views = no_views(live)
        self.rings.lay(self.views)
        resolve_views(live, self.views)
        self.memory = place(live, self.views, self.rings)
        self.lines: list[str] = []
        self.reset: list[str] = []

    def pointer(self, index: int) -> str:
        """C expression of the first element of a tensor."""
        view = self.views.view(index)
        offset, root = view.offset, view.root
        data = self.graph.tensors[root].data
        if data is not None:
            base = self.context.pool.array("constant", data)
            return f"&{base}[{offset}]" if offset else base
        name = self.live.outputs.get(root) or self.live.inputs.get(root)
        if name is not None:
            return name + (f" + {offset}" if offset else "")
        arena = ARENAS[stored_dtype(self.graph, root)]
        start = self.memory.offset(root)
        newest = self.rings.newest(root, offset, start)
        return f"&state->{arena}[{start + offset}]" if newest is None else f"&state->{arena}[{newest}]"

    def _lower_op(self, op: Op) -> list[str]:
        moved = [index for index in op.outputs if index in self.views.copies]
        if moved:
            return [line for index in moved for line in self._copy(index)]
        if view_results(self.graph, op) is not None or op.outputs[0] in self.views.narrow:
            return []
        if op.outputs[0] in self.rings.by_memory:
            return self.rings.join(self.rings.by_memory[op.outputs[0]], self.views, self.pointer)
        if only_widens(self.graph, op):
            self.context.use("et_widen.c", header="et_elementwise.h")
            count = size(self.graph, op.outputs[0])
            return [f"et_widen({count}, {self.pointer(op.inputs[0])}, {self.pointer(op.outputs[0])});"]
        source = row_of(op.kind).source
        if source is None:
            name = self.graph.tensors[op.outputs[0]].name
            raise ModelFileError(
                f"{op.kind} {name!r} has no C kernel; supported: {', '.join(kinds_with('source'))}"
            )
        reset = self.reset if self.live.is_stream else None
        return source(Lowering(self.context, self.graph, op, self.pointer, self.views.view, reset))

    def _copy(self, index: int) -> list[str]:
        view = self.views.copies[index]
        source = self.pointer(view.root)
        base = f"({source})" if source.startswith("&") else source
        return copy_view(view, base, self.pointer(index), ctype(self.graph.tensors[index].dtype))

    def _carry(self, one: CarriedTensor) -> None:
        """What the end of a run hands to the next."""
        carry = self.rings.carry(self.context, one, self.pointer)
        if carry.first:
            self.lines.insert(0, carry.first)
        if carry.last:
            self.lines.append(carry.last)
        self.reset.append(carry.reset)

    def _ports(self, tensors: Mapping[int, str]) -> tuple[Port, ...]:
        return tuple(
            Port(
                name,
                index,
                size(self.graph, index),
                ctype(self.graph.tensors[index].dtype),
                affine(self.graph, index),
            )
            for index, name in tensors.items()
        )

    def _probe(self, index: int) -> str:
        """Shows a tensor to a debugger's hook, if the source is compiled with one."""
        count = size(self.graph, index) * stored_dtype(self.graph, index).itemsize
        return f"PROBE({index}, {self.pointer(index)}, {count});"

    def lower(self, name: str) -> Program:
        """The function, called ``name``."""
        for op in self.live.ops:
            lines = self._lower_op(op)
            self.lines += lines
            if lines:
                self.lines.append(self._probe(op.outputs[0]))
        for one in self.live.carried:
            self._carry(one)
        if self.rings.rows:
            following = f"place == {self.rings.rows - 1} ? 0 : place + 1"
            self.lines[:0] = [
                "const int32_t place = state->place; /* of the oldest row, which the new one replaces */",
                f"state->place = {following};",
            ]
        inputs, outputs = self._ports(self.live.inputs), self._ports(self.live.outputs)
        blocks = self.memory.blocks
        offsets = {port.name: blocks[port.tensor].offset for port in inputs if port.tensor in blocks}
        text = _function(name, inputs, outputs, self.lines)
        arenas = self.memory.arenas
        reach = self.context
        arenas = replace(
            arenas, bytes=max(arenas.bytes, reach.reach_bytes), shorts=max(arenas.shorts, reach.reach_shorts)
        )
        return Program(name, text, inputs, outputs, arenas, self.reset, offsets)


def _function(name: str, inputs: tuple[Port, ...], outputs: tuple[Port, ...], lines: list[str]) -> str:
    parameters = [
        "edgetool_state *state",
        *(f"const {port.ctype} *{port.name}" for port in inputs),
        *(f"{port.ctype} *{port.name}" for port in outputs),
    ]
    used = any("state->" in line for line in lines)
    body = "\n".join(f"    {line}" for line in (lines if used else ["(void)state;", *lines]))
    return f"static void {name}({', '.join(parameters)}) {{\n{body}\n}}\n"


def lower_graph(
    context: Context,
    graph: Graph,
    name: str,
) -> Program:
    """The C function ``name`` of a quantized graph; ModelFileError names what has no C.

    The function of a graph with a ``state`` keeps what it carries, and LSTM states last from call to call; that of another
    starts each call from zero state.
    """
    return GraphFunction(context, live_graph(context, graph)).lower(name)
