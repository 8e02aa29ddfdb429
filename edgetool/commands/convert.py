"""``edgetool convert``: a checkpoint in, a bundle out; a thin face of ``quantization.convert.convert``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quantization.bundle import Bundle


@click.command(
    name="convert",
    epilog="Example: edgetool convert pretrained --data synthetic --out bundle",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True},
)
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option(
    "--data",
    metavar="SOURCE",
    help="Data to calibrate on: synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder. Not given: synthetic.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="BUNDLE", help="Folder to write."
)
@click.option("--scheme", default="int8", metavar="NAME", help="int8 or float32.")
@click.option("--converter", metavar="NAME", help="builtin or tensorflow. Not given: builtin.")
@click.option("--calibration-windows", default=200, help="Windows whose ranges set the int8 scales.")
@click.option(
    "--max-rmse-increase",
    type=float,
    metavar="PCT",
    help="Search the cheapest recipe that holds this on the validation part.",
)
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="JSON with entries of the quantization recipe that differ from the default.",
)
@click.option(
    "--key-map",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="TOML that says which tensor of a foreign PyTorch file is which.",
)
@click.option(
    "--target",
    metavar="CORE",
    help="Also write C source: c99, cortex-m4, cortex-m7, cortex-m33 or cortex-m55.",
)
@click.option("--prefer", default="speed", metavar="WHAT", help="Of the C source: speed or size.")
@click.option(
    "--prefix",
    default="edgetool",
    metavar="NAME",
    help="What the names in the C source begin with.",
)
@click.option("--seed", default=0, help="Of the drawn calibration windows.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write the manifest."
)
def command(
    checkpoint: str,
    data: str | None,
    out: Path,
    scheme: str,
    converter: str | None,
    calibration_windows: int,
    max_rmse_increase: float | None,
    recipe: Path | None,
    key_map: Path | None,
    target: str | None,
    prefer: str,
    prefix: str,
    seed: int,
    json_file: Path | None,
) -> None:
    """Convert CHECKPOINT, a file or the word pretrained, to an int8 bundle.

    The bundle holds the int8 and float32 .tflite, the checkpoint, golden vectors and a manifest with the hash of
    every file. Calibration sees the train part of the data only. The same input gives the same bytes.
    """
    from quantization.convert import DEFAULT_DATA, convert
    from quantization.converters import DEFAULT_CONVERTER
    from quantization.graph.graph_file import require_scheme
    from toolkit.files import write_json

    if data is None:
        click.echo(f"No --data given: calibrating on {DEFAULT_DATA} data.", err=True)
    with _bar() as progress:
        bundle = convert(
            checkpoint,
            data or DEFAULT_DATA,
            out,
            scheme=require_scheme(scheme),
            converter=converter or DEFAULT_CONVERTER,
            calibration_windows=calibration_windows,
            seed=seed,
            max_rmse_increase=max_rmse_increase,
            key_map=key_map,
            target=target,
            prefer=prefer,
            prefix=prefix,
            progress=progress,
            **({} if recipe is None else {"recipe": _read_recipe(recipe)}),
        )
    _print(bundle, out)
    if json_file is not None:
        write_json(json_file, dict(bundle.manifest))
        click.echo(f"Wrote {json_file}")
    # A bundle names its data without the folder, so that bench must be told where a file lies.
    elsewhere = "" if data is None or data.startswith("synthetic") else f" --data {shlex.quote(data)}"
    click.echo(f"Wrote {out}. Next: edgetool bench {shlex.quote(str(out))}{elsewhere}")


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Stages on stderr, when it is a terminal.

    It writes to a copy of the descriptor: while native libraries run, descriptor 2 leads to nowhere.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with os.fdopen(os.dup(2), "w") as stderr:
        console = Console(file=stderr)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("starting", total=None)

            def show(stage: str, done: int, total: int) -> None:
                bar.update(task, description=stage, completed=done, total=total)

            yield show


def _read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's JSON object; InputError names what is wrong with the file."""
    from toolkit.errors import InputError

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"recipe {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"recipe {path} is not JSON: {error}; docs/CONVERTER.md lists its entries") from None
    if not isinstance(value, dict):
        raise InputError(f"recipe {path} is not a JSON object; docs/CONVERTER.md lists its entries")
    return value


def _print_search(searched: Mapping[str, Any]) -> None:
    """What a recipe search tried, cheapest first."""
    from rich.console import Console
    from rich.table import Table

    bound = searched["max_rmse_increase_pct"]
    table = Table(box=None, pad_edge=False)
    for name in ("16 bits in", "ranges", "RMSE increase"):
        table.add_column(name, justify="right" if name == "RMSE increase" else "left")
    for trial in searched["tried"]:
        wide = ", ".join(["attention", *trial["recipe"]["wide"]])
        table.add_row(wide, trial["recipe"]["calibration"], f"{trial['rmse_increase_pct']:+.2f} %")
    console = Console(width=80, markup=False, highlight=False)
    console.print(f"Recipes tried for an RMSE increase of at most {bound:g} %")
    console.print(table)
    console.print(f"Judged on {searched['validation']}. The last one holds and was taken.")


def _print(bundle: Bundle, out: Path) -> None:
    """The graphs in a table that fits 80 columns, what to know about them, and what to do next."""
    from rich.console import Console
    from rich.table import Table

    if "search" in bundle.manifest:
        _print_search(bundle.manifest["search"])
    data = bundle.manifest["data"]
    kinds = ", ".join(data["kinds"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("graph", "scheme"):
        table.add_column(name)
    for name in ("operators", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("file")
    for entry in bundle.manifest["graphs"]:
        operators = sum(entry["operators"].values())
        table.add_row(
            entry["graph"],
            entry["scheme"],
            str(operators),
            f"{entry['bytes']:,}",
            f"{out.name}/{entry['file']}",
        )
    console = Console(width=80, markup=False, highlight=False)
    console.print(f"Calibrated on {data['calibration_windows']} windows, {kinds} data, train part")
    console.print(table)
    notes = [*data["notes"], *(note for graph in bundle.graphs for note in graph.notes)]
    for note in dict.fromkeys([*notes, *_notes_of_source(bundle)]):
        console.print(f"Note: {note}")
    if "c" in bundle.manifest:
        console.print(f"C source for {bundle.manifest['c']['target']} is in {out.name}/c (docs/TARGETS.md).")


def _notes_of_source(bundle: Bundle) -> list[str]:
    """What of the C source is slower than it might be, and why there is no tflm/."""
    slower = bundle.manifest.get("c", {}).get("notes", [])
    found = [f"{slower[0]}; {len(slower)} such in all, see c.notes in manifest.json"] if slower else []
    return [*found, *bundle.manifest.get("tflm", {}).get("notes", [])]
