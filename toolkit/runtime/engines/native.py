"""The generated C of the model, compiled for this machine and called in this process: the bits of the integer reference."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantization.bundle import Bundle
from quantization.engines import GraphFile, Scheme
from toolkit.errors import ModelFileError, UsageError
from toolkit.runtime.engines.interface import Engine, Moments, graphs_of, probe
from toolkit.runtime.engines.native_build import library

#: The host kernel rearranges a model's weights at its first use: the first use of every library is under this lock.
_FIRST_USE = threading.Lock()


class NativeEngine(Engine):
    """Two instances of the model in C: one carries the stream, the other runs windows."""

    def __init__(self, bundle: Bundle, graphs: list[GraphFile], code: ctypes.CDLL, path: Path) -> None:
        super().__init__("native", path.stem, bundle, graphs)
        self._run_window, self._run_step = (
            code.edgetool_window,
            code.edgetool_step if self.has_stream else None,
        )
        self._clear = code.edgetool_reset
        for function in (self._run_window, self._run_step, self._clear):
            if function is not None:
                function.restype = None
        size = code.edgetool_runtime_state_bytes()
        # uint32 so that it is aligned as edgetool_state is.
        self._carried, self._scratch = (np.zeros(size // 4, np.uint32) for _ in range(2))
        self._moments = np.zeros(code.edgetool_runtime_outputs(), np.float32)
        self._rows = [np.zeros(n, np.float32) for n in self.channels.values()]
        self._step_arguments = [_pointer(a) for a in (self._carried, *self._rows, self._moments)]
        for state in (self._carried, self._scratch):
            self._clear(_pointer(state))
        with _FIRST_USE:
            probe(self)

    def _step(self, rows: Sequence[NDArray[np.float32]]) -> Moments:
        assert self._run_step is not None
        for buffer, row in zip(self._rows, rows):
            buffer[:] = row
        self._run_step(*self._step_arguments)
        return self._moments.copy()

    def _window(self, inputs: Sequence[NDArray[np.float32]]) -> Moments:
        moments = np.empty_like(self._moments)
        self._run_window(_pointer(self._scratch), *map(_pointer, inputs), _pointer(moments))
        return moments

    def _reset(self) -> None:
        self._clear(_pointer(self._carried))

    def _state(self) -> bytes:
        return self._carried.tobytes()

    def _restore(self, state: bytes) -> None:
        self._carried[:] = np.frombuffer(state, np.uint32)


def _pointer(array: NDArray[np.float32] | NDArray[np.uint32]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``native``: int8 only. The first load on a machine compiles, which takes seconds."""
    if scheme != "int8":
        raise UsageError(f"engine native runs int8 graphs; it has no {scheme}: use engine litert for that")
    graphs = graphs_of(bundle, scheme)
    path = library(bundle, graphs)
    try:
        code = ctypes.CDLL(str(path))
    except OSError as error:
        raise ModelFileError(
            f"engine native: {path} cannot be loaded ({error}); delete it and it is compiled again"
        ) from None
    return NativeEngine(bundle, graphs, code, path)
