"""Moments of an engine on given inputs: ``python moments.py BUNDLE ENGINE SCHEME INPUTS.npz OUT.npz``.

Runs on this machine and under emulation, so it needs the installed edgetool alone. INPUTS holds (rows, channels) of each
stream; every row is a stream's step, and each window's length of them one window.
"""

import sys
from pathlib import Path

import numpy as np

from quantization.bundle import Bundle
from runtime.engines import open_engine


def moments(bundle: str, name: str, scheme: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    engine = open_engine(Bundle.load(Path(bundle)), name, scheme)
    rows = len(inputs["imu"])
    steps = [engine.step({s: v[i] for s, v in inputs.items()}) for i in range(rows)]
    starts = range(0, rows - engine.rows + 1, engine.rows)
    windows = [engine.window({s: v[i : i + engine.rows] for s, v in inputs.items()}) for i in starts]
    return {"steps": np.array(steps), "windows": np.array(windows)}


if __name__ == "__main__":
    _, bundle, name, scheme, source, target = sys.argv
    with np.load(source) as stored:
        given = {stream: stored[stream] for stream in stored.files}
    np.savez(target, **moments(bundle, name, scheme, given))
