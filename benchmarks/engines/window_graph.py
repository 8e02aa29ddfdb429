"""What a window graph's inputs and output must be, the same for every engine that runs .tflite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from benchmarks.engines import CannotRunError
from benchmarks.evaluation.windows import Evaluation
from quantization.arithmetic.storage import TensorFormat, encode
from quantization.graph.graph_file import GraphFile
from toolkit.errors import ModelFileError
from toolkit.model.float_model import FloatModel


def require_window_graph(graph: GraphFile | None) -> GraphFile:
    """The graph itself if it is a window graph, else CannotRunError."""
    if graph is None:
        raise CannotRunError("it runs .tflite graphs, not a checkpoint")
    if graph.graph != "window":
        raise CannotRunError(f"it does not run {graph.graph} graphs in bench")
    return graph


@dataclass(frozen=True)
class WindowFormat:
    """The streams in the order of the graph's inputs, how each is stored, and the output."""

    streams: tuple[str, ...]
    inputs: tuple[TensorFormat, ...]
    output: TensorFormat

    @classmethod
    def of(
        cls,
        checkpoint: FloatModel,
        file: str,
        inputs: Sequence[TensorFormat],
        outputs: Sequence[TensorFormat],
    ) -> WindowFormat:
        """Check the shapes against the contract; ModelFileError names the file and both sides."""
        contract = checkpoint.contract
        streams = tuple(item.stream.name for item in contract.inputs)
        wanted = [(1, contract.window, len(item.stream.channels)) for item in contract.inputs]
        have = [form.shape for form in inputs]
        if have != wanted:
            raise ModelFileError(
                f"{file}: inputs have shapes {have}; the contract's streams {', '.join(streams)} need {wanted}"
            )
        if len(outputs) != 1 or outputs[0].shape != (1, len(contract.outputs)):
            raise ModelFileError(
                f"{file}: outputs have shapes {[o.shape for o in outputs]}; the contract needs one of "
                f"(1, {len(contract.outputs)})"
            )
        return cls(streams, tuple(inputs), outputs[0])

    def encode(self, data: Evaluation) -> list[NDArray[Any]]:
        """All windows of each input in the graph's own numbers, (n, window, channels)."""
        return [encode(data.windows.inputs[name], form) for name, form in zip(self.streams, self.inputs)]
