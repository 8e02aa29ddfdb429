"""What devices did in a bench, as rows of text for the terminal and the page: every figure with its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.records import Report, Run
from benchmarks.report.text import number, signed

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
        console.print(line, style="dim")


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
        f"{one['time_us']['cycles_per_instruction']:g} cycles an instruction": None
        for one in figures
        if "time_us" in one
    }
    if parts:
        lines.append(f"time: estimated, as if on {'; '.join(parts)}.")
    if any("cycles" in one for one in figures):
        lines.append("count: cycles, measured by the board's own counter; time: measured.")
    failed = {
        run.measured.target: None for run in report.devices if run.measured.figures["self_test"] != "passed"
    }
    lines += [f"{target}: THE GOLDEN VECTORS FAILED when the board started." for target in failed]
    lines += [text for run in report.devices if (text := _difference(run))]
    return lines


def _accuracy(run: Run) -> list[str]:
    measured, scores = run.measured, run.accuracy.overall
    exact = measured.figures["bit_exact"]
    count = measured.figures.get("instructions") or measured.figures.get("cycles")
    share = measured.figures.get("simd_limit_pct")
    return [
        measured.target,
        measured.graph,
        f"{exact['differing']:,} of {exact['compared']:,}",
        f"{signed(scores.rmse_increase_pct)} %",
        f"{number(scores.error_vs_float_pct, 2)} %",
        _counted(count["median"]) if count else "-",
        f"{share:.0f} %" if share is not None else "-",
        _time(run),
    ]


def _counted(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def _time(run: Run) -> str:
    latency, estimate = run.measured.latency, run.measured.figures.get("time_us")
    if latency is not None:
        return f"{latency.p50_us / 1000:.3g} ms"
    return f"{estimate['value'] / 1000:.3g} ms" if estimate else "-"


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
    first = run.measured.figures["bit_exact"]["first"]
    if first is None:
        return None
    where = (
        f"window {first['window']}"
        if "window" in first
        else f"recording {first['recording']}, step {first['step']}"
    )
    return (
        f"{run.measured.target} {run.measured.graph}: the first difference is in {where}, output {first['output']}: "
        f"{first['device']} instead of {first['reference']}"
        + (f"; the first tensor that differs is {first['tensor']}." if first.get("tensor") else ".")
    )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    whole = Text(title, overflow="ignore")  # a str would be broken at the table's width
    table = Table(
        title=whole, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1)
    )
    for place, name in enumerate(head):
        table.add_column(name, justify="left" if place == 0 or name == "graph" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
