"""How figures and names are written, in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.evaluation.accuracy import Interval
from benchmarks.records import Report, Run
from toolkit.printable import terminal_text

#: What each kind of data is called wherever a person reads it.
KIND_NAMES = {
    "synthetic": "synthetic gait",
    "virtual-imu": "measured gait, virtual IMU",
    "measured": "measured",
}


def number(value: float, digits: int) -> str:
    """With a fixed number of digits; "-" for what cannot be computed."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def signed(value: float) -> str:
    """Two digits with a sign; "-" for what cannot be computed."""
    return f"{value:+.2f}" if math.isfinite(value) else "-"


def microseconds(value: float) -> str:
    """Whole microseconds; below ten with one decimal, for there it matters."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def share(percent: float) -> str:
    """A share of something with one decimal, and two where one would show nothing."""
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2f} %"


def not_compared(report: Report) -> Sequence[str]:
    """That an imported network was never compared with its author's, in a line; nothing for all other bundles."""
    check = report.bundle.get("check")
    if not isinstance(check, Mapping) or check.get("compared") is True:
        return []
    return [f"WARNING: {terminal_text(str(check.get('note')))}"]


def signed_by(report: Report) -> str:
    """Who signed the bundle, if anybody did."""
    signer = report.bundle.get("signer")
    return "not signed" if signer is None else f"signed with {terminal_text(signer)}"


def milliseconds(value_us: float) -> str:
    """Milliseconds of a time in microseconds, three digits."""
    return f"{value_us / 1000:.3g}"


def count(value: float) -> str:
    """A count of instructions or cycles in millions or thousands."""
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.1f} k"


def interval(value: Interval | None, digits: int) -> str:
    """Both ends, or "-"."""
    return f"{value.low:.{digits}f}-{value.high:.{digits}f}" if value else "-"


def short_joint(name: str) -> str:
    """``knee_extension_moment`` as "knee extension"."""
    return terminal_text(name.removesuffix("_moment").replace("_", " "))


def row_name(run: Run) -> str:
    """What a table calls a row, in up to three lines; the host and the window graph go without saying."""
    measured = run.measured
    graph = "" if measured.graph == "window" else f" {measured.graph}"
    lines = [f"{measured.engine} {measured.scheme}{graph}"]
    if measured.target != "host":
        lines.append(f"  on {measured.target.partition('?')[0]}")
    if measured.converter != "edgetool":
        lines.append(f"  by {measured.converter}")
    return "\n".join(terminal_text(line) for line in lines)
