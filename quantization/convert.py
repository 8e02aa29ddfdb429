"""From a checkpoint and data to a bundle: calibration windows, a converter's graphs, golden vectors."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import toolkit.data
from quantization import converters, tflm_emitter
from quantization.bundle import Bundle, new_bundle, write_bundle
from quantization.c_emitter import bundle_files
from quantization.c_emitter.emit import require_prefix
from quantization.graph.graph_file import GraphFile, Scheme, require_scheme
from quantization.quantizer import search
from quantization.quantizer.recipe import Recipe
from quantization.tflite import run as execute
from quantization.tflite.contract import embed_contract
from quantization.tflite.quiet import quiet
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut
from toolkit.errors import RecordingError, UsageError
from toolkit.model import float_reference, load_checkpoint
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS
from toolkit.model.prepare import data_provenance
from toolkit.records import Recording, Windows

DEFAULT_DATA = "synthetic"
GOLDEN_WINDOWS = 32
#: Windows that a recipe search judges by: RMSE to about 1 % of its value.
VALIDATION_WINDOWS = 800
#: Candidates for calibration are cut this far apart, in grid samples: neighbours are nearly the same window.
_STRIDE = 5
#: Packages whose versions the manifest gives: of every conversion, and of those with one converter.
_TOOLS = ("numpy", "ai-edge-litert", "flatbuffers")
_CONVERTER_TOOLS = {"tensorflow": ("tensorflow", "tf_keras")}

#: Called with the name of a stage when it begins, its number from 0 and how many there are.
Progress = Callable[[str, int, int], None]


def convert(
    checkpoint: str | Path | Checkpoint,
    data: str | Sequence[Recording] = DEFAULT_DATA,
    out: str | Path = "bundle",
    *,
    scheme: Scheme = "int8",
    converter: str = converters.DEFAULT_CONVERTER,
    calibration_windows: int = 200,
    seed: int = 0,
    max_rmse_increase: float | None = None,
    key_map: str | Path | None = None,
    target: str | None = None,
    prefer: str = "speed",
    prefix: str = "edgetool",
    progress: Progress | None = None,
    **options: Any,
) -> Bundle:
    """Convert ``checkpoint`` (a file, or ``pretrained``) to the bundle ``out``.

    ``data`` is a source as for :func:`toolkit.data.load`, or recordings; ranges come from
    ``calibration_windows`` windows of the train part of the checkpoint's split, drawn from ``seed`` over people and
    tasks alike. ``options`` are the converter's own. The same input gives the same bytes. ``max_rmse_increase`` (percent)
    lets the builtin converter search the cheapest recipe that holds it on the validation part, and the manifest says what was
    tried. ``key_map`` is a TOML that says which tensor of a foreign PyTorch file is which (docs/MODEL.md). ``target``
    (``c99``, ``cortex-m4``, ...) adds C source in ``c/``, made for ``prefer`` (``speed`` or ``size``; docs/KERNELS.md) with
    names that begin with ``prefix``, and ``tflm/`` for projects that ship TensorFlow Lite Micro (docs/TARGETS.md).

    Raises CheckpointError, RecordingError or ContractError for input that does not fit, UsageError for an unknown
    converter, scheme or option, OutputError if ``out`` cannot be written, ConversionError if the converter fails.
    """
    tell = progress or _silent
    require_scheme(scheme)
    if calibration_windows < 1 or seed < 0:
        raise UsageError(
            f"calibration windows are {calibration_windows} and the seed {seed}; at least 1 and 0 are allowed"
        )
    if target is not None:
        bundle_files.require_target(target, prefer)
        require_prefix(prefix)
    elif (prefer, prefix) != ("speed", "edgetool"):
        raise UsageError(
            "--prefer and --prefix are of the C source; give --target too, say --target cortex-m4"
        )
    build = converters.converter_named(converter)
    if max_rmse_increase is not None and (converter != "builtin" or scheme != "int8"):
        raise UsageError(
            "--max-rmse-increase searches recipes of the builtin converter for int8; leave out --converter and --scheme"
        )
    model = checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint, key_map)
    with new_bundle(out) as folder:
        tell("reading and filtering data", 0, 3)
        recordings = toolkit.data.load(data) if isinstance(data, str) else list(data)
        drawn = draw(model, recordings, calibration_windows, seed)
        searched: dict[str, Any] = {}
        if max_rmse_increase is not None:
            tell("searching the cheapest recipe", 0, 3)
            found, validation = _search(model, recordings, drawn, seed, max_rmse_increase, options)
            options = {"recipe": found.recipe.to_json()}
            searched = {
                "search": {
                    "max_rmse_increase_pct": max_rmse_increase,
                    "validation": validation,
                    "tried": [trial.to_json() for trial in found.tried],
                }
            }
        tell(f"converting with the {converter} converter", 1, 3)
        built = build(model, drawn.calibration, scheme=scheme, **options)
        graphs = [replace(g, content=embed_contract(g.content, model.contract)) for g in built]
        tell("computing golden vectors", 2, 3)
        vectors, graphs = golden_vectors(model, graphs, drawn.golden)
        about = {
            "scheme": scheme,
            "converter": {"name": converter, "options": options},
            "data": _about_data(data, recordings, drawn, seed),
            "tools": _tool_versions(converter),
            **searched,
        }
        extra: dict[str, bytes] = {}
        if target is not None:
            tell(f"writing C source for {target}", 2, 3)
            windows = {stream: vectors[stream] for stream in STREAMS}
            extra, about["c"] = bundle_files.source_files(
                graphs, model.contract, windows, target, prefer, prefix
            )
            window = next(g for g in graphs if (g.graph, g.scheme) == ("window", "int8"))
            tflm, about["tflm"] = tflm_emitter.tflm_files(window, vectors)
            extra |= tflm
        write_bundle(folder, model, graphs, vectors, about=about, extra=extra)
    return Bundle.load(out)


def _search(
    checkpoint: Checkpoint,
    recordings: Sequence[Recording],
    drawn: Drawn,
    seed: int,
    bound: float,
    options: Mapping[str, Any],
) -> tuple[search.Found, str]:
    """The cheapest recipe that holds ``bound`` on validation windows, and what those are, in words."""
    segments, part = validation_segments(recordings, drawn.split)
    windows = cut(segments, checkpoint.contract, _STRIDE)
    chosen = windows.take(stratified(windows, VALIDATION_WINDOWS, np.random.default_rng(seed)))
    start = Recipe.from_json(options.get("recipe") or {})
    return search.search(checkpoint, drawn.calibration, chosen, bound, start), part


#: What recipes are judged by, in words.
VALIDATION = "the validation part of the split"
STAND_IN = "the last fifth of each recording of the train part: the data has nobody of the validation part"


def validation_segments(recordings: Sequence[Recording], split: Split) -> tuple[list[Segment], str]:
    """What recipes may be judged by, never the test part: VALIDATION, or what stands in for it, STAND_IN."""
    try:
        return select(recordings, split, "validation"), VALIDATION
    except RecordingError:
        train = select(recordings, split, "train")
        return [
            Segment(s.recording, s.stop_s - 0.2 * (s.stop_s - s.start_s), s.stop_s) for s in train
        ], STAND_IN


@dataclass(frozen=True, eq=False)
class Drawn:
    """Windows drawn for calibration and as golden vectors, the split they come from and what its choice means."""

    calibration: Windows
    golden: Windows
    split: Split
    available: int
    notes: tuple[str, ...] = ()


def draw(checkpoint: Checkpoint, recordings: Sequence[Recording], count: int, seed: int) -> Drawn:
    """Draw ``count`` calibration windows, and golden ones, from the train part of the checkpoint's split.

    Without a split, or if the split has none of these people in its train part, the first 60 % of each
    recording are used and a note says so. Raises RecordingError if there is no window at all.
    """
    split, notes = calibration_split(checkpoint, recordings)
    windows = cut(select(recordings, split, "train"), checkpoint.contract, _STRIDE)
    if not len(windows):
        raise RecordingError(
            f"the train part of the data has no window of {checkpoint.contract.window} samples; record longer or use "
            "other data"
        )
    generator = np.random.default_rng(seed)
    calibration = windows.take(stratified(windows, count, generator))
    golden = windows.take(stratified(windows, GOLDEN_WINDOWS, generator))
    return Drawn(calibration, golden, split, len(windows), notes)


def stratified(windows: Windows, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Indices of at most ``count`` windows, ascending: as many of each person and task as there are, evenly.

    A group that has too few gives all of its own, and the others make up for it.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, owner in enumerate(windows.recording):
        recording = windows.recordings[owner]
        groups.setdefault((recording.person, recording.task), []).append(index)
    queues = [list(generator.permutation(members)) for _, members in sorted(groups.items())]
    queues = [queues[i] for i in generator.permutation(len(queues))]
    longest = max(len(queue) for queue in queues)
    turns = [int(queue[turn]) for turn in range(longest) for queue in queues if turn < len(queue)]
    return np.sort(np.array(turns[:count], np.int64))


def golden_vectors(
    checkpoint: Checkpoint, graphs: Sequence[GraphFile], windows: Windows
) -> tuple[dict[str, NDArray[Any]], list[GraphFile]]:
    """Arrays as :mod:`quantization.golden` lists them, and the graphs with a note where TFLM cannot run one."""
    inputs = {stream: np.ascontiguousarray(windows.inputs[stream]) for stream in STREAMS}
    vectors: dict[str, NDArray[Any]] = dict(inputs)
    vectors["moments.reference"] = float_reference.window(checkpoint, inputs).astype(np.float32)
    noted = []
    for graph in graphs:
        if (graph.graph, graph.scheme) == ("window", "int8"):
            name = f"{graph.graph}.{graph.scheme}"
            with quiet():
                moments, given = execute.run_litert(graph.content, inputs)
                vectors[f"moments.{name}.litert"] = moments
                vectors.update({f"{stream}.{name}": given[stream] for stream in STREAMS})
                if execute.has_tflm():
                    try:
                        vectors[f"moments.{name}.tflm"] = execute.run_tflm(graph.content, inputs)
                    except RuntimeError as error:
                        note = f"does not run on TensorFlow Lite Micro: {str(error).splitlines()[0]}"
                        graph = replace(graph, notes=(*graph.notes, note))
        noted.append(graph)
    return vectors, noted


def calibration_split(
    checkpoint: Checkpoint, recordings: Sequence[Recording]
) -> tuple[Split, tuple[str, ...]]:
    """The checkpoint's split if these recordings have a train part in it."""
    chronological = Split("chronological")
    if checkpoint.split is None:
        return chronological, ("the checkpoint has no split: calibrated on the first 60 % of each recording",)
    split = Split.from_json(checkpoint.split)
    try:
        select(recordings, split, "train")
    except RecordingError:
        return chronological, (
            "nobody in the data is in the train part of the checkpoint's split: calibrated on the first 60 % of each "
            "recording, which a bench on the same data sees again",
        )
    return split, ()


def _about_data(
    data: str | Sequence[Recording], recordings: Sequence[Recording], drawn: Drawn, seed: int
) -> dict[str, Any]:
    """The manifest's ``data``: provenance, the split, how many windows were drawn."""
    source = source_name(data) if isinstance(data, str) else "recordings in memory"
    return {
        **data_provenance(recordings, source),
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
        *(("tflite-micro",) if execute.has_tflm() else ()),
    )
    return {name: importlib.metadata.version(name) for name in names}


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for callers that want none."""
