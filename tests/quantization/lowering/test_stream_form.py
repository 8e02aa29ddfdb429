"""Streams by proof: T steps from reset equal the window's output bit for bit; what looks ahead is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantization import passes
from quantization.converters.builtin import quantized
from quantization.graph.ir import Graph
from quantization.graph.ring_form import narrow, widen
from quantization.importers.lower import lower_program
from quantization.importers.torch_export import parse_network
from quantization.lowering import NoStreamError, lower_window, stream_form
from quantization.quantizer.calibration import calibrate
from quantization.quantizer.recipe import Recipe
from quantization.reference import Interpreter
from tests.quantization.importers import drawn_networks, networks
from tests.quantization.importers.networks import exported
from tests.quantization.small_models import TWO_HEADS, stored
from toolkit.model.checkpoint import Checkpoint

Inputs = dict[str, NDArray[np.float32]]
#: Branches and ways over time that need no later row.
CAUSAL = ("lstm", "tcn", "cnn-lstm")


def lowered(network: torch.nn.Module, inputs: Inputs) -> Graph:
    content = exported(network, tuple(torch.from_numpy(rows[:1]) for rows in inputs.values()))
    program = parse_network(content, "drawn.pt2")
    return lower_program(program, dict(zip(program.inputs, inputs)))


def windows(window: int, widths: tuple[int, ...], count: int = 16) -> Inputs:
    random = np.random.default_rng(1)
    shapes = [(count, window, width) for width in widths]
    return {f"s{n}": random.normal(size=shape).astype(np.float32) for n, shape in enumerate(shapes)}


def stepped(stream: Graph, fed: dict[str, NDArray[np.int8]]) -> NDArray[np.int16]:
    """The output after as many steps from reset as the windows have rows."""
    runner = Interpreter(stream)
    assert stream.state is not None
    first = next(iter(fed.values()))
    carried = stream.state.start(len(first))
    outputs = []
    for step in range(first.shape[2]):
        outputs = runner.run({name: rows[:, :, step : step + 1] for name, rows in fed.items()} | carried)
        carried = {one.input: outputs[one.output_place] for one in stream.state.carried}
    result: NDArray[np.int16] = outputs[0]
    return result


def require_same_bits(window: Graph, inputs: Inputs) -> Graph:
    """The integer stream graph of a float window graph, in both forms of its rings, against the integer window graph."""
    floats = {"window": passes.apply(window), "stream": passes.apply(stream_form(window))}
    integers = quantized(floats, calibrate(floats["window"], inputs, method="mse"), Recipe())
    fed = stored(integers["window"], inputs, tuple(inputs))
    expected = Interpreter(integers["window"]).run(fed)[0]
    wide = widen(integers["stream"])
    for form in (integers["stream"], wide, narrow(wide)):
        np.testing.assert_array_equal(stepped(form, fed), expected)
    return integers["stream"]


@pytest.mark.parametrize("seed", range(100, 116))
def test_drawn_networks_stream_as_their_windows(seed: int) -> None:
    drawn = drawn_networks.draw(seed, CAUSAL, ("last", "attention"))
    inputs = windows(drawn.window, drawn.widths)
    window = lowered(drawn_networks.made(drawn), inputs)
    require_same_bits(window, inputs)


class Mixed(torch.nn.Module):
    """Convolutions without padding and a residual, layer norm, tanh, a mean, a step of before, and a flattened window."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.Sequential(
            drawn_networks._Causal(3, 8, 1, "batch", valid=True),
            drawn_networks._Causal(8, 8, 2, "none", valid=True),
        )
        self.norm = torch.nn.LayerNorm(8)
        self.flat = torch.nn.Linear(3 * 9, 8)
        self.out = torch.nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.norm(self.blocks(x.transpose(1, 2)).transpose(1, 2)))
        parts = [y[:, -1], y.mean(1), y[:, -3], torch.relu(self.flat(x.flatten(1)))]
        result: torch.Tensor = self.out(torch.cat(parts, -1))
        return result


def test_rows_of_before_means_and_flattened_windows() -> None:
    torch.manual_seed(0)
    network = Mixed().eval()
    inputs = windows(9, (3,))
    stream = require_same_bits(lowered(network, inputs), inputs)
    assert stream.state is not None
    # The input: 8 older rows for the flattened window. The first block: taps of 2 and 4 rows ago. The norm: a mean of 3 rows.
    assert {one.input: one.shape for one in stream.state.carried} == {
        "s0/ring": (1, 8, 3),
        "relu_1/ring": (1, 4, 8),
        "tanh/ring": (1, 2, 8),
    }


class LastOfAll(torch.nn.Module):
    """Self-attention of all steps, of which the last alone is used."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(3, 8, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = torch.nn.LayerNorm(8)
        self.out = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.rnn(x)[0]
        z = self.norm(y + self.attention(y, y, y, need_weights=False)[0])
        result: torch.Tensor = self.out(z[:, -1])
        return result


def test_queries_of_all_steps_stream_where_the_last_alone_is_used() -> None:
    torch.manual_seed(0)
    inputs = windows(10, (3,))
    stream = require_same_bits(lowered(LastOfAll().eval(), inputs), inputs)
    assert stream.state is not None
    assert [one.shape for one in stream.state.carried if one.input == "present"] == [(1, 9, 1)]


@pytest.mark.parametrize(
    ("name", "where", "reason"),
    [
        ("bilstm", "getitem/0/backward", "runs backwards"),
        ("cnn-lstm", "relu", "one step in 2"),
        ("transformer", "add", "other values for each step"),
        ("her-cross-lstm", "scaled_dot_product_attention", "each step asks later ones"),
    ],
)
def test_what_looks_ahead_is_named(name: str, where: str, reason: str) -> None:
    inputs = windows(12, (5, 3)[: networks.NETWORKS[name][1]])
    window = lowered(networks.made(name, networks.Sizes((5, 3)[: len(inputs)])), inputs)
    with pytest.raises(NoStreamError, match=reason) as error:
        stream_form(window)
    assert error.value.tensor.startswith(where)


class Centred(torch.nn.Module):
    """A convolution that sees a step ahead of each, and an LSTM of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(3, 8, 3, padding=1)
        self.rnn = torch.nn.LSTM(8, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))[0][:, -1, :2]
        return result


def test_centred_padding_looks_ahead() -> None:
    inputs = windows(9, (3,))
    with pytest.raises(NoStreamError, match="conv1d looks ahead: its padding stands behind the newest step"):
        stream_form(lowered(Centred().eval(), inputs))


def test_the_rings_of_our_own_are_of_hidden_states() -> None:
    stream = stream_form(lower_window(Checkpoint.random(TWO_HEADS, 0)), {"imu/lstm/1/hidden": "imu"})
    assert stream.state is not None
    assert [(one.input, one.shape) for one in stream.state.carried] == [
        ("imu/ring", (1, 8, 8)),
        ("emg/lstm/1/hidden/ring", (1, 8, 8)),
        ("present", (1, 8, 1)),
    ]
