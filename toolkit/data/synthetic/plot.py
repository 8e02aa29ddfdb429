"""Draws the synthetic people's gait against published normal ranges: ``python -m toolkit.data.synthetic.plot docs/images``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.data.synthetic.cycles import QUANTITIES, mean_cycles
from toolkit.data.synthetic.generate import Options, generate
from toolkit.data.synthetic.norms import RANGES
from toolkit.data.synthetic.tasks import TASKS
from toolkit.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = {
    "synthetic_angles.png": ("hip angle", "knee angle", "ankle angle"),
    "synthetic_moments.png": ("hip moment", "knee moment", "ankle moment", "vertical force"),
}
POSITIVE = {
    "hip angle": "flexion +",
    "knee angle": "flexion +",
    "ankle angle": "dorsiflexion +",
    "hip moment": "flexion +",
    "knee moment": "extension +",
    "ankle moment": "dorsiflexion +",
    "vertical force": "up +",
}
SPEED_COLOURS = ("tab:blue", "tab:orange")


def draw(folder: Path, people: int = 8, seed: int = 0) -> list[Path]:
    """Write the figures as PNG into ``folder`` and return their paths."""
    from matplotlib.figure import Figure

    cycles = {(t, v): mean_cycles(TASKS[t], v, people, seed) for t in TASKS for v in TASKS[t].speeds}
    paths = []
    for file, quantities in FIGURES.items():
        figure = Figure(figsize=(14, 2.5 * len(quantities) + 0.6), layout="constrained")
        grid = figure.subplots(len(quantities), len(TASKS), sharex=True, sharey="row", squeeze=False)
        for row, quantity in enumerate(quantities):
            for column, task in enumerate(TASKS):
                _panel(grid[row][column], task, quantity, cycles)
            grid[row][0].set_ylabel(f"{quantity}\n{POSITIVE[quantity]}, {QUANTITIES[quantity]}")
        for column, task in enumerate(TASKS):
            grid[0][column].set_title(task)
            grid[-1][column].set_xlabel("gait cycle, %")
            grid[0][column].legend(fontsize=7, loc="best")
        figure.suptitle(
            f"Synthetic gait: mean of {people} people, their spread, and published ranges of peaks (boxes)"
        )
        paths.append(_save(figure, folder / file))
    return [*paths, _signals(folder / "synthetic_signals.png", seed)]


def _panel(axes: Axes, task: str, quantity: str, cycles: dict[tuple[str, float], Any]) -> None:
    from matplotlib.patches import Rectangle

    percent = np.arange(101)
    axes.axhline(0, color="0.8", linewidth=0.8)
    for speed, colour in zip(TASKS[task].speeds, SPEED_COLOURS):
        curves = cycles[task, speed][quantity]
        axes.fill_between(
            percent, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.2, linewidth=0
        )
        axes.plot(percent, curves.mean(axis=0), color=colour, label=f"{speed:g} m/s")
    for r in RANGES:
        if (r.task, r.quantity) == (task, quantity):
            corner = (r.place[0], r.low)
            size = (r.place[1] - r.place[0], r.high - r.low)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="0.35", linewidth=1.0))


def _signals(path: Path, seed: int) -> Path:
    """Three seconds of one trial as its sensors give it."""
    from matplotlib.figure import Figure

    (recording, *_) = generate(Options(people=1, seconds=6.0, tasks=("level",), seed=seed))
    figure = Figure(figsize=(12, 9), layout="constrained")
    panels = figure.subplots(4, 1, sharex=True)
    imu, emg, moments = recording.signals["imu"], recording.signals["emg"], recording.moments
    assert moments is not None
    for names, panel in ((("shank_accel_x", "shank_accel_y"), 0), (("shank_gyro_z", "foot_gyro_z"), 1)):
        for channel in names:
            column = imu.spec.channel_names.index(channel)
            panels[panel].plot(imu.times_s, imu.samples[:, column], label=channel, linewidth=0.9)
    for place, channel in enumerate(("soleus", "tib_ant", "vas_lat", "semimem")):
        column = emg.spec.channel_names.index(channel)
        panels[2].plot(emg.times_s, emg.samples[:, column] - 1.0 * place, label=channel, linewidth=0.4)
    for column, channel in enumerate(moments.spec.channel_names):
        panels[3].plot(moments.times_s, moments.samples[:, column], label=channel)
    for panel, unit in zip(panels, ("m/s^2", "rad/s", "mV, 1 mV apart", "Nm/kg")):
        panel.set_ylabel(unit)
        panel.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        for strike in recording.heel_strikes_s:
            panel.axvline(strike, color="0.75", linewidth=0.8)
    panels[-1].set_xlim(1.0, 4.0)
    panels[-1].set_xlabel("time, s (lines: right foot contact)")
    figure.suptitle(f"{recording.name}: synthetic IMU, raw EMG and moments")
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=72, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
    return path


if __name__ == "__main__":
    for written in draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")):
        print(written)
