"""Time of a conversion by each converter, in one run: ``python -m benchmarks.studies.convert_speed [CHECKPOINT]``.

Each converter runs in a process of its own, started cold as a user starts it, with 200 calibration windows: reading and
filtering the data, importing what the converter needs, golden vectors and writing included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from quantization.converters import CONVERTERS

_DATA = "synthetic:people=8,seconds=6"


def seconds(converter: str, checkpoint: str) -> float:
    """Wall-clock seconds of one ``edgetool convert``; CalledProcessError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "bundle")
        code = "from edgetool.cli import main; main()"
        arguments = ["convert", checkpoint, "--data", _DATA, "--out", out, "--converter", converter]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
        return time.perf_counter() - start


def main(arguments: Sequence[str]) -> None:
    """Print seconds of each converter and how many times longer it takes than the first."""
    checkpoint = arguments[0] if arguments else "pretrained"
    times = {converter: seconds(converter, checkpoint) for converter in CONVERTERS}
    first = next(iter(times.values()))
    for converter, spent in times.items():
        print(f"{converter:<12} {spent:6.1f} s   {spent / first:4.1f} times the first (measured)")


if __name__ == "__main__":
    main(sys.argv[1:])
