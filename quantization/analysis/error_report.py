"""An attribution of errors as a plot and as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

from quantization.analysis.error_attribution import Attribution, TensorErrors
from toolkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Losses shown as bars.
SHOWN = 18
COLOURS = {"fake-quantized": "#888888", "reference": "#1f77b4", "litert": "#d62728", "tflm": "#2ca02c"}
STYLES = {"fake-quantized": ":", "reference": "-", "litert": "-", "tflm": "--"}


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
    figure.suptitle(
        f"int8 {attribution.graph} graph on {attribution.windows} windows of the {attribution.part} part of {attribution.data}"
    )
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90, metadata={"Software": None})
    pyplot.close(figure)
    return content.getvalue()


def _losses(axis: Axes, attribution: Attribution) -> None:
    shown = attribution.losses[:SHOWN][::-1]
    places = range(len(shown))
    axis.barh(places, [item.alone_error_pct for item in shown], color="#1f77b4", label="only this is rounded")
    gains = [(place, item.gain_16_bits_error_pct) for place, item in zip(places, shown)]
    known = [(place, gain) for place, gain in gains if gain is not None]
    axis.plot(
        [gain for _, gain in known],
        [place for place, _ in known],
        "o",
        color="#ff7f0e",
        label="taken off the whole error by 16 bits here",
    )
    axis.set_yticks(list(places), [f"{item.source} ({item.bits})" for item in shown], fontsize=7)
    axis.axvline(0.0, color="black", linewidth=0.5)
    axis.set_xlabel("error of the moments against float, % of their deviation")
    axis.set_title("Cost of each rounding (bits now)")
    axis.legend(fontsize=8, loc="lower right")


def _along_graph(axis: Axes, attribution: Attribution) -> None:
    names = [item.name for item in attribution.tensors]
    for engine, colour in COLOURS.items():
        values = [item.error_pct.get(engine, float("nan")) for item in attribution.tensors]
        axis.plot(
            range(len(names)), values, STYLES[engine], color=colour, marker=".", markersize=3, label=engine
        )
    axis.set_yscale("log")
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
    axis.set_ylabel("RMS error, % of deviation")
    axis.set_title("Error of each tensor, in running order")
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
                label = f"{item.name}, {engine}"
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
    axis.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(0.0, -0.35))


def _alpha(engine: str) -> float:
    return 0.4 if engine == "litert" else 1.0


def page(attribution: Attribution) -> str:
    """The HTML page: outputs, losses, tensors and the plot, with nothing loaded from elsewhere."""
    picture = base64.b64encode(plot(attribution)).decode()
    engines = [engine for engine in COLOURS if any(engine in t.error_pct for t in attribution.tensors)]
    outputs = [
        [o.engine, f"{o.rmse:.5f}", f"{o.rmse_increase_pct:+.3f}", f"{o.error_vs_float_pct:.3f}"]
        for o in attribution.outputs
    ]
    losses = [
        [
            item.source,
            item.op,
            str(item.bits),
            f"{item.alone_error_pct:.3f}",
            f"{item.alone_rmse_increase_pct:+.3f}",
            _number(item.gain_16_bits_error_pct),
            _number(item.gain_16_bits_rmse_pct),
        ]
        for item in attribution.losses
    ]
    tensors = [_tensor_row(item, engines) for item in attribution.tensors]
    notes = "".join(f"<p>Note: {html.escape(note)}</p>" for note in attribution.notes)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Where int8 loses accuracy</title><style>"
        "body{font:14px sans-serif;margin:2em;max-width:1500px}table{border-collapse:collapse;margin:1em 0}"
        "td,th{padding:2px 10px;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}"
        "img{max-width:100%}</style><h1>Where int8 loses accuracy</h1>"
        f"<p>{attribution.windows} windows of the {attribution.part} part of {html.escape(attribution.data)}; measured on "
        f"this machine.</p>{notes}<img alt='errors' src='data:image/png;base64,{picture}'>"
        + _table(
            "Moments", ["computed by", "RMSE Nm/kg", "RMSE against float %", "error against float %"], outputs
        )
        + _table(
            "Roundings, by what each costs alone",
            [
                "rounded",
                "op",
                "bits",
                "error alone %",
                "RMSE alone %",
                "16 bits take off error %",
                "off RMSE %",
            ],
            losses,
        )
        + _table("RMS error of tensors, % of their deviation", ["tensor", "op", "type", *engines], tensors)
        + "</html>\n"
    )


def _tensor_row(item: TensorErrors, engines: list[str]) -> list[str]:
    return [item.name, item.op, item.type, *(_number(item.error_pct.get(engine)) for engine in engines)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> str:
    head = "".join(f"<th>{html.escape(column)}" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in row) for row in rows)
    return f"<h2>{html.escape(title)}</h2><table><tr>{head}{body}</table>"
