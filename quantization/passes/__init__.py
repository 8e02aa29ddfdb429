"""Rewrites of the float graph that change its work and not its function. Each is one file, and can be left out.

``PASSES`` is the order they run in; ``apply`` runs those named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantization.graph.ir import Graph
from quantization.passes.constant_folding import fold_constants
from quantization.passes.layer_norm_form import fold_norm_gain
from quantization.passes.projection_folding import fold_projections
from toolkit.errors import UsageError

PASSES: dict[str, Callable[[Graph], Graph]] = {
    "constant-folding": fold_constants,
    "projection-folding": fold_projections,
    "layer-norm-form": fold_norm_gain,
}


def apply(graph: Graph, names: Sequence[str] = tuple(PASSES)) -> Graph:
    """Run the named passes in the table's order; UsageError names the known ones."""
    unknown = [name for name in names if name not in PASSES]
    if unknown:
        raise UsageError(f"pass {', '.join(unknown)} is not known; allowed: {', '.join(PASSES)}")
    for name, rewrite in PASSES.items():
        if name in names:
            graph = rewrite(graph)
    return graph
