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
    reference = Reference(
        joints=job.data.joints,
        target=job.data.windows.targets.astype(np.float64),
        baseline=measured[0].estimates.astype(np.float64),
        task=job.data.task,
        units=job.data.units,
        seed=job.seed,
    )
    return tuple(Run(one, judge(reference, one.estimates)) for one in measured), tuple(skipped)
