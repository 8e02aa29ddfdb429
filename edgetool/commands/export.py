"""``edgetool export``: a recording as tables for other tools; a thin wrapper around :func:`edgetool.export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import PATH, SETTINGS, json_option, progress, wrote


@click.command(
    name="export",
    epilog="Example: edgetool export session.etl --format csv --out tables",
    context_settings=SETTINGS,
)
@click.argument("recording", type=PATH)
@click.option(
    "--format",
    required=True,
    type=click.Choice(["csv", "parquet", "sto", "xdf", "mcap"]),
    help="Format of the export.",
)
@click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="PATH",
    help="Folder for one table per stream; for xdf and mcap, a single file.",
)
@click.option(
    "--fill",
    default="none",
    type=click.Choice(["none", "hold", "interpolate"]),
    help="How to fill in lost samples.",
)
@json_option("Write what was exported.")
def command(recording: Path, out: Path, json: Path | None, **options: Any) -> None:
    """Write the samples of a recording in physical units.

    Column "time" is regular (the node's own count), "host_time" is on this computer's clock. With --fill none, lost
    samples have no row.
    """
    from edgetool.api.sensors import export
    from toolkit.printable import terminal_text
    from toolkit.terminal import say

    with progress() as shown:
        summary = export(recording, out=out, json=json, **options, progress=shown)
    say(f"{'node':<24}{'stream':<16}{'rate, Hz':>10}{'samples':>12}{'missing':>10}")
    for stream in summary.streams:
        name, label = terminal_text(stream["node"])[:23], terminal_text(stream["stream"])[:15]
        say(f"{name:<24}{label:<16}{stream['rate_hz']:>10g}{stream['samples']:>12}{stream['missing']:>10}")
    if summary.undescribed_packets:
        say(f"Left out: {summary.undescribed_packets} packets of streams that no descriptor describes")
    wrote(out)
