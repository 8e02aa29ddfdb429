"""The engine of ``edgetool run``, the bundle's generated C compiled for this machine, on a bench's windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import (
    CannotRunError,
    HostEngine,
    Size,
    Tick,
)
from benchmarks.evaluation.windows import Evaluation
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from runtime.engines import open_engine
from runtime.engines.native import NativeEngine
from toolkit.errors import EdgetoolError


class NativeWindow:
    """The window graph: every window from zero state."""

    how = "the bundle's C compiled for this machine, called from Python: checks, quantization, window"

    def __init__(self, engine: NativeEngine) -> None:
        self.version = engine.version
        self._engine = engine

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments of all windows, (n, outputs)."""
        inputs = {name: np.asarray(data.windows.inputs[name], np.float32) for name in self._engine.channels}
        rows = []
        for row in range(len(data.windows)):
            rows.append(self._engine.window({name: values[row] for name, values in inputs.items()}))
            tick(1)
        return np.stack(rows)

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """The first window."""
        first = {name: np.array(data.windows.inputs[name][0], np.float32) for name in self._engine.channels}
        return lambda: self._engine.window(first)

    def size(self) -> Size:
        """The compiled library with both graphs, and the memory of one instance."""
        return Size(self._engine.library_bytes, self._engine.state_bytes)


class NativeStream(NativeWindow):
    """The stream graph: one row in, one moment out, from the first row of each recording on."""

    how = (
        "the bundle's C compiled for this machine, called from Python: checks, quantization, step; "
        "state carried over each recording"
    )

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments at the newest sample of every window, (n, outputs), from runs over whole recordings."""
        result = np.empty((len(data.windows), len(data.joints)), np.float32)
        for recording, run in enumerate(data.sequences):
            mine = np.flatnonzero(data.windows.recording == recording)
            last = int(data.sequence_row[mine].max(initial=-1))
            self._engine.reset()
            moments = [
                self._engine.step({name: run.inputs[name][row] for name in self._engine.channels})
                for row in range(last + 1)
            ]
            result[mine] = [moments[row] for row in data.sequence_row[mine]]
            tick(len(mine))
        return result

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """One sample."""
        first = {
            name: np.array(data.windows.inputs[name][0, 0], np.float32) for name in self._engine.channels
        }
        return lambda: self._engine.step(first)


def load(bundle: Bundle, graph: GraphFile, threads: int) -> HostEngine:
    """The engine on one of the bundle's int8 graphs; CannotRunError for others, without a compiler, or with several threads."""
    if graph.scheme != "int8":
        raise CannotRunError("the native engine runs int8 graphs")
    if threads != 1:
        raise CannotRunError(f"the native engine has one thread, and {threads} are asked for")
    try:
        engine = open_engine(bundle, "native", "int8")
    except EdgetoolError as reason:
        raise CannotRunError(str(reason)) from None
    assert isinstance(engine, NativeEngine)
    return NativeStream(engine) if graph.graph == "stream" else NativeWindow(engine)
