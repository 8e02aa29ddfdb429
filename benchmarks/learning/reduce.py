"""``edgetool reduce``: what fewer sensors cost: each choice trained anew on people it never saw, with its cost beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.learning import results
from benchmarks.learning.compare import DEFAULTS, compare
from benchmarks.learning.comparison import load_once
from benchmarks.learning.deployment import DeviceCost, device_cost
from benchmarks.learning.explain import ranked
from benchmarks.learning.jobs import Pool
from benchmarks.learning.results import ModelResult
from toolkit.data.readers.npz import write_recording
from toolkit.data.subset import only
from toolkit.errors import UsageError
from toolkit.learning.baselines.table import CROSS_LSTM
from toolkit.learning.importance import Group
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS
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
        """How many are worn of each stream, the best ones: ``2 IMU + 1 EMG``."""
        counts = {stream: sum(group.stream == stream for group in self.kept) for stream in STREAMS}
        return " + ".join(f"{number} {stream.upper()}" for stream, number in counts.items() if number)


@dataclass(frozen=True, eq=False)
class Reduction:
    """The choices, from all sensors down."""

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


def choices_of(groups: Sequence[Group]) -> list[tuple[Group, ...]]:
    """All IMUs, the best two and the best one, each with all electrodes, with the best and with none; all electrodes alone.

    ``groups``: all sensors, the best first.
    """
    imu = [group for group in groups if group.stream == "imu"]
    emg = [group for group in groups if group.stream == "emg"]
    worn = [imu[:number] for number in (len(imu), 2, 1) if number <= len(imu)]
    wanted = [(some, emg[:number]) for some in worn for number in (len(emg), 1, 0)] + [([], emg)]
    found: list[tuple[Group, ...]] = []
    for parts in wanted:
        kept = (*parts[0], *parts[1])
        if kept and kept not in found:
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

    Of each choice the first fold's network is written beside its recordings, ``choice-N/model.safetensors``; with ``core`` it
    is converted and run there, emulated. Raises UsageError, RecordingError.
    """
    groups = ranked(checkpoint, source, seed=seed, progress=progress)
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
    for number, kept in enumerate(choices_of(groups)):
        place = folder / f"choice-{number}"
        data = _written(recordings, kept, groups, place / "data")
        comparison = compare(
            str(data), place / "jobs", models=[CROSS_LSTM], split=split, settings=settings, stride=stride, pool=pool,
            progress=progress,
        )  # fmt: skip
        network = results.checkpoint_of(comparison.files[0])
        network.save(place / "model.safetensors")
        cost = None if core is None else device_cost(network, str(data), core, progress)
        found.append(Choice(kept, comparison.models[0], _radio(recordings[0], kept), cost, False))
    kinds = tuple(sorted({recording.kind for recording in recordings}))
    return Reduction(tuple(_with_pareto(found)), config.outputs, kinds)


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
    recordings: Sequence[Recording], kept: Sequence[Group], groups: Sequence[Group], folder: Path
) -> Path:
    """The recordings with the kept sensors, as NPZ files that every worker can read."""
    for recording in recordings:
        names: dict[str, list[str]] = {group.stream: [] for group in groups}
        for group in kept:
            channels = recording.signals[group.stream].spec.channel_names
            names[group.stream].extend(channels[i] for i in group.places)
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
