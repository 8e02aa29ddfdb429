"""Training a Cross-LSTM from recordings to a checkpoint file, reproducibly, and surviving being stopped. Needs torch."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import toolkit.data
from toolkit import __version__
from toolkit.calibration import calibrate_recordings, fit_reference, layout_of
from toolkit.calibration.people import WALK_S, by_person, walk_recording
from toolkit.contract import SensorContract
from toolkit.data.check import push_off_sign
from toolkit.data.provenance import data_provenance, source_name
from toolkit.data.sequences import LabelledSequence, sequences
from toolkit.data.split_text import parse_split
from toolkit.data.splits import PARTS, Part, Split, select
from toolkit.data.windows import features, sample
from toolkit.errors import MissingDependencyError, UsageError
from toolkit.learning.batches import WindowBatches
from toolkit.learning.prepare import Prepared, prepare
from toolkit.learning.recipe import Epoch, Step, rises_from_the_first
from toolkit.learning.saved_run import restore, run_file, save
from toolkit.learning.scores import score, score_people
from toolkit.learning.settings import Settings
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig, config_for
from toolkit.plausibility import Walked, fit_familiar
from toolkit.plausibility.fit import LEAST_PEOPLE
from toolkit.records import Recording, Windows
from toolkit.uncertainty import Judged, fit_error_bars
from toolkit.uncertainty.conformal import LEAST_PEOPLE as LEAST_JUDGED

if TYPE_CHECKING:
    from toolkit.calibration.reference import CalibrationReference
    from toolkit.learning.augmentation import Augment, Augmentation
    from toolkit.learning.fit import Fitted, Machine
    from toolkit.learning.loop import Loop
    from toolkit.learning.objective import Objective, TargetScale
    from toolkit.model.network import CrossLSTM


Values = NDArray[np.float32]

#: Windows of a part that are scored at most, and seconds that are scored live: more change no figure that anybody reads, and
#: of a hundred hours there are seven million.
SCORED_WINDOWS = 200_000
SCORED_S = 7200.0


@dataclass(frozen=True, eq=False)
class Trained:
    """A checkpoint, its scores on ``validation`` and ``test`` (see ``scores.score``), and losses by epoch.

    ``people``: scores of each person of the test part. ``rising``: validation rose from the first epoch on. ``warnings``: what
    is suspicious about the data, a sentence each.
    """

    checkpoint: Checkpoint
    metrics: dict[str, Any]
    people: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    rising: bool
    warnings: tuple[str, ...] = ()

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
            "test_people": self.people,
            "best_epoch": self.best_epoch,
            "validation_rises_from_the_first_epoch": self.rising,
            "warnings": list(self.warnings),
            "history": list(self.history),
        }


def train(
    data: str | Sequence[Recording],
    out: str | Path | None = None,
    settings: Settings | None = None,
    *,
    resume: bool = False,
    init: Checkpoint | None = None,
    augmentation: Augmentation | None = None,
    machine: Machine | None = None,
    progress: Callable[[Step], None] | None = None,
) -> Trained:
    """Train on ``data`` (a source string of ``toolkit.data.load``, or recordings) and write a checkpoint to ``out``.

    After each better epoch ``out`` holds the best weights so far, and beside it lies what :func:`resume <run_file>` needs:
    a run that was stopped and goes on with ``resume`` gives the bytes of one that was not. ``init``: start from the weights
    of a checkpoint of the same sizes and channels, whose filters and normaliser are kept.

    The same data, settings, seed, library versions, kind of processor and machine give the same bytes. Raises RecordingError,
    ContractError, UsageError or MissingDependencyError.
    """
    require_packages()
    settings = settings or Settings()
    target = None if out is None else _checkpoint_path(out)
    if resume and target is None:
        raise UsageError("a training that writes no checkpoint cannot be resumed; give --out")
    recordings = toolkit.data.load(data) if isinstance(data, str) else list(data)
    run = _Run(recordings, source_name(data), settings, init, augmentation, machine)
    return run.train(target, resume, progress)


class _Run:
    """What one training run is made of, from recordings to a checkpoint."""

    def __init__(
        self,
        recordings: list[Recording],
        source: str,
        settings: Settings,
        init: Checkpoint | None,
        augmentation: Augmentation | None,
        machine: Machine | None,
    ) -> None:
        from toolkit.learning import fit
        from toolkit.learning.objective import TargetScale

        self.settings, self.init, self.augmentation = settings, init, augmentation
        self.machine = machine or fit.Machine()
        split = settings.split
        self.split = split if isinstance(split, Split) else parse_split(split, recordings, settings.seed)
        self.recordings, reference = self._calibrated(recordings)
        self.data = data_provenance(self.recordings, source)
        self.prepared: Prepared = prepare(
            self.recordings,
            self.split,
            calibration=None if reference is None else reference.to_json(),
            contract=None if init is None else init.contract,
            **settings.grid,
        )
        self.config = config_for(settings.sizes, self.prepared.contract)
        if init is not None:
            _require_same_sizes(self.config, init.config)
        self.parts = {part: WindowBatches(windows) for part, windows in self.prepared.windows.items()}
        self.scale: TargetScale = TargetScale.of(self.parts["train"].targets)

    def train(self, out: Path | None, resume: bool, progress: Callable[[Step], None] | None) -> Trained:
        """Fit, score, write; ``out`` holds the best so far all the while."""
        from toolkit.learning import fit

        kept = None if out is None else run_file(out)
        done: list[int] = []  # whole epochs, and the best of them

        def before(loop: Loop) -> None:
            if resume and kept is not None:
                restore(kept, loop, self._key())
                done[:] = [len(loop.history), loop.best_epoch]

        def after_epoch(loop: Loop) -> None:
            if out is None or kept is None:
                return
            if loop.best_epoch == len(loop.history):
                self._unfinished(loop).save(out)
            save(kept, loop, self._key())
            done[:] = [len(loop.history), loop.best_epoch]

        try:
            fitted = fit.fit(
                self._network,
                self._objective(),
                self.settings.recipe,
                self.settings.seed,
                machine=self.machine,
                progress=progress,
                before=before,
                after_epoch=after_epoch,
            )
        except (KeyboardInterrupt, SystemExit) as stopped:
            stopped.add_note(_how_to_resume(done, out))
            raise
        self.scale.fold_into(fitted.network.head_output)
        if self.settings.weights == "float16":
            _round_to_float16(fitted.network)
        trained = self._scored(fitted)
        if out is not None and kept is not None:
            trained.checkpoint.save(out)
            kept.unlink(missing_ok=True)
        return trained

    def _network(self) -> CrossLSTM:
        from toolkit.model.network import CrossLSTM

        network = CrossLSTM(self.config)
        if self.init is not None:
            network.load_weights(self.init.weights)
            self.scale.take_from(network.head_output)
        return network

    def _objective(self) -> Objective:
        from toolkit.learning.objective import WindowObjective

        augment: Augment | None = None
        if self.augmentation is not None:
            augment = self.augmentation.on(self.prepared.contract)
        if self.settings.sequence > 1:
            return self._carried_objective(augment)
        return WindowObjective(
            self.parts["train"],
            self.parts["validation"],
            self.scale,
            self.settings.recipe.cell_limit,
            self.settings.seed,
            augment=augment,
            device=self.machine.device,
        )

    def _carried_objective(self, augment: Augment | None) -> Objective:
        from toolkit.learning.carried import CarriedObjective

        return CarriedObjective(
            self._sequences("train"),
            self._sequences("validation"),
            self.scale,
            self.settings.recipe.cell_limit,
            self.settings.seed,
            window=self.config.window,
            windows=self.settings.sequence,
            stride=self.settings.stride,
            augment=augment,
            device=self.machine.device,
        )

    def _sequences(self, part: Part, seconds: float = math.inf) -> list[LabelledSequence]:
        """The rows of a part's segments, as the model meets them live; of about ``seconds`` in all, as much of everybody."""
        segments = select(self.recordings, self.split, part)
        people = dict.fromkeys(segment.recording.person for segment in segments)
        chosen = [
            one
            for person in people
            for one in sample([s for s in segments if s.recording.person == person], seconds / len(people))
        ]
        return sequences(chosen, self.prepared.contract)

    def _key(self) -> dict[str, Any]:
        """All that the run depends on."""
        return {
            **self.settings.to_json(),
            "split": self.split.to_json(),
            "data": self.data["recordings"],
            "initial weights": None if self.init is None else self.init.hash,
            "augmentation": None if self.augmentation is None else self.augmentation.to_json(),
            **dataclasses.asdict(self.machine),
            "versions": _versions(),
        }

    def _calibrated(self, recordings: list[Recording]) -> tuple[list[Recording], CalibrationReference | None]:
        """``walk``: every recording turned as a walk of its person says, and the reference of those who train the model."""
        if self.settings.calibration == "none":
            return recordings, None
        learners = {id(s.recording): s.recording for s in select(recordings, self.split, "train")}
        reference = fit_reference(learners.values())
        return calibrate_recordings(recordings, reference), reference

    def _unfinished(self, loop: Loop) -> Checkpoint:
        """The best weights so far as a checkpoint without scores on the test part, which is used once."""
        from toolkit.learning.fit import best_so_far

        return self._checkpoint(best_so_far(loop, self.scale), tuple(loop.history), loop.best_epoch, {})

    def _scored(self, fitted: Fitted[CrossLSTM]) -> Trained:
        """Score the network on validation and test, and put everything into a checkpoint."""
        from toolkit.learning.fit import largest_cell, predict, reproducible

        outputs = self.config.outputs
        with reproducible(self.machine.threads):
            scored = {part: _spread(self.prepared.windows[part]) for part in PARTS if part != "train"}
            estimates = {part: predict(fitted.network, WindowBatches(one)) for part, one in scored.items()}
            metrics: dict[str, Any] = {
                part: score(outputs, scored[part].targets, values) for part, values in estimates.items()
            }
            live = self._live(fitted.network, "test")
            metrics["test_live"] = score(
                outputs, *(np.concatenate(v) for v in zip(*(one[1:] for one in live)))
            )
            error_bars = self._error_bars(fitted.network)
        learnt = WindowBatches(_spread(self.prepared.windows["train"]))
        cell = round(largest_cell(fitted.network, learnt), 4)
        told = {"largest_cell": cell, "metrics": metrics}
        history = tuple(dataclasses.asdict(epoch) for epoch in fitted.history)
        return Trained(
            self._checkpoint(fitted.network, fitted.history, fitted.best_epoch, told, error_bars),
            metrics,
            score_people(outputs, scored["test"], estimates["test"]),
            history,
            fitted.best_epoch,
            rises_from_the_first(fitted.history),
            _wrong_signs(self.recordings),
        )

    def _live(self, network: CrossLSTM, part: Part) -> list[tuple[Recording, Values, Values]]:
        """Of a part, two hours at most: targets and moments of the float stream with a whole window behind."""
        from toolkit.learning.carried import stream_moments

        found = []
        for run in self._sequences(part, SCORED_S):
            counted = run.counted.copy()
            counted[: self.config.window - 1] = False
            if counted.any():
                moments = stream_moments(network, run)[counted]
                found.append((run.segment.recording, run.targets[counted], moments))
        return found

    def _error_bars(self, network: CrossLSTM) -> dict[str, Any] | None:
        """What validation people's errors say of everybody's; None if they are too few."""
        judged = [
            Judged(recording.person, recording.task, moments.astype(np.float64), targets.astype(np.float64))
            for recording, targets, moments in self._live(network, "validation")
        ]
        people = len({one.person for one in judged})
        if people < LEAST_JUDGED:
            return None
        basis = f"float32 stream on {people} people of the validation part of the split"
        return fit_error_bars(judged, self.config.outputs, basis).to_json()

    def _checkpoint(
        self,
        network: CrossLSTM,
        history: tuple[Epoch, ...],
        best_epoch: int,
        told: Mapping[str, Any],
        error_bars: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        settings = self.settings
        provenance = {
            "data": self.data,
            "windows": {part: len(self.parts[part]) for part in PARTS},
            "training": {
                "seed": settings.seed,
                **dataclasses.asdict(settings.recipe),
                "stride": settings.stride,
                "sequence": settings.sequence,
                "epochs_run": len(history),
                "best_epoch": best_epoch,
                **({} if self.init is None else {"initial_weights": self.init.hash}),
                **({} if self.augmentation is None else {"augmentation": self.augmentation.to_json()}),
                **({} if told else {"finished": False}),
            },
            **told,
            "versions": _versions(),
        }
        familiar = None
        if told and settings.calibration != "none":
            familiar = _familiar(self.recordings, self.split, self.prepared.contract)
        return Checkpoint(
            self.config,
            self.prepared.contract,
            network.to_weights(),
            self.split.to_json(),
            provenance,
            familiar,
            error_bars,
        )


def _how_to_resume(done: Sequence[int], out: Path | None) -> str:
    """What a stopped training leaves, and how to go on."""
    if not done or out is None:
        return "stopped before the first epoch was finished: nothing was written"
    return (
        f"stopped after epoch {done[0]}; {out} holds the best so far (epoch {done[1]}). "
        "To go on, run the same command with --resume"
    )


def _checkpoint_path(out: str | Path) -> Path:
    if Path(out).suffix in (".pt", ".pth"):
        raise UsageError(
            f"checkpoint {out} is not written as a PyTorch file; give it the ending .safetensors"
        )
    return Path(out)


def _wrong_signs(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Of recordings whose ankle pushes off with a positive moment: the first, and how many there are."""
    found = push_off_sign(recordings)
    if not found:
        return ()
    first, others = found[0], len(found) - 1
    more = f" (and {others} more)" if others else ""
    return (
        f"recording {first.recording!r}{more}: {first.channel} reaches +{first.value:.2f} {first.advice}",
    )


def _spread(windows: Windows) -> Windows:
    """At most :data:`SCORED_WINDOWS`, evenly spread."""
    return windows.take(slice(None, None, max(1, -(-len(windows) // SCORED_WINDOWS))))


def _familiar(
    recordings: Sequence[Recording], split: Split, contract: SensorContract
) -> dict[str, Any] | None:
    """How far training and validation people walk from their own calibration walks, as the model sees them; None for too few
    people. Of a person nothing but the inputs is taken, and the more people, the better is known how people differ."""
    layout = layout_of(contract)
    known = [*select(recordings, split, "train"), *select(recordings, split, "validation")]
    learners = list({id(s.recording): s.recording for s in known}.values())
    if layout is None or len({recording.person for recording in learners}) < LEAST_PEOPLE:
        return None
    rows = features(learners, contract.inputs, contract.grid_rate_hz)
    calibrated_on = {walk_recording(theirs).name for theirs in by_person(learners).values()}
    walk_rows = round(WALK_S * contract.grid_rate_hz)
    walks = [
        Walked(
            recording.person,
            recording.task,
            np.concatenate([one[name] for name in layout.inputs], axis=1),
            walk_rows if recording.name in calibrated_on else 0,
        )
        for recording, one in zip(learners, rows)
    ]
    return fit_familiar(walks, layout).to_json()


def _require_same_sizes(wanted: ModelConfig, source: ModelConfig) -> None:
    ours, theirs = wanted.to_json(), source.to_json()
    other = [name for name in ours if ours[name] != theirs[name]]
    if other:
        raise UsageError(
            f"the initial weights are of a model with {other[0].replace('_', ' ')} {theirs[other[0]]} and this one has "
            f"{ours[other[0]]}; give it the same sizes, window and joints"
        )


def _round_to_float16(network: CrossLSTM) -> None:
    """Replace each weight by the nearest float16, so that the file may store it in two bytes."""
    rounded = {
        name: value.astype(np.float16).astype(np.float32) for name, value in network.to_weights().items()
    }
    network.load_weights(rounded)


def require_packages() -> None:
    """Asked before the data are read: an installation for a Raspberry Pi has neither."""
    missing = [name for name in ("torch", "scipy") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"training needs {' and '.join(missing)}, not installed here: pip install 'edgetool[deploy]'"
        )


def _versions() -> dict[str, str]:
    import torch

    return {
        "edgetool": __version__,
        # Of the module: it names the build (+cpu, +cu130), which the wheel's metadata may lack.
        "torch": str(torch.__version__),
        **{name: importlib.metadata.version(name) for name in ("numpy", "scipy")},
    }
