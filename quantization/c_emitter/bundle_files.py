"""The ``c/`` folder of a bundle, from the graphs that an engine built."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from quantization.c_emitter.emit import DEFAULT_PREFIX, PARTS, Emission, Part, emit
from quantization.c_emitter.project import WARNINGS
from quantization.c_fragments.context import Prefer
from quantization.graph.graph_file import GraphFile
from quantization.tflite.file import graph_of
from toolkit.contract import SensorContract
from toolkit.cores import Core, require_core
from toolkit.errors import UsageError
from toolkit.plausibility import Familiar
from toolkit.uncertainty import ErrorBars

FOLDER = "c"


def require_core_and_profile(core: str, prefer: str) -> tuple[Core, Prefer]:
    """The core's row, and the profile as its type; UsageError names what is allowed."""
    if prefer not in get_args(Prefer):
        raise UsageError(f"prefer is {prefer!r}; allowed: {', '.join(get_args(Prefer))}")
    return require_core(core), prefer  # type: ignore[return-value]  # it was just checked


def _graph(graphs: Sequence[GraphFile], kind: str) -> GraphFile | None:
    return next((item for item in graphs if (item.graph, item.scheme) == (kind, "int8")), None)


def emission(
    graphs: Sequence[GraphFile],
    contract: SensorContract,
    core: str = "c99",
    prefer: str = "speed",
    prefix: str = DEFAULT_PREFIX,
    golden: Mapping[str, NDArray[np.float32]] | None = None,
    parts: Collection[Part] = PARTS,
    error_bars: ErrorBars | None = None,
    familiar: Familiar | None = None,
) -> Emission:
    """The C of a bundle's int8 graphs; ``golden`` holds windows (n, T, channels) by stream for the self-test.

    With ``error_bars`` there is a function for half widths too, with ``familiar`` the check of the sensors.

    Raises UsageError for an unknown core, a prefix that cannot begin C names or graphs without an int8 window graph,
    ModelFileError for a graph that cannot become C.
    """
    row, profile = require_core_and_profile(core, prefer)
    window, stream = _graph(graphs, "window"), _graph(graphs, "stream")
    if window is None:
        raise UsageError("C source is made of the int8 window graph: --core needs --scheme int8")
    state = None
    if stream is not None and stream.state is not None:
        state = graph_of(stream).carrying(stream.state)
    return emit(
        graph_of(window),
        contract,
        row.name,
        stream=state,
        prefer=profile,
        golden=golden,
        prefix=prefix,
        parts=parts,
        error_bars=error_bars,
        familiar=familiar,
    )


def source_files(
    graphs: Sequence[GraphFile],
    contract: SensorContract,
    golden: Mapping[str, NDArray[np.float32]],
    core: str,
    prefer: str = "speed",
    prefix: str = DEFAULT_PREFIX,
    error_bars: ErrorBars | None = None,
    familiar: Familiar | None = None,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files under ``c/`` by their path in the bundle, and the manifest's entry about them; errors as :func:`emission`."""
    made = emission(graphs, contract, core, prefer, prefix, golden, error_bars=error_bars, familiar=familiar)
    about = {
        "target": core,
        "prefer": prefer,
        "prefix": prefix,
        "flags": [*require_core(core).flags, "-std=c99", *WARNINGS, "-ffp-contract=off"],
        "notes": list(made.notes),
    }
    return {f"{FOLDER}/{name}": content for name, content in made.files.items()}, about
