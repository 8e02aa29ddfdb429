"""Recordings, and learning from them: data, train, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetool.api.command_line import command_line
from toolkit.files import write_bytes, write_json
from toolkit.progress import Progress

if TYPE_CHECKING:
    from benchmarks.learning.compare import Comparison
    from toolkit.data.check import Finding
    from toolkit.data.splits import Split
    from toolkit.learning.recipe import Step
    from toolkit.learning.train import Trained
    from toolkit.records import Recording


def data(
    source: str,
    *,
    out: str | Path | None = None,
    format: Literal["npz", "csv"] = "npz",
    plot: str | Path | None = None,
    json: str | Path | None = None,
) -> list[Recording]:
    """The recordings of ``source``: ``synthetic[:OPTIONS]``, a dataset TOML (docs/DATA.md), an NPZ, or a folder of them.

    ``recording.signals[name].samples`` is (rows, channels) in the channels' units, ``recording.moments`` the joint moments in
    Nm/kg if they are known. ``out`` exports the recordings to a folder as ``format``; ``plot`` draws the moments over the gait
    cycle (.png, .svg or .pdf); ``json`` writes every stream and channel with its range.

    Raises RecordingError for a file that cannot be used, UsageError for synthetic options that are not allowed.
    """
    from toolkit.data import load
    from toolkit.data.describe import describe, plot_cycles
    from toolkit.data.export import export

    recordings = load(source)
    if json is not None:
        write_json(Path(json), describe(recordings))
    if out is not None:
        export(recordings, Path(out), format)
    if plot is not None:
        plot_cycles(recordings, Path(plot))
    return recordings


def check_data(source: str | Sequence[Recording], *, json: str | Path | None = None) -> list[Finding]:
    """Find faults in the recordings of ``source`` (as for :func:`data`), each with its value and its bound.

    Channels that are dead, railed or flat, rows that repeat or are held, mains hum, clipped moments, impossible units and
    signs, EMG that does not lead its moment, sensors that look turned, mirrored or swapped. ``finding.broken`` is False for
    what the data itself marks as missing. ``json`` writes the findings. Raises as :func:`data` does.
    """
    from toolkit.data import load
    from toolkit.data.check import check, to_json

    recordings = load(source) if isinstance(source, str) else list(source)
    findings = check(recordings)
    if json is not None:
        write_json(Path(json), to_json(recordings, findings))
    return findings


def suggest_dataset(file: str | Path, *, mass_kg: float | None = None, out: str | Path | None = None) -> str:
    """A draft of the dataset TOML of ``file``, a table or a folder of the tables of one recording: what to begin with.

    Columns, rates, units and the form of the time are read from the header row and the numbers; what they do not say is marked
    TODO. ``mass_kg`` is the body mass. ``out`` is a file to write.

    Raises RecordingError if no column is a sensor's, or those of one stream have different rates.
    """
    from toolkit.data.suggest import suggest

    text = suggest(Path(file), mass_kg, None if out is None else Path(out).parent)
    if out is not None:
        write_bytes(Path(out), text.encode())
    return text


def train(
    *,
    data: str | Sequence[Recording],
    out: str | Path,
    seed: int = 0,
    split: str | Split | None = None,
    epochs: int = 30,
    patience: int = 8,
    batch: int = 128,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    stride: int = 2,
    hidden: int = 64,
    layers: int = 1,
    heads: int = 1,
    norm: Literal["layer", "none"] = "layer",
    head_hidden: int = 64,
    window: int = 64,
    rate_hz: float = 100.0,
    horizon_ms: float = 0.0,
    joints: str | Sequence[str] | None = None,
    weights: Literal["float32", "float16"] = "float32",
    calibration: Literal["none", "walk"] = "none",
    sequence: int = 1,
    notch_hz: int = 0,
    augment: str | None = None,
    init: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    threads: int = 1,
    json: str | Path | None = None,
    html: str | Path | None = None,
    card: str | Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a Cross-LSTM on ``data`` (a source as for :func:`edgetool.data`, or recordings) and write the checkpoint ``out``.

    ``split``: ``by-subject``, ``chronological[:TRAIN,VALIDATION,TEST]``, a JSON file or a Split; None: by subject for three
    people or more. ``joints``: the moments to estimate (None: all). Sizes: ``window`` samples of a grid of ``rate_hz`` Hz,
    ``horizon_ms`` ahead of the newest; ``hidden`` units, ``layers``, ``heads``, ``norm``, ``head_hidden``, as docs/MODEL.md
    says. ``weights`` float16 halves the file. ``calibration`` ``walk`` calibrates every person; ``notch_hz``: against hum.

    Training: at most ``epochs``, fewer after ``patience`` epochs without a better validation loss; ``batch`` windows a step, of
    every ``stride``-th; peak ``learning_rate``, decoupled ``weight_decay``. The same ``seed`` gives the same file on the same
    ``device`` (cpu, cuda) and ``threads``. ``init``: start from the weights, filters and normaliser of that checkpoint. After
    each better epoch ``out`` holds the best weights; a stopped run is continued with ``resume`` and gives the same bytes.
    ``sequence``: on sequences of so many windows with the state carried over, as when live; 1: on windows, each from a zero
    state. ``augment``: sensors worn a little differently in every batch, ``default`` or sizes as ``rotation_deg=6,gain=0.15``
    (docs/MODEL.md). ``json`` writes scores and losses, ``html`` a page with learning curves, ``card`` a model card;
    ``progress`` is called with how far it is.

    ``trained.metrics["test"]`` has RMSE (Nm/kg) and R2 of each joint on the test split, which training never saw. Raises
    RecordingError, ContractError or UsageError, and MissingDependencyError without PyTorch.
    """
    given = dict(locals())
    trained = _trained(given)
    if json is not None:
        write_json(Path(json), trained.to_json())
    _write_pages(trained, command_line(given, train), html, card)
    return trained


def compare(
    *,
    data: str,
    out: str | Path,
    models: str | Sequence[str] | None = None,
    seeds: int = 1,
    seed: int = 0,
    split: Literal["leave-one-person-out", "four-folds", "by-subject", "chronological"] | None = None,
    epochs: int = 16,
    stride: int | None = None,
    hidden: int = 64,
    window: int = 64,
    rate_hz: float = 100.0,
    joints: str | Sequence[str] | None = None,
    augment: str | None = None,
    core: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    json: str | Path | None = None,
    parquet: str | Path | None = None,
    html: str | Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train ``models`` (docs/LEARNING.md names them; None: all) alike on ``data``, and score them on people they never saw.

    ``out`` is a folder with each training's result; what it already holds is not done again. ``split`` None: leave one person
    out for three people or more, else chronological. ``seeds`` trainings of each network, from ``seed`` on. ``epochs``,
    ``stride`` (None: so that about 2,000 windows train), ``hidden``, ``window``, ``rate_hz`` and ``joints`` are as for
    :func:`edgetool.train`, and so is ``augment``, for all networks alike; the other networks get as many weights as that
    Cross-LSTM. With ``core`` the first fold's networks are also converted and run there, emulated. ``workers`` local processes
    do the work, or the Dask cluster of ``scheduler``. ``json``, ``parquet`` and ``html`` are files to write; ``progress`` is
    called for each training.

    Raises UsageError, RecordingError or ContractError for what cannot be compared.
    """
    given = dict(locals())
    import dataclasses

    from benchmarks.learning import compare as work
    from benchmarks.learning.jobs import Pool
    from toolkit.learning.augment import WornOtherwise
    from toolkit.learning.baselines.table import MODELS
    from toolkit.progress import silent

    sizes = {name: given[name] for name in ("seed", "epochs", "hidden", "window", "rate_hz")}
    comparison = work.compare(
        data,
        Path(out),
        models=_names(models) or list(MODELS),
        seeds=seeds,
        split=split,
        settings=dataclasses.replace(work.DEFAULTS, **sizes, outputs=_names(joints)),
        stride=stride,
        augmentation=None if augment is None else WornOtherwise.parse(augment),
        core=core,
        pool=Pool(workers, scheduler),
        progress=progress or silent,
    )
    _write_comparison(comparison, command_line(given, compare), json, parquet, html)
    return comparison


def _write_comparison(
    comparison: Comparison,
    command: str,
    json: str | Path | None,
    parquet: str | Path | None,
    html: str | Path | None,
) -> None:
    from benchmarks.learning import compare_report as report

    if json is not None:
        write_json(Path(json), report.to_json(comparison))
    if parquet is not None:
        write_bytes(Path(parquet), report.to_parquet(comparison))
    if html is not None:
        from benchmarks.learning.compare_page import page

        write_bytes(Path(html), page(comparison, command).encode())


def _trained(given: dict[str, Any]) -> Trained:
    """Train with the options of :func:`train`."""
    import dataclasses

    from toolkit.learning.augment import WornOtherwise
    from toolkit.learning.settings import Settings
    from toolkit.learning.train import require_packages
    from toolkit.learning.train import train as work
    from toolkit.model import load_checkpoint

    names = {field.name for field in dataclasses.fields(Settings)} - {"outputs"}
    settings = Settings(**{name: given[name] for name in names}, outputs=_names(given["joints"]))
    require_packages()
    from toolkit.learning.fit import Machine

    return work(
        given["data"],
        given["out"],
        settings,
        resume=given["resume"],
        init=None if given["init"] is None else load_checkpoint(given["init"]),
        augmentation=None if given["augment"] is None else WornOtherwise.parse(given["augment"]),
        machine=Machine(given["device"], given["threads"]),
        progress=None if given["progress"] is None else _epochs(given["progress"]),
    )


def _write_pages(trained: Trained, command: str, html: str | Path | None, card: str | Path | None) -> None:
    if html is not None:
        from benchmarks.learning.training_page import page

        write_bytes(Path(html), page(trained, command).encode())
    if card is not None:
        from toolkit.model.card import card as text

        write_bytes(Path(card), text(trained.checkpoint, command).encode())


def _names(joints: str | Sequence[str] | None) -> list[str] | None:
    """Names of joint moments, given one by one or separated by commas."""
    if joints is None:
        return None
    return [name.strip() for name in (joints.split(",") if isinstance(joints, str) else joints)]


def _epochs(progress: Progress) -> Callable[[Step], None]:
    """Tells of each step, and in words of the last whole epoch; losses are mean squared errors of standardised moments."""

    def tell(step: Step) -> None:
        text = f"training, at most {step.epochs} epochs of {step.steps} steps"
        if step.last is not None:
            text = (
                f"epoch {step.last.number}/{step.epochs}: train {step.last.train_loss:.4f}, "
                f"validation {step.last.validation_loss:.4f}, best epoch {step.best_epoch}"
            )
        progress(text, (step.epoch - 1) * step.steps + step.step, step.epochs * step.steps)

    return tell
