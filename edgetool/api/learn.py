"""Recordings, and training on them: data, train."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolkit.files import write_bytes, write_json
from toolkit.progress import Progress

if TYPE_CHECKING:
    from toolkit.data.splits import Split
    from toolkit.model.fit import Progress as Step
    from toolkit.model.train import Trained
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
    json: str | Path | None = None,
    card: str | Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a Cross-LSTM on ``data`` (a source as for :func:`edgetool.data`, or recordings) and write the checkpoint ``out``.

    ``split``: ``by-subject``, ``chronological``, ``chronological:TRAIN,VALIDATION,TEST``, a JSON file or a Split; None: by
    subject for three people or more. ``seed`` is that of weights, order of windows and drawn people. ``joints`` are the
    moments to estimate (None: all of the data).

    The model: ``window`` samples of a grid of ``rate_hz`` Hz, predicting ``horizon_ms`` ahead of the newest; ``hidden`` units
    and ``layers`` LSTM layers per stream, ``heads`` attention heads in each direction, ``norm`` after the residual,
    ``head_hidden`` units of the fully connected layer. ``weights`` float16 halves the file.
    ``calibration`` ``walk`` calibrates every person on a walk first; the model then asks each session for one
    (docs/CALIBRATION.md).

    Training: at most ``epochs``, fewer after ``patience`` epochs without a better validation loss, with ``batch`` windows per
    step, of which every ``stride``-th of the data is used; ``learning_rate`` is the peak of the schedule, ``weight_decay`` is
    decoupled (AdamW). ``json`` writes scores and losses, ``card`` a model card. ``progress`` is told each step.

    ``trained.metrics["test"]`` has RMSE (Nm/kg) and R2 of each joint on the test split, which training never saw. The
    same seed gives the same file. Raises RecordingError, ContractError or UsageError, and MissingDependencyError without
    PyTorch.
    """
    given = dict(locals())
    from toolkit.model.card import card as page
    from toolkit.model.train import train as work

    options = {name: given[name] for name in given if name not in ("joints", "json", "card", "progress")}
    tell = None if progress is None else _epochs(progress)
    trained = work(**options, outputs=_names(joints), progress=tell)
    if json is not None:
        write_json(Path(json), trained.to_json())
    if card is not None:
        write_bytes(Path(card), page(trained.checkpoint, _command_line(given)).encode())
    return trained


def _names(joints: str | Sequence[str] | None) -> list[str] | None:
    """Names of joint moments, given one by one or separated by commas."""
    if joints is None:
        return None
    return [name.strip() for name in (joints.split(",") if isinstance(joints, str) else joints)]


def _epochs(progress: Progress) -> Callable[[Step], None]:
    """Tells of each step with the losses so far, mean squared errors of standardised moments."""

    def tell(step: Step) -> None:
        text = f"epoch {step.epoch}/{step.epochs}"
        if step.validation_loss == step.validation_loss:  # NaN before the first epoch has ended
            text += f", validation loss {step.validation_loss:.4f} (best: epoch {step.best_epoch})"
        progress(text, (step.epoch - 1) * step.steps + step.step, step.epochs * step.steps)

    return tell


def _command_line(given: dict[str, Any]) -> str:
    """The options that differ from their defaults, as they would be typed. Of an absolute path only the name."""
    words = ["edgetool train"]
    for name, parameter in inspect.signature(train).parameters.items():
        value = given[name]
        if name == "progress" or value is None or value == parameter.default:
            continue
        if not isinstance(value, str | int | float | Path):
            value = "..."  # recordings or a split in memory
        text = value.name if isinstance(value, Path) and value.is_absolute() else str(value)
        words.append(f"--{name.replace('_', '-')} {text}")
    return " ".join(words)
