"""The runtime's engines side by side in one run, one thread: ``python -m benchmarks.studies.engine_speed [BUNDLE]``.

Without a bundle the shipped checkpoint is converted on synthetic gait. Engines take turns, so that what else the machine
does falls on all of them; the fastest call of each counts. Times are of whole calls from Python, input checks and quantization
of the inputs included. The first call of ``native`` on a machine compiles; that is not in the figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from quantization.bundle import Bundle
from quantization.convert import convert
from quantization.ops.work import multiply_accumulates
from quantization.tflite.file import graph_of
from runtime.engines import open_engine
from runtime.engines.interface import Engine
from runtime.engines.native_build import compiler
from toolkit.model import pretrained

_DATA = "synthetic:people=2,seconds=8"
_RUNS = {
    "LiteRT float32": ("litert", "float32"),
    "LiteRT int8": ("litert", "int8"),
    "native int8": ("native", "int8"),
}
_PEAK = Path(__file__).with_name("int8_peak.c")
_ROUNDS, _WINDOWS, _STEPS = 60, 5, 50


def fastest(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Microseconds of the fastest of ``_ROUNDS`` * ``repeats`` calls of each, taken in turns."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            for _ in range(repeats):
                start = time.perf_counter()
                call()
                best[name] = min(best[name], time.perf_counter() - start)
    return {name: 1e6 * seconds for name, seconds in best.items()}


def measure(bundle: Bundle) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds of a window and of a stream step by engine."""
    engines = {name: open_engine(bundle, *run) for name, run in _RUNS.items()}
    draw = np.random.default_rng(0)
    channels = engines["native int8"].channels
    window = {
        s: draw.normal(size=(bundle.contract.window, n)).astype(np.float32) for s, n in channels.items()
    }
    row = {stream: np.array(values[0]) for stream, values in window.items()}

    def window_call(engine: Engine) -> Callable[[], object]:
        return lambda: engine.window(window)

    def step_call(engine: Engine) -> Callable[[], object]:
        return lambda: engine.step(row)

    windows = fastest({name: window_call(engine) for name, engine in engines.items()}, _WINDOWS)
    return windows, fastest({name: step_call(engine) for name, engine in engines.items()}, _STEPS)


def peak() -> tuple[str, float]:
    """The best int8 instruction of this processor's vector unit, and the multiply-accumulates a second that one core does with
    it on registers alone: measured, see int8_peak.c. Matrix units (AMX, SME) are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        for tuning in ("-march=native", "-mcpu=native", "-O3"):
            built = subprocess.run(
                [compiler(), "-std=gnu99", "-O3", tuning, str(_PEAK), "-o", f"{folder}/peak"],
                capture_output=True,
                check=False,
            )
            if built.returncode == 0:
                break
        said = subprocess.run([f"{folder}/peak"], capture_output=True, text=True, check=True).stdout
    name, rate = said.splitlines()
    return name, float(rate)


def share_of_peak(bundle: Bundle, windows: dict[str, float]) -> str:
    """What part of that peak a native window reaches, its activations, softmax and calls included."""
    name, rate = peak()
    file = bundle.graph("window", "int8")
    work = multiply_accumulates(graph_of(file))
    reached = work / windows["native int8"] * 1e6
    return (
        f"native window {reached / 1e9:.0f} of {rate / 1e9:.0f} G multiply-accumulates a second: {reached / rate:.0%} of one "
        f"core's int8 peak ({name}; measured)"
    )


def report(windows: dict[str, float], steps: dict[str, float]) -> list[str]:
    """The table, then each bound with the figure it is held against."""
    lines = [f"{'engine':<16} {'window':>10} {'stream step':>12}   (measured on this machine)"]
    lines += [f"{name:<16} {windows[name]:7.1f} us {steps[name]:9.1f} us" for name in windows]
    window, step = windows["native int8"], steps["native int8"]
    bounds = [
        ("native step", step, "10 us", 10.0),
        ("native step", step, "1/50 of LiteRT's float window", windows["LiteRT float32"] / 50),
        ("native window", window, "1/3 of LiteRT's float window", windows["LiteRT float32"] / 3),
        ("native window", window, "1/20 of LiteRT's fused int8 window", windows["LiteRT int8"] / 20),
    ]
    for what, found, text, bound in bounds:
        verdict = "met" if found <= bound else "MISSED"
        lines.append(f"{what:<13} {found:6.1f} us against {bound:6.1f} us ({text}): {verdict}")
    return lines


def main(arguments: Sequence[str]) -> None:
    """Measure a bundle, by default the shipped checkpoint's."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        bundle = (
            Bundle.load(arguments[0]) if arguments else convert(pretrained(), _DATA, Path(folder) / "bundle")
        )
        windows, steps = measure(bundle)
        print("\n".join([*report(windows, steps), share_of_peak(bundle, windows)]))


if __name__ == "__main__":
    main(sys.argv[1:])
