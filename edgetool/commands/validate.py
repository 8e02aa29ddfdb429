"""``edgetool validate``: pass or fail for CI; a thin face of ``benchmarks.validation.validate.validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchmarks.validation.verdict import Verdict


@click.command(
    name="validate",
    epilog="Example: edgetool validate bundle --on qemu:cortex-m4 --budgets budgets.toml",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--on", multiple=True, default=("host",), metavar="TARGET", help="Where to run; may be repeated."
)
@click.option(
    "--budgets",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML of upper bounds (docs/TARGETS.md). Not given: bit-exactness and golden vectors only.",
)
@click.option(
    "--data",
    metavar="SOURCE",
    help="synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder. Not given: the data that calibrated the bundle.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write the evidence: hashes, build, report.",
)
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the verdict alone.")
@click.option("--windows", default=2000, metavar="N", help="Judge about N windows, in whole gait cycles.")
@click.option("--seed", default=0, metavar="N", help="Of the bootstrap.")
def command(**options: Any) -> None:
    """Validate BUNDLE on targets: exit code 0 if all holds, 1 if not, 2 if it could not be judged.

    A device must give the integer reference's outputs bit for bit and pass its golden vectors, whatever the budgets. The
    evidence folder is the same, byte for byte, in every run on an emulated target.

    TARGET is host, qemu:CORE (as qemu:cortex-m4), serial:PORT, pi-emulated or ssh://USER@HOST.
    """
    from benchmarks.validation.validate import validate
    from edgetool.commands.bench import progress_bar

    with progress_bar() as (progress, stop):

        def stop_and_show(verdict: Verdict) -> None:
            stop()
            _show(verdict)

        validate(**options, progress=progress, show=stop_and_show)
    for name in ("json", "out"):
        if options[name] is not None:
            click.echo(f"Wrote {options[name]}")


def _show(verdict: Verdict) -> None:
    """One line a check, within 80 columns."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("", "target", "row", "check"):
        table.add_column(name, overflow="fold", no_wrap=name in ("", "check"))
    for name in ("value", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for check in verdict.checks:
        word = "[green]pass[/]" if check.passed else "[bold red]FAIL[/]"
        figures = [_number(value) for value in (check.value, check.bound)]
        table.add_row(word, check.target, check.row, check.name, *figures, check.label)
    console = Console(width=80, highlight=False)
    console.print(table)
    for one in verdict.not_judged:
        console.print(f"not judged: {one.name} on {one.target}: {one.reason}", markup=False)
    if not verdict.failed:
        count = len(verdict.checks)
        console.print(f"Passed: {count} check{'s' if count > 1 else ''}.")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
