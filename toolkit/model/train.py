"""Training a Cross-LSTM from recordings to a checkpoint file, reproducibly. Needs torch."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

import toolkit.data
from toolkit import __version__
from toolkit.calibration import calibrate_recordings, fit_reference
from toolkit.contract import SensorContract
from toolkit.data.splits import (
    PARTS,
    Split,
    SplitKind,
    default_split,
    select,
)
from toolkit.data.windows import features
from toolkit.errors import CheckpointError, MissingDependencyError, UsageError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig, Norm
from toolkit.model.prepare import Prepared, data_provenance, prepare
from toolkit.model.scores import score
from toolkit.plausibility import fit_familiar, layout_of
from toolkit.plausibility.familiar import LEAST_PEOPLE, Walked
from toolkit.printable import terminal_text
from toolkit.reading import read_json_object
from toolkit.records import Recording

if TYPE_CHECKING:
    from toolkit.calibration.reference import CalibrationReference
    from toolkit.model.fit import Fitted, Progress

Precision = Literal["float32", "float16"]
#: What sensors go through before the filters: nothing, or a calibration on a walk of the person who wears them.
CalibrationKind = Literal["none", "walk"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A checkpoint, its scores on ``validation`` and ``test`` (see ``scores.score``), and losses by epoch."""

    checkpoint: Checkpoint
    metrics: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    best_epoch: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: config, contract hash, split, data, metrics, losses; what ``edgetool train --json`` writes."""
        return {
            "schema": 1,
            "checkpoint_sha256": self.checkpoint.hash,
            "parameters": self.checkpoint.config.parameter_count,
            "config": self.checkpoint.config.to_json(),
            "contract_hash": self.checkpoint.contract.hash,
            "split": self.checkpoint.split,
            "provenance": self.checkpoint.provenance,
            "best_epoch": self.best_epoch,
            "history": list(self.history),
        }


def train(
    data: str | Sequence[Recording],
    out: str | Path | None = None,
    *,
    seed: int = 0,
    split: str | Split | None = None,
    epochs: int = 30,
    batch: int = 128,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    patience: int = 8,
    stride: int = 2,
    hidden: int = 64,
    layers: int = 1,
    heads: int = 1,
    norm: Norm = "layer",
    head_hidden: int = 64,
    window: int = 64,
    rate_hz: float = 100.0,
    horizon_ms: float = 0.0,
    outputs: Sequence[str] | None = None,
    weights: Precision = "float32",
    calibration: CalibrationKind = "none",
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train on ``data`` (a source string of ``toolkit.data.load``, or recordings) and write a checkpoint to ``out``.

    ``split``: None (by subject for three people or more, else chronological), a text of :func:`parse_split`, or a Split. Of
    the training and validation splits every ``stride``-th window is used. ``outputs``: which moments, None for all of the
    data. ``weights``: float16 rounds them after training; the scores are those of the rounded weights. ``calibration``:
    ``walk`` calibrates every person on a walk of theirs first (docs/CALIBRATION.md), and the contract then asks for a
    calibration of every session. The other options are the sizes of ``ModelConfig`` and the settings of ``fit.Recipe``.

    The same data, options, seed, library versions and kind of processor give the same bytes: training runs on one thread.
    Raises RecordingError, ContractError, UsageError or MissingDependencyError.
    """
    _require_packages()
    from toolkit.model import fit

    _require_allowed(calibration, weights, out, stride, seed)
    sizes = _sizes(window, rate_hz, hidden, layers, heads, norm, head_hidden, horizon_ms)
    recipe = fit.Recipe(epochs, batch, learning_rate, weight_decay, patience=patience)
    recordings = toolkit.data.load(data) if isinstance(data, str) else list(data)
    chosen = split if isinstance(split, Split) else parse_split(split, recordings, seed)
    recordings, reference = _calibrated(recordings, chosen, calibration)
    told = None if reference is None else reference.to_json()
    grid: dict[str, Any] = {"rate_hz": rate_hz, "window": window, "horizon_ms": horizon_ms, "stride": stride}
    prepared = prepare(recordings, chosen, outputs=outputs, calibration=told, **grid)
    config, parts = _config_for(prepared, sizes), prepared.windows
    fitted = fit.fit(config, parts["train"], parts["validation"], recipe, seed, progress)
    if weights == "float16":
        _round_to_float16(fitted)
    provenance = data_provenance(recordings, _source_name(data))
    familiar = None if reference is None else _familiar(recordings, chosen, prepared.contract)
    trained = _trained(prepared, chosen, fitted, provenance, recipe, seed, stride, familiar)
    if out is not None:
        trained.checkpoint.save(out)
    return trained


def _require_allowed(calibration: str, weights: str, out: str | Path | None, stride: int, seed: int) -> None:
    """UsageError for what can be refused before any data is read."""
    if calibration not in get_args(CalibrationKind):
        raise UsageError(f"calibration is {calibration!r}; allowed: {', '.join(get_args(CalibrationKind))}")
    if weights not in get_args(Precision):
        raise UsageError(f"weights are {weights!r}; allowed: {', '.join(get_args(Precision))}")
    if out is not None and Path(out).suffix in (".pt", ".pth"):
        raise UsageError(
            f"checkpoint {out} is not written as a PyTorch file; give it the ending .safetensors"
        )
    if stride < 1 or seed < 0:
        raise UsageError(f"stride is {stride} and seed {seed}; stride must be at least 1 and seed at least 0")


def _calibrated(
    recordings: list[Recording], split: Split, calibration: CalibrationKind
) -> tuple[list[Recording], CalibrationReference | None]:
    """``walk``: every recording turned as a walk of its person says, and the reference of those who train the model."""
    if calibration == "none":
        return recordings, None
    learners = {id(s.recording): s.recording for s in select(recordings, split, "train")}
    reference = fit_reference(learners.values())
    return calibrate_recordings(recordings, reference), reference


def _familiar(
    recordings: Sequence[Recording], split: Split, contract: SensorContract
) -> dict[str, Any] | None:
    """What training people's strides look like, as the model sees them; None if too few people could be left out."""
    layout = layout_of(contract)
    learners = list({id(s.recording): s.recording for s in select(recordings, split, "train")}.values())
    if layout is None or len({recording.person for recording in learners}) < LEAST_PEOPLE:
        return None
    rows = features(learners, contract.inputs, contract.grid_rate_hz)
    walks = [
        Walked(
            recording.person, recording.task, np.concatenate([one[name] for name in layout.inputs], axis=1)
        )
        for recording, one in zip(learners, rows)
    ]
    return fit_familiar(walks, layout).to_json()


def _sizes(
    window: int,
    rate_hz: float,
    hidden: int,
    layers: int,
    heads: int,
    norm: Norm,
    head_hidden: int,
    horizon_ms: float,
) -> ModelConfig:
    """The config of the options alone, so that a bad one is refused before any data is read."""
    try:
        return ModelConfig(
            window=window,
            rate_hz=rate_hz,
            hidden=hidden,
            layers=layers,
            heads=heads,
            norm=norm,
            head_hidden=head_hidden,
            horizon_ms=horizon_ms,
        )
    except CheckpointError as error:
        raise UsageError(str(error).removeprefix("model config: ")) from None


def _config_for(prepared: Prepared, sizes: ModelConfig) -> ModelConfig:
    """The sizes with the channels and outputs that the data has."""
    imu, emg = prepared.contract.inputs
    return dataclasses.replace(
        sizes,
        imu_channels=len(imu.stream.channels),
        emg_channels=len(emg.stream.channels),
        outputs=tuple(channel.name for channel in prepared.contract.outputs),
    )


def parse_split(text: str | None, recordings: Sequence[Recording], seed: int) -> Split:
    """A split from its command-line form.

    ``chronological`` (60, 10, 30 % of each recording), ``chronological:0.7,0.1,0.2`` (train, validation, test),
    ``by-subject`` (60, 20, 20 % of the people, drawn from ``seed``) or a JSON file as ``Split.to_json`` gives.
    None: by subject when there are three people or more. UsageError names what is allowed.
    """
    if text is None:
        return default_split(recordings, None, seed)
    kind, colon, rest = text.partition(":")
    if text in ("chronological", "by-subject"):
        known: SplitKind = "chronological" if text == "chronological" else "by-subject"
        return default_split(recordings, known, seed)
    if kind == "chronological" and colon:
        try:
            first, second, third = (float(part) for part in rest.split(","))
        except ValueError:
            raise UsageError(f"split {text!r}: give three fractions, as chronological:0.6,0.1,0.3") from None
        return Split("chronological", fractions=(first, second, third))
    if text.endswith(".json"):
        return Split.from_json(
            read_json_object(Path(text), "a split in JSON (docs/MODEL.md shows one)", UsageError)
        )
    raise UsageError(
        f"split {text!r} is not known; allowed: by-subject, chronological, chronological:TRAIN,VALIDATION,TEST, FILE.json"
    )


def _round_to_float16(fitted: Fitted) -> None:
    """Replace each weight by the nearest float16, so that the file may store it in two bytes."""
    rounded = {
        name: value.astype(np.float16).astype(np.float32)
        for name, value in fitted.network.to_weights().items()
    }
    fitted.network.load_weights(rounded)


def _require_packages() -> None:
    """Asked before the data are read: an installation for a Raspberry Pi has neither."""
    missing = [name for name in ("torch", "scipy") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"training needs {' and '.join(missing)}, not installed here: pip install 'edgetool[deploy]'"
        )


def _trained(
    prepared: Prepared,
    split: Split,
    fitted: Fitted,
    data: dict[str, Any],
    recipe: Any,
    seed: int,
    stride: int,
    familiar: dict[str, Any] | None,
) -> Trained:
    """Score the network on validation and test, and put everything into a checkpoint."""
    import torch

    from toolkit.model.fit import largest_cell, predict, reproducible

    with reproducible():
        metrics = {
            part: score(
                fitted.network.config.outputs,
                prepared.windows[part].targets,
                predict(fitted.network, prepared.windows[part]),
            )
            for part in ("validation", "test")
        }
    provenance = {
        "data": data,
        "windows": {part: len(prepared.windows[part]) for part in PARTS},
        "training": {
            "seed": seed,
            **dataclasses.asdict(recipe),
            "stride": stride,
            "epochs_run": len(fitted.history),
            "best_epoch": fitted.best_epoch,
        },
        "largest_cell": round(largest_cell(fitted.network, prepared.windows["train"]), 4),
        "metrics": metrics,
        "versions": {
            "edgetool": __version__,
            # Of the module: it names the build (+cpu, +cu130), which the wheel's metadata may lack.
            "torch": str(torch.__version__),
            **{name: importlib.metadata.version(name) for name in ("numpy", "scipy")},
        },
    }
    checkpoint = Checkpoint(
        fitted.network.config,
        prepared.contract,
        fitted.network.to_weights(),
        split.to_json(),
        provenance,
        familiar,
    )
    history = tuple(dataclasses.asdict(epoch) for epoch in fitted.history)
    return Trained(checkpoint, metrics, history, fitted.best_epoch)


def _source_name(source: str | Sequence[Recording]) -> str:
    """The source without the folders of this machine."""
    if not isinstance(source, str):
        return "recordings in memory"
    return (
        source if source.startswith("synthetic") else terminal_text(Path(source.partition(":root=")[0]).name)
    )
