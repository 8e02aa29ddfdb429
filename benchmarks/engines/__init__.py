"""The engines that a bench runs on this machine: one table, each module imported only when it is used.

To add one: a file with a ``load`` function, and a row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.windows import Evaluation
from benchmarks.records import BASELINE, Size
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile

#: Called after each window with the number of windows done since the last call.
Tick = Callable[[int], None]


class CannotRunError(Exception):
    """An engine does not run a graph here; the text is the reason that the report gives."""


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


class Load(Protocol):
    """What an engine's module must have; raises :class:`CannotRunError` with the reason."""

    def __call__(self, bundle: Bundle, graph: GraphFile | None, threads: int) -> HostEngine:
        """Load a graph of the bundle or of a peer (None: the checkpoint itself) to run with ``threads`` threads."""
        ...


@dataclass(frozen=True)
class EngineKind:
    """An engine: ``module:function`` that loads it.

    ``any_tflite``: it reads a .tflite, so that it runs peers' graphs too. ``deployed``: people deploy it as it runs here, so
    that its time here may be judged.
    """

    load: str
    any_tflite: bool = True
    deployed: bool = True


#: Every engine that runs graphs, in the order of the report.
ENGINES: dict[str, EngineKind] = {
    "litert": EngineKind("benchmarks.engines.bundle_engine:load_litert"),
    "tflm": EngineKind("benchmarks.engines.tflm:load", deployed=False),
    "native": EngineKind("benchmarks.engines.bundle_engine:load_native", any_tflite=False),
}
#: The engine of the float baseline, which runs the checkpoint.
BASELINE_KIND = EngineKind("benchmarks.engines.torch_float:load", any_tflite=False)


def engine(name: str) -> EngineKind:
    """What the table says of an engine."""
    return BASELINE_KIND if name == BASELINE else ENGINES[name]


def load(name: str, bundle: Bundle, graph: GraphFile | None, threads: int) -> HostEngine:
    """Load ``graph`` into the engine ``name``; CannotRunError says why it cannot be."""
    module, _, function = engine(name).load.partition(":")
    opener: Load = getattr(importlib.import_module(module), function)
    return opener(bundle, graph, threads)
