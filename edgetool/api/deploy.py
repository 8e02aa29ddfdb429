"""From a checkpoint to a bundle that is proven to work: convert, inspect, bench, validate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from toolkit.errors import UsageError
from toolkit.files import write_bytes, write_json
from toolkit.progress import Progress

if TYPE_CHECKING:
    from benchmarks.records import Report
    from benchmarks.validation.verdict import Verdict
    from quantization.analysis.error_records import Attribution
    from quantization.bundle import Bundle
    from quantization.predict import Predicted
    from toolkit.model.checkpoint import Checkpoint
    from toolkit.records import Recording


def convert(
    checkpoint: str | Path | Checkpoint,
    *,
    out: str | Path,
    data: str | Sequence[Recording] | None = None,
    scheme: str = "int8",
    converter: str = "builtin",
    calibration_windows: int = 200,
    max_rmse_increase: float | None = None,
    recipe: str | Path | Mapping[str, Any] | None = None,
    key_map: str | Path | None = None,
    core: str | None = None,
    prefer: str = "speed",
    prefix: str = "edgetool",
    seed: int = 0,
    check: str | Path | None = None,
    json: str | Path | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Convert a trained network to int8 and write a bundle.

    ``checkpoint`` is a file, the word ``pretrained``, a :class:`edgetool.Checkpoint`, or a ``.pt2`` of torch.export.save
    (docs/IMPORT.md). ``out`` is the folder to write. ``data`` calibrates the int8 scales: a source as for
    :func:`edgetool.data` or recordings; None: synthetic gait. From its training split, ``calibration_windows`` windows are
    drawn with ``seed``. ``scheme`` is ``int8`` or ``float32``, ``converter`` is ``builtin`` or ``tensorflow``.
    With ``max_rmse_increase`` (percent) the cheapest recipe that stays below it on the validation split is searched for;
    ``recipe`` changes single entries of the default (docs/CONVERTER.md), as a mapping or a JSON file. ``key_map`` is a
    TOML that names the tensors of a foreign PyTorch file (docs/MODEL.md) or the inputs of a ``.pt2``. ``core`` (``c99``,
    ``cortex-m4``, ``cortex-m7``, ``cortex-m33``, ``cortex-m55``) also writes C source, made for ``prefer`` (``speed`` or
    ``size``), whose names begin with ``prefix``. ``check`` is an NPZ with inputs and the network's own outputs: an import that
    does not reproduce them is refused. ``json`` also writes the manifest there. ``progress`` is called at each stage.

    The same input gives the same bytes. Raises CheckpointError, RecordingError or ContractError for input that does not
    fit, UsageError for an option that is not allowed, ConversionError if the result does not compute what the checkpoint
    does, OutputError if ``out`` cannot be written.
    """
    from quantization.convert import DEFAULT_DATA
    from quantization.convert import convert as work
    from quantization.graph.graph_file import require_scheme

    bundle = work(
        checkpoint,
        DEFAULT_DATA if data is None else data,
        out,
        scheme=require_scheme(scheme),
        converter=converter,
        calibration_windows=calibration_windows,
        seed=seed,
        max_rmse_increase=max_rmse_increase,
        key_map=key_map,
        core=core,
        prefer=prefer,
        prefix=prefix,
        check=check,
        progress=progress,
        **({} if recipe is None else {"recipe": _recipe(recipe)}),
    )
    if json is not None:
        write_json(Path(json), dict(bundle.manifest))
    return bundle


def predict(
    model: str | Path | Bundle,
    *,
    data: str | Sequence[Recording],
    out: str | Path,
    progress: Progress | None = None,
) -> Predicted:
    """Estimate the joint moments of recordings and write them to ``out``: .csv, .parquet, or .sto (one file a recording).

    ``model`` is a bundle (object or folder), a checkpoint's file or the word ``pretrained``; ``data`` a source as for
    :func:`edgetool.data` or recordings, with or without labels. A bundle estimates as it would live: its int8 stream over
    each recording, or its int8 window graph where it has no stream; a checkpoint runs in float on windows.
    ``result.predictions`` hold ``recording``, ``time_s`` (rows,) and ``moments`` (rows, outputs) in Nm/kg; ``progress`` is
    called for each recording.

    Raises UsageError for any other suffix, RecordingError or ContractError for data that do not fit the model,
    MissingDependencyError for Parquet without pyarrow, OutputError if ``out`` cannot be written.
    """
    from quantization.predict import predict as work
    from toolkit.data import load

    recordings = load(data) if isinstance(data, str) else data
    return work(model, recordings, Path(out), progress=progress)


def _recipe(recipe: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    from toolkit.reading import read_json_object

    if isinstance(recipe, Mapping):
        return dict(recipe)
    return read_json_object(
        Path(recipe), "a quantization recipe in JSON (docs/CONVERTER.md lists its entries)"
    )


@overload
def inspect(
    file: str | Path, *, json: str | Path | None = None, errors: Literal[False] = False
) -> dict[str, Any]: ...


@overload
def inspect(
    file: str | Path,
    *,
    json: str | Path | None = None,
    errors: Literal[True],
    data: str | Sequence[Recording] | None = None,
    html: str | Path | None = None,
    windows: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attribution: ...


def inspect(
    file: str | Path,
    *,
    json: str | Path | None = None,
    errors: bool = False,
    data: str | Sequence[Recording] | None = None,
    html: str | Path | None = None,
    windows: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any] | Attribution:
    """Describe ``file``: a .tflite, a checkpoint, a bundle's folder or the word ``pretrained``.

    Returns plain JSON values, and writes them to ``json``: for a .tflite its operators with multiply-accumulates, and its
    tensors with type, shape, scale and zero point. Every hash of a bundle is verified first.

    With ``errors``, ``file`` is a bundle and the result an :class:`edgetool.Attribution`: how far each tensor and each time
    step of the int8 window graph is from float, in percent of its standard deviation, and what each rounding costs in
    the joint moments, on ``windows`` windows of ``data`` (None: what it was calibrated on) drawn with ``seed``. ``html``
    writes it with plots. ``progress`` is called at each stage.

    Raises ModelFileError, CheckpointError or BundleError for a file that is damaged, UsageError for options that exclude one
    another.
    """
    if errors:
        return _attribution(file, data, windows, seed, json, html, progress)
    if data is not None or html is not None:
        raise UsageError("data and html need errors=True")
    from quantization.analysis.inspect import describe

    found = describe(str(file))
    if json is not None:
        write_json(Path(json), found)
    return found


def _attribution(
    bundle: str | Path,
    data: str | Sequence[Recording] | None,
    windows: int,
    seed: int,
    json: str | Path | None,
    html: str | Path | None,
    progress: Progress | None,
) -> Attribution:
    from quantization.analysis.error_attribution import attribute_errors
    from quantization.analysis.error_report import page

    found = attribute_errors(bundle, data, windows=windows, seed=seed, progress=progress)
    if json is not None:
        write_json(Path(json), found.to_json())
    if html is not None:
        write_bytes(Path(html), page(found).encode())
    return found


def bench(
    bundle: str | Path | Bundle,
    *,
    data: str | None = None,
    on: Sequence[str] = ("host",),
    json: str | Path | None = None,
    html: str | Path | None = None,
    max_rmse_increase: float | None = None,
    max_p99_us: float | None = None,
    windows: int = 2000,
    threads: int = 1,
    seed: int = 0,
    peers: bool = False,
    progress: Progress | None = None,
    show: Callable[[Report], None] | None = None,
) -> Report:
    """Compare ``bundle`` (a folder or a :class:`edgetool.Bundle`) with its float model.

    What is compared: accuracy (RMSE, Nm/kg), latency (µs) and size (bytes).

    ``on`` names the targets: ``host``, ``qemu:CORE``, ``serial:PORT``, ``pi-emulated`` or ``ssh://USER@HOST``. Every row gets
    the same windows of the test split of ``data`` (None: what it was calibrated on), about ``windows`` of them in whole gait
    cycles. ``threads`` is how many an engine may use, ``seed`` that of the bootstrap; ``peers`` adds rows of other converters.
    ``json`` and ``html`` are files to write. ``progress`` is told each stage; ``show`` is called with the
    report before a broken budget is raised.

    ``report.runs`` has a run for each row, the float model first; ``run.measured.estimates`` is float32 (windows, joints) in
    Nm/kg, ``run.accuracy`` its scores.

    Raises BudgetError if int8 is more than ``max_rmse_increase`` percent worse than float, or its 99th percentile above
    ``max_p99_us`` µs; BundleError for a bundle that was changed, ContractError for data that do not fit it, UsageError for
    a target that is not known.
    """
    from benchmarks.bench import bench as work

    return work(
        bundle,
        data,
        on=on,
        json=json,
        html=html,
        max_rmse_increase=max_rmse_increase,
        max_p99_us=max_p99_us,
        windows=windows,
        threads=threads,
        seed=seed,
        peers=peers,
        progress=progress,
        show=show,
    )


def validate(
    bundle: str | Path | Bundle,
    *,
    on: Sequence[str] = ("host",),
    budgets: str | Path | None = None,
    data: str | None = None,
    out: str | Path | None = None,
    json: str | Path | None = None,
    stress: str | Path | None = None,
    windows: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
    show: Callable[[Verdict], None] | None = None,
) -> Verdict:
    """Hold ``bundle`` against ``budgets`` on the targets ``on``, with evidence.

    A device must give the integer reference's outputs bit for bit and pass its golden vectors, whatever the budgets say.
    ``budgets`` is a TOML of upper bounds (docs/TARGETS.md), ``out`` a folder for the evidence, ``json`` a file for the verdict
    alone, ``stress`` a TOML of bounds on a stress test (docs/STRESS.md), which is run then. ``data``, ``windows``, ``seed`` and
    ``progress`` are those of :func:`edgetool.bench`.

    Raises BudgetError that names what failed, after ``show`` was called and the files were written; InputError for a budget
    file with an unknown key.
    """
    from benchmarks.validation.validate import validate as work

    return work(
        bundle,
        on,
        budgets=budgets,
        data=data,
        out=out,
        json=json,
        stress=stress,
        windows=windows,
        seed=seed,
        progress=progress,
        show=show,
    )
