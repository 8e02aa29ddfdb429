"""The engines that a bench can run on this machine: one table, each module imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.windows import Evaluation
from quantization.graph.graph_file import GraphFile
from toolkit.model.checkpoint import Checkpoint

#: Called after each window with the number of windows done since the last call.
Tick = Callable[[int], None]


class CannotRunError(Exception):
    """An engine does not run a graph here; the text is the reason that the report gives."""


@dataclass(frozen=True)
class Size:
    """Bytes of the model file, and of the memory an engine plans for it (None: it does not say)."""

    model_bytes: int
    arena_bytes: int | None = None


class HostEngine(Protocol):
    """A model that is loaded and can be judged. ``how`` tells the reader how it is run and timed."""

    version: str
    how: str

    def estimate(self, data: Evaluation, tick: Tick) -> NDArray[np.float32]:
        """Moments in Nm/kg, (n, outputs), one row for each of ``data.windows``; ``tick`` shows progress."""
        ...

    def single_call(self, data: Evaluation) -> Callable[[], object]:
        """A function that does one inference as a live system would: input in, moments out."""
        ...

    def size(self) -> Size:
        """Read after at least one inference."""
        ...


class Open(Protocol):
    """What ``load`` of an engine's module must be; raises :class:`CannotRunError` with the reason."""

    def __call__(self, checkpoint: Checkpoint, graph: GraphFile | None, threads: int) -> HostEngine:
        """Load a graph of a bundle (None: the checkpoint itself) to run with ``threads`` threads."""
        ...


#: Name of an engine that runs .tflite graphs -> module with ``load``, in the order of the report.
GRAPH_ENGINES: dict[str, str] = {
    "litert": "benchmarks.engines.litert",
    "tflm": "benchmarks.engines.tflm",
}
#: The engine of the float baseline, which runs the checkpoint.
BASELINE = "torch"
BASELINE_MODULE = "benchmarks.engines.torch_float"


def load(name: str, checkpoint: Checkpoint, graph: GraphFile | None, threads: int) -> HostEngine:
    """Load ``graph`` into the engine ``name``; CannotRunError says why it cannot be."""
    module = BASELINE_MODULE if name == BASELINE else GRAPH_ENGINES[name]
    opener: Open = importlib.import_module(module).load
    return opener(checkpoint, graph, threads)
