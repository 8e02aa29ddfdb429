"""What every inference engine does, and the checks that all of them share."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile, Scheme
from toolkit.errors import InputError, ModelFileError, UsageError

Moments = NDArray[np.float32]
Rows = Mapping[str, NDArray[np.float32]]


class Engine(ABC):
    """Runs the window and the stream graph of one bundle.

    Inputs are filtered and normalised float32 by stream name; moments are (outputs,) in Nm/kg. :meth:`window` leaves
    the stream alone. An instance is used by one thread at a time; instances share nothing that changes.
    """

    def __init__(self, name: str, version: str, bundle: Bundle, graphs: Sequence[GraphFile]) -> None:
        contract = bundle.contract
        self.name = name
        self.version = version
        self.rows = contract.window
        #: Stream name -> channels, in the model's order.
        self.channels = {item.stream.name: len(item.stream.channels) for item in contract.inputs}
        #: False if the bundle has no stream graph of the scheme: :meth:`step` then refuses.
        self.has_stream = any(graph.graph == "stream" for graph in graphs)
        digest = hashlib.sha256(f"{name}\n".encode())
        for graph in graphs:
            digest.update(hashlib.sha256(graph.content).digest())
        self._stamp = digest.digest()
        self._step_shapes = {stream: (count,) for stream, count in self.channels.items()}
        self._window_shapes = {stream: (self.rows, count) for stream, count in self.channels.items()}

    def step(self, row: Rows) -> Moments:
        """Moments after one more row, {stream: (channels,)}. State is carried until :meth:`reset`.

        InputError, and the state is untouched, if a stream is missing, of a wrong shape or not finite.
        """
        self._require_stream()
        return self._step(self._checked(row, self._step_shapes))

    def window(self, inputs: Rows) -> Moments:
        """Moments of one window, {stream: (rows, channels)}, from zero state; the stream stays as it is.

        InputError if a stream is missing, of a wrong shape or not finite.
        """
        return self._window(self._checked(inputs, self._window_shapes))

    def reset(self) -> None:
        """Start a new stream: the next row is the first."""
        self._require_stream()
        self._reset()

    def save(self) -> bytes:
        """The stream's state, for :meth:`restore` of an engine of the same name on the same model."""
        self._require_stream()
        return self._stamp + self._state()

    def restore(self, state: bytes) -> None:
        """Continue where :meth:`save` was called; InputError if ``state`` is of another engine or model, or cut short."""
        self._require_stream()
        stamp = len(self._stamp)
        if state[:stamp] != self._stamp:
            raise InputError(
                f"saved state does not belong to this model on engine {self.name}; reset and start a new stream"
            )
        expected = len(self._state())
        if len(state) - stamp != expected:
            raise InputError(
                f"saved state has {len(state) - stamp} bytes and this model's {expected}; reset and start a new stream"
            )
        self._restore(state[stamp:])

    def _require_stream(self) -> None:
        if not self.has_stream:
            raise UsageError(
                f"engine {self.name}: this bundle has no stream graph; call window(), or convert with --converter builtin"
            )

    def _checked(self, inputs: Rows, shapes: Mapping[str, tuple[int, ...]]) -> list[NDArray[np.float32]]:
        """The streams in the model's order, as contiguous float32; InputError says what is wrong."""
        values = []
        for stream, shape in shapes.items():
            if stream not in inputs:
                raise InputError(
                    f"stream {stream!r} is missing; the model needs {', '.join(shapes)} at every call"
                )
            array = np.asarray(inputs[stream], np.float32, order="C")
            if array.shape != shape:
                raise InputError(
                    f"stream {stream!r} has shape {array.shape}; the model needs {shape}: rows of channels as in the contract"
                )
            # A finite sum of squares proves finite values, fastest; another may be an overflow, so look again.
            flat = array.ravel()
            if not math.isfinite(np.vdot(flat, flat)) and not np.isfinite(array).all():
                place = tuple(int(v) for v in np.argwhere(~np.isfinite(array))[0])
                raise InputError(
                    f"stream {stream!r} is {array[place]} at {place}; values must be finite: hold or drop the sample"
                )
            values.append(array)
        return values

    @abstractmethod
    def _step(self, rows: Sequence[NDArray[np.float32]]) -> Moments: ...

    @abstractmethod
    def _window(self, inputs: Sequence[NDArray[np.float32]]) -> Moments: ...

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _state(self) -> bytes:
        """The state, always of the same length."""

    @abstractmethod
    def _restore(self, state: bytes) -> None: ...


def graphs_of(bundle: Bundle, scheme: Scheme) -> list[GraphFile]:
    """The window graph of ``scheme``, and the stream graph if there is one; BundleError if there is no window graph."""
    window = bundle.graph("window", scheme)
    return [window, *(g for g in bundle.graphs if (g.graph, g.scheme) == ("stream", scheme))]


def probe(engine: Engine) -> None:
    """Prove on the running engine that state is carried, cleared and kept apart; ModelFileError says what is not.

    Some runtimes clear an LSTM's state at every call and some keep it through a reset, both without a word. Leaves the
    engine reset. Takes eight steps and two windows.
    """
    rows, window = _probe_inputs(engine)
    alone = engine.window(window)
    if engine.has_stream:
        engine.reset()
        first = engine.step(rows[0])
        later = [engine.step(row) for row in rows[1:]]
        engine.reset()
        fresh = engine.step(rows[-1])
        engine.reset()
        again = [engine.step(rows[0]), engine.step(rows[1])]
        engine.reset()
        if np.array_equal(fresh, later[-1]):
            raise ModelFileError(
                f"engine {engine.name} {engine.version} forgets the stream's state; use another engine"
            )
        if not np.array_equal(again[0], first) or not np.array_equal(again[1], later[0]):
            raise ModelFileError(
                f"engine {engine.name} {engine.version} keeps state through a reset; use another engine"
            )
    if not np.array_equal(engine.window(window), alone):
        raise ModelFileError(
            f"engine {engine.name} {engine.version} keeps state from window to window; use another engine"
        )


def _probe_inputs(
    engine: Engine,
) -> tuple[list[dict[str, NDArray[np.float32]]], dict[str, NDArray[np.float32]]]:
    """Rows and a window that no state can look alike on: drawn from a normal distribution, as normalised features are."""
    draw = np.random.default_rng(0)
    window = {s: draw.normal(size=(engine.rows, n)).astype(np.float32) for s, n in engine.channels.items()}
    rows = [{s: draw.normal(size=n).astype(np.float32) for s, n in engine.channels.items()} for _ in range(5)]
    return rows, window
