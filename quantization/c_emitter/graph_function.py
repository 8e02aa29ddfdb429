"""One graph as one C function over a caller's memory: views resolved, memory placed, ops called in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantization.arithmetic.affine import Affine
from quantization.c_emitter.memory import (
    Block,
    live_ops,
    place_blocks,
)
from quantization.c_emitter.rings import Ring, StateLink, circular_rows
from quantization.c_fragments.context import Context
from quantization.c_fragments.op_source import Lowering, affine
from quantization.c_fragments.text import ctype, identifier
from quantization.c_fragments.view import View, affine_axes, copy_view, size
from quantization.graph.ir import ABSENT, Graph, Op
from quantization.graph.ring_form import only_widens
from quantization.ops.fully_connected import read_narrow
from quantization.ops.table import Trait, has, kinds_with, row_of
from quantization.ops.views import view_results
from toolkit.errors import ModelFileError

#: ET_DOT_WIDE_MOST of et_dot.h.
MOST_WIDE_DEPTH = 508
_ARENAS: dict[np.dtype[Any], str] = {np.dtype(np.int8): "bytes", np.dtype(np.int16): "shorts"}


@dataclass(frozen=True)
class Port:
    """An input or output of the C function: parameter ``name``, quantized tensor ``tensor``, its elements."""

    name: str
    tensor: int
    count: int
    ctype: str
    affine: Affine


@dataclass(frozen=True)
class Arenas:
    """Elements of each arena: what lasts from call to call (at the start of the arena), and in all."""

    kept_bytes: int = 0
    kept_shorts: int = 0
    bytes: int = 0
    shorts: int = 0


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


def _producer(graph: Graph, index: int) -> Op | None:
    return next((op for op in graph.ops if index in op.outputs), None)


def quantized_input(graph: Graph, index: int) -> int:
    """The int8 tensor behind a graph input: itself, or the result of the one QUANTIZE of a float32 input."""
    if graph.tensors[index].dtype != np.float32:
        return index
    readers = [op for op in graph.ops if index in op.inputs]
    if len(readers) != 1 or readers[0].kind != "QUANTIZE":
        raise ModelFileError(
            f"input {graph.tensors[index].name!r} is float32 and not quantized by one QUANTIZE; only int8 graphs become C"
        )
    return readers[0].outputs[0]


def quantized_output(graph: Graph, index: int) -> int:
    """The integer tensor behind a graph output: itself, or what a final DEQUANTIZE reads."""
    if graph.tensors[index].dtype != np.float32:
        return index
    op = _producer(graph, index)
    if op is None or op.kind != "DEQUANTIZE":
        raise ModelFileError(
            f"output {graph.tensors[index].name!r} is float32 and not the result of a DEQUANTIZE; only int8 graphs become C"
        )
    return op.inputs[0]


class GraphFunction:
    """Turns ``graph`` into C; see :func:`lower_graph`."""

    def __init__(
        self, context: Context, graph: Graph, links: tuple[StateLink, ...], *, carried: bool
    ) -> None:
        self.context, self.graph, self.links, self.carried = context, graph, links, carried
        widenings = {op.outputs[0]: op.inputs[0] for op in graph.ops if only_widens(graph, op)}
        self.graph = graph = read_narrow(graph, context, widenings)
        state_inputs = {link.before for link in links}
        state_outputs = {link.after for link in links}
        inputs = [i for i in graph.inputs if i not in state_inputs]
        outputs = [i for i in graph.outputs if i not in state_outputs]
        self.inputs = {
            quantized_input(graph, i): identifier(graph.tensors[i].name, "an input") for i in inputs
        }
        # Nobody needs an output's own name, which is any text that a file holds.
        names = ("moments", *(f"moments_{number}" for number in range(1, len(outputs))))
        self.outputs = {quantized_output(graph, i): name for i, name in zip(outputs, names)}
        self.order = [
            place
            for place in live_ops(graph, (*self.outputs, *state_outputs))
            if not set(graph.ops[place].outputs) & set(self.inputs)
        ]
        self.views: dict[int, View] = {}
        self.copies: dict[int, View] = {}
        self.kept: dict[int, int] = {}
        self.rings = {ring.memory: ring for link in links if (ring := self._ring(link)) is not None}
        self.circular = circular_rows(graph, self.rings.values(), self.order, self.outputs)
        self.narrow = self._narrowed()
        self.blocks: dict[int, Block] = {}
        self.lines: list[str] = []
        self.reset: list[str] = []

    # Rings and widened tensors --------------------------------------------------------------------

    def _ring(self, link: StateLink) -> Ring | None:
        """The memory of a link that is: join the old rows and new ones, keep all but the first."""
        last = _producer(self.graph, link.after)
        results = None if last is None else view_results(self.graph, last)
        if last is None or results is None or last.kind == "SPLIT":
            return None
        memory = last.inputs[0]
        joining = _producer(self.graph, memory)
        if joining is None or joining.kind != "CONCATENATION" or joining.inputs[0] != link.before:
            return None
        shape = self.graph.tensors[memory].shape
        axis = int(joining.options.get("axis", 0)) % len(shape)
        start = size(self.graph, memory) - size(self.graph, link.after)
        elements = results[0].reshape(-1)
        whole = np.arange(start, size(self.graph, memory))
        alone = self._readers(link.before) == [joining] and size(self.graph, link.before) == elements.size
        if any(count != 1 for count in shape[:axis]) or not alone or not np.array_equal(elements, whole):
            return None
        return Ring(memory, link, joining, start)

    def _narrowed(self) -> set[int]:
        """Tensors that only widen an int8 one for the second operand of matrix products, which read it as it is."""
        found = set()
        for place in self.order:
            op = self.graph.ops[place]
            if not only_widens(self.graph, op):
                continue
            readers = self._readers(op.outputs[0])
            if all(
                reader.kind == "BATCH_MATMUL"
                and reader.inputs[0] != op.outputs[0]
                and self._depth(reader) <= MOST_WIDE_DEPTH
                for reader in readers
            ):
                found.add(op.outputs[0])
        return found

    def _depth(self, op: Op) -> int:
        shape = self.graph.tensors[op.inputs[0]].shape
        return int(shape[-2] if op.options.get("adj_x") else shape[-1])

    # Views ---------------------------------------------------------------------------------------

    def _readers(self, index: int) -> list[Op]:
        return [self.graph.ops[p] for p in self.order if index in self.graph.ops[p].inputs]

    def _plain_view(self, index: int) -> View:
        axes, stride = [], 1
        for count in reversed(self.graph.tensors[index].shape):
            axes.append((int(count), stride))
            stride *= int(count)
        return View(index, 0, tuple(axes[::-1]))

    def view(self, index: int) -> View:
        """Where the elements of a tensor are."""
        return self.views.get(index) or self._plain_view(index)

    def _view_rings(self) -> None:
        """Old rows, new rows and what is kept all lie inside the ring's memory."""
        for ring in self.rings.values():
            start = 0
            for part in ring.joining.inputs:
                computed = _producer(self.graph, part)
                plain = computed is not None and view_results(self.graph, computed) is None
                if part == ring.link.before or plain:
                    self.views[part] = self._part_view(part, ring.memory, start)
                start += size(self.graph, part)
            self.views[ring.link.after] = self._part_view(ring.link.after, ring.memory, ring.start)

    def _part_view(self, part: int, root: int, offset: int) -> View:
        return View(root, offset, self._plain_view(part).axes)

    def _resolve_views(self) -> None:
        self._view_rings()
        for place in self.order:
            op = self.graph.ops[place]
            if op.outputs[0] in self.narrow:
                self.views[op.outputs[0]] = self.view(op.inputs[0])
                continue
            results = view_results(self.graph, op)
            if results is None or op.outputs[0] in self.views:
                continue
            source = self.view(op.inputs[1] if op.kind == "SPLIT" else op.inputs[0])
            flat = self._elements(source)
            for index, elements in zip(op.outputs, results):
                if not self._readers(index) and index not in self.outputs and not self._is_state(index):
                    continue
                found = affine_axes(flat[elements])
                if found is None:
                    raise ModelFileError(
                        f"{op.kind} {self.graph.tensors[index].name!r} cannot become C: it takes elements without a pattern"
                    )
                view = View(source.root, *found)
                readers = self._readers(index)
                strided = bool(readers) and all(has(reader, Trait.READS_STRIDES) for reader in readers)
                if index in self.outputs or self._is_state(index) or not (view.contiguous or strided):
                    self.copies[index] = view
                else:
                    self.views[index] = view

    def _is_state(self, index: int) -> bool:
        return any(index == link.after for link in self.links)

    @staticmethod
    def _elements(view: View) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        grid = np.array([view.offset], np.int64)
        for count, stride in view.axes:
            grid = (grid[:, None] + np.arange(count, dtype=np.int64)[None, :] * stride).reshape(-1)
        return grid

    # Memory --------------------------------------------------------------------------------------

    def _root(self, index: int) -> int:
        return self.view(index).root

    def _place(self) -> Arenas:
        """Offsets of everything that is neither constant nor a parameter."""
        starts = {dtype: self._keep(dtype) for dtype in _ARENAS}
        last: dict[int, int] = {}
        for time, place in enumerate(self.order):
            op = self.graph.ops[place]
            for index in (*op.inputs, *op.outputs):
                if index != ABSENT:
                    last[self._root(index)] = time
        for link in self.links:
            last[self._root(link.after)] = len(self.order)
        first = dict.fromkeys(self.inputs, -1)
        for time, place in enumerate(self.order):
            for index in self.graph.ops[place].outputs:
                if self._root(index) == index:
                    first.setdefault(index, time)
        blocks: list[Block] = []
        for index, time in first.items():
            free = index not in self.outputs and index not in self.kept
            if index in last and free and self.graph.tensors[index].data is None:
                blocks.append(Block(index, time, last[index], size(self.graph, index)))
        blocks += self._state_blocks()
        self.blocks = {block.tensor: block for block in blocks}
        ends = {}
        for dtype, arena in _ARENAS.items():
            start = starts[dtype]
            mine = [b for b in blocks if self._dtype(b.tensor) == dtype]
            ends[arena] = (start, place_blocks(mine, start))
        return Arenas(ends["bytes"][0], ends["shorts"][0], ends["bytes"][1], ends["shorts"][1])

    def _dtype(self, index: int) -> np.dtype[Any]:
        dtype = self.graph.tensors[index].dtype
        if dtype not in _ARENAS:
            raise ModelFileError(
                f"tensor {self.graph.tensors[index].name!r} is {dtype}; only int8 and int16 are computed in C"
            )
        return dtype

    def _keep(self, dtype: np.dtype[Any]) -> int:
        """Places what lasts between calls: linked state, and LSTM states of a stream."""
        offset = 0
        ringed = {ring.link.before: ring.memory for ring in self.rings.values()}
        kept = [ringed.get(link.before, link.before) for link in self.links]
        if self.carried:
            kept += [index for index, _ in self._op_states()]
        for index in dict.fromkeys(kept):
            if self.graph.tensors[index].dtype == dtype:
                self.kept[index] = offset
                offset += size(self.graph, index)
                offset += -offset % 4
        return offset

    def _op_states(self) -> list[tuple[int, int]]:
        """Tensors that ops keep from call to call, and the time of the op."""
        return [
            (self.graph.ops[place].inputs[state], time)
            for time, place in enumerate(self.order)
            for state in row_of(self.graph.ops[place].kind).states
        ]

    def _state_blocks(self) -> list[Block]:
        """A window's states live for the time of the op."""
        if self.carried:
            return []
        return [Block(index, time, time, size(self.graph, index)) for index, time in self._op_states()]

    def pointer(self, index: int) -> str:
        """C expression of the first element of a tensor."""
        view = self.view(index)
        offset, root = view.offset, view.root
        data = self.graph.tensors[root].data
        if data is not None:
            base = self.context.pool.array("constant", data)
            return f"&{base}[{offset}]" if offset else base
        if root in self.outputs:
            return self.outputs[root] + (f" + {offset}" if offset else "")
        if root in self.inputs:
            return self.inputs[root] + (f" + {offset}" if offset else "")
        arena = _ARENAS[self._dtype(root)]
        start = self.kept[root] if root in self.kept else self.blocks[root].offset
        ring = self.rings.get(root)
        if self.circular and ring is not None and offset >= (last := (self.circular - 1) * ring.start) > 0:
            # The new row, which lies where the oldest one was; other views are of all rows.
            return f"&state->{arena}[{start + offset - last} + {ring.start} * place]"
        return f"&state->{arena}[{start + offset}]"

    # Ops -----------------------------------------------------------------------------------------

    def _lower_op(self, op: Op) -> list[str]:
        moved = [index for index in op.outputs if index in self.copies]
        if moved:
            return [
                line
                for index in moved
                for line in copy_view(
                    self.copies[index],
                    self._base(self.copies[index].root),
                    self.pointer(index),
                    ctype(self.graph.tensors[index].dtype),
                )
            ]
        if view_results(self.graph, op) is not None or op.outputs[0] in self.narrow:
            return []
        if op.outputs[0] in self.rings:
            return self._join_ring(self.rings[op.outputs[0]])
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
        reset = self.reset if self.carried else None
        return source(Lowering(self.context, self.graph, op, self.pointer, self.view, reset))

    def _join_ring(self, ring: Ring) -> list[str]:
        """Copies of the new rows that are not computed in their place."""
        lines = []
        start = 0
        unit = self.graph.tensors[ring.memory].dtype.itemsize
        for part in ring.joining.inputs:
            count = size(self.graph, part)
            if part not in self.views or self.views[part].root != ring.memory:
                target = f"{self.pointer(ring.memory)} + {start}"
                if self.circular:
                    target = f"{self.pointer(ring.memory)} + {ring.start} * place"
                lines.append(f"memcpy({target}, {self.pointer(part)}, {count * unit});")
            start += count
        return lines

    def _carry(self, link: StateLink) -> None:
        """What the end of a run hands to the next: nothing for a ring, whose rows move when that begins, or stay."""
        tensor = self.graph.tensors[link.before]
        count = size(self.graph, link.before)
        ring = next((ring for ring in self.rings.values() if ring.link == link), None)
        if ring is not None and self.circular:
            target, count = self.pointer(ring.memory), size(self.graph, ring.memory)
        elif ring is None:
            target = self.pointer(link.before)
            self.lines.append(f"memcpy({target}, {self.pointer(link.after)}, {tensor.size_bytes});")
        else:
            target = f"{self.pointer(ring.memory)} + {ring.start}"
            distance = ring.start * tensor.dtype.itemsize
            self.context.use("et_move_down.c", header="et_elementwise.h")
            self.lines.insert(
                0, f"et_move_down((int8_t *){self.pointer(ring.memory)}, {distance}, {tensor.size_bytes});"
            )
        if tensor.dtype == np.int8:
            self.reset.append(f"memset({target}, {link.start}, {count});")
        else:
            self.reset.append(f"for (int32_t i = 0; i < {count}; ++i) {{ ({target})[i] = {link.start}; }}")

    def _base(self, root: int) -> str:
        text = self.pointer(root)
        return f"({text})" if text.startswith("&") else text

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
        count = size(self.graph, index) * self._dtype(index).itemsize
        return f"PROBE({index}, {self.pointer(index)}, {count});"

    def lower(self, name: str) -> Program:
        """The function, called ``name``."""
        self._resolve_views()
        arenas = self._place()
        for place in self.order:
            lines = self._lower_op(self.graph.ops[place])
            self.lines += lines
            if lines:
                self.lines.append(self._probe(self.graph.ops[place].outputs[0]))
        for link in self.links:
            self._carry(link)
        if self.circular:
            following = f"place == {self.circular - 1} ? 0 : place + 1"
            self.lines[:0] = [
                "const int32_t place = state->place; /* of the oldest row, which the new one replaces */",
                f"state->place = {following};",
            ]
        inputs, outputs = self._ports(self.inputs), self._ports(self.outputs)
        parameters = [
            "edgetool_state *state",
            *(f"const {port.ctype} *{port.name}" for port in inputs),
            *(f"{port.ctype} *{port.name}" for port in outputs),
        ]
        used = any("state->" in line for line in self.lines)
        lines = self.lines if used else ["(void)state;", *self.lines]
        body = "\n".join(f"    {line}" for line in lines)
        text = f"static void {name}({', '.join(parameters)}) {{\n{body}\n}}\n"
        offsets = {
            port.name: self.blocks[port.tensor].offset for port in inputs if port.tensor in self.blocks
        }
        return Program(name, text, inputs, outputs, arenas, self.reset, offsets)


def lower_graph(
    context: Context,
    graph: Graph,
    name: str,
    *,
    links: tuple[StateLink, ...] = (),
    carried: bool = False,
) -> Program:
    """The C function ``name`` of a quantized graph; ModelFileError names what has no C.

    With ``carried``, LSTM states last from call to call; else each call starts from zero state. ``links`` are state
    inputs and outputs that the function keeps itself.
    """
    return GraphFunction(context, graph, links, carried=carried).lower(name)
