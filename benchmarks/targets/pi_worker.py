"""The far side of a bench on another computer: runs a bundle's engines on given rows and says how it went.

It is sent there with the rest of edgetool's source, reads one NPZ and writes another, and needs numpy and the engines'
packages alone. :mod:`benchmarks.targets.pi` is the near side.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.latency import Plan, measure
from quantization.bundle import Bundle
from runtime.engines import open_engine
from runtime.engines.interface import Engine
from runtime.status.pi_health import read_pi_health
from toolkit.errors import EdgetoolError

#: Engines and schemes that are tried; what cannot be opened there is a row that says why.
RUNS = (("native", "int8"), ("litert", "int8"), ("litert", "float32"), ("tflite-runtime", "float32"))
Arrays = Mapping[str, NDArray[Any]]


def run(bundle: Bundle, inputs: Arrays, timed: bool) -> dict[str, NDArray[Any]]:
    """Moments, and with ``timed`` the nanoseconds of single calls, of every engine that opens here.

    ``inputs`` holds ``window/STREAM`` (n, rows, channels) and, for each recording r, ``r/STREAM`` (steps, channels). The
    result holds ``ENGINE/SCHEME/window`` (n, outputs), ``.../r`` (steps, outputs), ``.../time/GRAPH``, and ``about``: JSON
    with what the machine is and which engines could not be opened.
    """
    about: dict[str, Any] = {"machine": machine(), "versions": {}, "refused": {}}
    engines: dict[str, Engine] = {}
    for name, scheme in RUNS:
        key = f"{name}/{scheme}"
        try:
            engines[key] = open_engine(bundle, name, scheme)
            about["versions"][key] = engines[key].version
        except EdgetoolError as reason:
            about["refused"][key] = str(reason)
    results: dict[str, NDArray[Any]] = {}
    for key, engine in engines.items():
        results |= {f"{key}/{what}": values for what, values in _moments(engine, inputs).items()}
    if timed:
        for key, nanoseconds in measure(
            _calls(engines, inputs), Plan(rounds=5, calls=200, round_s=0.5)
        ).items():
            results[key] = np.array(nanoseconds, np.int64)
        about["machine_after"] = machine()
    results["about"] = np.array(json.dumps(about))
    return results


def machine() -> dict[str, Any]:
    """What the times depend on; None for what the system does not tell."""
    health = read_pi_health()
    return {
        "model": _text("/proc/device-tree/model") or _model_line(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "mhz": _megahertz(),
        "temperature_c": health.hottest_c,
        "throttled": health.throttled,
    }


def _moments(engine: Engine, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
    streams = list(engine.channels)
    windows = [inputs[f"window/{stream}"] for stream in streams]
    found = {
        "window": np.stack([engine.window(dict(zip(streams, each, strict=True))) for each in zip(*windows)])
    }
    recording = 0
    while engine.has_stream and f"{recording}/{streams[0]}" in inputs:
        rows = [inputs[f"{recording}/{stream}"] for stream in streams]
        engine.reset()
        found[str(recording)] = np.stack(
            [engine.step(dict(zip(streams, row, strict=True))) for row in zip(*rows)]
        )
        recording += 1
    return found


def _calls(engines: Mapping[str, Engine], inputs: Arrays) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {}
    for key, engine in engines.items():
        window = {stream: np.array(inputs[f"window/{stream}"][0]) for stream in engine.channels}
        calls[f"{key}/time/window"] = _call(engine.window, window)
        if engine.has_stream:
            calls[f"{key}/time/stream"] = _call(engine.step, {s: values[0] for s, values in window.items()})
    return calls


def _call(function: Callable[[Any], object], argument: object) -> Callable[[], object]:
    return lambda: function(argument)


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip("\0\n ") or None
    except OSError:
        return None


def _model_line() -> str | None:
    lines = (_text("/proc/cpuinfo") or "").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("Model", "model name"))]
    return named[-1] if named else None


def _megahertz() -> float | None:
    text = _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return int(text) / 1000 if text is not None and text.isdigit() else None
