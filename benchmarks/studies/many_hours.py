"""How much memory many hours take: simulated recordings written, indexed, trained on for one epoch and scored as bench does.

``python -m benchmarks.studies.many_hours FOLDER --hours 10`` prints, for each step in a process of its own, its time and its
largest resident memory. The second training finds its features in the cache, which is in FOLDER too.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: A recording is this long, s, and so many are simulated; the rest are those with other gains.
SECONDS, SIMULATED = 60, 8


def write(folder: Path, hours: float, stride: int) -> str:
    """Recordings of ``hours`` in all, float32, each different; of at least ten people."""
    from toolkit.data import load
    from toolkit.data.readers.npz import write_recording
    from toolkit.records import Signal

    base = load(f"synthetic:people={SIMULATED // 2},seconds={SECONDS},tasks=level")
    number = round(hours * 3600 / SECONDS)
    (folder / "recordings").mkdir(parents=True)
    for place in range(number):
        rng, one = np.random.default_rng(place), base[place % len(base)]
        signals = {}
        for name, signal in one.signals.items():
            gain = np.float32(rng.uniform(0.9, 1.1, signal.samples.shape[1]))
            signals[name] = Signal(signal.spec, signal.start_s, signal.samples.astype(np.float32) * gain)
        name = f"{place:05d}"
        person = f"person-{place % max(10, number // 30):03d}"
        named = dataclasses.replace(one, name=name, person=person, signals=signals)
        write_recording(folder / "recordings" / f"{name}.npz", named, compress=False)
    return f"{number} recordings"


def index(folder: Path, hours: float, stride: int) -> str:
    """The index alone: who, what and how long."""
    from toolkit.data import load

    recordings = load(str(folder / "recordings"))
    seconds = sum(one.span_s[1] - one.span_s[0] for one in recordings)
    return f"{len(recordings)} recordings, {len({one.person for one in recordings})} people, {seconds / 3600:.1f} h"


def train(folder: Path, hours: float, stride: int) -> str:
    """One epoch on every ``stride``-th window."""
    from toolkit.learning.settings import Settings
    from toolkit.learning.train import train as learn

    settings, steps = Settings(epochs=1, stride=stride, split="by-subject"), list[float]()
    began = time.perf_counter()
    trained = learn(
        str(folder / "recordings"),
        folder / "model.safetensors",
        settings,
        progress=lambda step: steps.append(time.perf_counter()),
    )
    counted = trained.checkpoint.provenance["windows"]
    told = ", ".join(f"{part} {number:,} windows" for part, number in counted.items())
    speed = (len(steps) - 2) * settings.batch / (steps[-2] - steps[0])  # the last report is after validation
    return f"{told}; first step after {steps[0] - began:.0f} s, then {speed:,.0f} windows/s"


def score(folder: Path, hours: float, stride: int) -> str:
    """The windows that a bench would take from the test part, through the float network."""
    from benchmarks.engines.torch_float import TorchFloat
    from benchmarks.evaluation.windows import evaluate_on
    from toolkit.data import load
    from toolkit.model import load_checkpoint

    checkpoint = load_checkpoint(folder / "model.safetensors")
    found = evaluate_on(checkpoint, load(str(folder / "recordings")), "many hours", 2000)
    estimate = TorchFloat(checkpoint, 1).estimate(found, lambda number: None)
    error = float(np.sqrt(np.mean((estimate - found.windows.targets) ** 2)))
    return f"{len(found.windows):,} of {found.available:,} windows, RMSE {error:.3f} Nm/kg"


STEPS: dict[str, Callable[[Path, float, int], str]] = {
    "write": write,
    "index": index,
    "train": train,
    "score": score,
}


def main() -> None:
    """Run the steps, each in its own process, or the one named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--stride", type=int, default=20, help="every N-th window is trained on")
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    if options.step:
        start = time.perf_counter()
        said = STEPS[options.step](options.folder, options.hours, options.stride)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{options.step:6} {time.perf_counter() - start:7.1f} s  {peak:5.2f} GB  {said}", flush=True)
        return
    environment = {**os.environ, "EDGETOOL_CACHE": str(options.folder / "cache")}
    for step in ("write", "index", "train", "train", "score"):
        given = ["--hours", str(options.hours), "--stride", str(options.stride), "--step", step]
        command = [sys.executable, "-m", "benchmarks.studies.many_hours", str(options.folder), *given]
        subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
