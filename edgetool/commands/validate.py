"""``edgetool validate``: pass or fail for CI; a thin wrapper around :func:`edgetool.validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetool.commands.shared import (
    PATH,
    SETTINGS,
    SOURCE,
    count,
    file_of,
    json_option,
    on_option,
    print_json,
    progress,
    tables,
    wrote,
)

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.validation.verdict import Verdict


@click.command(
    name="validate",
    epilog="Example: edgetool validate bundle --on qemu:cortex-m4 --budgets budgets.toml",
    context_settings=SETTINGS,
)
@click.argument("bundle", type=PATH)
@on_option
@click.option(
    "--budgets",
    type=PATH,
    metavar="FILE",
    help="TOML of upper bounds (docs/TARGETS.md). Default: bit-exactness and golden vectors only.",
)
@click.option(
    "--stress",
    type=PATH,
    metavar="FILE",
    help="TOML of bounds on a stress test (docs/STRESS.md), which is then run too.",
)
@click.option("--data", metavar="SOURCE", help=f"{SOURCE}. Default: the data it was calibrated on.")
@click.option("--out", type=PATH, metavar="FOLDER", help="Write the evidence: hashes, build, report.")
@json_option("Write the verdict alone; - is standard output.")
@click.option("--windows", default=2000, metavar="N", help="Evaluate about N windows, in whole gait cycles.")
@click.option("--seed", default=0, metavar="N", help="Seed for the bootstrap.")
def command(bundle: Path, json: Path | None, out: Path | None, **options: Any) -> None:
    """Validate BUNDLE on targets: exit code 0 if it passes, 1 if not, 2 if it could not be judged.

    A device must give the integer reference's outputs bit for bit and pass its golden vectors, whatever the budgets. The
    evidence folder is the same, byte for byte, in every run on an emulated target.

    TARGET is host, qemu:CORE (such as qemu:cortex-m4), serial:PORT, pi-emulated or ssh://USER@HOST.
    """
    from benchmarks.validation.evidence import verdict_json
    from edgetool.api.deploy import validate

    with progress() as shown:

        def stop_and_show(verdict: Verdict) -> None:
            shown.stop()
            _show(verdict, tables(json))
            print_json(json, lambda: verdict_json(verdict))

        validate(bundle, json=file_of(json), out=out, **options, progress=shown, show=stop_and_show)
    wrote(json, out)


def _show(verdict: Verdict, out: Console) -> None:
    """One line a check, within 80 columns, and what is behind each that failed."""
    from rich.table import Table
    from rich.text import Text

    from benchmarks.report.text import signed_by
    from toolkit.printable import terminal_text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("", "target", "row", "check"):
        table.add_column(name, overflow="fold", no_wrap=name in ("", "check"))
    for name in ("value", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for check in verdict.checks:
        word = Text("pass", "green") if check.passed else Text("FAIL", "bold red")
        figures = [_number(value) for value in (check.value, check.bound)]
        names = (terminal_text(name) for name in (check.target, check.row, check.name))
        table.add_row(word, *names, *figures, check.label)
    out.print(table)
    out.print(terminal_text(f"{verdict.bundle.path.name}: {signed_by(verdict.report)}"))
    for check in verdict.failed:
        if check.detail:
            out.print(terminal_text(f"{check.target} {check.row}: {check.detail}"))
    for one in verdict.not_judged:
        out.print(terminal_text(f"not judged: {one.name} on {one.target}: {one.reason}"))
    if not verdict.failed:
        missing = len(verdict.not_judged)
        open_ones = f"; {count(missing, 'bound', 'bounds')} not judged" if missing else ""
        out.print(f"Passed: {count(len(verdict.checks), 'check', 'checks')}{open_ones}.")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
