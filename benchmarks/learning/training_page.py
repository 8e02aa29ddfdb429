"""The page of a training run: learning curves, scores by joint and by person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.report.html import Table
from benchmarks.report.page import Page, Section, render, table
from benchmarks.report.svg import Panel
from benchmarks.report.text import KIND_NAMES, number, short_joint
from toolkit.learning.train import Trained


def page(trained: Trained, command: str) -> str:
    """The page's HTML."""
    test = trained.metrics["test"]
    config = trained.checkpoint.config
    kinds = ", ".join(KIND_NAMES[kind] for kind in trained.checkpoint.provenance["data"]["kinds"])
    sentences = [
        f"A Cross-LSTM of {config.parameter_count:,} weights. Epoch {trained.best_epoch} of {len(trained.history)} had the "
        "smallest validation loss and was kept. The test part was used once, for the scores below."
    ]
    if trained.rising:
        sentences.append(
            "Validation loss rose after the first epoch: what was learnt since then does not generalise. Try a smaller "
            "learning rate, fewer hidden units, or more people."
        )
    sections = [
        Section(
            "Learning curves",
            "Mean squared error of the standardised moments; guessing the mean gives 1. Train: the weights as they were during "
            "the epoch. Validation: the moving average of the weights after it.",
            panels=[_curves(trained)],
            legend=[("s1", "train"), ("s0", "validation")],
        ),
        Section("Test part, by joint", "Nm/kg.", tables=[_joints(test)]),
    ]
    if len(trained.people) > 1:
        sections.append(Section("Test part, by person", "RMSE in Nm/kg.", tables=[_people(trained)]))
    tiles = [
        (f"{test['rmse']:.4f}", "RMSE on the test part, Nm/kg"),
        (f"{trained.best_epoch}", f"best epoch of {len(trained.history)}"),
    ]
    return render(Page("Training of a Cross-LSTM", kinds, sentences, tiles, sections, command))


def _curves(trained: Trained) -> Panel:
    epochs = np.array([epoch["number"] for epoch in trained.history], np.float64)
    losses = {
        name: np.array([epoch[name] for epoch in trained.history], np.float64)
        for name in ("train_loss", "validation_loss")
    }
    top = max(float(np.max(values)) for values in losses.values())
    panel = Panel(
        680,
        260,
        (1, max(2.0, float(epochs[-1]))),
        (0, top * 1.05),
        describe=f"train and validation loss over {len(epochs)} epochs; the best was {trained.best_epoch}",
    )
    panel.axes("epoch", "loss")
    panel.line(epochs, losses["train_loss"], "s1")
    panel.line(epochs, losses["validation_loss"], "s0")
    for style, name, said in (("s1", "train_loss", "train"), ("s0", "validation_loss", "validation")):
        for epoch, loss in zip(epochs, losses[name]):
            panel.dot(float(epoch), float(loss), style, f"epoch {epoch:.0f}: {said} {loss:.4f}", 2.5)
    panel.rule(float(trained.best_epoch), "mark", "kept")
    return panel


def _joints(test: Mapping[str, Any]) -> Table:
    rows = [
        [short_joint(name), f"{one['rmse']:.4f}", "-" if one["r2"] is None else f"{one['r2']:.3f}"]
        for name, one in test["per_joint"].items()
    ]
    return table(("moment", "RMSE", "R²"), [*rows, ["all", f"{test['rmse']:.4f}", ""]])


def _people(trained: Trained) -> Table:
    joints = trained.checkpoint.config.outputs
    rows = sorted(trained.people.items(), key=lambda one: -one[1]["rmse"])
    return table(
        ("person, worst first", "windows", "all", *map(short_joint, joints)),
        [
            [
                person,
                f"{one['windows']:,}",
                f"{one['rmse']:.4f}",
                *(number(one["per_joint"][joint]["rmse"], 4) for joint in joints),
            ]
            for person, one in rows
        ],
    )
