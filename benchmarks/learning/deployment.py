"""What a network costs on a microcontroller: converted to int8 and run on an emulated core."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import bench
from quantization.convert import convert
from toolkit.errors import EdgetoolError
from toolkit.model.float_model import FloatModel
from toolkit.progress import Progress, silent

#: Windows that run on the emulated core: the count of instructions hardly differs between them.
WINDOWS = 50


@dataclass(frozen=True)
class DeviceCost:
    """Of the library with its model on ``core``, emulated (QEMU). ``instructions`` are of one sample through the stream graph,
    or, where ``graph`` is ``window``, of a whole window: the network has no stream graph.

    ``differing`` of ``compared`` outputs were not those of the integer reference, bit for bit; ``rmse_increase_pct`` against
    float on the same windows.
    """

    core: str
    graph: str
    flash_bytes: int
    ram_bytes: int
    instructions: int
    differing: int
    compared: int
    rmse_increase_pct: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def device_cost(model: FloatModel, source: str, core: str, progress: Progress = silent) -> DeviceCost:
    """Convert ``model`` on ``source``; run its stream graph, else its window graph, on an emulated ``core``, as ``cortex-m4``.

    Raises EdgetoolError if it does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = convert(model, source, Path(folder) / "bundle", core=core, progress=progress)
        report = bench(bundle, source, on=(f"qemu:{core}",), windows=WINDOWS, progress=progress)
    runs = sorted(report.devices, key=lambda run: run.measured.graph)  # the stream before the window
    if not runs:
        why = "; ".join(str(one) for one in report.skipped) or "no reason was given"
        raise EdgetoolError(f"the model did not run on an emulated {core}: {why}")
    figures = runs[0].measured.figures
    return DeviceCost(
        core,
        runs[0].measured.graph,
        int(figures["flash_bytes"]["library"]),
        int(figures["ram_bytes"]["library_with_stack"]),
        int(figures["instructions"]["median"]),
        int(figures["bit_exact"]["differing"]),
        int(figures["bit_exact"]["compared"]),
        float(runs[0].accuracy.overall.rmse_increase_pct),
    )
