"""``edgetool export``: a recording as tables for others' tools; a thin face of ``firmware_bridge.recording.export.export``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


@click.command(
    name="export",
    epilog="Example: edgetool export session.etl --format csv --out tables",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--format", required=True, type=click.Choice(["csv", "parquet", "sto", "xdf"]))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A folder with one table a stream; for xdf one file.",
)
@click.option(
    "--fill",
    default="none",
    type=click.Choice(["none", "hold", "interpolate"]),
    help="What stands for samples that were lost.",
)
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write what was exported.")
def command(recording: Path, out: Path, json: Path | None, **options: Any) -> None:
    """Write the samples of a recording in physical units.

    Column "time" is regular (the node's own count), "host_time" is on this computer's clock. With --fill none a
    lost sample has no row.
    """
    from firmware_bridge.recording.export import export
    from toolkit.files import write_json

    with _bar() as progress:
        summary = export(recording, out, progress=progress, **options)
    click.echo(f"{'node':<24}{'stream':<16}{'rate, Hz':>10}{'samples':>12}{'missing':>10}")
    for stream in summary.streams:
        name, label = stream["node"][:23], stream["stream"][:15]
        click.echo(
            f"{name:<24}{label:<16}{stream['rate_hz']:>10g}{stream['samples']:>12}{stream['missing']:>10}"
        )
    if summary.undescribed_packets:
        click.echo(f"Left out: {summary.undescribed_packets} packets of streams that no descriptor describes")
    click.echo(f"Wrote {out}")
    if json is not None:
        write_json(json, {"files": [str(f) for f in summary.files], "streams": list(summary.streams)})


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Reading, then writing, on stderr when it is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<8}"), BarColumn(bar_width=None), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield show
