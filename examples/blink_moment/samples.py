"""Writes a recording's raw samples to standard output, in order of time, as board_host.c reads them.

    python samples.py synthetic:people=1,seconds=4,tasks=level > samples.txt

The argument is a data source as for ``edgetool convert --data``; the first recording is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from toolkit.data import load
from toolkit.records import Recording


def sample_lines(recording: Recording) -> Iterator[str]:
    """One line a sample: the stream's name, then its values in nine digits, which is what a float32 needs."""
    signals = recording.signals
    waiting = [(time, name, row) for name in signals for row, time in enumerate(signals[name].times_s)]
    for _, name, row in sorted(waiting):
        values = signals[name].samples[row].astype(np.float32)
        yield f"{name} " + " ".join(f"{value:.9g}" for value in values.tolist())


if __name__ == "__main__":
    for line in sample_lines(load(sys.argv[1] if len(sys.argv) > 1 else "synthetic")[0]):
        print(line)
