"""Are the sensors where the model thinks, and does the person move as people did whom it learnt from? (docs/PLAUSIBILITY.md)"""

from toolkit.plausibility.familiar import FamiliarStrides, fit_familiar
from toolkit.plausibility.fingerprint import Fingerprint, SensorLayout, fingerprint, layout_of
from toolkit.plausibility.judge import Doubt, judge

__all__ = [
    "Doubt",
    "FamiliarStrides",
    "Fingerprint",
    "SensorLayout",
    "fingerprint",
    "fit_familiar",
    "judge",
    "layout_of",
]
