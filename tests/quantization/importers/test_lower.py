"""Imported networks as graphs: the float graph is the network, the C of the int8 graph is the reference, bit for bit."""

from __future__ import annotations

import ctypes
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quantization import passes
from quantization.c_emitter.emit import kernel_files
from quantization.c_emitter.graph_function import lower_graph
from quantization.c_fragments.context import Context
from quantization.graph.ir import Graph
from quantization.importers.evaluate import run as evaluate
from quantization.importers.lower import LOWERINGS, lower_program
from quantization.importers.program import Program
from quantization.importers.torch_export import parse_network
from quantization.quantizer.calibration import calibrate
from quantization.quantizer.quantize import quantize
from quantization.quantizer.recipe import Recipe
from quantization.reference import Interpreter, float_graph
from tests.quantization.c_emitter.harness import STRICT, run, write
from tests.quantization.importers.networks import NETWORKS, Sizes, exported, exported_by_name
from tests.quantization.ops.drawn import source_text
from tests.quantization.small_models import stored
from tests.tools import require
from toolkit.errors import ConversionError

LOWERED = [name for name in NETWORKS if name != "gru" or "gru.input" in LOWERINGS]


def program_of(network: nn.Module, *shapes: tuple[int, ...]) -> Program:
    return parse_network(exported(network.eval(), tuple(torch.zeros(s) for s in shapes)), "her.pt2")


def drawn(program: Program, count: int, seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: random.normal(size=(count, *shape[1:])).astype(np.float32)
        for name, shape in program.inputs.items()
    }


def graph_of(program: Program) -> Graph:
    return passes.apply(lower_program(program, {name: name for name in program.inputs}))


def named(name: str) -> Program:
    sizes = Sizes((5, 3)[: NETWORKS[name][1]])
    return parse_network(exported_by_name(name, sizes), f"{name}.pt2")


def require_the_network(program: Program, graph: Graph) -> None:
    """The float graph computes the program; weights alone are in single precision."""
    inputs = drawn(program, 4)
    wanted = evaluate(program, inputs)
    got = float_graph.run(graph, {k: v.astype(np.float64) for k, v in inputs.items()})["moments"]
    assert np.abs(got.reshape(wanted.shape) - wanted).max() < 1e-6 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("name", LOWERED)
def test_the_float_graph_is_the_network(name: str) -> None:
    program = named(name)
    require_the_network(program, graph_of(program))


@pytest.mark.parametrize("name", LOWERED)
def test_c_equals_the_reference_bit_for_bit(name: str, tmp_path: Path) -> None:
    require("gcc")
    program = named(name)
    graph, inputs = graph_of(program), drawn(program, 40)
    integer = quantize(graph, calibrate(graph, inputs, method="mse"), Recipe())
    fresh = stored(integer, drawn(program, 6, seed=2), tuple(program.inputs))
    (expected,) = Interpreter(integer).run(fresh)
    context = Context("c99", "speed")
    made_c = lower_graph(context, integer, "run_0")
    write({f"kernels/{file}": text for file, text in kernel_files(context).items()}, tmp_path)
    layers = "\n".join([*context.functions.values(), made_c.text])
    text = source_text(context, [replace(made_c, text=layers)])
    (tmp_path / "net.c").write_text(text.replace("static void run_", "void run_"))
    sources = [tmp_path / "net.c", *sorted((tmp_path / "kernels").glob("*.c"))]
    library = tmp_path / "net.so"
    run(["gcc", *STRICT, "-O2", "-fPIC", "-shared", f"-I{tmp_path}", *sources, "-o", library])
    function = ctypes.CDLL(str(library)).run_0
    for window in range(6):
        state = (ctypes.c_uint8 * (1 << 20))(*([0x55] * 64))
        rows = [np.ascontiguousarray(fresh[port.name][window]) for port in made_c.inputs]
        given = np.empty_like(expected[window])
        function(state, *(ctypes.c_void_p(array.ctypes.data) for array in (*rows, given)))
        np.testing.assert_array_equal(given, expected[window])


def test_heads_are_small_layers_and_no_value_is_moved() -> None:
    """Two MultiheadAttentions of four heads: 2 x 4 x (query, key, value), their two output projections, and the head's two."""
    graph = graph_of(named("her-cross-lstm"))
    kinds = Counter(op.kind for op in graph.ops)
    assert kinds["FULLY_CONNECTED"] == 2 * (4 * 3 + 1) + 2
    assert kinds["BATCH_MATMUL"] == 2 * 4 * 2 and kinds["SOFTMAX"] == 2 * 4
    assert kinds["TRANSPOSE"] == kinds["RESHAPE"] == kinds["STRIDED_SLICE"] == 0
    # Weights that are asked for make no other ops: they are the same graph.
    again = graph_of(named("her-with-weights"))
    assert [op.kind for op in again.ops] == [op.kind for op in graph.ops]


class Mixed(nn.Module):
    """What people write besides: a gate, padding by hand, a skip from the input, pooling, constants on the left."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 6, 3, groups=2, dilation=2)
        self.gate = nn.Linear(6, 6)
        self.rnn = nn.LSTM(10, 5, batch_first=True)
        self.out = nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(nn.functional.pad(x.transpose(1, 2), (4, 0))).transpose(1, 2)
        y = torch.tanh(y) * torch.sigmoid(self.gate(y))
        h = self.rnn(torch.cat([1.0 - y, x], dim=2))[0]
        pooled = nn.functional.avg_pool1d(h.transpose(1, 2), 3)[:, :, -1]
        last = torch.stack([x[:, -1, 0], x[:, 0, 1] / 2.0], dim=1)
        result: Tensor = self.out(torch.cat([pooled, last], dim=1))
        return result


def test_other_forms_that_people_write() -> None:
    torch.manual_seed(2)
    program = program_of(Mixed(), (1, 9, 4))
    require_the_network(program, graph_of(program))


class Strange(nn.Module):
    """A first state that is learnt, and attention with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)
        self.start = nn.Parameter(torch.ones(1, 1, 4))
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        states = self.rnn(x, (self.start, self.start))[0]
        other = nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        result: Tensor = self.out(states[:, -1]) + other[:, -1, :1]
        return result


def test_what_has_no_form_is_told_in_one_go_with_the_authors_lines() -> None:
    with pytest.raises(ConversionError) as caught:
        graph_of(program_of(Strange(), (1, 5, 3)))
    message = str(caught.value)
    assert "lstm.input at test_lower.py:" in message and "its first state is not zero" in message
    assert "scaled_dot_product_attention.default at test_lower.py:" in message
    assert "is_causal=True)): a mask or dropout within it" in message


class Product(nn.Module):
    """A product with weights that do not sum to one, which must not be folded like attention's."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x[:, -1:, :2], self.value(x[:, :2])).reshape(1, 4)


def test_a_product_that_is_no_attention_is_not_folded() -> None:
    torch.manual_seed(5)
    program = program_of(Product(), (1, 4, 3))
    require_the_network(program, graph_of(program))
