"""Our own Cross-LSTM, exported by torch and imported, is the int8 model of the direct way: every weight, scale and type."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantization import passes
from quantization.graph.ir import Graph
from quantization.importers.lower import lower_program
from quantization.importers.torch_export import parse_network
from quantization.lowering import lower_window
from quantization.quantizer.calibration import calibrate
from quantization.quantizer.quantize import quantize
from quantization.quantizer.recipe import Recipe
from quantization.reference import Interpreter
from tests.quantization.importers.networks import exported
from tests.quantization.small_models import SMALL, TWO_HEADS, features, stored
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.network import CrossLSTM


def contents(graph: Graph) -> list[tuple[object, ...]]:
    """All that a .tflite holds of each tensor but its name, in any order."""
    return sorted(
        (
            str(tensor.dtype),
            tensor.shape,
            b"" if tensor.quantization is None else tensor.quantization.scale.tobytes(),
            b"" if tensor.quantization is None else tensor.quantization.zero_point.tobytes(),
            b"" if tensor.data is None else tensor.data.tobytes(),
        )
        for tensor in graph.tensors
    )


@pytest.mark.parametrize("which", ["small", "two heads", "shipped"])
def test_the_imported_int8_model_is_that_of_the_direct_way(which: str) -> None:
    checkpoint = {
        "small": lambda: Checkpoint.random(SMALL, 0),
        "two heads": lambda: Checkpoint.random(TWO_HEADS, 1),
        "shipped": lambda: Checkpoint.load(pretrained()),
    }[which]()
    inputs = features(checkpoint.config, 30)
    network = CrossLSTM.from_checkpoint(checkpoint).eval()
    program = parse_network(
        exported(network, tuple(torch.from_numpy(rows[:1]) for rows in inputs.values())), "ours.pt2"
    )
    direct = passes.apply(lower_window(checkpoint))
    imported = passes.apply(lower_program(program, {"imu": "imu", "emg": "emg"}))
    integers = [
        quantize(graph, calibrate(graph, inputs, method="mse"), Recipe()) for graph in (direct, imported)
    ]
    assert sorted(op.kind for op in integers[0].ops) == sorted(op.kind for op in integers[1].ops)
    assert contents(integers[0]) == contents(integers[1])
    fresh = features(checkpoint.config, 5, seed=3)
    first, second = (Interpreter(graph).run(stored(graph, fresh))[0] for graph in integers)
    np.testing.assert_array_equal(first, second)
