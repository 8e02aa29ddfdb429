"""Every tensor of an int8 window graph, as real numbers, by each of those that compute it: reference, LiteRT, TFLM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import Graph
from quantization.ops.quantize import dequantize, quantize
from quantization.reference import Interpreter
from quantization.tflite.run import has_tflm, litert_tensors, tflm_tensors
from toolkit.progress import Progress

Values = NDArray[np.floating[Any]]
#: Gates in the LSTM op's order; their sums are in Q3.12.
GATES = ("input", "forget", "cell", "output")
GATE_STEPS = 4096.0


def real_values(
    graph: Graph,
    content: bytes,
    windows: Mapping[str, NDArray[np.float32]],
    cell_scale: Callable[[str], float],
    tell: Progress,
) -> tuple[dict[str, dict[str, Values]], list[str]]:
    """Values (n, *shape without its first axis, which is 1) by runtime and tensor's name, and what could not be run.

    ``graph`` is what ``content``, a .tflite, holds; ``windows`` are normalised, (n, T, channels) by stream. The reference has
    ``LAYER/gate/GATE`` and ``LAYER/cell`` too, ``cell_scale`` giving the scale of a layer's cell state.
    """
    inputs = _stored_inputs(graph, windows)
    notes = []
    tell("integer reference", 0, 1)
    reference = Interpreter(graph, keep_gates=True)
    reference.run(inputs)
    found = {
        "reference": _real(graph, {i: reference.tensor_at(i) for i in (*graph.inputs, *reference.computed())})
    }
    for name, trace in reference.lstm_traces.items():
        found["reference"][f"{name}/cell"] = (trace["cell"] * cell_scale(name)).astype(np.float64)
        for place, gate in enumerate(GATES):
            found["reference"][f"{name}/gate/{gate}"] = trace["gates"][:, :, place] / GATE_STEPS
    wanted = [*graph.inputs, *(index for op in graph.ops for index in op.outputs)]
    runtimes = {"litert": litert_tensors, **({"tflm": tflm_tensors} if has_tflm() else {})}
    for runtime, tensors in runtimes.items():
        try:
            found[runtime] = _real(graph, tensors(content, inputs, wanted, tell))
        except RuntimeError as error:
            notes.append(f"{runtime} does not run this graph: {str(error).splitlines()[0]}")
    return found, notes


def _stored_inputs(graph: Graph, windows: Mapping[str, NDArray[np.float32]]) -> list[NDArray[Any]]:
    """Inputs in the graph's order and type, (n, 1, T, channels)."""
    stored = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        values, quantized = windows[tensor.name], tensor.affine
        kept = values if quantized is None else quantize(values, quantized).astype(tensor.dtype)
        stored.append(np.ascontiguousarray(kept)[:, None])
    return stored


def _real(graph: Graph, stored: Mapping[int, NDArray[Any]]) -> dict[str, Values]:
    """Dequantized, with the tensor's first axis (of length 1) dropped, as the float graph has it."""
    real: dict[str, Values] = {}
    for index, values in stored.items():
        tensor = graph.tensors[index]
        kept = values if tensor.affine is None else dequantize(values.astype(np.int64), tensor.affine)
        real[tensor.name] = kept.reshape(len(values), *tensor.shape[1:]).astype(np.float64)
    return real
