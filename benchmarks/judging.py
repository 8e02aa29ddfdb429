"""From what targets hand back to the rows of a report: every row is compared with the same float moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.accuracy import Reference, judge
from benchmarks.report import Measured, Run, Skipped
from benchmarks.targets import Job, judge_for
from toolkit.errors import UsageError


def judge_all(job: Job, on: Sequence[str]) -> tuple[tuple[Run, ...], tuple[Skipped, ...]]:
    """The rows of every target. The host always gives the float baseline, which all are compared with."""
    measured: list[Measured] = []
    skipped: list[Skipped] = []
    for target in on:
        rows, missing = judge_for(target)(job, target)
        measured.extend(rows)
        skipped.extend(missing)
    if not any(one.is_baseline for one in measured):
        raise UsageError("no target gives the float baseline; add --on host")
    measured.sort(key=lambda one: not one.is_baseline)
    return tuple(_run(job, measured, one) for one in measured), tuple(skipped)


def _run(job: Job, measured: Sequence[Measured], one: Measured) -> Run:
    """Scores against what ``one`` is to equal: an int8 stream against the float stream, all else against the baseline.

    A stream that carries its state is another function than windows that start from zero, also in float: what that
    costs is the float stream's difference from the baseline, and not a quantization error.
    """
    own = next((m for m in measured if m.graph == "stream" and m.scheme == "float32"), measured[0])
    against = own if one.graph == "stream" and one.scheme == "int8" else measured[0]
    accuracy = judge(_reference(job, against), one.estimates)
    from_window = judge(_reference(job, measured[0]), one.estimates).overall if against is own else None
    return Run(one, accuracy, against.name, from_window if against is not measured[0] else None)


def _reference(job: Job, against: Measured) -> Reference:
    return Reference(
        joints=job.data.joints,
        target=job.data.windows.targets.astype(np.float64),
        baseline=against.estimates.astype(np.float64),
        task=job.data.task,
        units=job.data.units,
        seed=job.seed,
    )
