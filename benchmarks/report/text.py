"""How figures are written, in the terminal and on the page."""

from __future__ import annotations

import math


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
