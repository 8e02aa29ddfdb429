"""What a data source holds, as plain values and as a figure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import stream_to_json
from toolkit.data.heel_strikes import WHOLE_CYCLE
from toolkit.errors import MissingDependencyError, RecordingError, UsageError
from toolkit.files import write_bytes
from toolkit.printable import any_character_in_a_figure
from toolkit.records import Recording, Signal

Float = NDArray[np.float64]
#: Ending of a plot's file to the entry of its metadata that would differ from run to run.
_PLOT_FORMATS = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}


def describe(recordings: Sequence[Recording]) -> dict[str, Any]:
    """JSON values: for each recording its person, task, kind, mass, length, strides, streams and moments."""
    return {"schema": 1, "recordings": [_one(recording) for recording in recordings]}


def _one(recording: Recording) -> dict[str, Any]:
    signals = dict(recording.signals)
    if recording.moments is not None:
        signals["moments"] = recording.moments
    return {
        "name": recording.name,
        "person": recording.person,
        "task": recording.task,
        "kind": recording.kind,
        "mass_kg": recording.mass_kg,
        "seconds": min(signal.duration_s for signal in signals.values()),
        "strides": max(len(recording.heel_strikes_s) - 1, 0),
        "valid_s": None if recording.valid_s is None else [list(span) for span in recording.valid_s],
        "missing": {name: list(channels) for name, channels in recording.missing.items()},
        "provenance": dict(recording.provenance),
        "streams": {name: _signal(signal) for name, signal in signals.items()},
    }


def _signal(signal: Signal) -> dict[str, Any]:
    description = stream_to_json(signal.spec)
    for channel, column in zip(description["channels"], signal.samples.T):
        channel["mean"] = float(column.mean())
        channel["std"] = float(column.std())
        channel["min"] = float(column.min())
        channel["max"] = float(column.max())
    return {
        "rate_hz": signal.spec.rate_hz,
        "start_s": signal.start_s,
        "rows": len(signal.samples),
        "channels": description["channels"],
    }


def cycles(recording: Recording) -> Float:
    """The moments over each gait cycle, (cycles, 101, channels); empty without moments or two heel strikes.

    Outside ``valid_s`` a moment is NaN, and a cycle that is NaN for more than a tenth is left out.
    """
    moments = recording.moments
    if moments is None or len(recording.heel_strikes_s) < 2:
        return np.zeros((0, 101, 0 if moments is None else len(moments.spec.channels)))
    grid = np.linspace(0.0, 1.0, 101)
    found = []
    for start, stop in pairwise(recording.heel_strikes_s):
        times = start + grid * (stop - start)
        valid = recording.is_valid(times)
        if valid.mean() >= WHOLE_CYCLE:
            cycle = np.stack([np.interp(times, moments.times_s, c) for c in moments.samples.T], axis=1)
            found.append(np.where(valid[:, None], cycle, np.nan))
    return np.stack(found) if found else np.zeros((0, 101, len(moments.spec.channels)))


def plot_cycles(recordings: Sequence[Recording], path: Path) -> None:
    """Draw the moments over the gait cycle, a panel for each task and moment, a line for each recording.

    The file is PNG, SVG or PDF by its name; UsageError for another.
    """
    undated = _PLOT_FORMATS.get(path.suffix.lower())
    if undated is None:
        raise UsageError(
            f"a plot cannot be written as {path.name}; allowed endings: {', '.join(_PLOT_FORMATS)}"
        )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            "a plot needs matplotlib; install it: pip install 'edgetool[deploy]'"
        ) from None
    shown = [(r, cycles(r)) for r in recordings]
    shown = [(r, values) for r, values in shown if len(values)]
    if not shown:
        raise RecordingError(
            "nothing to plot: no recording has moments and two heel strikes with valid moments between them"
        )
    tasks = list(dict.fromkeys(r.task for r, _ in shown))
    names = list(
        dict.fromkeys(c.name for r, _ in shown if r.moments is not None for c in r.moments.spec.channels)
    )
    figure = Figure(figsize=(3.0 * len(tasks) + 1.0, 2.4 * len(names) + 0.6), layout="constrained")
    panels = figure.subplots(len(names), len(tasks), sharex=True, sharey="row", squeeze=False)
    for recording, values in shown:
        assert recording.moments is not None
        for name, column in zip(recording.moments.spec.channel_names, np.moveaxis(values, 2, 0)):
            panel = panels[names.index(name)][tasks.index(recording.task)]
            known = np.ma.masked_invalid(column)  # a mean of no cycle is NaN, without numpy's warning
            mean, std = known.mean(axis=0).filled(np.nan), known.std(axis=0).filled(np.nan)
            (line,) = panel.plot(mean, linewidth=1.0)
            panel.fill_between(
                np.arange(101), mean - std, mean + std, color=line.get_color(), alpha=0.15, linewidth=0
            )
    for row, name in enumerate(names):
        panels[row][0].set_ylabel(f"{name}\nNm/kg")
    for column_index, task in enumerate(tasks):
        panels[0][column_index].set_title(task)
        panels[-1][column_index].set_xlabel("gait cycle, %")
    kinds = ", ".join(sorted({r.kind for r, _ in shown}))
    figure.suptitle(f"Moments by gait cycle ({kinds}):\nmean and deviation of each recording", fontsize=10)
    buffer = io.BytesIO()
    with any_character_in_a_figure():
        figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=80, metadata={undated: None})
    write_bytes(path, buffer.getvalue())
