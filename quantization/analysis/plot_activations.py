"""Plot sigmoid and tanh of both engines over all 65,536 inputs: ``python -m quantization.analysis.plot_activations OUT``.

OUT is a PNG. The table of largest and root-mean-square errors goes to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.activations import gate_table
from toolkit.errors import EdgetoolError
from toolkit.files import write_bytes

#: Both activations take Q3.12: the real input of integer q is q / 4096.
INPUT = np.arange(-32768, 32768) / 4096.0
ENGINES = (
    ("tflm", "TFLM and CMSIS-NN: interpolated table"),
    ("litert", "desktop LiteRT: gemmlowp fixed point"),
)


def exact(function: str) -> NDArray[np.float64]:
    """The real function at all 65,536 inputs, in steps of 2**-15."""
    real = 1.0 / (1.0 + np.exp(-INPUT)) if function == "sigmoid" else np.tanh(INPUT)
    return real * 32768.0


def errors(function: str, semantics: str) -> NDArray[np.float64]:
    """Output minus the real function, in steps of 2**-15, float64 (65536,)."""
    return gate_table(function, semantics) - exact(function)


def table() -> list[dict[str, float | str]]:
    """Largest and RMS error of each function and engine in steps, and how far the engines are apart."""
    rows: list[dict[str, float | str]] = []
    for function in ("sigmoid", "tanh"):
        apart = gate_table(function, "tflm") - gate_table(function, "litert")
        for semantics, _ in ENGINES:
            error = errors(function, semantics)
            rows.append(
                {
                    "function": function,
                    "semantics": semantics,
                    "largest_error_steps": float(np.abs(error).max()),
                    "rms_error_steps": float(np.sqrt(np.mean(error**2))),
                    "inputs_where_engines_differ": int((apart != 0).sum()),
                    "largest_difference_steps": int(np.abs(apart).max()),
                }
            )
    return rows


def draw(path: Path) -> None:
    """Write the plot of all four error curves to ``path`` as PNG."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 6), sharex=True, layout="constrained")
    for row, function in enumerate(("sigmoid", "tanh")):
        # The table on top: its errors are a fraction of the other's.
        for semantics, label in ENGINES[::-1]:
            axes[row, 0].plot(INPUT, errors(function, semantics), linewidth=0.4, label=label)
        apart = gate_table(function, "tflm") - gate_table(function, "litert")
        axes[row, 1].plot(INPUT, apart, linewidth=0.4, color="black")
        axes[row, 0].set_ylabel(f"{function}: error, steps of 2$^{{-15}}$")
        axes[row, 1].set_ylabel(f"{function}: TFLM - LiteRT, steps")
        for axis in axes[row]:
            axis.axhline(0.0, color="grey", linewidth=0.5)
    axes[0, 0].legend(loc="upper right", fontsize="small")
    axes[1, 0].set_xlabel("input (Q3.12), all 65,536 values")
    axes[1, 1].set_xlabel("input (Q3.12), all 65,536 values")
    content = io.BytesIO()
    # No creation date or version in the file: the same code gives the same bytes.
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    write_bytes(path, content.getvalue())


def main() -> None:
    """Command-line entry."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m quantization.analysis.plot_activations OUT.png")
    draw(Path(sys.argv[1]))
    print(f"{'function':9} {'semantics':9} {'largest':>8} {'RMS':>7} {'differ at':>10} {'by at most':>10}")
    for row in table():
        print(
            f"{row['function']:9} {row['semantics']:9} {row['largest_error_steps']:8.2f} {row['rms_error_steps']:7.3f} "
            f"{row['inputs_where_engines_differ']:10} {row['largest_difference_steps']:10}"
        )


if __name__ == "__main__":
    try:
        main()
    except EdgetoolError as error:
        sys.exit(f"error: {error}")
