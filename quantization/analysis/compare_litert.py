"""How far desktop LiteRT is from TFLM on a bundle: ``python -m quantization.analysis.compare_litert BUNDLE``.

On the bundle's golden windows: for each tensor, the share of values in which the two semantics of the integer reference
differ and by how many steps at most, and the same of LiteRT's default kernels against semantics="litert".
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.bundle import Bundle
from quantization.graph.ir import Graph
from quantization.ops.call import Semantics
from quantization.reference.integer_graph import Interpreter
from quantization.tflite.file import graph_of
from quantization.tflite.run import litert_tensors
from toolkit.errors import EdgetoolError

Stored = NDArray[Any]


def golden_inputs(bundle: Bundle, graph: Graph) -> list[Stored]:
    """The golden windows as the int8 window graph takes them, (N, 1, T, C)."""
    names = [graph.tensors[index].name for index in graph.inputs]
    return [np.asarray(bundle.golden[f"{name}.window.int8"])[:, None] for name in names]


def differences(bundle: Bundle) -> list[dict[str, Any]]:
    """One row a computed tensor: share of values that differ (%) and the largest difference in steps, for both comparisons."""
    file = bundle.graph("window", "int8")
    graph = graph_of(file)
    inputs = golden_inputs(bundle, graph)
    wanted = [index for op in graph.ops for index in op.outputs]

    def run(semantics: Semantics) -> dict[int, Stored]:
        interpreter = Interpreter(graph, semantics)
        interpreter.run(inputs)
        return {index: interpreter.tensor_at(index) for index in wanted}

    tflm, desktop = run("tflm"), run("litert")
    default = litert_tensors(file.content, inputs, wanted, lambda stage, done, total: None)
    rows = []
    for index in wanted:
        between = np.abs(tflm[index].astype(np.int64) - desktop[index])
        kernels = np.abs(default[index].astype(np.int64) - desktop[index])
        rows.append(
            {
                "tensor": graph.tensors[index].name,
                "type": str(graph.tensors[index].dtype),
                "semantics_differ_pct": 100.0 * float(np.mean(between != 0)),
                "semantics_most_steps": int(between.max()),
                "default_kernels_differ_pct": 100.0 * float(np.mean(kernels != 0)),
                "default_kernels_most_steps": int(kernels.max()),
            }
        )
    return rows


def main() -> None:
    """Command-line entry."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m quantization.analysis.compare_litert BUNDLE")
    print(f"{'':36} {'TFLM, LiteRT reference':>24} {'LiteRT reference, default':>27}")
    print(f"{'tensor':30} {'type':5} {'differ %':>14} {'steps':>9} {'differ %':>17} {'steps':>9}")
    for row in differences(Bundle.load(Path(sys.argv[1]))):
        print(
            f"{row['tensor']:30} {row['type']:5} {row['semantics_differ_pct']:14.2f} {row['semantics_most_steps']:9} "
            f"{row['default_kernels_differ_pct']:17.2f} {row['default_kernels_most_steps']:9}"
        )


if __name__ == "__main__":
    try:
        main()
    except EdgetoolError as error:
        sys.exit(f"error: {error}")
