"""Bounds that make a bench fail: which rows they are held against, and which break them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.records import Broken, Budgets, NotJudged, Run
from toolkit.errors import BudgetError, UsageError

_NO_ROW = "it has no row of the bundle's graphs"
_NO_TIME = (
    "no time of a deployment is measured there; name a target that has one, such as host, serial: or ssh:"
)


def deployed(runs: Sequence[Run]) -> list[Run]:
    """The rows that budgets are for: the bundle's int8 ones, or if there are none, all but the float baseline."""
    own = [run for run in runs if run.measured.converter == "edgetool"]
    others = [run for run in own if not run.measured.is_baseline]
    return [run for run in others if run.measured.scheme != "float32"] or others


def check(
    runs: Sequence[Run],
    max_rmse_increase_pct: float | None = None,
    max_p99_us: float | None = None,
    targets: Sequence[str] = ("host",),
) -> Budgets:
    """Hold bounds against the deployed rows. A figure that is not a number breaks its bound.

    A bound is not judged on one of the ``targets`` if no row of it has the figure: an emulated core has no time.
    """
    broken, rows = [], deployed(runs)
    for run in rows:
        row = f"{run.measured.target} {run.measured.name}"
        increase = run.accuracy.overall.rmse_increase_pct
        if max_rmse_increase_pct is not None and not increase <= max_rmse_increase_pct:
            broken.append(Broken("rmse_increase_pct", row, increase, max_rmse_increase_pct))
        latency = run.measured.latency if run.measured.judged_latency else None
        if max_p99_us is not None and latency is not None and not latency.p99_us <= max_p99_us:
            broken.append(Broken("p99_us", row, latency.p99_us, max_p99_us))
    missing = []
    for target in targets:
        own = [run for run in rows if run.measured.target == target]
        timed = [run for run in own if run.measured.latency and run.measured.judged_latency]
        if max_rmse_increase_pct is not None and not own:
            missing.append(NotJudged(target, "rmse_increase_pct", _NO_ROW))
        if max_p99_us is not None and not timed:
            missing.append(NotJudged(target, "p99_us", _NO_TIME if own else _NO_ROW))
    return Budgets(max_rmse_increase_pct, max_p99_us, tuple(broken), tuple(missing))


def require_sensible(max_rmse_increase_pct: float | None, max_p99_us: float | None) -> None:
    """UsageError for a bound that can never hold or is no number, before any work is done."""
    if max_rmse_increase_pct is not None and not math.isfinite(max_rmse_increase_pct):
        raise UsageError(f"--max-rmse-increase is {max_rmse_increase_pct}; give a percentage, such as 1.5")
    if max_p99_us is not None and not (math.isfinite(max_p99_us) and max_p99_us > 0):
        raise UsageError(f"--max-p99-us is {max_p99_us}; give microseconds above 0, such as 5000")


def require_kept(budgets: Budgets) -> None:
    """BudgetError (exit code 1) that names every broken budget, its row, value and bound, and every one not judged."""
    failed = [f"budget broken: {'; '.join(map(str, budgets.broken))}"] if budgets.broken else []
    if budgets.not_judged:
        failed.append(f"budget not judged: {'; '.join(map(str, budgets.not_judged))}")
    if failed:
        raise BudgetError("; ".join(failed))
