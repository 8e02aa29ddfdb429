"""``edgetool inspect``: what is in a file; a thin wrapper around :func:`edgetool.inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetool.commands.shared import (
    SETTINGS,
    SOURCE,
    html_option,
    json_option,
    progress,
    show_table,
    wrote,
)
from toolkit.errors import InputError
from toolkit.printable import terminal_text
from toolkit.reading import reading

if TYPE_CHECKING:
    from rich.console import Console


@click.command(
    name="inspect",
    epilog="Example: edgetool inspect bundle/models/window.int8.tflite --json model.json",
    context_settings=SETTINGS,
)
@click.argument("file", metavar="FILE")
@json_option("Also write all of it.")
@click.option(
    "--errors",
    is_flag=True,
    help="FILE is a bundle: show where its int8 window graph loses accuracy, tensor by tensor.",
)
@click.option(
    "--data",
    metavar="SOURCE",
    help=f"Windows for --errors, of the validation split: {SOURCE}. Default: the data it was calibrated on.",
)
@html_option("Write the result of --errors with plots, in one file.")
@click.option(
    "--windows", type=click.IntRange(2), default=200, metavar="N", help="Draw N windows for --errors."
)
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="Seed for drawing windows.")
def command(file: str, json: Path | None, html: Path | None, errors: bool, **options: Any) -> None:
    """Show what is in FILE: any .tflite, a checkpoint, a bundle's folder, or the word pretrained.

    Of a .tflite: operators with their multiply-accumulates, tensors with type, shape, scale and zero point,
    sizes, and the sensor contract in its metadata. Of a bundle, every hash is verified first.

    With --errors, every tensor and time step is compared side by side in float, fake-quantized, the integer reference,
    LiteRT and TensorFlow Lite Micro, with what each rounding costs and what 16 bits would save.
    """
    from edgetool.api.deploy import inspect
    from toolkit.terminal import console

    _require_errors(click.get_current_context())
    if errors:
        from edgetool.commands.inspect_errors import show

        with progress() as shown:
            attribution = inspect(file, json=json, errors=True, html=html, **options, progress=shown)
        show(console(), attribution)
    else:
        found = inspect(file, json=json)
        # Of a manifest and of provenance only the form is known to be good.
        with reading(file, "a file that can be shown", InputError):
            {"tflite": _tflite, "checkpoint": _checkpoint, "bundle": _bundle}[found["kind"]](console(), found)
    wrote(json, html)


def _require_errors(context: click.Context) -> None:
    """What belongs to ``--errors`` is refused without it, whatever its value: click.UsageError."""
    default = click.core.ParameterSource.DEFAULT
    given = [
        f"--{name}"
        for name in ("data", "html", "windows", "seed")
        if context.get_parameter_source(name) is not default
    ]
    if not context.params["errors"] and given:
        raise click.UsageError(
            f"{' and '.join(given)} need{'s' * (len(given) == 1)} --errors: without it nothing is computed."
        )


def _bundle(console: Console, found: dict[str, Any]) -> None:
    manifest = found["manifest"]
    console.print(
        f"Bundle {terminal_text(found['name'])}: scheme {terminal_text(manifest.get('scheme', 'not stated'))}, "
        f"converter {terminal_text(found['converter'])}, "
        f"{found['parameters']:,} parameters; every file matches its hash in the manifest"
    )
    data = manifest["data"]
    # A manifest's hashes say that its files are whole, not that it says all that ours do.
    kinds = data.get("kinds")
    kinds = ", ".join(map(terminal_text, kinds)) if isinstance(kinds, list) else "kinds not stated"
    windows = terminal_text(data.get("calibration_windows", "?"))
    console.print(f"Calibrated on {windows} windows of {terminal_text(data['source'])} ({kinds})")
    console.print(f"Signed with {found['signer']}" if found["signer"] else "Not signed")
    for graph in found["graphs"]:
        console.print()
        _graphs(console, graph)
        for note in graph["notes"]:
            console.print(f"Note: {terminal_text(note)}")
    _contract(console, found["contract"], found["contract_hash"])


def _checkpoint(console: Console, found: dict[str, Any]) -> None:
    console.print(
        f"Checkpoint {terminal_text(found['name'])}: {found['parameters']:,} parameters, {found['bytes']:,} bytes"
    )
    console.print(", ".join(f"{key} {value}" for key, value in found["config"].items() if key != "outputs"))
    rows = [
        (w["name"], _shape(w["shape"]), f"{w['minimum']:.4f}", f"{w['maximum']:.4f}")
        for w in found["weights"]
    ]
    show_table(console, "Weights", ["name", "shape", ">minimum", ">maximum"], rows)
    provenance = found["provenance"]
    for part, values in (provenance.get("metrics") or {}).items():
        console.print(f"RMSE on the {part} part: {values.get('rmse')} Nm/kg")
    kinds = (provenance.get("data") or {}).get("kinds")
    if kinds:
        console.print(f"Trained on {', '.join(kinds)} data")
    _contract(console, found["contract"], found["contract_hash"])


def _tflite(console: Console, found: dict[str, Any]) -> None:
    _graphs(console, found)
    reason = found["integer_reference"]
    console.print(
        f"Integer reference: {'can run it' if reason is None else f'cannot run it: {terminal_text(reason)}'}"
    )
    if found["contract"] is not None:
        _contract(console, found["contract"], found["contract_hash"])


def _graphs(console: Console, found: dict[str, Any]) -> None:
    console.print(
        f"{terminal_text(found['name'])}: {found['bytes']:,} bytes, {found['macs']:,} multiply-accumulates per inference"
    )
    for graph in found["subgraphs"]:
        tensors = graph["tensors"]
        rows = [
            (
                str(operator["index"]),
                f"{terminal_text(operator['operator'])} v{operator['version']}",
                ", ".join(_signature(tensors[i]) for i in operator["outputs"] if i >= 0),
                f"{operator['macs']:,}" if operator["macs"] else "",
            )
            for operator in graph["operators"]
        ]
        show_table(
            console,
            f"Graph {terminal_text(graph['name'])}: operators",
            [">#", "operator", "output", ">MACs"],
            rows,
        )
        roles = dict.fromkeys(graph["inputs"], "in") | dict.fromkeys(graph["outputs"], "out")
        shown = [
            (
                str(tensor["index"]),
                terminal_text(tensor["name"]),
                _signature(tensor),
                *_scale(tensor["quantization"]),
                roles.get(tensor["index"], f"{tensor['bytes']:,}" if tensor["constant"] else ""),
            )
            for tensor in tensors
        ]
        show_table(
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
            f"  {terminal_text(stream['name'])}: {len(stream['channels'])} channels at {stream['rate_hz']:g} Hz, "
            f"filters: {terminal_text(filters)}"
        )
    outputs = ", ".join(f"{c['name']} ({c['unit']})" for c in contract["outputs"])
    console.print(f"  outputs: {terminal_text(outputs)}")


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
