"""An attribution of errors as a plot and as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from quantization.analysis.error_records import Attribution, Loss, TensorErrors
from toolkit.errors import MissingDependencyError
from toolkit.html_text import template
from toolkit.printable import any_character_in_a_figure, terminal_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Losses shown as bars.
SHOWN = 18
COLOURS = {"fake-quantized": "#888888", "reference": "#1f77b4", "litert": "#d62728", "tflm": "#2ca02c"}
STYLES = {"fake-quantized": ":", "reference": "-", "litert": "-", "tflm": "--"}
#: Characters of a label in the plot; the table beside it has all of a name.
_LONGEST = 60


def plot(attribution: Attribution) -> bytes:
    """A PNG of three parts: cost of each rounding, error along the graph, error over time.

    Raises MissingDependencyError without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingDependencyError(
            "matplotlib is not installed and the plot needs it; pip install 'edgetool[deploy]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplot_mosaic(
        [["losses", "graph"], ["losses", "time"]], figsize=(15, 9), layout="constrained"
    )
    _losses(axes["losses"], attribution)
    _along_graph(axes["graph"], attribution)
    _over_time(axes["time"], attribution)
    part, data = _label(attribution.part), _label(attribution.data)
    of = f"{attribution.windows} windows of the {part} part of {data}"
    figure.suptitle(f"int8 {_label(attribution.graph)} graph on {of}")
    content = io.BytesIO()
    with any_character_in_a_figure():
        figure.savefig(content, format="png", dpi=90, metadata={"Software": None})
    pyplot.close(figure)
    return content.getvalue()


def _losses(axis: Axes, attribution: Attribution) -> None:
    shown = attribution.losses[:SHOWN][::-1]
    places = range(len(shown))
    axis.barh(places, [item.alone_error_pct for item in shown], color="#1f77b4", label="only this rounded")
    gains = [(place, item.gain_16_bits_error_pct) for place, item in zip(places, shown)]
    known = [(place, gain) for place, gain in gains if gain is not None]
    axis.plot(
        [gain for _, gain in known],
        [place for place, _ in known],
        "o",
        color="#ff7f0e",
        label="error saved by 16 bits here",
    )
    axis.set_yticks(list(places), [_label(f"{item.source} ({item.bits})") for item in shown], fontsize=7)
    axis.axvline(0.0, color="black", linewidth=0.5)
    axis.set_xlabel("error of the moments against float, % of their deviation")
    axis.set_title("Cost of each rounding (bits now)")
    axis.legend(fontsize=8, loc="lower right")


def _along_graph(axis: Axes, attribution: Attribution) -> None:
    names = [_label(item.name) for item in attribution.tensors]
    for engine, colour in COLOURS.items():
        values = [item.error_pct.get(engine, float("nan")) for item in attribution.tensors]
        axis.plot(
            range(len(names)), values, STYLES[engine], color=colour, marker=".", markersize=3, label=engine
        )
    axis.set_yscale("log")
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
    axis.set_ylabel("RMS error, % of deviation")
    axis.set_title("Error of each tensor, in the order computed")
    axis.legend(fontsize=8)


def _over_time(axis: Axes, attribution: Attribution) -> None:
    timed = [
        item
        for item in attribution.tensors
        if item.over_time and item.op not in ("input", "QUANTIZE") and "/gate/" not in item.name
    ]
    for number, item in enumerate(timed):
        for engine in ("reference", "litert"):
            if engine in item.over_time:
                values = item.over_time[engine]
                label = _label(f"{item.name}, {engine}")
                axis.plot(
                    range(len(values)),
                    values,
                    STYLES[engine],
                    color=f"C{number}",
                    label=label,
                    alpha=_alpha(engine),
                )
    axis.set_yscale("log")
    axis.set_xlabel("time step of the window")
    axis.set_ylabel("RMS error, % of deviation")
    axis.set_title("Error over time (faint: LiteRT)")
    if timed:
        axis.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(0.0, -0.35))


def _label(text: str) -> str:
    """``text`` as matplotlib shows it unchanged: between dollars it would be a formula, and an error where it is none. The
    middle of a long one is left out, or there is no room for what is plotted."""
    shown = terminal_text(text)
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST // 2]}...{shown[-_LONGEST // 2 :]}"
    return shown.replace("$", r"\$")


def _alpha(engine: str) -> float:
    return 0.4 if engine == "litert" else 1.0


def page(attribution: Attribution) -> str:
    """The HTML page: outputs, losses, tensors and the plot, with nothing loaded from elsewhere.

    Its elements are in ``error_report.html``, which escapes the names of tensors and of the data.
    """
    engines = [engine for engine in COLOURS if any(engine in t.error_pct for t in attribution.tensors)]
    outputs = [
        [o.engine, f"{o.rmse:.5f}", f"{o.rmse_increase_pct:+.3f}", f"{o.error_vs_float_pct:.3f}"]
        for o in attribution.outputs
    ]
    return template("quantization.analysis", "error_report.html").render(
        windows=attribution.windows,
        part=attribution.part,
        data=attribution.data,
        notes=attribution.notes,
        picture=base64.b64encode(plot(attribution)).decode(),
        engines=engines,
        outputs=outputs,
        losses=[_loss_row(item) for item in attribution.losses],
        tensors=[_tensor_row(item, engines) for item in attribution.tensors],
    )


def _loss_row(item: Loss) -> list[str]:
    return [
        item.source,
        item.op,
        str(item.bits),
        f"{item.alone_error_pct:.3f}",
        f"{item.alone_rmse_increase_pct:+.3f}",
        _number(item.gain_16_bits_error_pct),
        _number(item.gain_16_bits_rmse_pct),
    ]


def _tensor_row(item: TensorErrors, engines: list[str]) -> list[str]:
    return [item.name, item.op, item.type, *(_number(item.error_pct.get(engine)) for engine in engines)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
