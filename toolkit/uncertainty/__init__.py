"""How far an estimate may be off: an interval of stated coverage around every joint moment (docs/UNCERTAINTY.md)."""

from toolkit.uncertainty.conformal import Judged, fit_error_bars
from toolkit.uncertainty.error_bars import LEVEL, ErrorBars

__all__ = ["LEVEL", "ErrorBars", "Judged", "fit_error_bars"]
