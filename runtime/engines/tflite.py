"""The engine on a TFLite interpreter, whichever package it comes from."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile, Scheme
from quantization.tflite.run import open_interpreter, require_package
from runtime.engines.interface import (
    Engine,
    Moments,
    graphs_of,
    probe,
)
from toolkit.errors import ModelFileError

OUTPUT = "moments"


@dataclass(frozen=True)
class Form:
    """How a graph's input or output is stored; ``scale`` 0 means float32."""

    place: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @classmethod
    def of(cls, detail: dict[str, Any]) -> Form:
        """From the description that a TFLite interpreter gives of a tensor."""
        scale, zero_point = detail["quantization"]
        shape = tuple(int(v) for v in detail["shape"])
        return cls(int(detail["index"]), shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))

    def encode(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """``values`` in this shape as the graph stores them; see :func:`quantization.arithmetic.storage.encode`."""
        return encode(values.reshape(self.shape), self._format)

    def decode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """``(q - zero point) * scale`` in float32, flat."""
        return decode(values.reshape(-1), self._format)

    @property
    def _format(self) -> TensorFormat:
        return TensorFormat("", self.shape, self.dtype, self.scale, self.zero_point)


class _Graph:
    """An interpreter with its inputs by stream and its output."""

    def __init__(self, graph: GraphFile, package: str, streams: Sequence[str]) -> None:
        self.interpreter = open_interpreter(graph.content, graph.file, package=package)
        self.inputs = {str(d["name"]): d for d in self.interpreter.get_input_details()}
        self.outputs = {str(d["name"]): d for d in self.interpreter.get_output_details()}
        try:
            self.forms = [Form.of(self.inputs[stream]) for stream in streams]
            self.output = Form.of(self.outputs[OUTPUT])
        except KeyError as error:
            raise ModelFileError(
                f"{graph.file}: it has no tensor {error}; convert the checkpoint again"
            ) from None

    def run(self, values: Sequence[NDArray[np.float32]]) -> Moments:
        for form, array in zip(self.forms, values):
            self.interpreter.set_tensor(form.place, form.encode(array))
        self.interpreter.invoke()
        return self.output.decode(self.interpreter.get_tensor(self.output.place))


class _Stream(_Graph):
    """A stream graph: rings go out of one call and into the next, LSTM state lies in the op's variables."""

    def __init__(self, graph: GraphFile, package: str, streams: Sequence[str]) -> None:
        super().__init__(graph, package, streams)
        if graph.state is None:
            raise ModelFileError(
                f"{graph.file}: the manifest does not describe the stream's state; convert again"
            )
        places = {str(d["name"]): int(d["index"]) for d in self.interpreter.get_tensor_details()}
        try:
            self.carried = [
                (
                    int(self.inputs[c.input]["index"]),
                    int(self.outputs[c.output]["index"]),
                    c.start(),
                )
                for c in graph.state.carried
            ]
            self.variables = [places[v.name] for v in graph.state.variables]
        except KeyError as error:
            raise ModelFileError(
                f"{graph.file}: it has no tensor {error}, which the manifest names; convert again"
            ) from None
        self.reset()

    def reset(self) -> None:
        self.interpreter.reset_all_variables()
        self.rings = [initial for _, _, initial in self.carried]

    def step(self, values: Sequence[NDArray[np.float32]]) -> Moments:
        for (place, _, _), ring in zip(self.carried, self.rings):
            self.interpreter.set_tensor(place, ring)
        moments = self.run(values)
        self.rings = [self.interpreter.get_tensor(place) for _, place, _ in self.carried]
        return moments

    def state(self) -> bytes:
        variables = [self.interpreter.get_tensor(place) for place in self.variables]
        return b"".join(array.tobytes() for array in (*self.rings, *variables))

    def restore(self, state: bytes) -> None:
        offset = 0

        def taken(like: NDArray[Any]) -> NDArray[Any]:
            nonlocal offset
            array = np.frombuffer(state, like.dtype, like.size, offset).reshape(like.shape)
            offset += array.nbytes
            return array

        self.rings = [taken(initial) for _, _, initial in self.carried]
        for place in self.variables:
            self.interpreter.set_tensor(place, taken(self.interpreter.get_tensor(place)))


class TFLiteEngine(Engine):
    """Window and stream graph, each in an interpreter of its own so that neither disturbs the other."""

    def __init__(self, name: str, package: str, bundle: Bundle, scheme: Scheme) -> None:
        graphs = graphs_of(bundle, scheme)
        require_package(package)
        super().__init__(name, importlib.metadata.version(package.replace("_", "-")), bundle, graphs)
        streams = list(self.channels)
        self._window_graph = _Graph(graphs[0], package, streams)
        self._stream_graph = _Stream(graphs[1], package, streams) if self.has_stream else None
        probe(self)

    @property
    def _stream(self) -> _Stream:
        assert self._stream_graph is not None, "step, reset and save check has_stream first"
        return self._stream_graph

    def _step(self, rows: Sequence[NDArray[np.float32]]) -> Moments:
        return self._stream.step(rows)

    def _window(self, inputs: Sequence[NDArray[np.float32]]) -> Moments:
        # The fused LSTM keeps its state from invoke to invoke.
        self._window_graph.interpreter.reset_all_variables()
        return self._window_graph.run(inputs)

    def _reset(self) -> None:
        self._stream.reset()

    def _state(self) -> bytes:
        return self._stream.state()

    def _restore(self, state: bytes) -> None:
        self._stream.restore(state)
