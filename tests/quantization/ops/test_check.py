"""What :mod:`quantization.ops.check` accepts, the reference computes: drawn graphs with one thing changed.

Each drawn graph is sound; then one shape, type, scale, zero point, input, output, constant or option is made another. Either
the change is refused in one line, or the graph is still sound: the reference runs it, every output has its shape, and the
shifts of its C are those that the kernels take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from quantization.c_emitter.graph_function import lower_graph
from quantization.c_fragments.context import Context
from quantization.converters import builtin
from quantization.graph.ir import Graph, GraphBuilder, Quantization, Tensor
from quantization.ops.check import require_consistent
from quantization.reference import Interpreter
from quantization.reference.float_graph import run as run_floats
from quantization.tflite.file import read
from tests.quantization.reference.random_models import RandomModel
from tests.quantization.small_models import SMALL, TWO_HEADS, windows
from toolkit.errors import EdgetoolError, ModelFileError
from toolkit.model.checkpoint import Checkpoint

Draw = np.random.Generator
DRAWS = 60


@cache
def built(name: str) -> Graph:
    """A graph of the builtin converter, as its file has it."""
    config = {"small": SMALL, "two heads": TWO_HEADS}[name.split(",")[0]]
    checkpoint = Checkpoint.random(config, 5)
    kind, scheme = name.split(", ")[1:]
    files = builtin.build(checkpoint, windows(checkpoint, 20), scheme="int8")
    return read(next(f for f in files if (f.graph, f.scheme) == (kind, scheme)).content)


def moving_ops() -> Graph:
    """An op of each kind that moves values, which the converter's graphs lack."""
    build = GraphBuilder("moving")
    one = Quantization.per_tensor(0.1, 3)
    shape = (1, 4, 6)
    x = build.add("x", shape, np.int8, one)

    def step(
        kind: str, *constants: list[int], shape: tuple[int, ...], first: bool = False, **options: Any
    ) -> int:
        index = len(build.tensors)
        plain = [build.constant(f"{index}/{k}", np.array(c, np.int32)) for k, c in enumerate(constants)]
        out = build.add(f"{index}/out", shape, np.int8, one)
        build.op(kind, (*plain, x) if first else (x, *plain), (out,), **options)
        return out

    ends = [
        step("TRANSPOSE", [2, 0, 1], shape=(6, 1, 4)),
        step("SLICE", [0, 1, 2], [1, -1, 3], shape=(1, 3, 3)),
        step("GATHER", [3, 0], shape=(1, 4, 2), axis=2),
        step("RESHAPE", [4, 6], shape=(4, 6), new_shape=(4, 6)),
        step("STRIDED_SLICE", [0, -1, 0], [1, 0, 6], [1, -1, 2], shape=(1, 3, 3), begin_mask=0, end_mask=0),
        step("RELU", shape=shape),
        step("MEAN", [1], shape=(1, 6), keep_dims=False),
    ]
    parts = tuple(build.add(f"part{k}", (1, 2, 6), np.int8, one) for k in range(2))
    axis = build.constant("axis", np.array([1], np.int32))
    build.op("SPLIT", (axis, x), parts, num_splits=2)
    packed = build.add("packed", (1, 2, 2, 6), np.int8, one)
    build.op("PACK", parts, (packed,), axis=1, values_count=2)
    rows = tuple(build.add(f"row{k}", (1, 6), np.int8, one) for k in range(4))
    build.op("UNPACK", (x,), rows, axis=1, num=4)
    return build.build((x,), (*ends, packed, *rows))


SOURCES: dict[str, Callable[[Draw], Graph]] = {
    "window": lambda draw: built("small, window, int8"),
    "stream": lambda draw: built("two heads, stream, int8"),
    "floats": lambda draw: built("two heads, window, float32"),
    "drawn": lambda draw: RandomModel(draw).build(),
    "moving": lambda draw: moving_ops(),
}


def with_tensor(graph: Graph, index: int, **changes: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


def with_op(graph: Graph, place: int, **changes: Any) -> Graph:
    ops = list(graph.ops)
    ops[place] = replace(ops[place], **changes)
    return replace(graph, ops=tuple(ops))


def another_shape(draw: Draw, tensor: Tensor) -> tuple[int, ...]:
    shape = list(tensor.shape)
    choice = int(draw.integers(4))
    if choice == 0 and shape:
        place = int(draw.integers(len(shape)))
        shape[place] = max(0, shape[place] + int(draw.choice([-1, 1, 2, 10**6])))
    elif choice == 1:
        shape = list(draw.permutation(np.array(shape, np.int64)))
    elif choice == 2:
        shape.insert(int(draw.integers(len(shape) + 1)), int(draw.choice([1, 2])))
    elif shape:
        del shape[int(draw.integers(len(shape)))]
    return tuple(int(n) for n in shape)


def changed_tensor(graph: Graph, draw: Draw) -> Graph:
    """Another shape, type, scale or zero point."""
    index = int(draw.integers(len(graph.tensors)))
    tensor = graph.tensors[index]
    choice = str(draw.choice(["shape", "dtype", "scale", "zero point", "none"]))
    if choice == "shape":
        shape = another_shape(draw, tensor)
        data = None if tensor.data is None else np.resize(tensor.data, shape)
        return with_tensor(graph, index, shape=shape, data=data)
    if choice == "dtype":
        dtype = np.dtype(draw.choice(["int8", "int16", "int32", "int64", "float32", "uint8", "bool"]))
        data = None if tensor.data is None else tensor.data.astype(dtype)
        return with_tensor(graph, index, dtype=dtype, data=data)
    if tensor.quantization is None or choice == "none":
        return with_tensor(graph, index, quantization=None)
    if choice == "scale":
        scales = (0.0, -1.0, 1e38, 1e-38, 1e-45, 1e15, 1e6, 1e-6, 1e-9, 1.0, 2.0**-14)
        scale = np.full(int(draw.choice([1, 1, 1, 2])), draw.choice(scales), np.float32)
        quantization = Quantization(scale, np.zeros(len(scale), np.int64), int(draw.integers(3)))
    else:
        point = int(draw.choice([-(2**40), 2**31, 128, -129, 40000, 127, -128, 0]))
        quantization = replace(tensor.quantization, zero_point=np.array([point], np.int64))
    return with_tensor(graph, index, quantization=quantization)


def changed_op(graph: Graph, draw: Draw) -> Graph:
    """Other inputs or outputs, another option, another kind, or the op at another place."""
    place = int(draw.integers(len(graph.ops)))
    op = graph.ops[place]
    choice = str(draw.choice(["inputs", "outputs", "option", "kind", "order", "drop"]))
    count = len(graph.tensors)
    if choice in ("inputs", "outputs"):
        tensors = list(getattr(op, choice))
        if draw.integers(4) == 0 and len(tensors) > 1:
            del tensors[int(draw.integers(len(tensors)))]
        else:
            tensors[int(draw.integers(len(tensors)))] = int(draw.integers(-1, count))
        return with_op(graph, place, **{choice: tuple(tensors)})
    if choice == "option" and op.options:
        name = str(draw.choice(sorted(op.options)))
        value: Any = draw.choice([-3, -1, 0, 1, 2, 5])
        if name == "fused_activation_function":
            value = str(draw.choice(["NONE", "RELU", "RELU6", "TANH", "SIGN_BIT"]))
        elif name in ("beta", "cell_clip"):
            value = float(draw.choice([0.0, -1.0, 1e30, 1e-30, np.inf, np.nan]))
        elif isinstance(op.options[name], tuple):
            value = (int(value),)
        elif op.options[name] is not None:
            value = type(op.options[name])(value)
        return with_op(graph, place, options={**op.options, name: value})
    if choice == "kind":
        return with_op(graph, place, kind=str(draw.choice([o.kind for o in graph.ops])))
    ops = list(graph.ops)
    moved = ops.pop(place)
    if choice == "order":
        ops.insert(int(draw.integers(len(ops) + 1)), moved)
    return replace(graph, ops=tuple(ops))


def changed_constant(graph: Graph, draw: Draw) -> Graph:
    """An axis, a shape, a begin or an index that is another number."""
    plain = [i for i, t in enumerate(graph.tensors) if t.data is not None and t.dtype == np.int32]
    plain = [i for i in plain if graph.tensors[i].quantization is None and graph.tensors[i].data.size]
    if not plain:
        return changed_op(graph, draw)
    index = int(draw.choice(plain))
    data = np.array(graph.tensors[index].data)
    data.reshape(-1)[int(draw.integers(data.size))] = int(
        draw.choice([-(2**31), -2, -1, 0, 1, 2, 7, 2**31 - 1])
    )
    return with_tensor(graph, index, data=data)


CHANGES = (changed_tensor, changed_op, changed_constant)


def inputs_of(graph: Graph, draw: Draw) -> Iterator[np.ndarray]:
    for index in graph.inputs:
        tensor = graph.tensors[index]
        drawn = draw.normal(size=tensor.shape)
        if tensor.dtype == np.float32:
            yield drawn.astype(np.float32)
        else:
            limits = np.iinfo(np.int8)
            yield np.clip(drawn * 60, limits.min, limits.max).astype(tensor.dtype)


def runs(graph: Graph, draw: Draw) -> None:
    """By the reference, or the float one; every output has its shape."""
    if any(graph.tensors[i].dtype == np.float32 for op in graph.ops for i in op.outputs):
        names = [graph.tensors[index].name for index in graph.inputs]
        run_floats(graph, dict(zip(names, inputs_of(graph, draw))))
        return
    context = Context("c99", "speed")
    with suppress(ModelFileError):  # an op or a form without C
        lower_graph(context, graph, "run")
    shifts = [int(shift) for shift in re.findall(r"\{\d+, (-?\d+)\}", context.pool.text())]
    assert all(-31 <= shift <= 30 for shift in shifts)
    results = Interpreter(graph).run(list(inputs_of(graph, draw)))
    for index, values in zip(graph.outputs, results):
        assert values.shape == graph.tensors[index].shape


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_accepted_runs(source: str, change: Callable[[Graph, Draw], Graph]) -> None:
    refused = 0
    for seed in range(DRAWS):
        draw = np.random.default_rng([seed, len(source)])
        graph = SOURCES[source](draw)
        require_consistent(graph)
        other = change(graph, draw)
        try:
            require_consistent(other)
        except ModelFileError as error:
            refused += 1
            assert "\n" not in str(error)
            continue
        try:
            runs(other, draw)
        except EdgetoolError as error:  # an op without a form in the reference, or a negative number's root
            assert "\n" not in str(error)
    assert refused > 0, "a change must contradict something now and then, or nothing is tested"
