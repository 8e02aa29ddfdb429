"""Judge a bundle against its float model: accuracy, latency and size, on every engine and target asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.budgets import check, require_kept, require_sensible
from benchmarks.evaluation.windows import evaluate_on
from benchmarks.peers import Peer, build_peers
from benchmarks.records import Report
from benchmarks.report import json_file as report_json
from benchmarks.rows import judge_all
from benchmarks.targets import require_known
from benchmarks.targets.job import Job
from quantization.bundle import Bundle
from toolkit.contract import SensorContract
from toolkit.errors import UsageError
from toolkit.progress import Progress, silent
from toolkit.reading import exists
from toolkit.records import Recording

#: Enough for intervals of a few per cent, few enough for a minute on two cores.
WINDOWS = 2000


def bench(
    bundle: str | Path | Bundle,
    data: str | None = None,
    *,
    on: Sequence[str] = ("host",),
    json: str | Path | None = None,
    html: str | Path | None = None,
    max_rmse_increase: float | None = None,
    max_p99_us: float | None = None,
    windows: int = WINDOWS,
    threads: int = 1,
    seed: int = 0,
    peers: bool = False,
    progress: Progress | None = None,
    show: Callable[[Report], None] | None = None,
) -> Report:
    """Run every engine of every target in ``on`` on the same windows and compare with the float model.

    ``data`` is a source as for :func:`toolkit.data.load`; by default what the bundle was made from. Of it the
    test part of the checkpoint's split is used, at most about ``windows`` windows in whole gait cycles. ``json`` and
    ``html`` are files to write. ``peers`` adds rows of other converters, from the same checkpoint and windows.
    ``max_rmse_increase`` (percent) and ``max_p99_us`` are budgets on the int8 rows:
    a broken one, and one that a target has no figure for, raises BudgetError after ``show`` was called and the files were
    written.

    Raises BundleError for a bundle that was changed, ContractError for data that does not fit it, UsageError
    for arguments that make no sense.
    """
    require_sensible(max_rmse_increase, max_p99_us)
    require_known(on)
    if threads < 1:
        raise UsageError(f"--threads is {threads}; it must be at least 1")
    if windows < 1:
        raise UsageError(f"windows is {windows}; it must be at least 1")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; it must be at least 0")
    progress = progress or silent
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(Path(bundle))
    source = data if data is not None else own_source(loaded)
    recordings = _recordings(source, loaded.contract, progress)
    evaluation = evaluate_on(loaded.checkpoint, recordings, source, windows)
    others = _peers(loaded, recordings, progress) if peers else ()
    rows = judge_all(Job(loaded, evaluation, threads, seed, progress, others), on)
    report = Report(
        bundle=_about(loaded),
        data=evaluation,
        runs=tuple(run for run in rows.runs if run.measured.rows is None),
        devices=tuple(run for run in rows.runs if run.measured.rows is not None),
        builds=rows.builds,
        skipped=rows.skipped,
        targets=tuple(on),
        budgets=check(rows.runs, max_rmse_increase, max_p99_us, on),
        machine=machine.describe(),
        threads=threads,
        seed=seed,
        command=_command(str(loaded.path), source, on, windows, threads, seed, peers),
    )
    _publish(report, json, html, show)
    require_kept(report.budgets)
    return report


def own_source(bundle: Bundle) -> str:
    """The data that calibrated a bundle, if it can be had from here; else UsageError asks for ``--data``."""
    source = bundle.data_source
    if source.partition(":")[0] != "synthetic" and not exists(Path(source)):
        raise UsageError(
            f"bundle {bundle.path} was made from {source!r}, which is not here; say where it is with --data"
        )
    return source


def _about(bundle: Bundle) -> dict[str, Any]:
    """What names a bundle in a report: its folder's name and the hashes of what was judged."""
    files: Mapping[str, Any] = bundle.manifest["files"]
    # Bundles of before the word "converter" say "engine", and so does schema 1 of this report, which keeps its names.
    converter = bundle.manifest.get("converter") or bundle.manifest.get("engine")
    return {
        "name": bundle.path.resolve().name,
        "check": bundle.manifest.get("check"),
        "signer": None if bundle.signer is None else str(bundle.signer),
        "checkpoint_hash": bundle.checkpoint.hash,
        "contract_hash": bundle.contract.hash,
        "scheme": bundle.manifest.get("scheme"),
        "converter": converter,
        "engine": converter,
        "graphs": [
            {"graph": g.graph, "scheme": g.scheme, "file": g.file, "sha256": files[g.file]["sha256"]}
            for g in bundle.graphs
        ],
    }


def _recordings(source: str, contract: SensorContract, progress: Progress) -> list[Recording]:
    from toolkit.calibration import for_model
    from toolkit.data import load

    progress("data", 0, 1)
    recordings = for_model(load(source), contract)
    progress("data", 1, 1)
    return recordings


def _peers(bundle: Bundle, recordings: list[Recording], progress: Progress) -> tuple[Peer, ...]:
    progress("peers convert", 0, 1)
    peers = tuple(build_peers(bundle, recordings))
    progress("peers convert", 1, 1)
    return peers


def _publish(
    report: Report, json: str | Path | None, html: str | Path | None, show: Callable[[Report], None] | None
) -> None:
    if json is not None:
        report_json.write(report, Path(json))
    if html is not None:
        from benchmarks.report import html as report_html

        report_html.write(report, Path(html))
    if show is not None:
        show(report)


def _command(
    bundle: str, source: str, on: Sequence[str], windows: int, threads: int, seed: int, peers: bool
) -> str:
    parts = ["edgetool", "bench", bundle, "--data", source]
    for target in on:
        parts += ["--on", target]
    parts += ["--windows", str(windows), "--threads", str(threads), "--seed", str(seed)]
    parts += ["--peers"] if peers else []
    return shlex.join(parts)
