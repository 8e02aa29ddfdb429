"""How a bundle copes with sensors that are worn wrongly: stress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.progress import Progress

if TYPE_CHECKING:
    from benchmarks.stress.records import StressReport
    from quantization.bundle import Bundle
    from toolkit.records import Recording


def stress(
    bundle: str | Path | Bundle,
    *,
    data: str | Sequence[Recording] | None = None,
    json: str | Path | None = None,
    html: str | Path | None = None,
    quick: bool = False,
    only: Sequence[str] = (),
    seconds: float | None = None,
    engine: str | None = None,
    seed: int = 0,
    bounds: str | Path | None = None,
    progress: Progress | None = None,
    show: Callable[[StressReport], None] | None = None,
) -> StressReport:
    """Wear the sensors of ``bundle`` wrongly, mix them up and break them: what it costs, and whether it is noticed.

    ``data`` is a source as for :func:`edgetool.data`, or recordings with reference moments (None: what it was calibrated on);
    its test part is used, about ``seconds`` of recordings in all, of every person and task alike. ``only`` names perturbations
    (``imu-turned``, ``emg-gain``, ``hum``, ...); ``quick`` takes one size of each. ``engine`` is a runtime engine (``native``,
    ``litert``; None: the first one available), ``seed`` that of everything drawn. ``json`` and ``html`` are files to write,
    ``bounds`` a TOML of bounds that must hold (docs/STRESS.md). ``progress`` is called for each perturbation; ``show`` is
    called with the report before a broken bound is raised.

    ``report.row("imu-turned", "all 20 deg").overall.rmse_increase_pct`` is how much larger the RMSE is, percent; ``.states``
    are the shares of moments in each state, ``.calibrated`` whether the session was calibrated with the sensors as they are.

    Raises BudgetError if a bound does not hold, UsageError for a perturbation or engine that is not known, RecordingError for
    data that have no test part or no moments.
    """
    from benchmarks.stress.stress import stress as work

    return work(
        bundle,
        data,
        json=json,
        html=html,
        quick=quick,
        only=only,
        seconds=seconds,
        engine=engine,
        seed=seed,
        bounds=bounds,
        progress=progress,
        show=show,
    )
