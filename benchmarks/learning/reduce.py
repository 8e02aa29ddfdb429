"""``edgetool reduce``: what fewer sensors cost: each choice trained anew on people it never saw, with its cost beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning import results
from benchmarks.learning.compare import DEFAULTS, compare
from benchmarks.learning.comparison import load_once
from benchmarks.learning.deployment import DeviceCost, device_cost
from benchmarks.learning.explain import PERMUTATION, Explanation, explain
from benchmarks.learning.jobs import Pool
from benchmarks.learning.results import ModelResult
from toolkit.data.readers.npz import write_recording
from toolkit.data.subset import only
from toolkit.errors import UsageError
from toolkit.learning.baselines.table import CROSS_LSTM
from toolkit.learning.importance import Group
from toolkit.model.checkpoint import Checkpoint
from toolkit.progress import Progress, silent
from toolkit.records import Recording

#: Bytes of a sample on the radio: 16 bits.
SAMPLE_BYTES = 2


@dataclass(frozen=True, eq=False)
class Choice:
    """Sensors that were kept, how good the model trained on them is, and what it costs; ``pareto``: no choice with at most as
    many sensors has a smaller mean RMSE."""

    kept: tuple[Group, ...]
    result: ModelResult
    radio_kb_s: float
    device: DeviceCost | None
    pareto: bool

    @property
    def text(self) -> str:
        """What is worn: IMUs by segment, electrodes by number if there are several."""
        by_stream: dict[str, list[str]] = {}
        for group in self.kept:
            by_stream.setdefault(group.stream, []).append(group.name)
        emg = by_stream.get("emg", [])
        return f"{', '.join(by_stream.get('imu', []))} + " + (emg[0] if len(emg) == 1 else f"{len(emg)} EMG")


@dataclass(frozen=True, eq=False)
class Reduction:
    """The choices from all sensors down, in order of the explanation."""

    choices: tuple[Choice, ...]
    outputs: tuple[str, ...]
    kinds: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "schema": 1,
            "kinds": list(self.kinds),
            "outputs": list(self.outputs),
            "choices": [
                {
                    "sensors": [{"name": g.name, "stream": g.stream} for g in one.kept],
                    "rmse": float(one.result.rmse_all.mean()),
                    "by_joint": dict(zip(self.outputs, map(float, one.result.rmse.mean(axis=0)))),
                    "rmse_by_person": dict(zip(one.result.people, map(float, one.result.rmse_all))),
                    "weights": one.result.weights,
                    "radio_kb_s": one.radio_kb_s,
                    "device": None if one.device is None else one.device.to_json(),
                    "pareto": one.pareto,
                }
                for one in self.choices
            ],
        }


def choices_of(explanation: Explanation) -> list[tuple[Group, ...]]:
    """All sensors; all IMUs and the best electrode; the two best IMUs with all electrodes and with one; one of each.

    Best by mean permutation share. A whole stream cannot go: the Cross-LSTM's attention is between the two.
    """
    share = np.nanmean(explanation.mean(PERMUTATION), axis=1)
    order = np.argsort(-share, kind="stable")
    ranked = [explanation.groups[i] for i in order]
    imu = [group for group in ranked if group.stream == "imu"]
    emg = [group for group in ranked if group.stream == "emg"]
    wanted = [(imu, emg), (imu, emg[:1]), (imu[:2], emg), (imu[:2], emg[:1]), (imu[:1], emg[:1])]
    found: list[tuple[Group, ...]] = []
    for parts in wanted:
        kept = tuple(group for group in explanation.groups if group in [*parts[0], *parts[1]])
        if kept not in found:
            found.append(kept)
    return found


def reduce(
    checkpoint: str | Path,
    source: str,
    folder: Path,
    *,
    split: str | None = None,
    epochs: int = DEFAULTS.epochs,
    stride: int | None = None,
    core: str | None = None,
    seed: int = 0,
    pool: Pool | None = None,
    progress: Progress = silent,
) -> Reduction:
    """Train the checkpoint's sizes anew on each choice of sensors, fold by fold as ``compare`` does, into ``folder``.

    With ``core`` the first fold of each choice is converted and run there, emulated. Raises UsageError, RecordingError.
    """
    explanation = explain(checkpoint, source, seed=seed, progress=progress)
    config = _model(checkpoint).config
    recordings = load_once(source)
    settings = dataclasses.replace(
        DEFAULTS,
        seed=seed,
        epochs=epochs,
        **{
            n: getattr(config, n)
            for n in ("hidden", "layers", "heads", "norm", "head_hidden", "window", "rate_hz")
        },
    )
    found = []
    for number, kept in enumerate(choices_of(explanation)):
        place = folder / f"choice-{number}"
        data = _written(recordings, kept, explanation, place / "data")
        comparison = compare(
            str(data), place / "jobs", models=[CROSS_LSTM], split=split, settings=settings, stride=stride, pool=pool,
            progress=progress,
        )  # fmt: skip
        cost = None
        if core is not None:
            cost = device_cost(results.checkpoint_of(comparison.files[0]), str(data), core, progress)
        found.append(Choice(kept, comparison.models[0], _radio(recordings[0], kept), cost, False))
    return Reduction(tuple(_with_pareto(found)), config.outputs, explanation.kinds)


def _model(checkpoint: str | Path) -> Checkpoint:
    from toolkit.model import load_checkpoint
    from toolkit.reading import is_folder

    path = Path(checkpoint)
    if not is_folder(path):
        return load_checkpoint(checkpoint)
    for file in sorted(path.glob("*.parquet")):
        if results.read(file).about["model"] == CROSS_LSTM:
            return results.checkpoint_of(file)
    raise UsageError(f"{path} has no Cross-LSTM; run edgetool compare with --models cross-lstm into it first")


def _written(
    recordings: Sequence[Recording], kept: Sequence[Group], explanation: Explanation, folder: Path
) -> Path:
    """The recordings with the kept sensors, as NPZ files that every worker can read."""
    for recording in recordings:
        names: dict[str, list[str]] = {}
        for group in kept:
            channels = recording.signals[group.stream].spec.channel_names
            names.setdefault(group.stream, []).extend(channels[i] for i in group.places)
        write_recording(folder / f"{recording.name.replace('/', '_')}.npz", only(recording, names))
    return folder


def _radio(recording: Recording, kept: Sequence[Group]) -> float:
    """kB/s of samples of the kept channels, without headers."""
    total = sum(len(group.places) * recording.signals[group.stream].spec.rate_hz for group in kept)
    return total * SAMPLE_BYTES / 1000


def _with_pareto(choices: Sequence[Choice]) -> list[Choice]:
    def beaten(one: Choice) -> bool:
        mean = one.result.rmse_all.mean()
        return any(
            len(other.kept) <= len(one.kept) and other.result.rmse_all.mean() < mean for other in choices
        )

    return [dataclasses.replace(one, pareto=not beaten(one)) for one in choices]
