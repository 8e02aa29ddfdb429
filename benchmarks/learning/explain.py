"""``edgetool explain``: the share of each sensor in a Cross-LSTM's estimates, by two methods, over people it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning import statistics
from benchmarks.learning.comparison import load_once
from benchmarks.learning.transfer import new_people, sources_for
from toolkit.calibration import for_model
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import cut
from toolkit.errors import UsageError
from toolkit.learning.baselines.floors import phases
from toolkit.learning.importance import (
    Group,
    attention_weights,
    first_step_share,
    integrated_gradients,
    permutation_gains,
    sensors,
    shapley,
)
from toolkit.model.checkpoint import Checkpoint
from toolkit.progress import Progress, silent
from toolkit.reading import is_folder
from toolkit.records import Recording, Windows

Float = NDArray[np.float64]

#: Windows of a person that are explained, spread evenly.
WINDOWS = 200
#: Parts of the gait cycle.
QUARTERS = ("0 to 25 %", "25 to 50 %", "50 to 75 %", "75 to 100 %")
#: Bins of the gait cycle for attention.
BINS = 20
#: First-step share of integrated gradients, in multiples of an even spread, from which it is called an artefact.
ARTEFACT = 3.0
PERMUTATION, SHAPLEY = METHODS = ("permutation", "Shapley")


@dataclass(frozen=True, eq=False)
class Person:
    """One person: ``shares[method]`` (groups, outputs) that sum to 1 over groups, NaN where nothing has a share; permutation
    shares ``by_task[task]`` and ``by_quarter`` (quarters, groups, outputs); ``streams``: RMSE over RMSE as it is when a whole
    stream is permuted (outputs,); ``first_step`` of integrated gradients; ``attention[stream]`` (BINS, steps), NaN where not
    known."""

    name: str
    shares: Mapping[str, Float]
    by_task: Mapping[str, Float]
    by_quarter: Float
    streams: Mapping[str, Float]
    first_step: float
    attention: Mapping[str, Float]


@dataclass(frozen=True, eq=False)
class Explanation:
    """All people; ``agreement[output]``: Spearman's rank correlation of the two methods' mean shares, None where undefined."""

    groups: tuple[Group, ...]
    outputs: tuple[str, ...]
    people: tuple[Person, ...]
    agreement: Mapping[str, float | None]
    kinds: tuple[str, ...]
    window_s: float

    def mean(self, method: str) -> Float:
        """Mean share over people, (groups, outputs)."""
        return np.asarray(np.nanmean([person.shares[method] for person in self.people], axis=0))

    def interval(
        self, method: str, group: int, output: int | slice = slice(None)
    ) -> tuple[float, float] | None:
        """95 % interval over people of a group's share, of one output or their mean; None for fewer than five people."""
        return statistics.interval(
            np.array([np.nanmean(person.shares[method][group, output]) for person in self.people])
        )

    @property
    def order(self) -> list[int]:
        """Groups by their mean permutation share, the largest first."""
        return [int(i) for i in np.argsort(-np.nanmean(self.mean(PERMUTATION), axis=1), kind="stable")]


def explain(
    checkpoint: str | Path, source: str, *, seed: int = 0, progress: Progress = silent
) -> Explanation:
    """Explain a checkpoint on the people of ``source`` whom its training never saw.

    ``checkpoint`` may be the folder of a comparison, whose fold without the person is explained. UsageError if everybody
    trained it and its split has no test part.
    """
    recordings = load_once(source)
    told = _windows(checkpoint, recordings)
    people = []
    for place, (name, (model, windows)) in enumerate(told.items()):
        progress(f"explaining {name}", place, len(told))
        people.append(explain_person(name, model, windows, seed))
    first = next(iter(told.values()))[0]
    groups = tuple(sensors(first.contract))
    outputs = first.config.outputs
    return Explanation(
        groups,
        outputs,
        tuple(people),
        {name: _agreement(people, place) for place, name in enumerate(outputs)},
        tuple(sorted({recording.kind for recording in recordings})),
        first.config.window / first.config.rate_hz,
    )


def ranked(
    checkpoint: str | Path, source: str, *, seed: int = 0, progress: Progress = silent
) -> tuple[Group, ...]:
    """The sensors by their mean permutation share, the largest first: the part of :func:`explain` that says which go first."""
    from toolkit.learning.fit import reproducible
    from toolkit.model.network import CrossLSTM

    told = _windows(checkpoint, load_once(source))
    groups = tuple(sensors(next(iter(told.values()))[0].contract))
    shares = []
    for place, (name, (model, windows)) in enumerate(told.items()):
        progress(f"permuting sensors of {name}", place, len(told))
        with reproducible():
            gains, _ = permutation_gains(CrossLSTM.from_checkpoint(model), windows, groups, seed)
        shares.append(share(gains.mean(axis=1)))
    order = np.argsort(-np.nanmean(np.nanmean(shares, axis=0), axis=1), kind="stable")
    return tuple(groups[place] for place in order)


def _windows(
    checkpoint: str | Path, recordings: Sequence[Recording]
) -> dict[str, tuple[Checkpoint, Windows]]:
    from toolkit.model import load_checkpoint

    people = sorted({recording.person for recording in recordings})
    if is_folder(Path(checkpoint)):
        models = sources_for(checkpoint, people)
        return {name: (model, thinned(whole(recordings, name, model))) for name, model in models.items()}
    model = load_checkpoint(checkpoint)
    if model.split is not None and model.split.get("kind") == "chronological":
        ready = for_model(recordings, model.contract)
        segments = select(ready, Split.from_json(model.split), "test")
        by_person = {p: [s for s in segments if s.recording.person == p] for p in people}
        return {p: (model, thinned(cut(own, model.contract))) for p, own in by_person.items() if own}
    new = new_people(model, people)
    if not new:
        raise UsageError(
            "everyone in the data took part in this checkpoint's training; give recordings of other people, or the "
            "folder of edgetool compare"
        )
    return {name: (model, thinned(whole(recordings, name, model))) for name in new}


def whole(recordings: Sequence[Recording], person: str, model: Checkpoint) -> Windows:
    """All windows of a person as the checkpoint's contract cuts them."""
    own = for_model([r for r in recordings if r.person == person], model.contract)
    return cut([Segment(recording, *recording.span_s) for recording in own], model.contract)


def thinned(windows: Windows) -> Windows:
    """At most about :data:`WINDOWS`, spread evenly."""
    return windows.take(slice(None, None, max(1, -(-len(windows) // WINDOWS))))


def explain_person(name: str, model: Checkpoint, windows: Windows, seed: int = 0) -> Person:
    """Shares of every sensor in the estimates of ``windows``."""
    from toolkit.learning.fit import reproducible
    from toolkit.model.network import CrossLSTM

    network = CrossLSTM.from_checkpoint(model)
    groups = sensors(model.contract)
    with reproducible():
        gains, base = permutation_gains(network, windows, groups, seed)
        whole_streams = [
            Group(item.stream.name, item.stream.name, tuple(range(len(item.stream.channels))))
            for item in model.contract.inputs
        ]
        stream_gains, _ = permutation_gains(network, windows, whole_streams, seed)
        values = shapley(network, windows, groups, seed)
        gradients = integrated_gradients(network, windows)
        attention = attention_weights(network, windows)
    tasks = np.array([windows.recordings[i].task for i in windows.recording])
    phase = phases(windows)
    quarter = np.where(np.isfinite(phase), np.minimum((np.nan_to_num(phase) * 4).astype(int), 3), -1)
    shares = {
        PERMUTATION: share(gains.mean(axis=1)),
        SHAPLEY: share(np.abs(values).mean(axis=1)),
    }
    return Person(
        name,
        shares,
        {task: share(gains[:, tasks == task].mean(axis=1)) for task in dict.fromkeys(tasks)},
        np.stack([_part(gains, quarter == number) for number in range(4)]),
        {
            group.name: np.sqrt(np.maximum(base.mean(axis=0) + gain.mean(axis=0), 0) / base.mean(axis=0))
            for group, gain in zip(whole_streams, stream_gains)
        },
        first_step_share(gradients),
        {stream: _by_phase(phase, rows) for stream, rows in attention.items()},
    )


def share(values: Float) -> Float:
    """Of (groups, outputs): each group's part of the sum over groups; what is below 0 counts as 0; NaN where all are."""
    positive = np.maximum(values, 0.0)
    total = positive.sum(axis=0)
    result: Float = np.divide(positive, total, out=np.full_like(positive, np.nan), where=total > 0)
    return result


def _part(gains: Float, rows: NDArray[np.bool_]) -> Float:
    return (
        share(gains[:, rows].mean(axis=1))
        if rows.any()
        else np.full((gains.shape[0], gains.shape[2]), np.nan)
    )


def _by_phase(phase: Float, rows: Float) -> Float:
    result = np.full((BINS, rows.shape[1]), np.nan)
    for number in range(BINS):
        own = (phase >= number / BINS) & (phase < (number + 1) / BINS)
        if own.any():
            result[number] = rows[own].mean(axis=0)
    return result


def _agreement(people: Sequence[Person], output: int) -> float | None:
    from scipy.stats import spearmanr

    means = [np.nanmean([p.shares[m][:, output] for p in people], axis=0) for m in METHODS]
    if any(np.ptp(one) == 0 or not np.isfinite(one).all() for one in means):
        return None
    return float(spearmanr(*means).statistic)


def to_json(explanation: Explanation) -> dict[str, Any]:
    """Every figure, plain JSON; NaN is null."""

    def plain(values: Any) -> Any:
        if isinstance(values, np.ndarray):
            return [plain(one) for one in values]
        value = float(values)
        return value if np.isfinite(value) else None

    return {
        "schema": 1,
        "kinds": list(explanation.kinds),
        "outputs": list(explanation.outputs),
        "sensors": [{"name": g.name, "stream": g.stream} for g in explanation.groups],
        "people": [person.name for person in explanation.people],
        "shares": {
            method: {
                "mean": plain(explanation.mean(method)),
                "interval": [explanation.interval(method, i) for i in range(len(explanation.groups))],
                "interval_by_joint": {
                    name: [explanation.interval(method, i, place) for i in range(len(explanation.groups))]
                    for place, name in enumerate(explanation.outputs)
                },
                "by_person": {p.name: plain(p.shares[method]) for p in explanation.people},
            }
            for method in METHODS
        },
        "by_task": {
            task: plain(
                np.nanmean([p.by_task[task] for p in explanation.people if task in p.by_task], axis=0)
            )
            for task in dict.fromkeys(t for p in explanation.people for t in p.by_task)
        },
        "by_quarter_of_the_gait_cycle": plain(_mean_known([p.by_quarter for p in explanation.people])),
        "rmse_ratio_without_stream": {
            stream: plain(np.mean([p.streams[stream] for p in explanation.people], axis=0))
            for stream in explanation.people[0].streams
        },
        "rank_agreement": dict(explanation.agreement),
        "integrated_gradients_first_step": {p.name: p.first_step for p in explanation.people},
    }


def _mean_known(values: Sequence[Float]) -> Float:
    """Mean of what is known; NaN where nothing is, without numpy's warning."""
    stack = np.stack(values)
    known = np.isfinite(stack)
    count = known.sum(axis=0)
    total = np.where(known, stack, 0.0).sum(axis=0)
    mean: Float = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
