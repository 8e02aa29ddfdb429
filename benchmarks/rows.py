"""From what targets hand back to the rows of a report: every row is compared with the same float moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.accuracy import Reference, judge
from benchmarks.evaluation.coverage import Coverage, coverage_of
from benchmarks.records import Build, Measured, Run, Skipped
from benchmarks.targets import judge_for
from benchmarks.targets.host import judge_float
from benchmarks.targets.job import Job


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of all targets, the float baseline first; what did not run; and by target, how its code was built."""

    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...]
    builds: Mapping[str, Build]


def judge_all(job: Job, on: Sequence[str]) -> Rows:
    """The rows of every target. The host always gives the float baseline, which all are compared with."""
    judged = {target: judge_for(target)(job, target) for target in on}
    measured = [row for one in judged.values() for row in one.rows]
    if not any(one.is_baseline for one in measured):
        measured.extend(judge_float(job))
    measured.sort(key=lambda one: not one.is_baseline)
    return Rows(
        runs=tuple(_run(job, measured, one) for one in measured),
        skipped=tuple(missing for one in judged.values() for missing in one.skipped),
        builds={target: one.build for target, one in judged.items() if one.build is not None},
    )


def _run(job: Job, measured: Sequence[Measured], one: Measured) -> Run:
    """Scores against what ``one`` is to equal: an int8 stream against the float stream, all else against the baseline.

    A stream that carries its state is another function than windows that start from zero, also in float: what that
    costs is the float stream's difference from the baseline, and not a quantization error.
    """
    own = next(
        (m for m in measured if (m.graph, m.scheme, m.rows) == ("stream", "float32", None)), measured[0]
    )
    against = own if one.graph == "stream" and one.scheme == "int8" else measured[0]
    accuracy = judge(_reference(job, against, one.rows), one.estimates)
    from_window = None
    if against is own:
        from_window = judge(_reference(job, measured[0], one.rows), one.estimates).overall
    return Run(
        one, accuracy, against.name, from_window if against is not measured[0] else None, _coverage(job, one)
    )


def _coverage(job: Job, one: Measured) -> Coverage | None:
    """How the bundle's error bars hold on the rows that ``one`` ran; None without them."""
    error_bars = job.bundle.error_bars
    if error_bars is None:
        return None
    every = np.arange(len(job.data.windows)) if one.rows is None else one.rows
    tasks, people = ([names[i] for i in every] for names in (job.data.task, job.data.person))
    return coverage_of(
        error_bars, job.data.windows.targets[every], one.estimates[: len(every)], tasks, people
    )


def _reference(job: Job, against: Measured, rows: NDArray[np.int64] | None) -> Reference:
    """Labels and float moments of ``rows`` (None: of all windows)."""
    every = np.arange(len(job.data.windows)) if rows is None else rows
    return Reference(
        joints=job.data.joints,
        target=job.data.windows.targets[every].astype(np.float64),
        baseline=against.estimates[every].astype(np.float64),
        task=tuple(job.data.task[i] for i in every),
        units=job.data.units.take(every),
        seed=job.seed,
    )
