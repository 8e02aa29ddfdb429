"""The plug of every inference engine: a line of the table names its module, which is imported when it is asked for.

engine = open_engine(Bundle.load("my_bundle"), "native")
moments = engine.step({"imu": imu_row, "emg": emg_row})
"""

from __future__ import annotations

import importlib
from typing import Protocol

from quantization.bundle import Bundle
from quantization.graph.graph_file import Scheme, require_scheme
from runtime.engines.interface import Engine
from toolkit.errors import UsageError


class Load(Protocol):
    """What ``load`` of an engine's module must be."""

    def __call__(self, bundle: Bundle, scheme: Scheme) -> Engine:
        """An engine on the bundle's graphs of ``scheme``, one thread, reset."""
        ...


#: Name of an engine -> module with its ``load``. The first is the default.
ENGINES: dict[str, str] = {
    "litert": "runtime.engines.litert",
    "tflite-runtime": "runtime.engines.tflite_runtime",
    "native": "runtime.engines.native",
}
DEFAULT_ENGINE = next(iter(ENGINES))


def usual_scheme(name: str) -> Scheme:
    """The scheme of an engine where nobody chose one: int8, but for tflite-runtime, which lacks operators of int8 graphs."""
    return "float32" if name == "tflite-runtime" else "int8"


def open_engine(bundle: Bundle, name: str = DEFAULT_ENGINE, scheme: str = "int8") -> Engine:
    """A fresh instance of the engine ``name``, at the start of a stream. Instances share no state.

    Raises UsageError for an unknown name or scheme, MissingDependencyError if the engine's package or compiler is
    not installed, BundleError or ModelFileError if the bundle has no such graph or the engine refuses it.
    """
    if name not in ENGINES:
        raise UsageError(f"runtime engine {name!r} is not known; allowed: {', '.join(ENGINES)}")
    load: Load = importlib.import_module(ENGINES[name]).load
    return load(bundle, require_scheme(scheme))
