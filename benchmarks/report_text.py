"""How figures are written, in the terminal and on the page."""

from __future__ import annotations

import math


def number(value: float, digits: int) -> str:
    """With a fixed number of digits; "-" for what cannot be computed."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def signed(value: float) -> str:
    """Two digits with a sign; "-" for what cannot be computed."""
    return f"{value:+.2f}" if math.isfinite(value) else "-"
