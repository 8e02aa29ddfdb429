"""What fewer sensors cost, as rows of text and a page."""

from __future__ import annotations

from benchmarks.learning.reduce import Reduction
from benchmarks.report.page import Page, Section, render, table
from benchmarks.report.svg import Panel
from benchmarks.report.text import KIND_NAMES, count, short_joint
from toolkit.model.config import STREAMS

NOTE = (
    "RMSE in Nm/kg, mean over people not seen in training, by joint, the worst person. kB/s: samples on the radio, 16 bits "
    "each. * no choice with as many sensors or fewer has a smaller RMSE."
)


def head(reduction: Reduction) -> list[str]:
    """Names of the columns."""
    joints = [f">{short_joint(name).split()[0]}" for name in reduction.outputs]
    return ["sensors", ">RMSE", *joints, ">worst", ">kB/s", ">flash", ">RAM", ">instr."]


def order(reduction: Reduction) -> str:
    """Which sensors the numbers of the table stand for."""
    parts = []
    for stream in STREAMS:
        names = [group.name for group in reduction.choices[0].kept if group.stream == stream]
        if names:
            parts.append(f"{stream.upper()}: {', '.join(names)}")
    return f"Best first: {'; '.join(parts)}."


def exactness(reduction: Reduction) -> str:
    """Whether the emulated core gave the integer reference's outputs, of all choices together; empty if none ran there."""
    costs = [one.device for one in reduction.choices if one.device is not None]
    if not costs:
        return ""
    differing, compared = (sum(getattr(cost, name) for cost in costs) for name in ("differing", "compared"))
    return (
        f"On {costs[0].core}, emulated, {differing:,} of {compared:,} outputs of the {len(costs)} models differ from the "
        "integer reference."
    )


def rows(reduction: Reduction) -> list[list[str]]:
    """One row a choice, from all sensors down."""
    return [
        [
            one.text,
            f"{one.result.rmse_all.mean():.3f}{'*' if one.pareto else ''}",
            *(f"{value:.3f}" for value in one.result.rmse.mean(axis=0)),
            f"{one.result.rmse_all.max():.3f}",
            f"{one.radio_kb_s:.1f}",
            *(
                ["-", "-", "-"]
                if one.device is None
                else [
                    f"{one.device.flash_bytes / 1000:.0f} k",
                    f"{one.device.ram_bytes / 1000:.0f} k",
                    count(one.device.instructions),
                ]
            ),
        ]
        for one in reduction.choices
    ]


def page(reduction: Reduction, command: str) -> str:
    """The page's HTML."""
    top = max(float(one.result.rmse_all.max()) for one in reduction.choices) * 1.08
    most = max(len(one.kept) for one in reduction.choices)
    panel = Panel(680, 260, (0, most + 1), (0, top), describe="RMSE over the number of sensors")
    panel.axes("sensors", "RMSE, Nm/kg")
    for one in reduction.choices:
        for person, value in zip(one.result.people, one.result.rmse_all):
            panel.dot(len(one.kept), float(value), "ref", f"{person}: {value:.4f}", 2)
        mean = float(one.result.rmse_all.mean())
        panel.dot(len(one.kept), mean, "s0" if one.pareto else "s2", f"{one.text}: {mean:.4f}", 5)
    told = [text for text in (order(reduction), exactness(reduction)) if text]
    kinds = ", ".join(KIND_NAMES[kind] for kind in reduction.kinds)
    plain = [name.removeprefix(">") for name in head(reduction)]
    sections = [
        Section(
            "Sensors and error",
            NOTE,
            tables=[table(plain, rows(reduction))],
            panels=[panel],
            legend=[("s0", "no better choice with so few"), ("s2", "beaten"), ("ref", "a person")],
        )
    ]
    return render(Page("What fewer sensors cost", kinds, told, [], sections, command))
