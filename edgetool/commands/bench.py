"""``edgetool bench``: a bundle judged against its float model; a thin face of ``benchmarks.bench.bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


@click.command(
    name="bench",
    epilog="Example: edgetool bench bundle --html bench.html --max-rmse-increase 1.5",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar="SOURCE",
    help="synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder. Not given: the data that calibrated the bundle.",
)
@click.option(
    "--on", multiple=True, default=("host",), metavar="TARGET", help="Where to run; may be repeated."
)
@click.option(
    "--json", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures (docs/BENCH.md)."
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a report with plots, in one file."
)
@click.option(
    "--max-rmse-increase",
    type=float,
    metavar="PCT",
    help="Exit with 1 if int8 has an RMSE more than PCT % above the float model's.",
)
@click.option(
    "--max-p99-us",
    type=float,
    metavar="N",
    help="Exit with 1 if the 99th percentile of an int8 inference is above N microseconds.",
)
@click.option("--windows", default=2000, metavar="N", help="Judge about N windows, in whole gait cycles.")
@click.option("--threads", default=1, metavar="N", help="Threads an engine may use.")
@click.option("--seed", default=0, metavar="N", help="Of the bootstrap.")
@click.option(
    "--peers", is_flag=True, help="Add rows of other converters, from the same checkpoint and windows."
)
def command(**options: Any) -> None:
    """Compare a bundle with its float model: accuracy, latency and size.

    PyTorch in float, and LiteRT, TensorFlow Lite Micro and the generated C with the bundle's graphs, all get the same
    windows of the test part of the data. Files are written and tables shown before a broken budget ends the command.

    TARGET is host, qemu:CORE (as qemu:cortex-m4), serial:PORT, pi-emulated or ssh://USER@HOST.
    """
    from benchmarks.bench import bench
    from benchmarks.report.console import show

    with progress_bar() as (progress, stop):

        def stop_and_show(report: Any) -> None:
            stop()
            show(report)

        bench(**options, progress=progress, show=stop_and_show)
    for name in ("json", "html"):
        if options[name] is not None:
            click.echo(f"Wrote {options[name]}")


@contextmanager
def progress_bar() -> Iterator[tuple[Callable[[str, int, int], None], Callable[[], None]]]:
    """A progress bar on stderr, one line a stage; nothing when stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(bar_width=None), TimeRemainingColumn())
    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage)
            bar.update(tasks[stage], completed=done, total=total)

        yield show, bar.stop
