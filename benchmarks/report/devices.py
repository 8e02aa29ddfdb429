"""What devices did in a bench, as rows of text for the terminal and the page: every figure with its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.records import Report, Run
from benchmarks.report.headline import differences
from benchmarks.report.table import new_table
from benchmarks.report.text import count, milliseconds, number, signed
from toolkit.printable import terminal_text

ACCURACY_HEAD = ("target", "graph", "differing", "RMSE", "error", "count", "of SIMD", "time")
MEMORY_HEAD = ("target", "flash kB", "image", "RAM kB", "with stack", "stack B")


def show(report: Report, console: Console) -> None:
    """Print both tables and what they mean."""
    console.print(
        _table(
            "\nOn devices: against the integer reference, and against float",
            ACCURACY_HEAD,
            accuracy_rows(report),
        )
    )
    console.print(_table("\nMemory of the library with its model", MEMORY_HEAD, memory_rows(report)))
    for line in notes(report):
        console.print(Text(terminal_text(line)), style="dim")


def accuracy_rows(report: Report) -> list[list[str]]:
    """Bit-exactness, accuracy and work of each graph on each device."""
    return [_accuracy(run) for run in report.devices]


def memory_rows(report: Report) -> list[list[str]]:
    """One row a device: the figures are the image's, whichever graph runs."""
    last = {run.measured.target: run.measured.figures for run in report.devices}
    return [_memory(target, figures) for target, figures in last.items()]


def notes(report: Report) -> Sequence[str]:
    """What the columns are, how they came about, and the first difference of a device that is not bit-exact."""
    lines = [
        "differing: outputs that are not those of the integer reference, bit for bit. RMSE and error: against float "
        "on the same rows.",
    ]
    figures = [run.measured.figures for run in report.devices]
    if any("instructions" in one for one in figures):
        lines.append(
            "count: instructions, emulated (QEMU), not cycles: a load-multiple counts as one. of SIMD: the share of the "
            "core's multiply-accumulate limit."
        )
    parts = {
        f"{one['time_us']['part']} at {one['time_us']['clock_hz'] / 1e6:.0f} MHz, "
        f"{one['time_us']['cycles_per_instruction']:g} cycles per instruction": None
        for one in figures
        if "time_us" in one
    }
    if parts:
        lines.append(f"time: estimated, as if on {'; '.join(parts)}.")
    if any("cycles" in one for one in figures):
        boards = ", ".join(
            dict.fromkeys(f"{one['board']} ({one['core']})" for one in figures if "cycles" in one)
        )
        lines.append(f"count: cycles, measured by the board's own counter; time: measured on {boards}.")
    failed = {
        run.measured.target: None for run in report.devices if run.measured.figures["self_test"] != "passed"
    }
    lines += [f"{target}: THE GOLDEN VECTORS FAILED when the board started." for target in failed]
    lines += [text for run in report.devices if (text := _difference(run))]
    return lines


def _accuracy(run: Run) -> list[str]:
    measured, scores = run.measured, run.accuracy.overall
    exact = measured.figures["bit_exact"]
    counted = measured.figures.get("instructions") or measured.figures.get("cycles")
    share = measured.figures.get("simd_limit_pct")
    return [
        measured.target,
        measured.graph,
        f"{exact['differing']:,} of {exact['compared']:,}",
        f"{signed(scores.rmse_increase_pct)} %",
        f"{number(scores.error_vs_float_pct, 2)} %",
        count(counted["median"]) if counted else "-",
        f"{share:.0f} %" if share is not None else "-",
        _time(run),
    ]


def _time(run: Run) -> str:
    latency, estimate = run.measured.latency, run.measured.figures.get("time_us")
    if latency is not None:
        return f"{milliseconds(latency.p50_us)} ms"
    return f"{milliseconds(estimate['value'])} ms" if estimate else "-"


def _memory(target: str, figures: Mapping[str, Any]) -> list[str]:
    flash, ram = figures.get("flash_bytes"), figures.get("ram_bytes")
    stack = f"{figures['stack_bytes']['value']:,}"
    if flash is None or ram is None:
        return [target, "-", "-", "-", "-", stack]
    return (
        [target]
        + [
            f"{value / 1000:.1f}"
            for value in (flash["library"], flash["image"], ram["library"], ram["library_with_stack"])
        ]
        + [stack]
    )


def _difference(run: Run) -> str | None:
    if run.measured.figures["bit_exact"]["first"] is None:
        return None
    return f"{run.measured.target} {run.measured.graph}: {differences(run)}."


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = new_table(title)
    for place, name in enumerate(head):
        left = place == 0 or name == "graph"
        table.add_column(name, justify="left" if left else "right", overflow="fold", no_wrap=place > 0)
    for row in rows:
        table.add_row(*(Text(terminal_text(cell)) for cell in row))
    return table
