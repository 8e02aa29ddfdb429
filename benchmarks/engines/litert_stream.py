"""The stream graph on LiteRT: one row in, one moment out, state carried from the first row of each recording on."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import Size, Tick
from benchmarks.engines.litert import open_interpreter, tensor_format
from benchmarks.evaluation.windows import Evaluation
from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.graph.graph_file import GraphFile
from toolkit.errors import ModelFileError
from toolkit.model.checkpoint import Checkpoint

OUTPUT = "moments"


class LiteRTStream:
    """A stream graph with its state.

    LSTM state is in the interpreter's variables; the rings are inputs and outputs that :meth:`step` swaps
    (``state`` of the manifest names them).
    """

    how = "LiteRT interpreter from Python: copy in row and rings, invoke, copy out; state carried over each recording"

    def __init__(self, interpreter: Any, graph: GraphFile, streams: tuple[str, ...]) -> None:
        self.version = importlib.metadata.version("ai-edge-litert")
        self._interpreter = interpreter
        self._bytes = len(graph.content)
        self._streams = streams
        inputs = {str(d["name"]): d for d in interpreter.get_input_details()}
        outputs = {str(d["name"]): d for d in interpreter.get_output_details()}
        assert graph.state is not None
        try:
            self._formats: dict[str, TensorFormat] = {name: tensor_format(inputs[name]) for name in streams}
            self._places: dict[str, int] = {name: inputs[name]["index"] for name in streams}
            self._output_place: int = outputs[OUTPUT]["index"]
            self._output = tensor_format(outputs[OUTPUT])
            self._carried = [
                (inputs[c.input]["index"], outputs[c.output]["index"], c.start()) for c in graph.state.carried
            ]
        except KeyError as error:
            raise ModelFileError(
                f"{graph.file}: the stream graph lacks tensor {error}, which the manifest names; convert the checkpoint again"
            ) from None
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        self._interpreter.reset_all_variables()
        self._rings = [initial for _, _, initial in self._carried]

    def step(self, row: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Raw outputs (1, outputs) after one more row {stream: (1, 1, channels)} in the graph's own numbers."""
        for name, values in row.items():
            self._interpreter.set_tensor(self._places[name], values)
        for (place, _, _), ring in zip(self._carried, self._rings):
            self._interpreter.set_tensor(place, ring)
        self._interpreter.invoke()
        self._rings = [self._interpreter.get_tensor(place) for _, place, _ in self._carried]
        result: NDArray[Any] = self._interpreter.get_tensor(self._output_place)
        return result

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments at the newest sample of every window, (n, outputs), from runs over whole recordings."""
        result = np.empty((len(data.windows), len(data.joints)), np.float32)
        for recording, run in enumerate(data.sequences):
            mine = np.flatnonzero(data.windows.recording == recording)
            rows = {
                name: encode(run.inputs[name], self._formats[name])[:, None, None] for name in self._streams
            }
            self.reset()
            last = int(data.sequence_row[mine].max(initial=-1))
            raw = [self.step({name: rows[name][row] for name in self._streams}) for row in range(last + 1)]
            if len(mine):
                moments = decode(np.concatenate(raw), self._output)
                result[mine] = moments[data.sequence_row[mine]]
            tick(len(mine))
        return result

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """One sample, quantization of its inputs included."""
        first = {name: np.array(data.windows.inputs[name][:1, :1]) for name in self._streams}

        def call() -> object:
            raw = self.step({name: encode(first[name], self._formats[name]) for name in self._streams})
            return decode(raw, self._output)

        return call

    def size(self) -> Size:
        """The file; LiteRT does not tell its memory plan."""
        return Size(self._bytes)


def load(checkpoint: Checkpoint, graph: GraphFile, threads: int) -> LiteRTStream:
    """Load a stream graph; ModelFileError if LiteRT refuses it or the manifest does not describe its state."""
    if graph.state is None:
        raise ModelFileError(
            f"{graph.file}: the manifest does not describe the stream's state; convert again"
        )
    streams = tuple(item.stream.name for item in checkpoint.contract.inputs)
    return LiteRTStream(open_interpreter(graph, threads), graph, streams)
