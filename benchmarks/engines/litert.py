"""LiteRT (TensorFlow Lite) through the ai-edge-litert wheel, with its default delegates."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import (
    CannotRunError,
    HostEngine,
    Size,
    Tick,
)
from benchmarks.engines.window_graph import WindowFormat, require_window_graph
from benchmarks.evaluation.windows import Evaluation
from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.graph.graph_file import GraphFile
from quantization.tflite.stderr import native_stderr
from toolkit.errors import ModelFileError
from toolkit.model.checkpoint import Checkpoint


class LiteRT:
    """A window graph. Variables are reset before every window: the fused LSTM keeps its state across invoke()."""

    how = "LiteRT interpreter from Python: reset of variables, copy in, invoke, copy out"

    def __init__(self, interpreter: Any, form: WindowFormat, model_bytes: int) -> None:
        self.version = importlib.metadata.version("ai-edge-litert")
        self._interpreter = interpreter
        self._form = form
        self._bytes = model_bytes
        self._input_places = [detail["index"] for detail in interpreter.get_input_details()]
        self._output_place = interpreter.get_output_details()[0]["index"]

    def _invoke(self, inputs: list[NDArray[Any]]) -> NDArray[Any]:
        self._interpreter.reset_all_variables()
        for place, values in zip(self._input_places, inputs):
            self._interpreter.set_tensor(place, values)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_tensor(self._output_place)
        return result

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments of all windows, (n, outputs)."""
        encoded = self._form.encode(data)
        rows = []
        for row in range(len(data.windows)):
            rows.append(self._invoke([values[row : row + 1] for values in encoded]))
            tick(1)
        return decode(np.concatenate(rows), self._form.output)

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """The first window, quantization of its inputs included."""
        first = [np.array(data.windows.inputs[name][:1]) for name in self._form.streams]

        def call() -> object:
            raw = self._invoke([encode(v, f) for v, f in zip(first, self._form.inputs)])
            return decode(raw, self._form.output)

        return call

    def size(self) -> Size:
        """The file; LiteRT does not tell its memory plan."""
        return Size(self._bytes)


def load(checkpoint: Checkpoint, graph: GraphFile | None, threads: int) -> HostEngine:
    """Load a window or stream graph; ModelFileError if LiteRT refuses it."""
    if graph is not None and graph.graph == "stream":
        from benchmarks.engines import litert_stream

        return litert_stream.load(checkpoint, graph, threads)
    graph = require_window_graph(graph)
    interpreter = open_interpreter(graph, threads)
    form = WindowFormat.of(
        checkpoint,
        graph.file,
        [tensor_format(d) for d in interpreter.get_input_details()],
        [tensor_format(d) for d in interpreter.get_output_details()],
    )
    return LiteRT(interpreter, form, len(graph.content))


def open_interpreter(graph: GraphFile, threads: int) -> Any:
    """A LiteRT interpreter with its tensors allocated."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise CannotRunError("ai-edge-litert is not installed: pip install ai-edge-litert") from None
    with native_stderr() as caught:
        try:
            interpreter = Interpreter(model_content=graph.content, num_threads=threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().replace("\n", " ")
            raise ModelFileError(f"{graph.file}: LiteRT cannot load it: {reason}") from None
        del caught
    return interpreter


def tensor_format(detail: dict[str, Any]) -> TensorFormat:
    """The format of an input or output as LiteRT describes it."""
    scale, zero_point = detail["quantization"]
    return TensorFormat(
        str(detail["name"]),
        tuple(int(v) for v in detail["shape"]),
        np.dtype(detail["dtype"]),
        float(scale),
        int(zero_point),
    )
