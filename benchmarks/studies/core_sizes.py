"""Instructions of models of other sizes on a microcontroller: ``python -m benchmarks.studies.core_sizes --units 64,96,100``.

Random weights in the shipped model's form; for each size the bundle's C in the firmware, on an emulated board whose start runs
the golden vectors against the integer reference. A window from zero state and a step that has a whole window behind it are
counted there: emulated, and instructions are not time. ``--plot`` draws them against the multiply-accumulates, which is
where a size that falls out of the kernels shows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np

from benchmarks.targets.device_image import build_image
from benchmarks.targets.qemu import CORE_BOARDS
from firmware_bridge.protocol.table import SelfTest, ValueFormat
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import TargetLink, counted, open_port
from quantization.c_emitter.bundle_files import source_files
from quantization.convert import convert
from quantization.ops.work import products_by_bits
from quantization.tflite.file import read
from toolkit.errors import LinkError
from toolkit.files import write_bytes, write_json
from toolkit.model import load_checkpoint
from toolkit.model.checkpoint import Checkpoint

_DATA = "synthetic:people=3,seconds=6,tasks=level"
_START_S = 60.0


@dataclass(frozen=True)
class Cost:
    """Instructions of one size on one core, its products, and what of it is portable C, with reasons."""

    core: str
    units: int
    window_rows: int
    heads: int
    products_window: int
    products_step: int
    window: int
    step: int
    notes: tuple[str, ...]


def measure(core: str, units: int, rows: int, heads: int) -> Cost:
    """Convert, build, boot and count; LinkError if the board's golden vectors are not the reference's."""
    shipped = load_checkpoint("pretrained")
    config = replace(shipped.config, hidden=units, window=rows, heads=heads)
    drawn = replace(
        Checkpoint.random(config, 1), contract=replace(shipped.contract, window=rows), split=shipped.split
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = convert(drawn, _DATA, folder / "bundle", calibration_windows=20)
        image = build_image(bundle, CORE_BOARDS[core], folder)
        golden = {item.stream.name: bundle.golden[item.stream.name] for item in bundle.contract.inputs}
        about = source_files(bundle.graphs, bundle.contract, golden, core, "speed")[1]
        with Emulator(image) as emulator, TargetLink(open_port(emulator.url), core, timeout_s=60.0) as link:
            if not link.await_start(1.0):
                emulator.reset()
                link.await_start(_START_S)
            identity = link.identify()
            if identity.self_test is not SelfTest.PASSED:
                raise LinkError(
                    f"{core}, {units} units: the golden vectors differ ({identity.self_test.name})"
                )
            windows = [values[0] for values in golden.values()]
            link.reset()
            steps = [link.step(ValueFormat.FLOAT32, [w[i] for w in windows]).ticks for i in range(rows)]
            window = link.window(ValueFormat.FLOAT32, windows).ticks
        work = {
            graph.graph: sum(products_by_bits(read(graph.content)).values())
            for graph in bundle.graphs
            if graph.scheme == "int8"
        }
    return Cost(
        core,
        units,
        rows,
        heads,
        work["window"],
        work["stream"],
        counted(window, identity) or 0,
        counted(int(np.median(steps[-8:])), identity) or 0,
        tuple(about["notes"]),
    )


def picture(costs: Sequence[Cost]) -> bytes:
    """Instructions of a step over units, a line a core, as SVG."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for core in dict.fromkeys(cost.core for cost in costs):
        mine = sorted((cost.units, cost.step) for cost in costs if cost.core == core)
        axes.plot([u for u, _ in mine], [n / 1000 for _, n in mine], marker="o", label=core)
    axes.set(
        xlabel="units", ylabel="instructions of a step, thousands (emulated)", xscale="log", yscale="log"
    )
    axes.legend()
    out = io.BytesIO()
    figure.savefig(out, format="svg")
    return out.getvalue()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


@click.command()
@click.option("--core", "cores", multiple=True, default=["cortex-m4", "cortex-m55"], show_default=True)
@click.option("--units", default="32,64,96,100,104,128", show_default=True)
@click.option("--window", "rows", default="64", show_default=True, help="Rows of the window.")
@click.option("--heads", default="1", show_default=True)
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw steps over units, as SVG."
)
def main(
    cores: Sequence[str], units: str, rows: str, heads: str, json: Path | None, plot: Path | None
) -> None:
    """Print a line for each core and size."""
    click.echo(
        f"{'core':<11} {'units':>5} {'rows':>4} {'heads':>5} {'window':>11} {'step':>9} {'of a product':>13}"
    )
    costs = []
    for core in cores:
        for one, row, head in (
            (u, r, h) for u in _numbers(units) for r in _numbers(rows) for h in _numbers(heads)
        ):
            cost = measure(core, one, row, head)
            costs.append(cost)
            share = cost.step / cost.products_step
            click.echo(
                f"{core:<11} {one:>5} {row:>4} {head:>5} {cost.window:>11,} {cost.step:>9,} {share:>13.2f}"
                + (f"  {len(cost.notes)} in portable C: {cost.notes[0]}" if cost.notes else "")
            )
    if json is not None:
        write_json(json, [asdict(cost) for cost in costs])
    if plot is not None:
        write_bytes(plot, picture(costs))


if __name__ == "__main__":
    main()
