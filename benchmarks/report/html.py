"""A report as one HTML file: no script, nothing loaded from elsewhere, plots as inline SVG."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from benchmarks.budgets import deployed
from benchmarks.records import Report, Run
from benchmarks.report import devices as report_devices
from benchmarks.report import plots as report_plots
from benchmarks.report.console import (
    KIND_NAMES,
    interval,
    row_name,
    short_joint,
)
from benchmarks.report.text import (
    microseconds,
    number,
    share,
    signed,
)
from toolkit import __version__
from toolkit.files import write_bytes


def write(report: Report, path: Path) -> None:
    """Write the page whole or not at all; OutputError if it cannot be written."""
    write_bytes(path, page(report).encode())


def page(report: Report) -> str:
    """The page's text."""
    own = files("benchmarks.report")
    style = own.joinpath("style.css").read_text()
    template = Template(own.joinpath("template.html").read_text())
    rows = deployed(report.runs)
    return template.substitute(
        title=_text(f"Bench of {report.bundle['name']}"),
        style=style,
        toggles=_toggle_rules(report),
        badges=_badges(report),
        verdict=_verdict(report),
        tiles=_tiles(report),
        summary_note=_summary_note(report),
        summary=_summary(report),
        more=_more(report),
        gait_note=_gait_note(report),
        legend=_legend(report, rows),
        gait=_gait(report),
        error_note="RMSE against the reference moments. Rest the pointer on a dot to read its value.",
        keys=_keys(report.runs, report),
        errors=_figures(report_plots.error_by_joint(report)),
        increase_note=_increase_note(report),
        increases=_figures(report_plots.increase_by_task(report, rows)),
        latency_note=_latency_note(report),
        latency=_figures(report_plots.latencies(report)),
        devices=_devices(report),
        how=_how(report),
        command=_text(report.command),
        footer=f"edgetool {__version__}. The same figures for machines: <code>edgetool bench --json FILE</code>.",
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _series(report: Report, run: Run) -> str:
    return report_plots.series_class(report.runs.index(run))


def _figures(plots: Iterable[str]) -> str:
    return "".join(f"<figure>{plot}</figure>" for plot in plots)


def _badges(report: Report) -> str:
    data, budgets = report.data, report.budgets
    badges = [f'<span class="badge kind">{_text(KIND_NAMES[data.kind])}</span>']
    badges.append(f'<span class="badge">{_text(data.part)} part of {_text(data.source)}</span>')
    if budgets.broken:
        badges.append('<span class="badge broken">budget broken</span>')
    elif budgets.max_rmse_increase_pct is not None or budgets.max_p99_us is not None:
        badges.append('<span class="badge kept">budgets kept</span>')
    return "".join(badges)


def _verdict(report: Report) -> str:
    base = report.baseline.accuracy.overall
    words = [
        f"The float model estimates joint moments with an RMSE of {number(base.rmse, 4)} Nm/kg (R² {number(base.r2, 3)})."
    ]
    rows = deployed(report.runs)
    if rows:
        worst = max(rows, key=lambda run: run.accuracy.overall.rmse_increase_pct)
        scores = worst.accuracy.overall
        words.append(
            f"As deployed its RMSE changes by {signed(scores.rmse_increase_pct)} % and its output differs from the float "
            f"output by {number(scores.error_vs_float_pct, 2)} % of the moments’ standard deviation "
            f"({_text(row_name(worst))}, the least accurate of {len(rows)} deployed "
            f"row{'s' if len(rows) > 1 else ''})."
        )
    words += [f"<strong>Budget broken:</strong> {_text(one)}." for one in report.budgets.broken]
    return " ".join(words)


def _tiles(report: Report) -> str:
    rows = deployed(report.runs) or [report.baseline]
    run = rows[0]
    scores, latency = run.accuracy.overall, run.measured.latency
    tiles = [
        (f"{signed(scores.rmse_increase_pct)} %", f"RMSE of {row_name(run)} against float"),
        (number(scores.r2, 3), f"R² of {row_name(run)}, all joints"),
    ]
    if latency:
        tiles.append(
            (
                f"{microseconds(latency.p99_us)} µs",
                f"p99 latency of {row_name(run)}, {share(latency.p99_share_pct)} of a sample period",
            )
        )
    of_float = 100 * run.measured.size.model_bytes / report.baseline.measured.size.model_bytes
    tiles.append(
        (
            f"{run.measured.size.model_bytes / 1000:.0f} kB",
            f"model file, {of_float:.0f} % of the float weights",
        )
    )
    return "".join(f'<div class="tile"><b>{_text(a)}</b><span>{_text(b)}</span></div>' for a, b in tiles)


def _summary_note(report: Report) -> str:
    around = report.baseline.accuracy.overall.rmse_interval
    note = f"{len(report.data.windows):,} windows of {report.data.available:,}, the same for every row. Moments in Nm/kg."
    if around:
        level = f"{100 * around.level:.0f} %"
        note += f" Small figures: {level} bootstrap interval over {around.units} {around.over}."
    if any(run.from_window for run in report.runs):
        note += " An int8 stream is compared with the float stream, all else with the float model on windows."
    return note


def _summary(report: Report) -> str:
    head = (
        "row", "RMSE", "R²", "RMSE against<br>float", "error against<br>float", "p50 µs", "p99 µs",
        "p99 of<br>period", "model kB", "arena kB",
    )  # fmt: skip
    return _table(head, [_summary_row(report, run) for run in report.runs])


def _summary_row(report: Report, run: Run) -> list[str]:
    scores, measured = run.accuracy.overall, run.measured
    time, size = measured.latency, measured.size
    broken = {one.budget for one in report.budgets.broken if one.row == f"{measured.target} {measured.name}"}
    increase, error = "baseline", ""
    if not measured.is_baseline:
        increase = f"{signed(scores.rmse_increase_pct)} %<br><small>{_range(run)}</small>"
        error = f"{number(scores.error_vs_float_pct, 2)} %"
    return [
        _named(report, run),
        f"{number(scores.rmse, 4)}<br><small>{interval(scores.rmse_interval, 3)}</small>",
        number(scores.r2, 3),
        _marked(increase, "rmse_increase_pct" in broken),
        error,
        microseconds(time.p50_us) if time else "-",
        _marked(microseconds(time.p99_us) if time else "-", "p99_us" in broken),
        share(time.p99_share_pct) if time else "-",
        f"{size.model_bytes / 1000:.1f}",
        f"{size.arena_bytes / 1000:.1f}" if size.arena_bytes else "",
    ]


def _more(report: Report) -> str:
    joints = [short_joint(joint) for joint in report.data.joints]
    head = ["row", "nRMSE", "r", "peak error", "largest error", "p90 µs", "max µs", "calls"]
    head += [f"R² {joint}" for joint in joints]
    rows = []
    for run in report.runs:
        scores, time = run.accuracy.overall, run.measured.latency
        cells = [_named(report, run), f"{number(scores.nrmse_pct, 1)} %", number(scores.r, 3)]
        cells += [number(scores.peak_error, 3), number(scores.max_error, 3)]
        cells += [microseconds(time.p90_us), microseconds(time.max_us), f"{time.n:,}"] if time else ["-"] * 3
        cells += [number(run.accuracy.per_joint[joint].r2, 3) for joint in report.data.joints]
        rows.append(cells)
    return _table(head, rows)


def _devices(report: Report) -> str:
    """The section of devices, or nothing."""
    if not report.devices:
        return ""
    accuracy = _table(
        report_devices.ACCURACY_HEAD, [[_text(c) for c in r] for r in report_devices.accuracy_rows(report)]
    )
    memory = _table(
        report_devices.MEMORY_HEAD, [[_text(c) for c in r] for r in report_devices.memory_rows(report)]
    )
    notes = " ".join(report_devices.notes(report))
    return (
        f'<section id="devices"><h2>On devices</h2><p class="soft">{_text(notes)}</p>'
        f'<div class="wide">{accuracy}</div><div class="wide">{memory}</div></section>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    heading = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"


def _named(report: Report, run: Run) -> str:
    return f'<span class="key {_series(report, run)}"></span>{_text(row_name(run))}'


def _marked(cell: str, broken: bool) -> str:
    return f'<span class="over">{cell}</span>' if broken else cell


def _range(run: Run) -> str:
    around = run.accuracy.overall.rmse_increase_interval
    return f"{signed(around.low)} to {signed(around.high)}" if around else "-"


def _toggle_rules(report: Report) -> str:
    """A row's curve hides when its box in the legend is not ticked; no script is needed."""
    return "\n".join(
        f"#gait:has(#show-{i}:not(:checked)) .gait .row{i} {{ display: none; }}"
        for i in range(len(report.runs))
    )


def _legend(report: Report, rows: list[Run]) -> str:
    ticked = {report.runs.index(run) for run in [report.baseline, *rows[:1]]}
    parts = ['<span><span class="key ref"></span>reference, mean and one standard deviation</span>']
    for place, run in enumerate(report.runs):
        mark = " checked" if place in ticked else ""
        parts.append(
            f'<label><input type="checkbox" id="show-{place}"{mark}><span class="key {_series(report, run)}"></span>'
            f"{_text(row_name(run))}</label>"
        )
    return "".join(parts)


def _keys(runs: Iterable[Run], report: Report) -> str:
    return "".join(
        f'<span><span class="key {_series(report, run)}"></span>{_text(row_name(run))}</span>' for run in runs
    )


def _gait_note(report: Report) -> str:
    cycles = report.data.units.whole_cycles
    if not cycles:
        return "The recordings carry no heel strikes, so there are no gait cycles to draw."
    return (
        f"Means over {cycles} whole gait cycles, from heel strike to heel strike. "
        "Tick a row to draw it; the vertical scale of a joint is the same in every task."
    )


def _gait(report: Report) -> str:
    return "".join(
        f'<h3>{_text(task)}</h3><div class="grid">{_figures(panels)}</div>'
        for task, panels in report_plots.gait_cycles(report).items()
        if panels
    )


def _increase_note(report: Report) -> str:
    return (
        "How much the RMSE grows against the float model on the same windows; lines are 95 % intervals of the paired "
        "difference. Below zero, rounding happened to help."
    )


def _latency_note(report: Report) -> str:
    times = [run.measured.latency for run in report.runs if run.measured.latency]
    if not times:
        return "No latency was measured."
    note = (
        f"Measured here, {report.threads} thread{'s' if report.threads > 1 else ''}, after warm-up, engines taking turns, "
        f"single calls from Python; a sample comes every {times[0].sample_period_us:,.0f} µs."
    )
    if any(not run.measured.judged_latency for run in report.runs):
        note += " TensorFlow Lite Micro is run for its integers: its time on this machine says nothing about a microcontroller."
    return note


def _basis(run: Run) -> str:
    """What a row is compared with, where that is not the float model on windows."""
    if run.from_window is None:
        return ""
    return (
        f" Compared with {run.compared_with}, which carries its state too; against float windows its RMSE changes by "
        f"{signed(run.from_window.rmse_increase_pct)} % and its output by {number(run.from_window.error_vs_float_pct, 2)} %."
    )


def _how(report: Report) -> str:
    data = report.data
    kind = {
        "synthetic": "Synthetic gait: generated, no person walked. Errors on people will differ.",
        "virtual-imu": "Measured gait with a virtual IMU: inertial signals are computed from measured joint angles.",
        "measured": "Measured signals and reference moments.",
    }[data.kind]
    entries = [
        (
            "data",
            f"{kind} {len(data.people)} people, tasks {', '.join(sorted(set(data.task)))}, {data.part} part.",
        ),
        ("contract", f"{data.contract.hash[:16]}…"),
        ("bundle", ", ".join(f"{g['file']} {g['sha256'][:16]}…" for g in report.bundle.get("graphs", []))),
        (
            "machine",
            f"{report.machine['processor']}, {report.machine['architecture']}, Python {report.machine['python']}",
        ),
    ]
    for run in (*report.runs, *report.devices):
        measured = run.measured
        label = measured.latency.label if measured.latency else "not timed"
        entries.append(
            (row_name(run), f"{measured.how}; version {measured.version}; latency {label}.{_basis(run)}")
        )
    entries += [(f"{s.engine} {s.scheme} {s.graph}", f"Not run: {s.reason}") for s in report.skipped]
    entries += [
        ("RMSE", "Root of the mean squared error over all windows and joints."),
        ("nRMSE", "RMSE over the range of the reference, mean of the joints."),
        ("peak error", "Mean absolute difference of each gait cycle’s largest moment."),
        ("RMSE against float", "100 × (RMSE / RMSE of the float model − 1)."),
        (
            "error against float",
            "RMS difference from the float model over the standard deviation of the reference.",
        ),
        ("interval", f"Percentile bootstrap, 2,000 resamples, seed {report.seed}; increases are paired."),
        ("latency", "Nearest-rank percentiles of single calls: each is a time that occurred."),
    ]
    return "".join(f"<dt>{_text(a)}</dt><dd>{_text(b)}</dd>" for a, b in entries)
