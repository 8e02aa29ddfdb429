"""Where the sensors are on this person, today: sensor-to-segment calibration and EMG normalisation (docs/CALIBRATION.md)."""

from toolkit.calibration.apply import calibrated, require_calibration_fits, stages
from toolkit.calibration.estimate import assign, calibrate
from toolkit.calibration.people import calibrate_recordings, fit_reference, for_model
from toolkit.calibration.reference import CalibrationReference, reference_of
from toolkit.calibration.session import Calibration, load_calibration

__all__ = [
    "Calibration",
    "CalibrationReference",
    "assign",
    "calibrate",
    "calibrate_recordings",
    "calibrated",
    "fit_reference",
    "for_model",
    "load_calibration",
    "reference_of",
    "require_calibration_fits",
    "stages",
]
