"""What each choice of a recipe costs: ``python -m benchmarks.studies.recipes [CHECKPOINT [DATA]]``, for docs/CONVERTER.md.

Each row changes one thing of the default recipe. Judged by the integer reference on windows of the test part; nothing is chosen
by it (the search of ``convert --max-rmse-increase`` looks at the validation part).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

import toolkit.data
from quantization import passes
from quantization.calibration_windows import draw
from quantization.lowering import lower_window
from quantization.quantizer.calibration import calibrate
from quantization.quantizer.quantize import quantize
from quantization.quantizer.recipe import Recipe
from quantization.quantizer.search import reference_moments
from quantization.tflite.file import write
from toolkit.data.splits import select
from toolkit.data.windows import cut
from toolkit.errors import EdgetoolError
from toolkit.model import float_reference, load_checkpoint
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS
from toolkit.records import Windows

_STRIDE = 10


@dataclass(frozen=True)
class Row:
    """One recipe: ops and bytes of its window graph, and its two figures of accuracy."""

    name: str
    ops: int
    model_bytes: int
    rmse_increase_pct: float
    error_vs_float_pct: float


def variants() -> dict[str, Recipe]:
    """The default recipe and every one that differs from it in one thing."""
    default = Recipe()
    rows = {"default": default}
    for name in passes.PASSES:
        rows[f"without {name}"] = replace(default, passes=tuple(p for p in default.passes if p != name))
    rows["without any pass"] = replace(default, passes=())
    rows["weights to the nearest"] = replace(default, weight_rounding="nearest")
    rows["min-max ranges"] = replace(default, calibration="minmax")
    rows["percentile ranges"] = replace(default, calibration="percentile")
    rows["head in 8 bits"] = replace(default, wide=("norm",))
    rows["norm in 8 bits"] = replace(default, wide=("head",))
    rows["norm and head in 8 bits"] = replace(default, wide=())
    return rows


def compare(checkpoint: Checkpoint, calibration: Windows, test: Windows) -> Iterator[Row]:
    """A row for each of :func:`variants`."""
    inputs = {stream: test.inputs[stream] for stream in STREAMS}
    moments = float_reference.window(checkpoint, inputs)
    float_rmse = np.sqrt(np.mean((moments - test.targets) ** 2))
    deviation = np.sqrt(np.mean(test.targets.var(axis=0)))
    for name, recipe in variants().items():
        graph = passes.apply(lower_window(checkpoint), recipe.passes)
        windows = {stream: calibration.inputs[stream] for stream in STREAMS}
        observed = calibrate(graph, windows, method=recipe.calibration)
        integer = quantize(graph, observed, recipe)
        estimate = reference_moments(integer, inputs)
        rmse = np.sqrt(np.mean((estimate - test.targets) ** 2))
        error = np.sqrt(np.mean((estimate - moments) ** 2))
        yield Row(
            name,
            len(integer.ops),
            len(write(integer)),
            100 * float(rmse / float_rmse - 1),
            100 * float(error / deviation),
        )


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    checkpoint = load_checkpoint(arguments[0] if arguments else "pretrained")
    recordings = toolkit.data.load(arguments[1] if len(arguments) > 1 else "synthetic:people=8,seconds=8")
    drawn = draw(checkpoint, recordings, 200, 0)
    test = cut(select(recordings, drawn.split, "test"), checkpoint.contract, _STRIDE)
    print(f"{len(test)} windows of the test part, integer reference")
    print("| recipe | ops | bytes | RMSE increase | error against float |\n|---|---|---|---|---|")
    for row in compare(checkpoint, drawn.calibration, test):
        figures = f"{row.rmse_increase_pct:+.2f} % | {row.error_vs_float_pct:.2f} %"
        print(f"| {row.name} | {row.ops} | {row.model_bytes:,} | {figures} |", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except EdgetoolError as error:
        sys.exit(f"error: {error}")
