"""A bundle's graphs, each loaded to run live: its .tflite on LiteRT, or its generated C compiled for this machine.

Both are driven in the same two ways: windows from zero state, and whole recordings row by row with state carried.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import CannotRunError, HostEngine, Tick
from benchmarks.engines.window_graph import WindowFormat, require_window_graph
from benchmarks.evaluation.windows import Evaluation
from benchmarks.records import Size
from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from quantization.tflite.run import open_interpreter, tensor_format
from quantization.tflite.stderr import quiet
from runtime.engines import open_engine
from runtime.engines.native import NativeEngine
from toolkit.errors import EdgetoolError, MissingDependencyError, ModelFileError

#: Features by stream; the shapes are those of the graph's inputs, (rows, channels) or (channels,).
Inputs = Mapping[str, NDArray[Any]]
#: The output of a bundle's stream graph.
OUTPUT = "moments"


class Graph(Protocol):
    """A loaded graph, one inference at a time."""

    version: str
    #: The streams that it takes, in the model's order.
    streams: tuple[str, ...]

    def encode(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Features, of any shape, in the graph's own numbers."""
        ...

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Moments in Nm/kg, (n, outputs), of raw outputs (n, outputs)."""
        ...

    def run(self, inputs: Inputs) -> NDArray[Any]:
        """Raw outputs (outputs,) of one inference on encoded inputs."""
        ...

    def reset(self) -> None:
        """Forget all rows that a stream graph was given."""
        ...

    def live(self, inputs: Mapping[str, NDArray[np.float32]]) -> object:
        """One inference as a live system would do it: features in, moments out."""
        ...

    def size(self) -> Size:
        """What it occupies."""
        ...


class WindowRow:
    """A window graph on every window, each from zero state."""

    def __init__(self, graph: Graph, how: str) -> None:
        self.version, self.how = graph.version, how
        self._graph = graph

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments of all windows, (n, outputs), in Nm/kg."""
        encoded = self._graph.encode({name: data.windows.inputs[name] for name in self._graph.streams})
        outputs = []
        for row in range(len(data.windows)):
            outputs.append(self._graph.run({name: values[row] for name, values in encoded.items()}))
            tick(1)
        return self._graph.decode(np.stack(outputs))

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """The first window, the way into the graph's numbers and back included."""
        first = {s: np.array(data.windows.inputs[s][0], np.float32) for s in self._graph.streams}
        return partial(self._graph.live, first)

    def size(self) -> Size:
        """What the loaded graph occupies."""
        return self._graph.size()


class StreamRow(WindowRow):
    """A stream graph on whole recordings: one row in, one estimate out, state carried from the first row on."""

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments at the newest sample of every window, (n, outputs), in Nm/kg."""
        result = np.empty((len(data.windows), len(data.joints)), np.float32)
        for recording, run in enumerate(data.sequences):
            mine = np.flatnonzero(data.windows.recording == recording)
            last = int(data.sequence_row[mine].max(initial=-1))
            rows = self._graph.encode({name: run.inputs[name] for name in self._graph.streams})
            self._graph.reset()
            outputs = [
                self._graph.run({name: values[row] for name, values in rows.items()})
                for row in range(last + 1)
            ]
            if len(mine):
                result[mine] = self._graph.decode(np.stack(outputs))[data.sequence_row[mine]]
            tick(len(mine))
        return result

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """One sample, the way into the graph's numbers and back included."""
        first = {s: np.array(data.windows.inputs[s][0, 0], np.float32) for s in self._graph.streams}
        return partial(self._graph.live, first)


class LiteRTGraph:
    """A graph in a LiteRT interpreter. ``carried``: index of a ring's input and of its output, and its first value.

    The fused LSTM keeps its state in the interpreter's variables: from call to call in a stream graph, and to be cleared
    before every window.
    """

    def __init__(
        self,
        interpreter: Any,
        places: Mapping[str, int],
        forms: Mapping[str, TensorFormat],
        output: tuple[int, TensorFormat],
        model_bytes: int,
        carried: Sequence[tuple[int, int, NDArray[Any]]] | None = None,
    ) -> None:
        self.version = importlib.metadata.version("ai-edge-litert")
        self.streams = tuple(forms)
        self._interpreter, self._bytes = interpreter, model_bytes
        self._places, self._forms = places, forms
        self._output, self._output_form = output
        self._carried = carried
        self.reset()

    def encode(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Quantized for an int8 graph."""
        return {name: encode(values, self._forms[name]) for name, values in inputs.items()}

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Dequantized for an int8 graph."""
        return decode(outputs, self._output_form)

    def reset(self) -> None:
        """Clear variables and rings."""
        self._interpreter.reset_all_variables()
        self._rings = [first for _, _, first in self._carried or ()]

    def run(self, inputs: Inputs) -> NDArray[Any]:
        """Copy in, invoke, copy out."""
        if self._carried is None:
            self._interpreter.reset_all_variables()
        for name, values in inputs.items():
            self._interpreter.set_tensor(self._places[name], values.reshape(self._forms[name].shape))
        for (place, _, _), ring in zip(self._carried or (), self._rings):
            self._interpreter.set_tensor(place, ring)
        self._interpreter.invoke()
        self._rings = [self._interpreter.get_tensor(place) for _, place, _ in self._carried or ()]
        result: NDArray[Any] = self._interpreter.get_tensor(self._output)[0]
        return result

    def live(self, inputs: Mapping[str, NDArray[np.float32]]) -> object:
        """Quantization of the inputs included."""
        return self.decode(self.run(self.encode(inputs)))

    def size(self) -> Size:
        """The file; LiteRT does not tell its memory plan."""
        return Size(self._bytes)


class NativeGraph:
    """One graph of the engine that ``edgetool run`` has on the bundle's C; it checks and quantizes by itself."""

    def __init__(self, engine: NativeEngine, kind: str) -> None:
        self.version, self.streams = engine.version, tuple(engine.channels)
        self.live = engine.step if kind == "stream" else engine.window
        self.run: Callable[[Inputs], NDArray[Any]] = self.live
        self.reset = engine.reset
        self._size = Size(engine.library_bytes, engine.state_bytes)

    def encode(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """As they are: the C takes float32."""
        return {name: np.asarray(values, np.float32) for name, values in inputs.items()}

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """As they are: the C gives float32."""
        return np.asarray(outputs, np.float32)

    def size(self) -> Size:
        """The compiled library with both graphs, and the memory of one instance."""
        return self._size


def load_native(bundle: Bundle, graph: GraphFile | None, threads: int) -> HostEngine:
    """The bundle's C; CannotRunError for another graph than its int8 ones, without a compiler, or with several threads."""
    if graph is None or graph.scheme != "int8":
        raise CannotRunError("the native engine runs int8 graphs")
    if threads != 1:
        raise CannotRunError(f"the native engine has one thread; {threads} were asked for")
    try:
        engine = open_engine(bundle, "native", "int8")
    except EdgetoolError as reason:
        raise CannotRunError(str(reason)) from None
    assert isinstance(engine, NativeEngine)
    how = "the bundle's C compiled for this machine, called from Python: checks, quantization, "
    loaded = NativeGraph(engine, graph.graph)
    if graph.graph == "stream":
        return StreamRow(loaded, how + "step; state carried over each recording")
    return WindowRow(loaded, how + "window")


def load_litert(bundle: Bundle, graph: GraphFile | None, threads: int) -> HostEngine:
    """A window or stream graph on LiteRT with its default delegates; ModelFileError if LiteRT refuses it."""
    if graph is not None and graph.graph == "stream":
        return _litert_stream(bundle, graph, threads)
    graph = require_window_graph(graph)
    interpreter = _interpreter(graph, threads)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    form = WindowFormat.of(
        bundle.checkpoint, graph.file, [tensor_format(d) for d in inputs], [tensor_format(d) for d in outputs]
    )
    places = {name: int(detail["index"]) for name, detail in zip(form.streams, inputs)}
    output = (int(outputs[0]["index"]), form.output)
    loaded = LiteRTGraph(
        interpreter, places, dict(zip(form.streams, form.inputs)), output, len(graph.content)
    )
    return WindowRow(loaded, "LiteRT interpreter from Python: variables reset, copy in, invoke, copy out")


def _litert_stream(bundle: Bundle, graph: GraphFile, threads: int) -> HostEngine:
    """ModelFileError if the manifest does not describe the state, or not that of this graph."""
    if graph.state is None:
        raise ModelFileError(
            f"{graph.file}: the manifest does not describe the stream's state; convert again"
        )
    streams = [item.stream.name for item in bundle.contract.inputs]
    interpreter = _interpreter(graph, threads)
    inputs = {str(d["name"]): d for d in interpreter.get_input_details()}
    outputs = {str(d["name"]): d for d in interpreter.get_output_details()}
    try:
        forms = {name: tensor_format(inputs[name]) for name in streams}
        places = {name: int(inputs[name]["index"]) for name in streams}
        output = (int(outputs[OUTPUT]["index"]), tensor_format(outputs[OUTPUT]))
        carried = [
            (int(inputs[c.input]["index"]), int(outputs[c.output]["index"]), c.start())
            for c in graph.state.carried
        ]
    except KeyError as error:
        raise ModelFileError(
            f"{graph.file}: the stream graph lacks tensor {error}, which the manifest names; convert the checkpoint again"
        ) from None
    loaded = LiteRTGraph(interpreter, places, forms, output, len(graph.content), carried)
    return StreamRow(
        loaded,
        "LiteRT interpreter from Python: copy in row and rings, invoke, copy out; state carried over each recording",
    )


def _interpreter(graph: GraphFile, threads: int) -> Any:
    """A LiteRT interpreter with its tensors allocated."""
    try:
        with quiet():
            return open_interpreter(graph.content, graph.file, threads=threads)
    except MissingDependencyError as error:
        raise CannotRunError(str(error)) from None
