"""How each number of a report was obtained: what was run, on what, and what every figure means."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.records import Report, Run
from benchmarks.report.text import number, row_name, signed, signed_by

_KINDS = {
    "synthetic": "Synthetic gait: generated, no person walked. Errors on people will differ.",
    "virtual-imu": "Measured gait with a virtual IMU: inertial signals are computed from measured joint angles.",
    "measured": "Measured signals and reference moments.",
}


def how(report: Report) -> list[tuple[str, str]]:
    """Names and what is to be said of them."""
    return [*_material(report), *_rows(report), *_figures(report)]


def _material(report: Report) -> Iterator[tuple[str, str]]:
    data, machine = report.data, report.machine
    tasks = ", ".join(sorted(set(data.task)))
    yield "data", f"{_KINDS[data.kind]} {len(data.people)} people, tasks {tasks}, {data.part} part."
    yield "contract", f"{data.contract.hash[:16]}…"
    graphs = ", ".join(f"{g['file']} {g['sha256'][:16]}…" for g in report.bundle.get("graphs", []))
    yield "bundle", f"{graphs}; {signed_by(report)}"
    yield "machine", f"{machine['processor']}, {machine['architecture']}, Python {machine['python']}"


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    for run in (*report.runs, *report.devices):
        measured = run.measured
        label = measured.latency.label if measured.latency else "not timed"
        yield (
            row_name(run),
            f"{measured.how}; version {measured.version}; latency {label}.{_basis(run)}",
        )
    for one in report.skipped:
        yield f"{one.engine} {one.scheme} {one.graph}", f"Not run: {one.reason}"


def _basis(run: Run) -> str:
    """What a row is compared with, where that is not the float model on windows."""
    if run.from_window is None:
        return ""
    return (
        f" Compared with {run.compared_with}, which carries its state too; against float windows its RMSE changes by "
        f"{signed(run.from_window.rmse_increase_pct)} % and its output by {number(run.from_window.error_vs_float_pct, 2)} %."
    )


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    yield "RMSE", "Root of the mean squared error over all windows and joints."
    yield "nRMSE", "RMSE over the range of the reference, mean of the joints."
    yield "peak error", "Mean absolute difference of each gait cycle’s largest moment."
    yield "RMSE against float", "100 × (RMSE / RMSE of the float model − 1)."
    yield (
        "error against float",
        "RMS difference from the float model over the standard deviation of the reference.",
    )
    yield (
        "error bars",
        "Split conformal on validation people, scaled by the estimate (docs/UNCERTAINTY.md); judged on the windows above.",
    )
    yield "interval", f"Percentile bootstrap, 2,000 resamples, seed {report.seed}; increases are paired."
    yield "latency", "Nearest-rank percentiles of single calls: each is a time that occurred."
