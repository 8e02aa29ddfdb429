"""``edgetool bench``: a bundle measured against its float model; a thin wrapper around :func:`edgetool.bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    file_of,
    html_option,
    json_option,
    on_option,
    print_json,
    progress,
    tables,
    wrote,
)


@click.command(
    name="bench",
    epilog="Example: edgetool bench bundle --html bench.html --max-rmse-increase 1.5",
    context_settings=SETTINGS,
)
@click.argument("bundle", type=PATH)
@click.option("--data", metavar="SOURCE", help=f"{SOURCE}. Default: the data it was calibrated on.")
@on_option
@json_option("Write all figures (docs/BENCH.md); - is standard output.")
@html_option("Write a report with plots, in one file.")
@click.option(
    "--max-rmse-increase",
    type=float,
    metavar="PCT",
    help="Exit code 1 if the RMSE of int8 is more than PCT % above the float model's.",
)
@click.option(
    "--max-p99-us",
    type=float,
    metavar="N",
    help="Exit code 1 if the 99th percentile of an int8 inference is above N microseconds.",
)
@click.option("--windows", default=2000, metavar="N", help="Evaluate about N windows, in whole gait cycles.")
@click.option("--threads", default=1, metavar="N", help="Threads an engine may use.")
@click.option("--seed", default=0, metavar="N", help="Seed for the bootstrap.")
@click.option(
    "--peers", is_flag=True, help="Add rows of other converters, from the same checkpoint and windows."
)
def command(bundle: Path, json: Path | None, html: Path | None, **options: Any) -> None:
    """Compare a bundle with its float model: accuracy, latency and size.

    Float PyTorch, and LiteRT, TensorFlow Lite Micro and the generated C running the bundle's graphs, all get the same
    windows of the test split. Files are written and tables shown even if a budget is exceeded.

    TARGET is host, qemu:CORE (such as qemu:cortex-m4), serial:PORT, pi-emulated or ssh://USER@HOST.
    """
    from benchmarks.report.console import show
    from benchmarks.report.json_file import to_json
    from edgetool.api.deploy import bench

    with progress() as shown:

        def stop_and_show(report: Any) -> None:
            shown.stop()
            show(report, tables(json))
            print_json(json, lambda: to_json(report))

        bench(bundle, json=file_of(json), html=html, **options, progress=shown, show=stop_and_show)
    wrote(json, html)
