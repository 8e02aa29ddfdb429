"""The generated C of the model, compiled for this machine and called in this process: the bits of the integer reference."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile, Scheme
from runtime.engines.interface import (
    Engine,
    Moments,
    Rows,
    graphs_of,
    probe,
)
from runtime.engines.native_build import library
from toolkit.errors import ModelFileError, UsageError

#: The host kernel rearranges a model's weights at its first use: the first use of every library is under this lock.
_FIRST_USE = threading.Lock()


class _Call:
    """One of the model's functions with all that it reads and writes, bound once: ctypes would convert arguments for longer
    than a step takes."""

    def __init__(
        self, function: Any, state: NDArray[np.uint32], shapes: Mapping[str, tuple[int, ...]], outputs: int
    ):
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_int32
        buffers = [np.zeros(shape, np.float32) for shape in shapes.values()]
        self._inputs = [(stream, shape, b) for (stream, shape), b in zip(shapes.items(), buffers)]
        self._moments = np.zeros(outputs, np.float32)
        self._memory = (state, *buffers, self._moments)
        self._pointers = (ctypes.c_void_p * len(self._memory))(*(a.ctypes.data for a in self._memory))
        self._address = ctypes.c_void_p(ctypes.addressof(self._pointers))
        self._function = function

    def __call__(self, inputs: Rows) -> Moments | None:
        """Moments; None, and nothing is changed, if a stream is missing, of a wrong shape, not an array or not finite."""
        for stream, shape, buffer in self._inputs:
            values = inputs.get(stream)
            if type(values) is not np.ndarray or values.shape != shape:
                return None
            buffer[:] = values
        return self._moments.copy() if self._function(self._address) else None


class NativeEngine(Engine):
    """Two instances of the model in C: one carries the stream, the other runs windows."""

    def __init__(self, bundle: Bundle, graphs: list[GraphFile], path: Path) -> None:
        super().__init__("native", path.stem, bundle, graphs)
        code = ctypes.CDLL(str(path))
        outputs = code.edgetool_runtime_outputs()
        size = code.edgetool_runtime_state_bytes()
        #: Of the compiled library, with all its graphs, and of the state and work memory of one stream.
        self.library_bytes, self.state_bytes = path.stat().st_size, int(size)
        # uint32 so that it is aligned as edgetool_state is.
        self._carried, self._scratch = (np.zeros(size // 4, np.uint32) for _ in range(2))
        self._clear = code.edgetool_reset
        self._clear.argtypes, self._clear.restype = [ctypes.c_void_p], None
        for state in (self._carried, self._scratch):
            self._clear(state.ctypes.data)
        self._call_window = _Call(code.edgetool_runtime_window, self._scratch, self._window_shapes, outputs)
        if self.has_stream:
            # PyDLL keeps the interpreter's lock: to get it back from a busy thread can last a thousand steps.
            step = ctypes.PyDLL(str(path)).edgetool_runtime_step
            self._call_step = _Call(step, self._carried, self._step_shapes, outputs)
        with _FIRST_USE:
            probe(self)

    def step(self, row: Rows) -> Moments:
        """As every engine's; the way of the slower checks is taken only where the C has found something wrong."""
        moments = self._call_step(row) if self.has_stream else None
        return super().step(row) if moments is None else moments

    def window(self, inputs: Rows) -> Moments:
        """As every engine's; see :meth:`step`."""
        moments = self._call_window(inputs)
        return super().window(inputs) if moments is None else moments

    def _step(self, rows: Sequence[NDArray[np.float32]]) -> Moments:
        return self._checked_call(self._call_step, rows)

    def _window(self, inputs: Sequence[NDArray[np.float32]]) -> Moments:
        return self._checked_call(self._call_window, inputs)

    def _checked_call(self, call: _Call, values: Sequence[NDArray[np.float32]]) -> Moments:
        moments = call(dict(zip(self.channels, values)))
        assert moments is not None, "the values were checked"
        return moments

    def _reset(self) -> None:
        self._clear(self._carried.ctypes.data)

    def _state(self) -> bytes:
        return self._carried.tobytes()

    def _restore(self, state: bytes) -> None:
        self._carried[:] = np.frombuffer(state, np.uint32)


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``native``: int8 only. The first load on a machine compiles, which takes seconds."""
    if scheme != "int8":
        raise UsageError(f"engine native runs int8 graphs; it has no {scheme}: use engine litert for that")
    graphs = graphs_of(bundle, scheme)
    path = library(bundle, graphs)
    try:
        return NativeEngine(bundle, graphs, path)
    except OSError as error:
        raise ModelFileError(
            f"engine native: {path} cannot be loaded ({error}); delete it and it is compiled again"
        ) from None
