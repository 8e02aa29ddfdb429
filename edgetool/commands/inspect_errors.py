"""The tables of ``edgetool inspect --errors``, 80 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.commands.shared import show_table
from toolkit.printable import terminal_text

if TYPE_CHECKING:
    from rich.console import Console

    from quantization.analysis.error_records import Attribution

#: Losses in the console's table; the files hold all.
SHOWN = 12


def show(console: Console, found: Attribution) -> None:
    """Outputs, the costliest roundings and the tensors with the largest error, as tables."""
    console.print(
        f"{found.windows} windows of the {found.part} part of {found.data}, int8 {found.graph} graph"
    )
    for note in found.notes:
        console.print(f"Note: {terminal_text(note)}")
    show_table(
        console,
        "Moments",
        ["computed by", ">RMSE Nm/kg", ">RMSE increase %", ">error vs float %"],
        [
            (o.engine, f"{o.rmse:.5f}", f"{o.rmse_increase_pct:+.3f}", f"{o.error_vs_float_pct:.3f}")
            for o in found.outputs
        ],
    )
    show_table(
        console,
        "Roundings that cost most: error of the moments against float, %",
        ["rounded", ">bits", ">alone", ">16 bits take off"],
        [
            (
                terminal_text(item.source),
                str(item.bits),
                f"{item.alone_error_pct:.3f}",
                "" if item.gain_16_bits_error_pct is None else f"{item.gain_16_bits_error_pct:.3f}",
            )
            for item in found.losses[:SHOWN]
        ],
    )
    engines = [o.engine for o in found.outputs if o.engine not in ("float", "fake-quantized")]
    show_table(
        console,
        "RMS error of every tensor, % of its deviation",
        ["tensor", ">faked", *(f">{engine}" for engine in engines)],
        [
            (
                terminal_text(item.name),
                *(_percent(item.error_pct.get(engine)) for engine in ("fake-quantized", *engines)),
            )
            for item in found.tensors
        ],
    )
    timed = [item for item in found.tensors if "reference" in item.over_time]
    show_table(
        console,
        "The same over time in the integer reference: first, middle and last step",
        ["tensor", ">first", ">middle", ">last", ">worst step"],
        [(terminal_text(item.name), *_moments_of(item.over_time["reference"])) for item in timed],
    )


def _moments_of(values: tuple[float, ...]) -> tuple[str, ...]:
    worst = max(range(len(values)), key=values.__getitem__)
    picked = (values[0], values[len(values) // 2], values[-1])
    return (*(f"{v:.2f}" for v in picked), f"{worst} ({values[worst]:.2f})")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
