"""From a checkpoint and data to a bundle: calibration windows, a converter's graphs, golden vectors."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import toolkit.data
from quantization import converters, tflm_emitter
from quantization.bundle import Bundle, new_bundle, write_bundle
from quantization.c_emitter import bundle_files
from quantization.calibration_windows import (
    STRIDE,
    Drawn,
    draw,
    seen,
    stratified,
    validation_segments,
)
from quantization.convert_options import ConvertOptions
from quantization.error_bars import error_bars_of
from quantization.golden import Golden, golden_vectors
from quantization.graph.graph_file import GraphFile, Scheme
from quantization.importers.argument import NetworkFile, open_model
from quantization.importers.network import input_names
from quantization.network_check import proved, read_check
from quantization.quantizer import search
from quantization.quantizer.recipe import Recipe
from quantization.tflite.contract import contract_entry
from quantization.tflite.run import has_tflm
from toolkit.calibration import for_model
from toolkit.data.provenance import data_provenance
from toolkit.data.windows import cut
from toolkit.model.float_model import FloatModel
from toolkit.plausibility import Familiar
from toolkit.progress import Progress
from toolkit.records import Recording
from toolkit.uncertainty import ErrorBars

DEFAULT_DATA = "synthetic"
#: Windows that a recipe search judges by: RMSE to about 1 % of its value.
VALIDATION_WINDOWS = 800
#: Packages whose versions the manifest gives: of every conversion, and of those with one converter.
_TOOLS = ("numpy", "ai-edge-litert", "flatbuffers")
_CONVERTER_TOOLS = {"tensorflow": ("tensorflow", "tf_keras")}


def convert(
    checkpoint: str | Path | FloatModel,
    data: str | Sequence[Recording] = DEFAULT_DATA,
    out: str | Path = "bundle",
    *,
    scheme: Scheme = "int8",
    converter: str = converters.DEFAULT_CONVERTER,
    calibration_windows: int = 200,
    seed: int = 0,
    max_rmse_increase: float | None = None,
    key_map: str | Path | None = None,
    core: str | None = None,
    prefer: str = "speed",
    prefix: str = "edgetool",
    check: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Bundle:
    """Convert ``checkpoint`` (a file, or ``pretrained``) to the bundle ``out``.

    ``data`` is a source as for :func:`toolkit.data.load`, or recordings; ranges come from
    ``calibration_windows`` windows of the train part of the checkpoint's split, drawn from ``seed`` over people and
    tasks alike. ``options`` are the converter's own. The same input gives the same bytes. ``max_rmse_increase`` (percent)
    lets the builtin converter search the cheapest recipe that holds it on the validation part, and the manifest says what was
    tried. ``key_map`` is a TOML that says which tensor of a foreign PyTorch file is which (docs/MODEL.md), or which input of
    an exported network which stream (docs/IMPORT.md). ``core`` (``c99``, ``cortex-m4``, ...) adds C in ``c/``, made for
    ``prefer`` (``speed`` or ``size``; docs/KERNELS.md) with names that begin with ``prefix``, and ``tflm/`` (docs/TARGETS.md).
    ``check`` is an NPZ with inputs and the network's own outputs, which the float graph must reproduce (docs/IMPORT.md).

    Raises CheckpointError, RecordingError or ContractError for input that does not fit, UsageError for an unknown
    converter, scheme or option, OutputError if ``out`` cannot be written, ConversionError if the converter fails.
    """
    asked = ConvertOptions(
        scheme, converter, calibration_windows, seed, max_rmse_increase, core, prefer, prefix, options
    )
    tell = progress or _silent
    given = open_model(checkpoint, key_map, data)
    with new_bundle(out) as folder:
        tell("reading and filtering data", 0, 3)
        read = toolkit.data.load(data) if isinstance(data, str) else data
        model = given.with_contract(read) if isinstance(given, NetworkFile) else given
        proof = None if check is None else read_check(check, model.contract, input_names(model))
        recordings = for_model(read, model.contract)
        drawn = draw(model, recordings, calibration_windows, seed)
        asked, searched = _searched(model, recordings, drawn, asked, tell)
        tell(f"converting with the {converter} converter", 1, 3)
        build, entries = converters.converter_named(converter), contract_entry(model.contract)
        graphs = build(model, drawn.calibration, scheme=scheme, metadata=entries, **asked.of_converter)
        tell("comparing with the float model", 2, 3)
        compared = proved(model, graphs, drawn.golden, proof)
        tell("computing golden vectors", 2, 3)
        vectors, graphs = golden_vectors(model, graphs, drawn.golden)
        about = _about(asked, data, recordings, drawn) | searched | compared
        tell("computing error bars on validation people", 2, 3)
        error_bars, about_bars = _error_bars(model, graphs, recordings)
        about["data"]["notes"] += about_bars.pop("notes")
        extra, about_source = _source(model, graphs, vectors, error_bars, asked, tell)
        about |= about_bars
        write_bundle(folder, model, graphs, vectors, about=about | about_source, extra=extra)
    return Bundle.load(out)


def _searched(
    checkpoint: FloatModel,
    recordings: Sequence[Recording],
    drawn: Drawn,
    asked: ConvertOptions,
    tell: Progress,
) -> tuple[ConvertOptions, dict[str, Any]]:
    """The options with the recipe that holds the bound, if one was asked for, and the manifest's ``search``."""
    if asked.max_rmse_increase is None:
        return asked, {}
    tell("searching for the cheapest recipe", 0, 3)
    found, validation = _search(checkpoint, recordings, drawn, asked)
    searched = {
        "max_rmse_increase_pct": asked.max_rmse_increase,
        "validation": validation,
        "tried": [trial.to_json() for trial in found.tried],
    }
    return replace(asked, of_converter={"recipe": found.recipe.to_json()}), {"search": searched}


def _search(
    checkpoint: FloatModel, recordings: Sequence[Recording], drawn: Drawn, asked: ConvertOptions
) -> tuple[search.Found, str]:
    """The cheapest recipe that holds the bound on validation windows, and what those are, in words."""
    assert asked.max_rmse_increase is not None
    segments, part = validation_segments(recordings, drawn.split)
    windows = cut(segments, checkpoint.contract, STRIDE)
    chosen = windows.take(stratified(windows, VALIDATION_WINDOWS, np.random.default_rng(asked.seed)))
    start = Recipe.from_json(asked.of_converter.get("recipe") or {})
    return search.search(checkpoint, drawn.calibration, chosen, asked.max_rmse_increase, start), part


def _error_bars(
    model: FloatModel, graphs: Sequence[GraphFile], recordings: Sequence[Recording]
) -> tuple[ErrorBars | None, dict[str, Any]]:
    """Error bars, what the manifest says of them, and ``notes`` on where they come from if not from these data."""
    found, why = error_bars_of(model, graphs, recordings)
    return found, {
        "error_bars": None if found is None else found.to_json(),
        "notes": [why] if why else [],
    }


def _source(
    checkpoint: FloatModel,
    graphs: Sequence[GraphFile],
    vectors: Golden,
    error_bars: ErrorBars | None,
    asked: ConvertOptions,
    tell: Progress,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files of C source by their path in the bundle, and what the manifest says of them; none without a core."""
    if asked.core is None:
        return {}, {}
    tell(f"writing C source for {asked.core}", 2, 3)
    windows = {
        stream: vectors[stream] for stream in (item.stream.name for item in checkpoint.contract.inputs)
    }
    files, about = bundle_files.source_files(
        graphs,
        checkpoint.contract,
        windows,
        asked.core,
        asked.prefer,
        asked.prefix,
        error_bars,
        Familiar.of(checkpoint),
    )
    window = next(g for g in graphs if (g.graph, g.scheme) == ("window", "int8"))
    tflm, about_tflm = tflm_emitter.tflm_files(window, vectors)
    return files | tflm, {"c": about, "tflm": about_tflm}


def _about(
    asked: ConvertOptions, data: str | Sequence[Recording], recordings: Sequence[Recording], drawn: Drawn
) -> dict[str, Any]:
    """What the manifest says of the conversion itself."""
    return {
        "scheme": asked.scheme,
        "converter": {"name": asked.converter, "options": dict(asked.of_converter)},
        "data": _about_data(data, recordings, drawn, asked.seed),
        "tools": _tool_versions(asked.converter),
    }


def _about_data(
    data: str | Sequence[Recording], recordings: Sequence[Recording], drawn: Drawn, seed: int
) -> dict[str, Any]:
    """The manifest's ``data``: provenance of what may have been looked into, the split, how many windows were drawn."""
    source = source_name(data) if isinstance(data, str) else "recordings in memory"
    return {
        **data_provenance(seen(recordings, drawn.split), source),
        "split": drawn.split.to_json(),
        "part": "train",
        "windows": drawn.available,
        "calibration_windows": len(drawn.calibration),
        "seed": seed,
        "notes": list(drawn.notes),
    }


def source_name(source: str) -> str:
    """A source without the folders of this machine: ``synthetic...`` as it is, else the last part of the path."""
    return source if source.startswith("synthetic") else Path(source.partition(":root=")[0]).name


def _tool_versions(converter: str) -> dict[str, str]:
    """Versions of the packages whose code decides the bytes."""
    names = (
        *_TOOLS,
        *_CONVERTER_TOOLS.get(converter, ()),
        *(("tflite-micro",) if has_tflm() else ()),
    )
    return {name: importlib.metadata.version(name) for name in names}


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for callers that want none."""
