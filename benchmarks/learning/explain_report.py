"""An explanation as rows of text and a page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.explain import ARTEFACT, BINS, PERMUTATION, QUARTERS, SHAPLEY, Explanation, to_json
from benchmarks.report.html import Table
from benchmarks.report.page import Page, Section, render, table
from benchmarks.report.svg import Panel
from benchmarks.report.text import KIND_NAMES, short_joint

Float = NDArray[np.float64]

NOTE = (
    "Shares in percent, mean over people. permuted: of the rise of the squared error when a sensor's windows come from other "
    "times, its 95 % interval over people, then by joint. Shapley: of the mean absolute Shapley value."
)


def head(explanation: Explanation) -> list[str]:
    """Names of the columns."""
    joints = [f">{short_joint(name).split()[0]}" for name in explanation.outputs]
    return ["sensor", "stream", ">permuted", ">interval", *joints, ">Shapley"]


def rows(explanation: Explanation) -> list[list[str]]:
    """One row a sensor, the largest share first."""
    permuted, values = explanation.mean(PERMUTATION), explanation.mean(SHAPLEY)
    result = []
    for place in explanation.order:
        around = explanation.interval(PERMUTATION, place)
        result.append(
            [
                explanation.groups[place].name,
                explanation.groups[place].stream,
                _percent(np.nanmean(permuted[place])),
                "-" if around is None else f"{100 * around[0]:.1f} to {100 * around[1]:.1f}",
                *map(_percent, permuted[place]),
                _percent(np.nanmean(values[place])),
            ]
        )
    return result


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if np.isfinite(value) else "-"


def sentences(explanation: Explanation) -> list[str]:
    """Streams, agreement of the methods, and whether integrated gradients can be trusted."""
    document = to_json(explanation)
    ratios = document["rmse_ratio_without_stream"]
    parts = [
        f"{stream.upper()} " + ", ".join(
            f"{short_joint(name).split()[0]} {value:.1f}" for name, value in zip(explanation.outputs, ratios[stream])
        )
        for stream in ratios
    ]  # fmt: skip
    found = [value for value in explanation.agreement.values() if value is not None]
    lines = [f"RMSE grows by these factors with a whole stream permuted: {'; '.join(parts)}."]
    if found:
        lines.append(
            f"Rank agreement of the two methods (Spearman): {min(found):.2f} to {max(found):.2f} over joints."
        )
    first = float(np.mean([person.first_step for person in explanation.people]))
    text = f"Integrated gradients at the first time step: {first:.1f} times an even spread"
    text += (
        ": an artefact of the window's beginning; do not trust their shares over time."
        if first > ARTEFACT
        else "; they do not pile up there."
    )
    return [*lines, text]


def page(explanation: Explanation, command: str) -> str:
    """The page's HTML."""
    kinds = ", ".join(KIND_NAMES[kind] for kind in explanation.kinds)
    plain = [name.removeprefix(">") for name in head(explanation)]
    sections = [
        Section(
            "Share of each sensor",
            NOTE,
            tables=[table(plain, rows(explanation))],
            panels=[_bars(explanation)],
        ),
        Section(
            "By task",
            "Permutation shares in percent, mean over people and joints.",
            tables=[_tasks(explanation)],
        ),
        Section(
            "By part of the gait cycle",
            "Permutation shares in percent, mean over people and joints; windows by where their newest sample lies.",
            tables=[_quarters(explanation)],
        ),
        Section(
            "Attention over the gait cycle",
            "Mean attention weight over the window's samples (now at the right) at each part of the gait cycle; darker is "
            "more. Weights say where a model looks, not what its estimate rests on.",
            panels=[_attention(explanation, stream) for stream in explanation.people[0].attention],
        ),
    ]
    people = f"{len(explanation.people)} people not seen in training"
    return render(
        Page("What the estimates rest on", kinds, sentences(explanation), [], sections, command, [people])
    )


def _bars(explanation: Explanation) -> Panel:
    order = explanation.order
    values = np.nanmean(explanation.mean(PERMUTATION), axis=1)
    top = 100 * max(
        0.01, *(float(np.nanmax([np.nanmean(p.shares[PERMUTATION], axis=1) for p in explanation.people])),)
    )
    panel = Panel(
        680, 60 + 22 * len(order), (0, top * 1.05), (len(order) - 0.4, -0.6),
        describe="share of each sensor, one dot per person", margins=(8, 10, 34, 120),
    )  # fmt: skip
    panel.axes("share, %", y_ticks=False)
    for row, place in enumerate(order):
        style = "s0" if explanation.groups[place].stream == "imu" else "s2"
        panel.text(panel.x.start - 8, panel.y(row) + 4, explanation.groups[place].name, "tick end")
        around = explanation.interval(PERMUTATION, place)
        if around is not None:
            panel.whisker(100 * around[0], 100 * around[1], row, style)
        for person in explanation.people:
            one = 100 * float(np.nanmean(person.shares[PERMUTATION][place]))
            panel.dot(one, row, style, f"{person.name}: {one:.1f} %", 2)
        panel.dot(100 * float(values[place]), row, style, f"mean: {100 * values[place]:.1f} %", 4)
    return panel


def _tasks(explanation: Explanation) -> Table:
    by_task = to_json(explanation)["by_task"]
    return _shares(explanation, {task: np.array(values, np.float64) for task, values in by_task.items()})


def _quarters(explanation: Explanation) -> Table:
    values = to_json(explanation)["by_quarter_of_the_gait_cycle"]
    return _shares(explanation, {n: np.array(v, np.float64) for n, v in zip(QUARTERS, values)})


def _shares(explanation: Explanation, columns: dict[str, Float]) -> Table:
    def cell(values: Float) -> str:
        known = values[np.isfinite(values)]
        return _percent(float(known.mean())) if len(known) else "-"

    return table(
        ("sensor", *columns),
        [
            [explanation.groups[place].name, *(cell(values[place]) for values in columns.values())]
            for place in explanation.order
        ],
    )


def _attention(explanation: Explanation, stream: str) -> Panel:
    stack = np.stack([person.attention[stream] for person in explanation.people])
    known = np.isfinite(stack)
    mean = np.where(known, stack, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    asked = explanation.people[0].attention
    other = next((one for one in asked if one != stream), stream).upper()
    panel = Panel(
        340,
        240,
        (-1000 * explanation.window_s, 0),
        (0, 100),
        describe=f"attention of {stream} to {other} over the gait cycle",
    )
    steps = mean.shape[1]
    edges = np.linspace(-1000 * explanation.window_s, 0, steps + 1)
    top = float(mean.max()) or 1.0
    for row in range(BINS):
        for step in range(steps):
            strength = mean[row, step] / top
            if strength > 0.02:
                panel.cell(
                    (float(edges[step]), float(edges[step + 1])),
                    (100.0 * row / BINS, 100.0 * (row + 1) / BINS),
                    "s0",
                    float(strength),
                )
    panel.axes("before now, ms", "gait cycle, %")
    panel.text(panel.x.start + 4, panel.y.stop + 10, f"{stream.upper()} asks {other}", "heading")
    return panel
