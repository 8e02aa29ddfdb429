"""Bounds that make a bench fail: which rows they are held against, and which break them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.records import Broken, Budgets, Run
from toolkit.errors import BudgetError, UsageError


def deployed(runs: Sequence[Run]) -> list[Run]:
    """The rows that budgets are for: the bundle's int8 ones, or if there are none, all but the float baseline."""
    own = [run for run in runs if run.measured.converter == "edgetool"]
    others = [run for run in own if not run.measured.is_baseline]
    return [run for run in others if run.measured.scheme != "float32"] or others


def check(
    runs: Sequence[Run], max_rmse_increase_pct: float | None = None, max_p99_us: float | None = None
) -> Budgets:
    """Hold bounds against the deployed rows. A figure that is not a number breaks its bound."""
    broken = []
    for run in deployed(runs):
        row = f"{run.measured.target} {run.measured.name}"
        increase = run.accuracy.overall.rmse_increase_pct
        if max_rmse_increase_pct is not None and not increase <= max_rmse_increase_pct:
            broken.append(Broken("rmse_increase_pct", row, increase, max_rmse_increase_pct))
        latency = run.measured.latency if run.measured.judged_latency else None
        if max_p99_us is not None and latency is not None and not latency.p99_us <= max_p99_us:
            broken.append(Broken("p99_us", row, latency.p99_us, max_p99_us))
    return Budgets(max_rmse_increase_pct, max_p99_us, tuple(broken))


def require_sensible(max_rmse_increase_pct: float | None, max_p99_us: float | None) -> None:
    """UsageError for a bound that can never hold or is no number, before any work is done."""
    if max_rmse_increase_pct is not None and not math.isfinite(max_rmse_increase_pct):
        raise UsageError(f"--max-rmse-increase is {max_rmse_increase_pct}; give percent, say 1.5")
    if max_p99_us is not None and not (math.isfinite(max_p99_us) and max_p99_us > 0):
        raise UsageError(f"--max-p99-us is {max_p99_us}; give microseconds above 0, say 5000")


def require_kept(budgets: Budgets) -> None:
    """BudgetError (exit code 1) that names every broken budget, its row, value and bound."""
    if budgets.broken:
        raise BudgetError("budget broken: " + "; ".join(str(one) for one in budgets.broken))
