"""One graph of a bundle as bytes: which graph it is, in which scheme, and what whoever runs it must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from quantization.graph.state import StreamState
from toolkit.errors import UsageError

GraphKind = Literal["window", "stream"]
Scheme = Literal["float32", "int8"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


@dataclass(frozen=True)
class GraphFile:
    """One graph as a converter built it.

    ``content`` is a .tflite whose inputs are named ``imu`` and ``emg``, in that order, and whose output is
    named ``moments``; a stream graph has its state beside them, described by ``state``. An int8 graph
    takes int8 inputs and gives its output in Nm/kg as float32, or as int16 with a scale. ``recipe`` is the
    quantization recipe as JSON; ``notes`` are fallbacks, each with its reason.
    """

    graph: GraphKind
    scheme: Scheme
    content: bytes
    recipe: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    state: StreamState | None = None

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What readers have made of ``content``, so that a graph is parsed once (:mod:`quantization.tflite`)."""
        return {}

    @property
    def file(self) -> str:
        """Its place in a bundle."""
        return f"models/{self.graph}.{self.scheme}.tflite"


def require_scheme(name: str) -> Scheme:
    """``name`` as a scheme; UsageError names the known ones."""
    for scheme in SCHEMES:
        if scheme == name:
            return scheme
    raise UsageError(f"scheme {name!r} is not known; allowed: {', '.join(SCHEMES)}")
