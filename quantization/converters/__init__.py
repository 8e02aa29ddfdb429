"""The plug of every converter: an engine turns a checkpoint and calibration windows into .tflite graphs.

An engine is a module with the function :class:`Build` describes. The table below names them; an engine's
module is imported only when it is asked for, because one of them needs tensorflow.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from quantization.graph.graph_file import GraphFile, Scheme
from toolkit.errors import UsageError
from toolkit.model.checkpoint import Checkpoint
from toolkit.records import Windows


class Build(Protocol):
    """What ``build`` of an engine's module must be."""

    def __call__(
        self, checkpoint: Checkpoint, calibration: Windows, *, scheme: Scheme, **options: Any
    ) -> list[GraphFile]:
        """Graphs of ``scheme``, and with int8 also the float32 graph of the same kind as its baseline.

        ``calibration`` holds normalised windows; an engine that needs no ranges ignores it. ``options`` are
        the engine's own and a name it does not know is a UsageError. Deterministic: same input, same bytes.
        """
        ...


#: Name of an engine -> module with its ``build``. The first is the default.
ENGINES: dict[str, str] = {
    "native": "quantization.converters.builtin",
    "tensorflow": "quantization.converters.tensorflow",
}
DEFAULT_ENGINE = next(iter(ENGINES))


def engine(name: str) -> Build:
    """The ``build`` function of the engine ``name``; UsageError names the known ones."""
    if name not in ENGINES:
        raise UsageError(f"engine {name!r} is not known; allowed: {', '.join(ENGINES)}")
    build: Build = importlib.import_module(ENGINES[name]).build
    return build
