"""The model card: what a checkpoint is, how it was trained and how good it is, from the checkpoint itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.data.splits import PARTS
from toolkit.model.checkpoint import Checkpoint

_WHAT_KIND_MEANS = {
    "synthetic": "Synthetic recordings come from a gait generator, not from people: the figures show that the "
    "pipeline works, not how well the model does on a person.",
    "virtual-imu": "The virtual IMU signals are computed from measured joint angles; no IMU was worn.",
    "measured": "Measured recordings come from sensors worn by people.",
}


def card(checkpoint: Checkpoint, command: str) -> str:
    """A Markdown card of a checkpoint that ``train`` made; ``command`` is the line that makes it again."""
    provenance = checkpoint.provenance
    data, test = provenance["data"], provenance["metrics"]["test"]
    kinds = ", ".join(data["kinds"])
    lines = [
        "# Cross-LSTM checkpoint",
        "",
        f"Estimates {_names(checkpoint)} in Nm/kg from {_inputs(checkpoint)}. {_sizes(checkpoint)}",
        "",
        f"Trained and tested on {kinds} data. " + " ".join(_WHAT_KIND_MEANS[kind] for kind in data["kinds"]),
        "",
        "| moment | test RMSE, Nm/kg | test R2 |",
        "|---|---|---|",
        *(f"| {name} | {v['rmse']:.4f} | {_r2(v['r2'])} |" for name, v in test["per_joint"].items()),
        f"| all | {test['rmse']:.4f} | |",
        *_live(provenance["metrics"]),
        "",
        "## How it was made",
        "",
        f"    {command}",
        "",
        *_training(checkpoint),
        "",
        "## Use and limits",
        "",
        "For trying out, testing and benchmarking edgetool, and as a starting point for training on your own "
        "recordings. Not a medical device, and not for controlling one. It expects exactly the channels, units, rates, "
        "filters and axes of its sensor contract; people, tasks and speeds unlike those above are untested.",
    ]
    return "\n".join(lines) + "\n"


def _live(metrics: Mapping[str, Any]) -> list[str]:
    """What runs live, where training has judged it."""
    live = metrics.get("test_live")
    if live is None:
        return []
    return [
        "",
        "These are windows that begin from nothing. Live, the state carried over each recording: RMSE "
        f"{live['rmse']:.4f} Nm/kg.",
    ]


def _names(checkpoint: Checkpoint) -> str:
    return ", ".join(name.replace("_", " ") for name in checkpoint.config.outputs)


def _inputs(checkpoint: Checkpoint) -> str:
    return " and ".join(
        f"{len(item.stream.channels)} {item.stream.name.upper()} channels ({item.stream.rate_hz:g} Hz, "
        f"{', '.join(dict.fromkeys(channel.unit for channel in item.stream.channels))})"
        for item in checkpoint.contract.inputs
    )


def _sizes(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    return (
        f"Window {config.window} samples at {config.rate_hz:g} Hz, {config.layers} LSTM layer(s) of {config.hidden} units a "
        f"stream, {config.heads} attention head(s), norm {config.norm}, horizon {config.horizon_ms:g} ms; "
        f"{config.parameter_count} weights."
    )


def _r2(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _training(checkpoint: Checkpoint) -> list[str]:
    provenance: dict[str, Any] = dict(checkpoint.provenance)
    data, training, windows = provenance["data"], provenance["training"], provenance["windows"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items())
    return [
        f"- Data: `{data['source']}`, {len(data['recordings'])} recordings of {len(data['people'])} people; tasks "
        f"{', '.join(data['tasks'])}. The recordings' hashes are in the checkpoint.",
        f"- Split: {_split(checkpoint)}.",
        "- Windows: " + ", ".join(f"{windows[part]} {part}" for part in PARTS) + ".",
        f"- Training: seed {training['seed']}, best of {training['epochs_run']} epochs was {training['best_epoch']}. Largest "
        f"LSTM cell state over the train part: {provenance['largest_cell']:.2f}.",
        f"- Versions: {versions}.",
    ]


def _split(checkpoint: Checkpoint) -> str:
    split = dict(checkpoint.split or {})
    if split.get("kind") == "by-subject":
        groups = (f"{part} {', '.join(split['people'][part])}" for part in PARTS)
        return "by subject: " + "; ".join(groups)
    parts = (f"{part} {100 * fraction:g} %" for part, fraction in zip(PARTS, split.get("fractions", ())))
    return "chronological: " + ", ".join(parts)
