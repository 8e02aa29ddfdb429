"""A learning curve over strides as rows of text, JSON and a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.learning.compare_report import p_text
from benchmarks.learning.transfer import ADAPTED, GENERAL, INDIVIDUAL, METHODS, Transfer
from benchmarks.report.page import Page, Section, render, table
from benchmarks.report.svg import Panel
from benchmarks.report.text import KIND_NAMES, short_joint

NOTE = (
    "RMSE in Nm/kg, mean over people, on strides that nobody learnt from. general: the checkpoint as it is. adapted: to so "
    "many strides. individual: a network of the same sizes that learnt from those strides alone. left alone: for how many "
    "people nothing was changed, because their strides did not show that it would gain."
)
GAIN_NOTE = (
    "gain: general less adapted, mean over people with its 95 % interval (bootstrap over people). p: Wilcoxon's signed rank "
    "over people. least: the person whom adapting helped least, in percent of that person's general RMSE (+ is worse)."
)
HEAD = [">strides", ">people", ">general", ">adapted", ">individual", ">left alone"]
GAIN_HEAD = [">strides", ">gain", "95 % interval", ">p", ">least", "person"]


def worst(transfer: Transfer, place: int) -> tuple[str, float]:
    """Whom adapting helped least, and by how many percent the error rose (negative: it fell)."""
    change = 100 * (transfer.rmse[ADAPTED][:, place] / transfer.rmse[GENERAL][:, place] - 1)
    index = int(np.nanargmax(change))
    return transfer.people[index], float(change[index])


def rows(transfer: Transfer) -> list[list[str]]:
    """RMSE of each method, one row a number of strides."""
    result = []
    for place, number in enumerate(transfer.numbers):
        known = np.isfinite(transfer.rmse[ADAPTED][:, place])
        alone = sum(values[place] == "none" for values in transfer.policies.values())
        means = [f"{np.mean(transfer.rmse[method][known, place]):.4f}" for method in METHODS]
        result.append([f"{number}", f"{known.sum()}", *means, f"{alone}"])
    return result


def gain_rows(transfer: Transfer) -> list[list[str]]:
    """What adapting gained, one row a number of strides."""
    result = []
    for place, number in enumerate(transfer.numbers):
        gains, interval, p = transfer.gain(number)
        name, change = worst(transfer, place)
        between = "-" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"
        result.append([f"{number}", f"{gains.mean():+.4f}", between, p_text(p), f"{change:+.1f} %", name])
    return result


def sentences(transfer: Transfer) -> list[str]:
    """What the most strides gained, and for whom least."""
    lines = []
    for number, place in ((transfer.numbers[-1], len(transfer.numbers) - 1),):
        gains, interval, _ = transfer.gain(number)
        general = float(np.nanmean(transfer.rmse[GENERAL][:, place]))
        text = f"{number} strides lower the mean RMSE by {100 * gains.mean() / general:.1f} %"
        if interval is None:
            text += "; with fewer than five people there is no interval."
        elif interval[0] > 0:
            text += ", and the interval over people excludes zero."
        else:
            text += ", but the interval over people includes zero."
        lines.append(text)
    people = {name: max(_changes(transfer, index)) for index, name in enumerate(transfer.people)}
    name = max(people, key=lambda one: people[one])
    lines.append(
        f"Over all numbers of strides, {name} fares worst: {people[name]:+.1f} % against the general model."
    )
    return lines


def _changes(transfer: Transfer, person: int) -> list[float]:
    change = 100 * (transfer.rmse[ADAPTED][person] / transfer.rmse[GENERAL][person] - 1)
    return [float(v) for v in change[np.isfinite(change)]]


def to_json(transfer: Transfer) -> dict[str, Any]:
    """Every figure, plain JSON."""

    def plain(values: Any) -> list[Any]:
        return [[None if v != v else float(v) for v in row] for row in values]

    return {
        "schema": 1,
        "policy": transfer.policy,
        "kinds": list(transfer.kinds),
        "people": list(transfer.people),
        "strides": list(transfer.numbers),
        "rmse": {method: plain(values) for method, values in transfer.rmse.items()},
        "by_joint": {
            joint: {method: plain(values) for method, values in methods.items()}
            for joint, methods in transfer.by_joint.items()
        },
        "policies": {person: list(values) for person, values in transfer.policies.items()},
        "gain": {
            str(number): {
                "mean": float(gains.mean()),
                "interval": None if interval is None else list(interval),
                "p": p,
                "worst_person": worst(transfer, place)[0],
                "worst_change_pct": worst(transfer, place)[1],
            }
            for place, number in enumerate(transfer.numbers)
            for gains, interval, p in [transfer.gain(number)]
        },
    }


def page(transfer: Transfer, command: str) -> str:
    """The page's HTML."""
    styles = {GENERAL: "ref", ADAPTED: "s0", INDIVIDUAL: "s2"}
    tables = [
        table([name.removeprefix(">") for name in head], values)
        for head, values in ((HEAD, rows(transfer)), (GAIN_HEAD, gain_rows(transfer)))
    ]
    people = [
        [person, *(f"{g:.4f} to {a:.4f} ({p})" if g == g else "-" for g, a, p in zip(
            transfer.rmse[GENERAL][i], transfer.rmse[ADAPTED][i], transfer.policies[person]))]
        for i, person in enumerate(transfer.people)
    ]  # fmt: skip
    sections = [
        Section("Learning curve", f"{NOTE} {GAIN_NOTE}", tables=tables),
        Section(
            "Over strides",
            "Mean over people; the thin lines are people, adapted.",
            panels=[_panel(transfer, joint) for joint in ("all", *transfer.by_joint)],
            legend=[(styles[method], method) for method in METHODS],
        ),
        Section(
            "Each person",
            "RMSE general to adapted, and what was adapted.",
            tables=[table(("person", *map(str, transfer.numbers)), people)],
        ),
    ]
    kinds = ", ".join(KIND_NAMES[kind] for kind in transfer.kinds)
    return render(
        Page("Adapting to a person", kinds, sentences(transfer), [], sections, command, [transfer.policy])
    )


def _panel(transfer: Transfer, joint: str) -> Panel:
    values = transfer.rmse if joint == "all" else transfer.by_joint[joint]
    means = {method: np.nanmean(values[method], axis=0) for method in METHODS}
    top = 1.08 * max(float(np.max(one)) for one in means.values())
    numbers = np.array(transfer.numbers, np.float64)
    title = "all" if joint == "all" else short_joint(joint)
    panel = Panel(
        340,
        220,
        (float(numbers[0]) * 0.9, float(numbers[-1]) * 1.1),
        (0.0, top),
        describe=f"RMSE over strides, {title}",
        log_x=True,
    )
    panel.axes("strides", "RMSE, Nm/kg")
    for method, style in ((GENERAL, "ref"), (INDIVIDUAL, "s2"), (ADAPTED, "s0")):
        panel.line(numbers, means[method], style)
    for person, line in zip(transfer.people, values[ADAPTED]):
        for number, value in zip(numbers, line):
            if value == value and value <= top:
                panel.dot(float(number), float(value), "s0", f"{person}: {value:.4f}", 2)
    panel.text(panel.x.start + 4, panel.y.stop + 10, title, "heading")
    return panel
