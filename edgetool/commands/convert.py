"""``edgetool convert``: a checkpoint in, a bundle out; a thin wrapper around :func:`edgetool.convert`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetool.commands.shared import PATH, SETTINGS, SOURCE, json_option, progress, wrote
from toolkit.cores import CORES

if TYPE_CHECKING:
    from quantization.bundle import Bundle

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    name="convert",
    epilog="Example: edgetool convert pretrained --data synthetic --out bundle",
    context_settings=SETTINGS,
)
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option("--data", metavar="SOURCE", help=f"Data to calibrate on: {SOURCE}. Default: synthetic.")
@click.option("--out", required=True, type=PATH, metavar="BUNDLE", help="Folder to write.")
@click.option("--scheme", default="int8", metavar="NAME", help="int8 or float32.")
@click.option(
    "--converter", default="builtin", metavar="NAME", help="The converter to use: builtin or tensorflow."
)
@click.option(
    "--calibration-windows",
    default=200,
    metavar="N",
    help="Set the int8 scales from the ranges of N windows.",
)
@click.option(
    "--max-rmse-increase",
    type=float,
    metavar="PCT",
    help="Search for the cheapest recipe that stays within PCT % of the float RMSE on the validation split.",
)
@click.option(
    "--recipe",
    type=FILE,
    metavar="FILE",
    help="JSON with the entries of the quantization recipe to change from their defaults.",
)
@click.option(
    "--key-map",
    type=FILE,
    metavar="FILE",
    help="TOML that maps the tensors of a foreign PyTorch file, or the inputs of a .pt2.",
)
@click.option(
    "--check",
    type=FILE,
    metavar="FILE",
    help="NPZ with inputs and the network's own outputs; an import that differs is refused.",
)
@click.option(
    "--core",
    metavar="CORE",
    help=f"Also write C source for a core: {', '.join(CORES)}.",
)
@click.option("--prefer", default="speed", metavar="WHAT", help="Optimise the C source for speed or size.")
@click.option("--prefix", default="edgetool", metavar="NAME", help="Prefix of every name in the C source.")
@click.option("--seed", default=0, metavar="N", help="Seed for drawing calibration windows.")
@json_option("Also write the manifest.")
def command(checkpoint: str, data: str | None, out: Path, json: Path | None, **options: Any) -> None:
    """Convert CHECKPOINT (a file, the word pretrained, or a .pt2) to an int8 bundle.

    A .pt2 is a network of your own as torch.export.save writes it (docs/IMPORT.md).

    The bundle holds the int8 and float32 .tflite, the checkpoint, golden vectors and a manifest with the hash of
    every file. Calibration sees the training split only. The same input gives the same bytes.
    """
    from edgetool.api.deploy import convert
    from quantization.convert import DEFAULT_DATA
    from toolkit.terminal import say

    if data is None:
        say(f"No --data given: calibrating on {DEFAULT_DATA} data.", err=True)
    with progress() as shown:
        bundle = convert(checkpoint, data=data, out=out, json=json, **options, progress=shown)
    _show(bundle, out)
    wrote(json)
    # A bundle names its data without the folder, so that bench must be told where a file lies.
    elsewhere = "" if data is None or data.startswith("synthetic") else f" --data {shlex.quote(data)}"
    say(f"Wrote {out}. Next: edgetool bench {shlex.quote(str(out))}{elsewhere}")


def _show_search(searched: Mapping[str, Any]) -> None:
    """What a recipe search tried, cheapest first."""
    from rich.table import Table

    from toolkit.terminal import console

    bound = searched["max_rmse_increase_pct"]
    table = Table(box=None, pad_edge=False)
    for name in ("16 bits in", "ranges", "RMSE increase"):
        table.add_column(name, justify="right" if name == "RMSE increase" else "left")
    for trial in searched["tried"]:
        wide = ", ".join(["attention", *trial["recipe"]["wide"]])
        table.add_row(wide, trial["recipe"]["calibration"], f"{trial['rmse_increase_pct']:+.2f} %")
    out = console()
    out.print(f"Recipes tried for an RMSE increase of at most {bound:g} %")
    out.print(table)
    out.print(f"Judged on {searched['validation']}. The last one is within the bound and was used.")


def _show(bundle: Bundle, out: Path) -> None:
    """The graphs in a table that fits 80 columns, and what to know about them."""
    from toolkit.printable import terminal_text
    from toolkit.terminal import console

    if "search" in bundle.manifest:
        _show_search(bundle.manifest["search"])
    data = bundle.manifest["data"]
    kinds = ", ".join(data["kinds"])
    shown = console()
    shown.print(f"Calibrated on {data['calibration_windows']} windows, {kinds} data, train part")
    shown.print(_graphs(bundle, out))
    if "check" in bundle.manifest:
        shown.print(_checked(bundle.manifest["check"]))
    notes = [*data["notes"], *(note for graph in bundle.graphs for note in graph.notes)]
    for note in dict.fromkeys([*notes, *_notes_of_source(bundle)]):
        shown.print(f"Note: {terminal_text(note)}")
    if "c" in bundle.manifest:
        shown.print(f"C source for {bundle.manifest['c']['target']} is in {out.name}/c (docs/TARGETS.md).")


def _checked(check: Mapping[str, Any]) -> str:
    """The comparison with the network's own outputs in a line, or that there was none."""
    from toolkit.printable import terminal_text

    if not check["compared"]:
        return f"WARNING: {check['note']}"
    error = check.get("int8_error_pct")
    int8 = "" if error is None else f", int8 within {error:.2f} % of their deviation"
    return (
        f"Compared with the network's own outputs ({terminal_text(check['file'])}, {check['windows']} windows): "
        f"float within {check['float_error']:.1e} of the largest{int8}"
    )


def _graphs(bundle: Bundle, out: Path) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("graph", "scheme"):
        table.add_column(name)
    for name in ("operators", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("file")
    for entry in bundle.manifest["graphs"]:
        operators, size = sum(entry["operators"].values()), f"{entry['bytes']:,}"
        table.add_row(entry["graph"], entry["scheme"], str(operators), size, f"{out.name}/{entry['file']}")
    return table


def _notes_of_source(bundle: Bundle) -> list[str]:
    """What of the C source is slower than it might be, and why there is no tflm/."""
    slower = bundle.manifest.get("c", {}).get("notes", [])
    found = [f"{slower[0]}; {len(slower)} such in all, see c.notes in manifest.json"] if slower else []
    return [*found, *bundle.manifest.get("tflm", {}).get("notes", [])]
