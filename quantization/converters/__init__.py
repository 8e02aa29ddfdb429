"""The plug of every converter: an engine turns a checkpoint and calibration windows into .tflite graphs.

An engine is a module with the function :class:`Build` describes. The table below names them; an engine's
module is imported only when it is asked for, because one of them needs tensorflow.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from toolkit.errors import UsageError
from toolkit.model.checkpoint import Checkpoint
from toolkit.records import Windows

GraphKind = Literal["window", "stream"]
Scheme = Literal["float32", "int8"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


@dataclass(frozen=True)
class GraphFile:
    """One graph as an engine built it.

    ``content`` is a .tflite whose inputs are named ``imu`` and ``emg``, in that order, and whose output is
    named ``moments``; a stream graph has its state beside them, described by ``state`` (JSON). An int8 graph
    takes int8 inputs and gives its output in Nm/kg as float32, or as int16 with a scale. ``recipe`` is the
    quantization recipe as JSON; ``notes`` are fallbacks, each with its reason.
    """

    graph: GraphKind
    scheme: Scheme
    content: bytes
    recipe: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None

    @property
    def file(self) -> str:
        """Its place in a bundle."""
        return f"models/{self.graph}.{self.scheme}.tflite"


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


def require_scheme(name: str) -> Scheme:
    """``name`` as a scheme; UsageError names the known ones."""
    for scheme in SCHEMES:
        if scheme == name:
            return scheme
    raise UsageError(f"scheme {name!r} is not known; allowed: {', '.join(SCHEMES)}")


def engine(name: str) -> Build:
    """The ``build`` function of the engine ``name``; UsageError names the known ones."""
    if name not in ENGINES:
        raise UsageError(f"engine {name!r} is not known; allowed: {', '.join(ENGINES)}")
    build: Build = importlib.import_module(ENGINES[name]).build
    return build
