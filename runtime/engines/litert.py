"""LiteRT through the ai-edge-litert wheel: x86-64 and arm64."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from quantization.bundle import Bundle
from quantization.graph.graph_file import Scheme
from quantization.tflite.run import LITERT
from quantization.tflite.stderr import native_stderr
from runtime.engines.interface import Engine
from runtime.engines.tflite import TFLiteEngine

_said = False


def load(bundle: Bundle, scheme: Scheme) -> Engine:
    """The engine ``litert``; MissingDependencyError if ai-edge-litert is not installed."""
    with _without_banner():
        return TFLiteEngine("litert", LITERT, bundle, scheme)


@contextmanager
def _without_banner() -> Iterator[None]:
    """The first interpreter of a process says "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." to standard error, past
    Python and without a switch: not in the daemon's log. Whatever else is written meanwhile comes out at the end."""
    global _said
    if _said:
        yield
        return
    _said = True
    with native_stderr() as caught:
        yield
    for line in caught.text.splitlines(keepends=True):
        if not line.startswith("INFO: "):
            sys.stderr.write(line)
