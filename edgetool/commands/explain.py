"""``edgetool explain``: what a checkpoint's estimates rest on; a thin wrapper around :func:`edgetool.explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetool.commands.shared import (
    SETTINGS,
    SOURCE,
    file_of,
    html_option,
    json_option,
    print_json,
    progress,
    show_table,
    tables,
    tell,
    wrote,
)


@click.command(
    name="explain",
    epilog="Example: edgetool explain pretrained --data synthetic --html explained.html",
    context_settings=SETTINGS,
)
@click.argument("checkpoint")
@click.option("--data", required=True, metavar="SOURCE", help=f"{SOURCE}.")
@click.option("--seed", default=0, metavar="N", help="Seed for permutations and orders.")
@json_option("Also write every share; - is standard output.")
@html_option("Also write a page with plots.")
def command(json: Path | None, html: Path | None, **options: Any) -> None:
    """Show the share of each sensor in a checkpoint's estimates.

    CHECKPOINT is a file, the word pretrained, or the folder of edgetool compare. Only people not seen in training are
    used. Two methods: permuting a sensor's windows in time, and Shapley values; their rank agreement is shown.
    """
    from benchmarks.learning import explain_report as report
    from benchmarks.learning.explain import to_json
    from edgetool.api.transfer import explain

    with progress() as shown:
        result = explain(json=file_of(json), html=html, **options, progress=shown)
    screen = tables(json)
    show_table(screen, None, report.head(result), report.rows(result))
    screen.print(report.NOTE, style="dim")
    print_json(json, lambda: to_json(result))
    tell(json, *report.sentences(result))
    wrote(json, html)
