"""The JSON of a report, schema 1, field by field in docs/BENCH.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.evaluation.accuracy import Accuracy, Interval, Scores
from benchmarks.evaluation.coverage import Coverage
from benchmarks.evaluation.latency import Latency
from benchmarks.evaluation.windows import Evaluation
from benchmarks.records import SCHEMA, Report, Run
from toolkit.files import write_json


def to_json(report: Report) -> dict[str, Any]:
    """Plain JSON values; a figure that cannot be computed is null."""
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "command": report.command,
        "bundle": dict(report.bundle),
        "data": _data(report.data),
        "machine": dict(report.machine),
        "settings": {"threads": report.threads, "seed": report.seed},
        "runs": [_run(run) for run in (*report.runs, *report.devices)],
        "skipped": [vars(one) for one in report.skipped],
        "budgets": {
            "max_rmse_increase_pct": report.budgets.max_rmse_increase_pct,
            "max_p99_us": report.budgets.max_p99_us,
            "broken": [vars(one) for one in report.budgets.broken],
            "not_judged": [vars(one) for one in report.budgets.not_judged],
        },
    }
    plain: dict[str, Any] = _without_nan(value)
    return plain


def write(report: Report, path: Path) -> None:
    """Write the JSON whole or not at all; OutputError if it cannot be written."""
    write_json(path, to_json(report))


def _data(data: Evaluation) -> dict[str, Any]:
    return {
        "kind": data.kind,
        "source": data.source,
        "part": data.part,
        "windows": len(data.windows),
        "windows_available": data.available,
        "gait_cycles": data.units.whole_cycles,
        "recordings": len({int(i) for i in data.windows.recording}),
        "people": list(data.people),
        "tasks": sorted(set(data.task)),
        "joints": list(data.joints),
        "rate_hz": data.contract.grid_rate_hz,
        "window": data.contract.window,
        "horizon_ms": data.contract.horizon_ms,
        "contract_hash": data.contract.hash,
    }


def _run(run: Run) -> dict[str, Any]:
    measured = run.measured
    return {
        "target": measured.target,
        "engine": measured.engine,
        "engine_version": measured.version,
        "graph": measured.graph,
        "scheme": measured.scheme,
        "converter": measured.converter,
        "baseline": measured.is_baseline,
        "how": measured.how,
        "compared_with": run.compared_with,
        "accuracy": _accuracy(run.accuracy),
        **({"from_window": _scores(run.from_window)} if run.from_window else {}),
        **({"error_bars": _coverage(run.coverage)} if run.coverage else {}),
        "latency": _latency(measured.latency) if measured.latency else None,
        "size": {k: v for k, v in vars(measured.size).items() if v is not None},
        **({"figures": dict(measured.figures)} if measured.figures else {}),
    }


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return {
        **_scores(accuracy.overall),
        "per_joint": {joint: _scores(one) for joint, one in accuracy.per_joint.items()},
        "per_task": {
            task: {
                **_scores(one),
                "per_joint": {j: _scores(s) for j, s in accuracy.per_task_joint[task].items()},
            }
            for task, one in accuracy.per_task.items()
        },
    }


def _scores(scores: Scores) -> dict[str, Any]:
    figures = {name: value for name, value in vars(scores).items() if not name.endswith("_interval")}
    for name in ("rmse_interval", "rmse_increase_interval"):
        interval = getattr(scores, name)
        if isinstance(interval, Interval):
            figures[name] = vars(interval)
    return figures


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {
        "level": coverage.level,
        **vars(coverage.overall),
        "coverage_over_people": coverage.over_people,
        "per_joint": {joint: vars(one) for joint, one in coverage.per_joint.items()},
        "per_task": {
            task: {**vars(one), "per_joint": {j: vars(o) for j, o in coverage.per_task_joint[task].items()}}
            for task, one in coverage.per_task.items()
        },
        "per_person": {person: vars(one) for person, one in coverage.per_person.items()},
    }


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "label": latency.label,
        "processor": latency.processor,
        "p50_us": latency.p50_us,
        "p90_us": latency.p90_us,
        "p99_us": latency.p99_us,
        "max_us": latency.max_us,
        "n": latency.n,
        "sample_period_us": latency.sample_period_us,
        "p50_share_pct": latency.p50_share_pct,
        "p99_share_pct": latency.p99_share_pct,
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
