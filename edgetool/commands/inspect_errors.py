"""The part of ``edgetool inspect`` behind ``--errors``: progress while it computes, then tables of 80 columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from quantization.analysis.error_attribution import Attribution

#: Losses in the console's table; the files hold all.
SHOWN = 12


def attribute(
    path: str, data: str | None, windows: int, seed: int, json_file: Path | None, html_file: Path | None
) -> None:
    """Attribute the errors of the bundle at ``path``, write the files asked for and show the tables."""
    from rich.console import Console

    from quantization.analysis.error_attribution import attribute_errors
    from quantization.analysis.error_report import page
    from toolkit.files import write_bytes, write_json

    with _Bar() as bar:
        found = attribute_errors(path, data, windows=windows, seed=seed, progress=bar.tell)
    if json_file is not None:
        write_json(json_file, found.to_json())
    if html_file is not None:
        write_bytes(html_file, page(found).encode())
    show(Console(width=80, markup=False, highlight=False), found)


class _Bar:
    """One progress bar on standard error, which begins anew with each stage."""

    def __enter__(self) -> _Bar:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._progress.start()
        self._task = self._progress.add_task("reading")
        return self

    def tell(self, stage: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=stage, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def show(console: Console, found: Attribution) -> None:
    """Outputs, the costliest roundings and the tensors with the largest error, as tables."""
    console.print(
        f"{found.windows} windows of the {found.part} part of {found.data}, int8 {found.graph} graph"
    )
    for note in found.notes:
        console.print(f"Note: {note}")
    _table(
        console,
        "Moments",
        ["computed by", ">RMSE Nm/kg", ">RMSE increase %", ">error vs float %"],
        [
            (o.engine, f"{o.rmse:.5f}", f"{o.rmse_increase_pct:+.3f}", f"{o.error_vs_float_pct:.3f}")
            for o in found.outputs
        ],
    )
    _table(
        console,
        "Roundings that cost most: error of the moments against float, %",
        ["rounded", ">bits", ">alone", ">16 bits take off"],
        [
            (
                _plain(item.source),
                str(item.bits),
                f"{item.alone_error_pct:.3f}",
                "" if item.gain_16_bits_error_pct is None else f"{item.gain_16_bits_error_pct:.3f}",
            )
            for item in found.losses[:SHOWN]
        ],
    )
    engines = [o.engine for o in found.outputs if o.engine not in ("float", "fake-quantized")]
    _table(
        console,
        "RMS error of every tensor, % of its deviation",
        ["tensor", ">faked", *(f">{engine}" for engine in engines)],
        [
            (
                _plain(item.name),
                *(_percent(item.error_pct.get(engine)) for engine in ("fake-quantized", *engines)),
            )
            for item in found.tensors
        ],
    )
    timed = [item for item in found.tensors if "reference" in item.over_time]
    _table(
        console,
        "The same over time in the integer reference: first, middle and last step",
        ["tensor", ">first", ">middle", ">last", ">worst step"],
        [(_plain(item.name), *_moments_of(item.over_time["reference"])) for item in timed],
    )


def _moments_of(values: tuple[float, ...]) -> tuple[str, ...]:
    worst = max(range(len(values)), key=values.__getitem__)
    picked = (values[0], values[len(values) // 2], values[-1])
    return (*(f"{v:.2f}" for v in picked), f"{worst} ({values[worst]:.2f})")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(console: Console, title: str, columns: list[str], rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    whole = Text(title, overflow="ignore")  # a str would be broken at the table's width
    table = Table(title=whole, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _plain(text: str) -> str:
    """Without control characters: a foreign file must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def require_errors(context: click.Context) -> None:
    """What belongs to ``--errors`` is refused without it, whatever its value: click.UsageError."""
    names = ("data", "html_file", "windows", "seed")
    given = [f"--{name.removesuffix('_file')}" for name in names if _typed(context, name)]
    if not context.params["errors"] and given:
        raise click.UsageError(
            f"{' and '.join(given)} need{'s' * (len(given) == 1)} --errors: without it nothing is computed."
        )


def _typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
