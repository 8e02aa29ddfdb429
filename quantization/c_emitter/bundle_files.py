"""The ``c/`` folder of a bundle, from the graphs that an engine built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from quantization.c_emitter.emit import DEFAULT_PREFIX, emit
from quantization.c_emitter.project import WARNINGS
from quantization.c_fragments.context import (
    CORE_FLAGS,
    TARGETS,
    Prefer,
    Target,
)
from quantization.graph.graph_file import GraphFile
from quantization.tflite.file import graph_of
from toolkit.contract import SensorContract
from toolkit.errors import UsageError

FOLDER = "c"


def require_target(target: str, prefer: str) -> tuple[Target, Prefer]:
    """The two as their types; UsageError names what is allowed."""
    if target not in TARGETS:
        raise UsageError(f"target {target!r} is not known; allowed: {', '.join(TARGETS)}")
    if prefer not in get_args(Prefer):
        raise UsageError(f"prefer is {prefer!r}; allowed: {', '.join(get_args(Prefer))}")
    return target, prefer  # type: ignore[return-value]  # both were just checked


def _graph(graphs: Sequence[GraphFile], kind: str) -> GraphFile | None:
    return next((item for item in graphs if (item.graph, item.scheme) == (kind, "int8")), None)


def source_files(
    graphs: Sequence[GraphFile],
    contract: SensorContract,
    golden: Mapping[str, NDArray[np.float32]],
    target: str,
    prefer: str = "speed",
    prefix: str = DEFAULT_PREFIX,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files under ``c/`` by their path in the bundle, and the manifest's entry about them.

    ``golden`` holds windows (n, T, channels) by stream for the self-test. Raises UsageError for an unknown target, a prefix
    that cannot begin C names or graphs without an int8 window graph, ModelFileError for a graph that cannot become C.
    """
    core, profile = require_target(target, prefer)
    window, stream = _graph(graphs, "window"), _graph(graphs, "stream")
    if window is None:
        raise UsageError("C source is made of the int8 window graph: --target needs --scheme int8")
    state = None
    if stream is not None and stream.state is not None:
        state = graph_of(stream).carrying(stream.state)
    model = graph_of(window)
    emission = emit(model, contract, core, stream=state, prefer=profile, golden=golden, prefix=prefix)
    about = {
        "target": core,
        "prefer": profile,
        "prefix": prefix,
        "flags": [*CORE_FLAGS[core], "-std=c99", *WARNINGS, "-ffp-contract=off"],
        "notes": list(emission.notes),
    }
    return {f"{FOLDER}/{name}": content for name, content in emission.files.items()}, about
