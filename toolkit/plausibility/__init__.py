"""Are the sensors where the model thinks, and does the person move as people did whom it learnt from? (docs/PLAUSIBILITY.md)"""

from toolkit.plausibility.familiar import Familiar
from toolkit.plausibility.findings import Finding, find
from toolkit.plausibility.fit import Walked, fit_familiar
from toolkit.plausibility.judge import Doubt, Judge

__all__ = [
    "Doubt",
    "Familiar",
    "Finding",
    "Judge",
    "Walked",
    "find",
    "fit_familiar",
]
