"""Time of an LSTM layer by its units, for each form of the kernel for hosts that this processor can run.

``python -m benchmarks.studies.lstm_sizes [--against CHECKOUT]``: 64 steps of a layer with as many inputs as units (33
at most below 128), C alone, one thread. With another checkout of edgetool its kernels run in turns with these, and their hidden
states must be the same bits. The fastest of three turns of a hundred rounds counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import quantization
from benchmarks.machine import describe
from runtime.engines.native_build import compiler

UNITS = (32, 64, 128, 256, 512)
_SOURCE = Path(__file__).with_suffix(".c")
_STEPS, _TURNS = 64, 3
#: Form -> the compiler's options and what the processor must have.
FORMS = {
    "plain C": (["-DET_HOST_PLAIN"], set[str]()),
    "AVX2": (["-mavx2"], {"avx2"}),
    "AVX-VNNI": (["-mavx2", "-mavxvnni"], {"avx2", "avx_vnni"}),
    "AVX-512": (["-mavx512f", "-mavx512bw", "-mavx512vl"], {"avx512bw", "avx512vl"}),
    "AVX512-VNNI": (
        ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"],
        {"avx512bw", "avx512vl", "avx512_vnni"},
    ),
}


def build(root: Path, options: Sequence[str], folder: Path) -> Path:
    """The program with the LSTM of the checkout ``root``."""
    kernels = root / "quantization" / "kernels"
    folders = [f"-I{kernels / room}" for room in ("lstm", "common", "activation")]
    base = [compiler(), "-std=c99", "-O3", "-ffp-contract=off", *options, *folders]
    portable, host = kernels / "lstm" / "et_lstm.c", kernels / "lstm" / "et_lstm_host.c"
    renamed = ["-Det_lstm_step=et_lstm_step_portable", "-c", str(portable), "-o", str(folder / "portable.o")]
    subprocess.run([*base, *renamed], check=True)
    table = kernels / "activation" / "et_activation.c"
    program = folder / "lstm_sizes"
    sources = [str(_SOURCE), str(host), str(table), str(folder / "portable.o")]
    subprocess.run([*base, *sources, "-o", str(program)], check=True)
    return program


def inputs_of(units: int) -> int:
    """A first layer has the channels as inputs, a later one the units; below 128 units the shipped model's 24 + 9."""
    return 33 if units < 128 else units


def measure(programs: Sequence[Path], units: int) -> list[float]:
    """Microseconds of each program, in turns; ValueError if their states differ."""
    best, sums = [float("inf")] * len(programs), set()
    for _ in range(_TURNS):
        for i, program in enumerate(programs):
            command = [str(program), str(units), str(inputs_of(units))]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            best[i] = min(best[i], float(said[0]))
            sums.add(said[1])
    if len(sums) != 1:
        raise ValueError(f"{units} units: the states of the two checkouts differ")
    return best


def main(arguments: Sequence[str]) -> None:
    """Print a line for each form and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout of edgetool")
    against = parser.parse_args(arguments).against
    roots = [Path(quantization.__file__).parents[1], *([against] if against else [])]
    features = set(Path("/proc/cpuinfo").read_text().split())
    print(f"LSTM layer, {_STEPS} steps, measured on {describe()['processor']}, one thread")
    print(
        f"{'form':<12} {'units':>5} {'inputs':>6} {'us':>9} {'Gmac/s':>7}"
        + ("  of before" if against else "")
    )
    for form, (options, needed) in FORMS.items():
        if not needed <= features:
            print(f"{form:<12} not measured: this processor lacks {', '.join(sorted(needed - features))}")
            continue
        with tempfile.TemporaryDirectory() as name:
            programs = []
            for i, root in enumerate(roots):
                folder = Path(name, str(i))
                folder.mkdir()
                programs.append(build(root, options, folder))
            for units in UNITS:
                spent = measure(programs, units)
                rate = _STEPS * 4 * units * (units + inputs_of(units)) / spent[0] / 1000
                ratio = f"  {spent[0] / spent[1]:.2f}" if against else ""
                print(f"{form:<12} {units:>5} {inputs_of(units):>6} {spent[0]:>9.1f} {rate:>7.1f}{ratio}")


if __name__ == "__main__":
    main(sys.argv[1:])
