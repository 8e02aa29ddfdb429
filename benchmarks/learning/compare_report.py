"""A comparison as rows of text, JSON, and one Parquet table."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.learning.compare import Comparison
from benchmarks.learning.results import ModelResult
from benchmarks.report.text import count, short_joint
from toolkit.learning.baselines.table import MODELS, is_network

ACCURACY_NOTE = (
    "RMSE in Nm/kg: mean over people with its 95 % interval (bootstrap over people), standard deviation between people, each "
    "joint, the worst person."
)
AGAINST_NOTE = (
    "diff.: RMSE less that of the first model asked for, mean over people, with its 95 % interval. p: Wilcoxon's signed rank "
    "over people; Holm p: after Holm's correction over the models. better for: of how many people."
)
COST_NOTE = (
    "MACs: of one window. 10° 20° 30°: how much the RMSE rises, on the same windows, with every IMU turned by that angle, "
    "each about an axis of its own."
)
DEVICE_NOTE = (
    "The first fold's networks in int8 on an emulated {core}: bytes of flash and of RAM with stack; instructions of one sample "
    "(graph: stream), or of a whole window where a network has no stream graph; outputs that differ from the integer "
    "reference; RMSE against float."
)


def title(name: str) -> str:
    """What tables call a model."""
    return MODELS[name].title


def accuracy_head(comparison: Comparison) -> list[str]:
    """Names of the columns; those of numbers begin with ``>``."""
    joints = [f">{short_joint(name).split()[0]}" for name in comparison.outputs]
    return ["model", ">RMSE", "95 % interval", ">SD", *joints, ">worst"]


def accuracy_rows(comparison: Comparison) -> list[list[str]]:
    """One row a model, the most accurate first."""
    rows = []
    for model in comparison.models:
        interval = model.interval
        rows.append(
            [
                title(model.name),
                f"{model.rmse_all.mean():.3f}",
                "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
                f"{model.rmse_all.std(ddof=1):.3f}" if len(model.people) > 1 else "-",
                *(f"{value:.3f}" for value in model.rmse.mean(axis=0)),
                f"{model.rmse_all.max():.3f}",
            ]
        )
    return rows


def against_head(comparison: Comparison) -> list[str]:
    """Names of the columns of each model beside the first one asked for."""
    return [
        f"beside {title(comparison.reference)}",
        ">diff.",
        "95 % interval",
        ">p",
        ">Holm p",
        ">better for",
    ]


def against_rows(comparison: Comparison) -> list[list[str]]:
    """One row a model but the first one asked for, the most accurate first."""
    by_name = {model.name: model.rmse_all for model in comparison.models}
    rows = []
    for model in comparison.models:
        if model.name not in comparison.against:
            continue
        one = comparison.against[model.name]
        better = int((model.rmse_all < by_name[comparison.reference]).sum())
        rows.append(
            [
                title(model.name),
                f"{one.difference:+.3f}",
                "-" if one.interval is None else f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
                p_text(one.p),
                p_text(one.p_holm),
                f"{better} of {len(model.people)}",
            ]
        )
    return rows


def p_text(p: float | None) -> str:
    """Three digits; "-" where no test was made."""
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def cost_head(comparison: Comparison) -> list[str]:
    """Names of the columns of what models need and stand."""
    return ["model", ">weights", ">MACs", *(f">{angle}°" for angle in _angles(comparison)), "converts"]


def cost_rows(comparison: Comparison) -> list[list[str]]:
    """One row a model."""
    return [
        [
            title(model.name),
            f"{model.weights:,}" if model.weights is not None else "-",
            count(model.macs) if model.macs is not None else "-",
            *(_rise(model, angle) for angle in _angles(comparison)),
            "yes" if is_network(model.name) else "no",
        ]
        for model in comparison.models
    ]


def _rise(model: ModelResult, angle: int) -> str:
    if angle not in model.rotated or model.upright is None:
        return "-"
    return f"{100 * (model.rotated[angle].mean() / model.upright.mean() - 1):+.0f} %"


def device_head() -> list[str]:
    """Names of the columns of what networks cost on a device."""
    return ["model", ">flash", ">RAM", "graph", ">instructions", ">differing", ">RMSE"]


def device_rows(comparison: Comparison) -> list[list[str]]:
    """One row a network that ran on the emulated core; none where no core was asked for."""
    return [
        [
            title(model.name),
            count(cost.flash_bytes),
            count(cost.ram_bytes),
            cost.graph,
            count(cost.instructions),
            f"{cost.differing} of {cost.compared:,}",
            f"{cost.rmse_increase_pct:+.2f} %",
        ]
        for model in comparison.models
        if (cost := comparison.devices.get(model.name)) is not None
    ]


def device_note(comparison: Comparison) -> str:
    """What the columns mean; empty where no core was asked for."""
    cores = sorted({cost.core for cost in comparison.devices.values()})
    return "".join(DEVICE_NOTE.format(core=core) for core in cores)


def _angles(comparison: Comparison) -> list[int]:
    return sorted({angle for model in comparison.models for angle in model.rotated})


def sentences(comparison: Comparison) -> list[str]:
    """Where the first model stands, in words that hold whichever way it fell."""
    order = [model.name for model in comparison.models]
    first, place = comparison.reference, order.index(comparison.reference) + 1
    people = len(comparison.people)
    means = {model.name: float(model.rmse_all.mean()) for model in comparison.models}
    text = f"{title(first)}: place {place} of {len(order)} with {means[first]:.4f} Nm/kg, mean over {people} "
    text += "person." if people == 1 else f"people; worst for {_worst(comparison)}."
    better = [name for name in order if _significant(comparison, name, -1)]
    worse = [name for name in order if _significant(comparison, name, 1)]
    lines = [text]
    if people < 6:
        lines.append("With fewer than six people, no test is made.")
    elif len(order) > 1:
        lines.append(
            f"At 5 % after Holm's correction, better than it: {_list(better)}; worse: {_list(worse)}; "
            "the rest cannot be told apart."
        )
    return lines


def _worst(comparison: Comparison) -> str:
    """Whom the first model serves worst, and how."""
    (model,) = (model for model in comparison.models if model.name == comparison.reference)
    place = int(np.argmax(model.rmse_all))
    return f"{model.people[place]} with {model.rmse_all[place]:.4f}"


def _significant(comparison: Comparison, name: str, sign: int) -> bool:
    against = comparison.against.get(name)
    return bool(
        against and against.p_holm is not None and against.p_holm < 0.05 and against.difference * sign > 0
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(title(name) for name in names) or "none"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Every figure, plain JSON."""
    return {
        "schema": 1,
        "source": comparison.source,
        "kinds": list(comparison.kinds),
        "split": comparison.split,
        "folds": {fold.name: fold.split.to_json() for fold in comparison.folds},
        "settings": dict(comparison.settings.to_json()),
        "people": list(comparison.people),
        "outputs": list(comparison.outputs),
        "reference": comparison.reference,
        "models": {model.name: _model_json(model) for model in comparison.models},
        "against": {name: asdict(one) for name, one in comparison.against.items()},
        "mean_ranks": dict(comparison.mean_ranks),
        "critical_difference": comparison.critical_difference,
        "devices": {name: cost.to_json() for name, cost in comparison.devices.items()},
    }


def _model_json(model: ModelResult) -> dict[str, Any]:
    interval = model.interval
    return {
        "weights": model.weights,
        "macs": model.macs,
        "seeds": list(model.seeds),
        "rmse": float(model.rmse_all.mean()),
        "rmse_interval": None if interval is None else list(interval),
        "rmse_sd": float(model.rmse_all.std(ddof=1)) if len(model.people) > 1 else None,
        "worst_person": model.people[int(np.argmax(model.rmse_all))],
        "rmse_by_person": dict(zip(model.people, map(float, model.rmse_all))),
        "by_joint": model.by_joint,
        "by_task": model.by_task,
        "rotated": {str(angle): float(values.mean()) for angle, values in model.rotated.items()},
        "upright": None if model.upright is None else float(model.upright.mean()),
    }


def to_parquet(comparison: Comparison) -> bytes:
    """A row for each model, person and joint (``all`` for all together): RMSE in Nm/kg."""
    import pyarrow
    from pyarrow import parquet

    rows: list[Mapping[str, Any]] = []
    for model in comparison.models:
        for place, person in enumerate(model.people):
            values = {"all": model.rmse_all[place], **dict(zip(comparison.outputs, model.rmse[place]))}
            rows += [
                {"model": model.name, "person": person, "joint": joint, "rmse": float(value)}
                for joint, value in values.items()
            ]
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()
