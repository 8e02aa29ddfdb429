"""``edgetool inspect``: what is in a file; a thin face of ``quantization.analysis.inspect.describe``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console


@click.command(
    name="inspect",
    epilog="Example: edgetool inspect bundle/models/window.int8.tflite --json model.json",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.argument("path", metavar="FILE")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write all of it."
)
@click.option(
    "--errors",
    is_flag=True,
    help="FILE is a bundle: show where its int8 window graph loses accuracy, tensor by tensor.",
)
@click.option(
    "--data",
    metavar="SOURCE",
    help="Windows for --errors: synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder. Not given: the data that "
    "calibrated the bundle. The validation part is used.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the result of --errors with plots, in one file.",
)
@click.option(
    "--windows",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    metavar="N",
    help="Windows for --errors.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of their choice."
)
def command(
    path: str,
    json_file: Path | None,
    errors: bool,
    data: str | None,
    html_file: Path | None,
    windows: int,
    seed: int,
) -> None:
    """Show what is in FILE: any .tflite, a checkpoint, a bundle's folder, or the word pretrained.

    Of a .tflite: operators with their multiply-accumulates, tensors with type, shape, scale and zero point,
    sizes, and the sensor contract in its metadata. Of a bundle, every hash is verified first.

    With --errors, float, fake-quantized, integer reference, LiteRT and TensorFlow Lite Micro stand side by side
    for every tensor and time step, and each rounding is charged with what it costs and what 16 bits would give back.
    """
    from edgetool.commands.inspect_errors import attribute, require_errors

    require_errors(click.get_current_context())
    if errors:
        attribute(path, data, windows, seed, json_file, html_file)
        return
    from rich.console import Console

    from quantization.analysis.inspect import describe
    from toolkit.files import write_json

    found = describe(path)
    if json_file is not None:
        write_json(json_file, found)
    console = Console(width=80, markup=False, highlight=False)
    {"tflite": _tflite, "checkpoint": _checkpoint, "bundle": _bundle}[found["kind"]](console, found)
    if json_file is not None:
        click.echo(f"Wrote {json_file}")


def _bundle(console: Console, found: dict[str, Any]) -> None:
    manifest = found["manifest"]
    console.print(
        f"Bundle {found['name']}: scheme {manifest['scheme']}, converter {_plain(found['converter'])}, "
        f"{found['parameters']:,} parameters; every file has the hash of the manifest"
    )
    data = manifest["data"]
    console.print(
        f"Calibrated on {data['calibration_windows']} windows of {data['source']} ({', '.join(data['kinds'])})"
    )
    for graph in found["graphs"]:
        console.print()
        _graphs(console, graph)
        for note in graph["notes"]:
            console.print(f"Note: {note}")
    _contract(console, manifest["contract"], manifest["contract_hash"])


def _checkpoint(console: Console, found: dict[str, Any]) -> None:
    console.print(
        f"Checkpoint {_plain(found['name'])}: {found['parameters']:,} parameters, {found['bytes']:,} bytes"
    )
    console.print(", ".join(f"{key} {value}" for key, value in found["config"].items() if key != "outputs"))
    rows = [
        (w["name"], _shape(w["shape"]), f"{w['minimum']:.4f}", f"{w['maximum']:.4f}")
        for w in found["weights"]
    ]
    _table(console, "Weights", ["name", "shape", ">minimum", ">maximum"], rows)
    provenance = found["provenance"]
    for part, values in (provenance.get("metrics") or {}).items():
        console.print(f"RMSE of the {part} part: {values.get('rmse')} Nm/kg")
    kinds = (provenance.get("data") or {}).get("kinds")
    if kinds:
        console.print(f"Trained on {', '.join(kinds)} data")
    _contract(console, found["contract"], found["contract_hash"])


def _tflite(console: Console, found: dict[str, Any]) -> None:
    _graphs(console, found)
    reason = found["integer_reference"]
    console.print(f"Integer reference: {'runs it' if reason is None else f'not run by it: {_plain(reason)}'}")
    if found["contract"] is not None:
        _contract(console, found["contract"], found["contract_hash"])


def _graphs(console: Console, found: dict[str, Any]) -> None:
    console.print(
        f"{_plain(found['name'])}: {found['bytes']:,} bytes, {found['macs']:,} multiply-accumulates an inference"
    )
    for graph in found["subgraphs"]:
        tensors = graph["tensors"]
        rows = [
            (
                str(operator["index"]),
                f"{_plain(operator['operator'])} v{operator['version']}",
                ", ".join(_signature(tensors[i]) for i in operator["outputs"] if i >= 0),
                f"{operator['macs']:,}" if operator["macs"] else "",
            )
            for operator in graph["operators"]
        ]
        _table(
            console, f"Graph {_plain(graph['name'])}: operators", [">#", "operator", "output", ">MACs"], rows
        )
        roles = dict.fromkeys(graph["inputs"], "in") | dict.fromkeys(graph["outputs"], "out")
        shown = [
            (
                str(tensor["index"]),
                _plain(tensor["name"]),
                _signature(tensor),
                *_scale(tensor["quantization"]),
                roles.get(tensor["index"], f"{tensor['bytes']:,}" if tensor["constant"] else ""),
            )
            for tensor in tensors
        ]
        _table(
            console, "Tensors", [">#", "name", "type and shape", ">scale", ">zero", ">bytes or role"], shown
        )


def _contract(console: Console, contract: dict[str, Any], digest: str) -> None:
    console.print(
        f"Contract {digest[:16]}: window of {contract['window']} at {contract['grid_rate_hz']:g} Hz, "
        f"{contract['horizon_ms']:g} ms ahead"
    )
    for item in contract["inputs"]:
        stream = item["stream"]
        filters = ", ".join(f["kind"] for f in item["filters"]) or "none"
        console.print(
            f"  {_plain(stream['name'])}: {len(stream['channels'])} channels at {stream['rate_hz']:g} Hz, "
            f"filters: {_plain(filters)}"
        )
    outputs = ", ".join(f"{c['name']} ({c['unit']})" for c in contract["outputs"])
    console.print(f"  outputs: {_plain(outputs)}")


def _table(console: Console, title: str, columns: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    """A table; columns that begin with > are numbers and stand on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    whole = Text(title, overflow="ignore")  # a str would be broken at the table's width
    table = Table(title=whole, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _signature(tensor: dict[str, Any]) -> str:
    return f"{tensor['type']} {_shape(tensor['shape'])}"


def _shape(shape: list[int]) -> str:
    return "x".join(str(length) for length in shape) or "scalar"


def _scale(quantization: dict[str, Any] | None) -> tuple[str, str]:
    """Scale and zero point for the table; of several scales, the largest and how many there are."""
    if quantization is None:
        return "", ""
    known = [scale for scale in quantization["scale"] if scale is not None]
    largest = f"{max(known):.3g}" if known else "not finite"
    count = len(quantization["scale"])
    zeros = sorted(set(quantization["zero_point"]))
    return (largest if count == 1 else f"{largest} (of {count})"), ",".join(map(str, zeros[:2]))


def _plain(text: str) -> str:
    """Without control characters: a foreign file must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
