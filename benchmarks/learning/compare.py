"""``edgetool compare``: models trained alike on the same folds, judged on people whom they never saw."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning import results, statistics
from benchmarks.learning.comparison import CompareJob, data_hash, load_once
from benchmarks.learning.deployment import DeviceCost, device_cost
from benchmarks.learning.jobs import Pool, job_file, run_jobs
from benchmarks.learning.results import Estimates, ModelResult
from benchmarks.learning.statistics import Cluster
from toolkit.errors import RecordingError, UsageError
from toolkit.learning.augment import WornOtherwise
from toolkit.learning.baselines.table import MODELS, is_network, require_models
from toolkit.learning.folds import Fold, folds
from toolkit.learning.settings import Settings
from toolkit.progress import Progress, silent
from toolkit.records import Recording

Float = NDArray[np.float64]

#: Without --stride, windows are thinned so that at most about this many train: eight networks by twelve people on two cores
#: within 45 minutes.
TRAIN_WINDOWS = 2000
#: The default recipe of a comparison: smaller than that of ``edgetool train``, for there are a hundred trainings.
DEFAULTS = Settings(epochs=16, batch=64, patience=5)


@dataclass(frozen=True)
class Against:
    """A model beside the reference model. ``difference`` is the mean over people of its RMSE less the reference model's, Nm/kg;
    ``p`` and ``p_holm`` None for fewer than six people; ``clusters`` by joint: where over the gait cycle errors differ."""

    difference: float
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    clusters: Mapping[str, Sequence[Cluster]]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models in order of mean RMSE; ``against[name]`` compares each with ``reference``, the first model asked for.

    ``devices``: what each network costs on the emulated core, where one was asked for.
    """

    source: str
    kinds: tuple[str, ...]
    split: str
    folds: tuple[Fold, ...]
    settings: Settings
    outputs: tuple[str, ...]
    models: tuple[ModelResult, ...]
    reference: str
    against: Mapping[str, Against]
    mean_ranks: Mapping[str, float]
    critical_difference: float | None
    reference_curves: Float
    files: tuple[Path, ...]
    devices: Mapping[str, DeviceCost]

    @property
    def people(self) -> tuple[str, ...]:
        """Who was tested."""
        return self.models[0].people


def compare(
    source: str,
    folder: Path,
    *,
    models: Sequence[str] = tuple(MODELS),
    seeds: int = 1,
    split: str | None = None,
    settings: Settings = DEFAULTS,
    stride: int | None = None,
    augmentation: WornOtherwise | None = None,
    core: str | None = None,
    pool: Pool | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Train every model on every fold with every seed, as jobs whose results lie in ``folder``, and judge them.

    ``stride`` None: about :data:`TRAIN_WINDOWS` windows train. ``augmentation`` is of all networks alike. With ``core`` the
    first fold's networks are converted and run on that emulated core. Raises UsageError, RecordingError or ContractError
    for what cannot be compared.
    """
    names = require_models(list(models))
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; it must be at least 1")
    recordings = list(load_once(source))
    parts = folds(recordings, split, settings.seed)
    stride = stride or thinned(recordings, settings.rate_hz, parts[0])
    settings = dataclasses.replace(settings, stride=stride)
    jobs = jobs_of(source, recordings, parts, names, settings, seeds, augmentation)
    first = {name: next(job for job in jobs if job.model == name) for name in names if is_network(name)}
    if core is not None:
        _forget_without_network([job_file(job, folder) for job in first.values()])
    files = run_jobs(jobs, folder, pool, progress)
    progress("scores and tests", 0, 0)
    comparison = judge(split, parts, settings, names, [results.read(file) for file in files], files)
    if core is None:
        return comparison
    devices: dict[str, DeviceCost] = {}
    for name, job in first.items():
        progress(f"{MODELS[name].title} on an emulated {core}", len(devices), len(first))
        devices[name] = device_cost(results.network_of(job_file(job, folder)), source, core)
    return dataclasses.replace(comparison, devices=devices)


def _forget_without_network(files: Sequence[Path]) -> None:
    """Results that an older version wrote without their network go, so that their jobs run again."""
    for file in files:
        if file.exists() and not results.holds_network(file):
            file.unlink()


def thinned(recordings: Sequence[Recording], rate_hz: float, fold: Fold) -> int:
    """The stride at which about :data:`TRAIN_WINDOWS` windows train."""
    total = 0.0
    for recording in recordings:
        if recording.moments is None:
            raise RecordingError(
                f"recording {recording.name!r} has no reference moments; a comparison needs them"
            )
        spans = recording.valid_s
        if spans is None:
            spans = ((0.0, recording.moments.duration_s),)
        seconds = sum(stop - start for start, stop in spans)
        if fold.split.kind == "chronological":
            total += fold.split.fractions[0] * seconds
        elif recording.person in fold.split.people[0]:
            total += seconds
    return max(1, math.ceil(total * rate_hz / TRAIN_WINDOWS))


def jobs_of(
    source: str,
    recordings: Sequence[Recording],
    parts: Sequence[Fold],
    names: Sequence[str],
    settings: Settings,
    seeds: int,
    augmentation: WornOtherwise | None = None,
) -> list[CompareJob]:
    """Fold by fold, so that a worker prepares its windows once for all models; a floor that has no chance runs once."""
    whole = data_hash(recordings)
    return [
        CompareJob(
            source,
            whole,
            fold.name,
            json.dumps(fold.split.to_json()),
            name,
            dataclasses.replace(settings, seed=settings.seed + seed),
            augmentation=augmentation if is_network(name) else None,
        )
        for fold in parts
        for name in names
        for seed in range(seeds if is_network(name) else 1)
    ]


def judge(
    split: str | None,
    parts: Sequence[Fold],
    settings: Settings,
    names: Sequence[str],
    estimates: Sequence[Estimates],
    files: Sequence[Path],
) -> Comparison:
    """Scores, intervals and tests of what the jobs estimated."""
    of_model = {name: [one for one in estimates if one.about["model"] == name] for name in names}
    models = [results.gather(name, of_model[name]) for name in names]
    first, outputs = models[0], tuple(estimates[0].outputs)
    against = _against(first, models[1:], outputs)
    table = np.stack([model.rmse_all for model in models], axis=1)
    ranks = statistics.mean_ranks(table)
    return Comparison(
        str(estimates[0].about["source"]),
        tuple(estimates[0].about["kinds"]),
        split or ("leave-one-person-out" if len(parts) > 1 else "chronological"),
        tuple(parts),
        settings,
        outputs,
        tuple(sorted(models, key=lambda model: float(model.rmse_all.mean()))),
        first.name,
        against,
        dict(zip(names, map(float, ranks))),
        statistics.critical_difference(*table.shape),
        results.reference_curves(of_model[first.name]),
        tuple(files),
        {},
    )


def _against(first: ModelResult, others: Sequence[ModelResult], outputs: Sequence[str]) -> dict[str, Against]:
    differences = [other.rmse_all - first.rmse_all for other in others]
    p_values = [statistics.wilcoxon(difference) for difference in differences]
    corrected = statistics.holm(p_values)
    return {
        other.name: Against(
            float(difference.mean()),
            statistics.interval(difference),
            p,
            p_holm,
            {joint: _clusters(first, other, place) for place, joint in enumerate(outputs)},
        )
        for other, difference, p, p_holm in zip(others, differences, p_values, corrected)
    }


def _clusters(first: ModelResult, other: ModelResult, joint: int) -> list[Cluster]:
    """Over the people whose whole curve is known."""
    curves = other.error_curves[:, :, joint] - first.error_curves[:, :, joint]
    return statistics.cluster_test(curves[np.isfinite(curves).all(axis=1)])
