"""What a report says of error bars: by task and joint, the share of moments inside, and how wide they are."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.evaluation.coverage import Coverage, Inside
from benchmarks.records import Report, Run
from benchmarks.report.text import number, short_joint


def judged_run(report: Report) -> Run | None:
    """The row whose error bars are shown: what runs live, the int8 stream, if it was run; None if no row has them."""
    found = [run for run in (*report.runs, *report.devices) if run.coverage is not None]
    live = [run for run in found if (run.measured.graph, run.measured.scheme) == ("stream", "int8")]
    return next(iter([*live, *found]), None)


def heading(joints: Sequence[str]) -> list[str]:
    """Of the table's columns."""
    return ["task", *map(short_joint, joints), "all"]


def rows(coverage: Coverage, joints: Sequence[str]) -> list[list[str]]:
    """One a task and one for all, as shown: share inside, and in brackets the mean half width in Nm/kg."""
    found = [
        [task, *(_cell(own[joint]) for joint in joints), _cell(coverage.per_task[task])]
        for task, own in coverage.per_task_joint.items()
    ]
    every = [_cell(coverage.per_joint[joint]) for joint in joints]
    return [*found, ["all", *every, _cell(coverage.overall)]]


def sentence(coverage: Coverage) -> str:
    """Of people: the mean that error bars promise, and the two ends."""
    shares = {name: one.coverage for name, one in coverage.per_person.items()}
    low, high = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    return (
        f"Over {len(shares)} people {_percent(coverage.over_people)} of moments lie inside ({_percent(coverage.level)} meant): "
        f"from {_percent(shares[low])} ({low}) to {_percent(shares[high])} ({high})."
    )


def _cell(one: Inside) -> str:
    return f"{_percent(one.coverage)} ({number(one.half_width, 3)})"


def _percent(share: float) -> str:
    return f"{number(100 * share, 1)} %"
