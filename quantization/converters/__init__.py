"""The converters: each turns a checkpoint and calibration windows into .tflite graphs.

A converter is a module with the function that :class:`Build` describes. The table below names them; a converter's
module is imported only when it is asked for, because one of them needs tensorflow.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from quantization.graph.graph_file import GraphFile, Scheme
from toolkit.errors import UsageError
from toolkit.model.float_model import FloatModel
from toolkit.records import Windows


class Build(Protocol):
    """What ``build`` of a converter's module must be."""

    def __call__(
        self,
        checkpoint: FloatModel,
        calibration: Windows,
        *,
        scheme: Scheme,
        metadata: Mapping[str, bytes] | None = None,
        **options: Any,
    ) -> list[GraphFile]:
        """Graphs of ``scheme``, and with int8 also the float32 graph of the same kind as its baseline.

        ``calibration`` holds normalised windows; a converter that needs no ranges ignores it. ``metadata`` are
        entries of every file by name. ``options`` are the converter's own, and a name it does not know is a UsageError.
        Deterministic: same input, same bytes.
        """
        ...


#: Name of a converter -> module with its ``build``. The first is the default.
CONVERTERS: dict[str, str] = {
    "builtin": "quantization.converters.builtin",
    "tensorflow": "quantization.converters.tensorflow",
}
DEFAULT_CONVERTER = next(iter(CONVERTERS))


def converter_named(name: str) -> Build:
    """The ``build`` function of the converter ``name``; UsageError names the known ones."""
    if name not in CONVERTERS:
        raise UsageError(f"converter {name!r} is not known; allowed: {', '.join(CONVERTERS)}")
    build: Build = importlib.import_module(CONVERTERS[name]).build
    return build
