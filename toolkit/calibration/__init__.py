"""Where the sensors are on this person, today: sensor-to-segment calibration and EMG normalisation (docs/CALIBRATION.md)."""

from toolkit.calibration.apply import calibrated, require_calibration_fits, stages
from toolkit.calibration.estimate import assign, calibrate
from toolkit.calibration.layout import SensorLayout, layout_of
from toolkit.calibration.own_walk import with_own_walk
from toolkit.calibration.people import calibrate_recordings, fit_reference, for_model
from toolkit.calibration.reference import CalibrationReference, reference_of
from toolkit.calibration.session import Calibration, load_calibration

__all__ = [
    "Calibration",
    "CalibrationReference",
    "SensorLayout",
    "assign",
    "calibrate",
    "calibrate_recordings",
    "calibrated",
    "fit_reference",
    "for_model",
    "layout_of",
    "load_calibration",
    "reference_of",
    "require_calibration_fits",
    "stages",
    "with_own_walk",
]
