"""What a device is fed in a bench: a stated part of the host's windows, in the model's own integers, and what must come back.

A window takes a second on a slow link, so a device runs some of the windows and the first seconds of every recording. The
float model is judged on the same rows, so that increase and error compare like with like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.windows import Evaluation
from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph
from quantization.reference import Interpreter
from quantization.tflite.file import graph_of
from toolkit.errors import UsageError
from toolkit.progress import Progress

#: Windows a device runs, spread evenly over the host's; and recordings, spread evenly, with their first steps from reset.
WINDOWS = 200
STEPS = 700
RECORDINGS = 4


@dataclass(frozen=True, eq=False)
class WindowData:
    """``rows`` of the evaluation; integer ``inputs`` (n, T, channels) of each stream, ``expected`` (n, outputs)."""

    rows: NDArray[np.int64]
    inputs: tuple[NDArray[Any], ...]
    expected: NDArray[Any]
    output: TensorFormat


@dataclass(frozen=True, eq=False)
class StreamData:
    """Runs from reset: ``inputs`` and ``expected`` by run, (steps, channels) and (steps, outputs).

    ``recordings`` are those of the runs. ``rows`` are the evaluation's windows that end within them; ``place`` (n, 2) their
    run and step. ``names`` are the streams'.
    """

    names: tuple[str, ...]
    recordings: tuple[int, ...]
    rows: NDArray[np.int64]
    place: NDArray[np.int64]
    inputs: tuple[tuple[NDArray[Any], ...], ...]
    expected: tuple[NDArray[Any], ...]
    output: TensorFormat


@dataclass(frozen=True, eq=False)
class DeviceData:
    """Both graphs' data; ``stream`` is None if the bundle has no int8 stream graph."""

    window: WindowData
    stream: StreamData | None
    window_graph: Graph
    stream_graph: Graph | None


def device_data(bundle: Bundle, data: Evaluation, progress: Progress) -> DeviceData:
    """What devices get of ``data``, and the integer reference's answers; UsageError for a bundle without int8 graphs."""
    graphs = int8_graphs(bundle)
    window_graph = graph_of(graphs["window"])
    window = _window_data(data, window_graph, progress)
    stream, stream_graph = None, None
    if "stream" in graphs:
        file = graphs["stream"]
        stream_graph = graph_of(file).carrying(file.state)
        stream = _stream_data(data, stream_graph, progress)
    return DeviceData(window, stream, window_graph, stream_graph)


def int8_graphs(bundle: Bundle) -> dict[str, GraphFile]:
    """The int8 graphs of a bundle by kind; UsageError if there is no window graph among them."""
    graphs: dict[str, GraphFile] = {graph.graph: graph for graph in bundle.graphs if graph.scheme == "int8"}
    if "window" not in graphs:
        raise UsageError(
            "a device runs the int8 graphs, and this bundle has none: convert it with --scheme int8"
        )
    return graphs


def moments(values: NDArray[Any], form: TensorFormat) -> NDArray[np.float32]:
    """Nm/kg of a device's integers."""
    return decode(values, form)


def _window_data(data: Evaluation, graph: Graph, progress: Progress) -> WindowData:
    count = min(WINDOWS, len(data.windows))
    rows = np.unique(np.linspace(0, len(data.windows) - 1, count).astype(np.int64))
    inputs = tuple(
        encode(data.windows.inputs[form.name][rows], form) for form in _formats(graph, _streams(data))
    )
    interpreter, output = Interpreter(graph), _output(graph)
    expected = []
    for number in range(len(rows)):
        progress("reference windows", number + 1, len(rows))
        interpreter.reset()
        interpreter.run([values[number : number + 1] for values in inputs])
        expected.append(interpreter.tensor_at(graph.outputs[0]).reshape(-1).copy())
    return WindowData(rows, inputs, np.stack(expected), output)


def _stream_data(data: Evaluation, graph: Graph, progress: Progress) -> StreamData:
    names = _streams(data)
    formats, output = _formats(graph, names), _output(graph)
    inputs, expected, rows, places = [], [], [], []
    chosen = _recordings(data)
    for number, recording in enumerate(chosen):
        progress("reference steps", number, len(chosen))
        sequence = data.sequences[recording].inputs
        mine = np.flatnonzero((data.windows.recording == recording) & (data.sequence_row < STEPS))
        steps = int(data.sequence_row[mine].max()) + 1
        samples = tuple(encode(sequence[form.name][:steps], form) for form in formats)
        inputs.append(samples)
        steps_run = reference_steps(graph, names, samples)
        expected.append(np.stack([one.tensor_at(graph.outputs[0]).reshape(-1).copy() for one in steps_run]))
        rows.append(mine)
        places.append(np.stack([np.full(len(mine), number), data.sequence_row[mine]], axis=1))
    progress("reference steps", len(chosen), len(chosen))
    return StreamData(
        names=names,
        recordings=chosen,
        rows=np.concatenate(rows),
        place=np.concatenate(places),
        inputs=tuple(inputs),
        expected=tuple(expected),
        output=output,
    )


def _recordings(data: Evaluation) -> tuple[int, ...]:
    """Recordings with windows among their first steps, at most RECORDINGS, spread evenly."""
    early = np.unique(data.windows.recording[data.sequence_row < STEPS])
    if not len(early):
        raise UsageError(f"no window of the test part ends within the first {STEPS} steps of a recording")
    places = np.unique(np.linspace(0, len(early) - 1, min(RECORDINGS, len(early))).astype(int))
    return tuple(int(early[place]) for place in places)


def reference_steps(
    graph: Graph, names: Sequence[str], samples: Sequence[NDArray[Any]]
) -> Iterator[Interpreter]:
    """The integer reference from reset, after each step of ``samples`` (steps, channels) of the streams ``names``."""
    assert graph.state is not None
    interpreter, state = Interpreter(graph), graph.state.start()
    for step in range(len(samples[0])):
        feed = dict(state)
        for name, values in zip(names, samples):
            feed[name] = values[step].reshape(graph.tensor(name).shape)
        interpreter.run(feed)
        state = {one.input: interpreter.tensor(one.output) for one in graph.state.carried}
        yield interpreter


def _streams(data: Evaluation) -> tuple[str, ...]:
    return tuple(item.stream.name for item in data.contract.inputs)


def _formats(graph: Graph, streams: Sequence[str]) -> list[TensorFormat]:
    return [_format(graph, graph.index(name)) for name in streams]


def _output(graph: Graph) -> TensorFormat:
    return _format(graph, graph.outputs[0])


def _format(graph: Graph, place: int) -> TensorFormat:
    tensor = graph.tensors[place]
    quantization = tensor.quantization
    if quantization is None:
        raise UsageError(
            f"tensor {tensor.name!r} of the int8 graph is {tensor.dtype}; a device takes and gives integers: "
            "convert with --converter builtin"
        )
    return TensorFormat(
        tensor.name, tensor.shape, tensor.dtype, float(quantization.scale[0]), int(quantization.zero_point[0])
    )
