"""The page of a comparison: tables, paired differences by person, mean ranks, curves over the gait cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.compare import Comparison
from benchmarks.learning.compare_report import (
    ACCURACY_NOTE,
    AGAINST_NOTE,
    COST_NOTE,
    accuracy_head,
    accuracy_rows,
    against_head,
    against_rows,
    cost_head,
    cost_rows,
    device_head,
    device_note,
    device_rows,
    p_text,
    sentences,
    title,
)
from benchmarks.learning.results import POINTS
from benchmarks.report.html import Table
from benchmarks.report.page import Page, Section, render, table
from benchmarks.report.plots import series_class
from benchmarks.report.svg import Panel
from benchmarks.report.text import KIND_NAMES, short_joint

Float = NDArray[np.float64]
_ROW = 30
#: Where in its row a mean lies, below the dots of people.
_BELOW = 0.28


def page(comparison: Comparison, command: str) -> str:
    """The page's HTML."""
    best = comparison.models[0]
    kinds = ", ".join(KIND_NAMES[kind] for kind in comparison.kinds)
    sections = [
        Section(
            "Accuracy", ACCURACY_NOTE, tables=[_table(accuracy_head(comparison), accuracy_rows(comparison))]
        ),
        Section(
            "What each needs and withstands",
            COST_NOTE,
            tables=[_table(cost_head(comparison), cost_rows(comparison))],
        ),
        *_devices(comparison),
        Section(
            "Each person, against the first model",
            f"RMSE less that of {title(comparison.reference)}, Nm/kg: one dot per person; below them the mean and, with five "
            f"people or more, its 95 % interval. Left of zero is better. {AGAINST_NOTE}",
            panels=[_paired(comparison)],
            tables=[_table(against_head(comparison), against_rows(comparison))],
        ),
        Section("Mean ranks", _rank_note(comparison), panels=[_ranks(comparison)]),
        Section(
            "Over the gait cycle",
            "Mean over people of the reference (band: standard deviation between people) and of the estimates: of the first "
            "model asked for, of the best of the others, and of the worst.",
            panels=_curves(comparison),
            legend=_legend(comparison, _drawn(comparison)),
        ),
        Section(
            "Error over the gait cycle",
            "Root-mean-square error at each percent of the cycle, mean over people, of the same models; the band is the "
            "standard deviation between people of the first model's.",
            panels=_errors(comparison),
            legend=_legend(comparison, _drawn(comparison))[1:],
        ),
        Section(
            "Where over the gait cycle errors differ",
            "Cluster permutation test of each person's RMS error at each percent of the cycle, sign flips of whole people; "
            "clusters below 5 % after the test's own correction over the cycle. It is not corrected over models and joints.",
            tables=[_clusters(comparison)],
        ),
        Section("By task", "RMSE in Nm/kg, mean over people and joints.", tables=[_tasks(comparison)]),
        Section("All scores", "Mean over people of each joint's score.", tables=[_scores(comparison)]),
    ]
    tiles = [
        (title(best.name), f"smallest mean RMSE, {best.rmse_all.mean():.4f} Nm/kg"),
        (f"{len(comparison.people)}", "people, none of them in the training of their fold"
         if comparison.split != "chronological" else "people, the last part of each recording"),
    ]  # fmt: skip
    return render(
        Page(
            "Comparison of models", kinds, sentences(comparison), tiles, sections, command, [comparison.split]
        )
    )


def _devices(comparison: Comparison) -> list[Section]:
    """What networks cost, where a core was asked for."""
    found = device_rows(comparison)
    if not found:
        return []
    return [Section("On a device", device_note(comparison), tables=[_table(device_head(), found)])]


def _table(head: list[str], rows: list[list[str]]) -> Table:
    return table([name.removeprefix(">") for name in head], rows)


def _legend(comparison: Comparison, places: Iterable[int]) -> list[tuple[str, str]]:
    names = [title(model.name) for model in comparison.models]
    return [("ref", "reference"), *((series_class(place), names[place]) for place in places)]


def _drawn(comparison: Comparison) -> list[int]:
    """Places of the models whose estimates are drawn: ten curves that lie on each other show nothing."""
    names = [model.name for model in comparison.models]
    first = names.index(comparison.reference)
    others = [place for place in range(len(names)) if place != first]
    return sorted({first, *others[:1], *others[-1:]})


def _paired(comparison: Comparison) -> Panel:
    by_name = {model.name: model for model in comparison.models}
    first = by_name[comparison.reference].rmse_all
    others = [model for model in comparison.models if model.name != comparison.reference]
    differences = [model.rmse_all - first for model in others]
    low, high = (float(f([0.0, *(f(d) for d in differences)])) for f in (np.min, np.max))
    margin = max(1e-3, 0.05 * (high - low))
    rows = max(1, len(others))
    panel = Panel(
        680,
        60 + _ROW * rows,
        (low - margin, high + margin),
        (rows - 0.4, -0.6),
        describe="differences of RMSE from the first model, one dot per person",
        margins=(8, 10, 34, 120),
    )
    panel.axes("difference of RMSE, Nm/kg", y_ticks=False)
    panel.rule(0.0, "zero")
    for row, (model, difference) in enumerate(zip(others, differences)):
        style = series_class(comparison.models.index(model))
        panel.text(panel.x.start - 8, panel.y(row) + 4, title(model.name), "tick end")
        interval = comparison.against[model.name].interval
        if interval is not None:
            panel.whisker(*interval, row + _BELOW, style)
        panel.dot(float(difference.mean()), row + _BELOW, style, f"mean: {difference.mean():+.4f}", 4)
        for person, value in zip(model.people, difference):
            panel.dot(float(value), row, style, f"{person}: {value:+.4f}", 2.5)
    return panel


def _rank_note(comparison: Comparison) -> str:
    note = "Mean rank of each model's RMSE over people; 1 is best."
    if comparison.critical_difference is None:
        return note + " With fewer than six people, no critical difference is given."
    return (
        note
        + f" Models that differ by less than the critical difference, {comparison.critical_difference:.2f} "
        "(the length of the bar), cannot be told apart at 5 % (Nemenyi)."
    )


def _ranks(comparison: Comparison) -> Panel:
    order = sorted(comparison.mean_ranks.items(), key=lambda one: one[1])
    panel = Panel(
        680,
        60 + _ROW * len(order),
        (0.5, len(order) + 0.5),
        (len(order) - 0.4, -0.6),
        describe="mean ranks of the models",
        margins=(8, 10, 34, 120),
    )
    panel.axes("mean rank", y_ticks=False)
    names = [model.name for model in comparison.models]
    for row, (name, rank) in enumerate(order):
        style = series_class(names.index(name))
        panel.text(panel.x.start - 8, panel.y(row) + 4, title(name), "tick end")
        if comparison.critical_difference is not None:
            half = comparison.critical_difference / 2
            panel.whisker(max(0.5, rank - half), min(len(order) + 0.5, rank + half), row, style)
        panel.dot(rank, row, style, f"{title(name)}: {rank:.2f}", 4)
    return panel


def _curves(comparison: Comparison) -> list[Panel]:
    reference = comparison.reference_curves
    if not np.isfinite(reference).any():
        return []
    panels = []
    percent = np.linspace(0.0, 100.0, POINTS)
    for joint, name in enumerate(comparison.outputs):
        middle, spread = _over_people(reference[:, :, joint])
        lines = {
            place: _over_people(comparison.models[place].curves[:, :, joint])[0]
            for place in _drawn(comparison)
        }
        whole = np.concatenate([middle - spread, middle + spread, *lines.values()])
        low, high = float(np.nanmin(whole)), float(np.nanmax(whole))
        margin = 0.05 * (high - low) or 0.1
        panel = Panel(
            340,
            210,
            (0, 100),
            (low - margin, high + margin),
            describe=f"{short_joint(name)} over the gait cycle",
        )
        panel.axes("gait cycle, %", "Nm/kg")
        known = np.isfinite(middle)
        panel.band(percent[known], (middle - spread)[known], (middle + spread)[known], "ref")
        panel.line(percent[known], middle[known], "ref")
        _lines(panel, percent, lines, name)
        panels.append(panel)
    return panels


def _errors(comparison: Comparison) -> list[Panel]:
    """One panel a joint: error at each percent of the cycle."""
    first = [model.name for model in comparison.models].index(comparison.reference)
    percent = np.linspace(0.0, 100.0, POINTS)
    panels = []
    for joint, name in enumerate(comparison.outputs):
        found = {
            place: _over_people(comparison.models[place].error_curves[:, :, joint])
            for place in _drawn(comparison)
        }
        middle, spread = found[first]
        known = np.isfinite(middle)
        if not known.any():
            continue
        top = 1.05 * max(
            float(np.nanmax(middle + spread)), *(float(np.nanmax(line)) for line, _ in found.values())
        )
        panel = Panel(
            340, 240, (0, 100), (0.0, top), describe=f"error of {short_joint(name)} over the gait cycle"
        )
        panel.axes("gait cycle, %", "RMS error, Nm/kg")
        low = np.maximum(middle - spread, 0.0)
        panel.band(percent[known], low[known], (middle + spread)[known], series_class(first))
        _lines(panel, percent, {place: line for place, (line, _) in found.items()}, name)
        panels.append(panel)
    return panels


def _lines(panel: Panel, percent: Float, lines: Mapping[int, Float], joint: str) -> None:
    """The line of each model, by its place, where it is known; and whose joint it is."""
    for place, line in lines.items():
        there = np.isfinite(line)
        if there.any():
            panel.line(percent[there], line[there], series_class(place))
    panel.text(panel.x.start + 4, panel.y.stop + 10, short_joint(joint), "heading")


def _over_people(curves: Float) -> tuple[Float, Float]:
    """Mean and deviation over people, curves (people, points); NaN where nobody is known."""
    known = np.isfinite(curves)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, curves, 0.0)
    mean = filled.sum(axis=0) / count
    deviation = np.sqrt((np.where(known, curves - mean, 0.0) ** 2).sum(axis=0) / count)
    none = ~known.any(axis=0)
    return np.where(none, np.nan, mean), np.where(none, np.nan, deviation)


def _clusters(comparison: Comparison) -> Table:
    rows = []
    for name, against in comparison.against.items():
        for joint, found in against.clusters.items():
            for one in found:
                if one.p < 0.05:
                    word = "larger" if one.mass > 0 else "smaller"
                    rows.append(
                        [
                            title(name),
                            short_joint(joint),
                            f"{one.start} to {one.stop} %",
                            f"{word} than {title(comparison.reference)}'s",
                            p_text(one.p),
                        ]
                    )
    head = ("model", "moment", "gait cycle", "error", "p")
    return table(head, rows or [["none", "", "", "", ""]])


def _tasks(comparison: Comparison) -> Table:
    tasks = list(comparison.models[0].by_task)
    return table(
        ("model", *tasks),
        [
            [
                title(model.name),
                *(
                    f"{np.sqrt(np.mean([(one['rmse'] or 0.0) ** 2 for one in model.by_task[task].values()])):.3f}"
                    for task in tasks
                ),
            ]
            for model in comparison.models
        ],
    )


def _scores(comparison: Comparison) -> Table:
    rows = []
    for model in comparison.models:
        for joint, one in model.by_joint.items():
            shown = [("-" if value is None else f"{value:.{digits}f}") for value, digits in
                     ((one["rmse"], 4), (one["nrmse_pct"], 1), (one["r2"], 3), (one["r"], 3))]  # fmt: skip
            rows.append([title(model.name), short_joint(joint), *shown])
    return table(("model", "moment", "RMSE", "nRMSE %", "R²", "r"), rows)
