"""The calibration of one session: what was found on this person's sensors, as a record and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.orientation import angle_deg
from toolkit.calibration.verdict import Verdict
from toolkit.contract import json_hash
from toolkit.errors import ContractError, InputError
from toolkit.files import write_json
from toolkit.reading import read_json_object

Float = NDArray[np.float64]

SCHEMA = 1
#: A rotation's rows may be this far from orthonormal: they are written with seven decimals.
_ORTHONORMAL = 1e-5


@dataclass(frozen=True, eq=False)
class ImuCalibration:
    """One IMU: ``rotation`` (3, 3) turns sensor axes into segment axes after ``bias`` (3,), rad/s, is taken off the gyroscope.

    ``gravity_residual`` is how far the norm of the accelerometer at rest is from 1 g, in m/s^2 (None without a stand);
    ``uncertainty_deg`` is the standard error of the rotation (a jackknife over strides); ``residual`` is the root mean square
    of what is left of the walk against the template, over its usual spread. ``advice`` says what is wrong, empty if nothing is.
    ``found_by`` says how its values were found (empty in files of before 0.3).
    """

    segment: str
    rotation: Float
    bias: Float
    gravity_residual: float | None
    uncertainty_deg: float
    residual: float
    verdict: Verdict
    advice: str = ""
    found_by: str = ""

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, np.float64)
        if rotation.shape != (3, 3) or not np.all(np.isfinite(rotation)):
            raise ContractError(
                f"calibration of {self.segment!r}: the rotation must be 3 rows of 3 finite numbers"
            )
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > _ORTHONORMAL or np.linalg.det(rotation) < 0:
            raise ContractError(
                f"calibration of {self.segment!r}: the matrix is not a rotation (rows at right angles, length 1, right-handed)"
            )
        bias = np.array(self.bias, np.float64)
        if bias.shape != (3,) or not np.all(np.isfinite(bias)):
            raise ContractError(
                f"calibration of {self.segment!r}: the gyroscope's bias must be 3 finite numbers, rad/s"
            )
        if self.verdict not in get_args(Verdict):
            raise ContractError(
                f"calibration of {self.segment!r}: verdict {self.verdict!r}; allowed: {get_args(Verdict)}"
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "bias", bias)

    @property
    def angle_deg(self) -> float:
        """How far the sensor is turned from its segment's axes."""
        return angle_deg(self.rotation)


@dataclass(frozen=True)
class EmgCalibration:
    """One EMG channel: samples times ``gain`` have the amplitude that training people's have.

    ``uncertainty`` is the gain's relative standard error over strides; ``noise_floor`` is in the channel's unit,
    before the gain. ``contraction`` is what a maximal voluntary contraction gave, in that unit too (None: not asked for), and
    ``found_by`` how the gain was found (empty in files of before 0.3).
    """

    channel: str
    gain: float
    uncertainty: float
    noise_floor: float
    verdict: Verdict
    advice: str = ""
    contraction: float | None = None
    found_by: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.gain) and self.gain > 0):
            raise ContractError(
                f"calibration of {self.channel!r}: the gain is {self.gain}; it must be finite and above 0"
            )
        if self.verdict not in get_args(Verdict):
            raise ContractError(
                f"calibration of {self.channel!r}: verdict {self.verdict!r}; allowed: {get_args(Verdict)}"
            )


@dataclass(frozen=True, eq=False)
class Calibration:
    """All sensors of one person's session. ``reference`` is the hash of what they were laid on (``CalibrationReference.hash``).

    ``strides`` is how many strides it stands on, ``created`` an ISO time or empty, ``nodes`` which node was on which segment,
    ``warnings`` what a person should look at. ``walk`` are the moments of the walk as the model sees it
    (``toolkit.calibration.moments``), which the rest of the session is held against; None: not known.
    """

    reference: str
    person: str
    strides: int
    imus: tuple[ImuCalibration, ...]
    channels: tuple[EmgCalibration, ...]
    created: str = ""
    nodes: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()
    walk: tuple[float, ...] | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """What is to be done about each sensor that is refused, a line each."""
        sensors: tuple[ImuCalibration | EmgCalibration, ...] = (*self.imus, *self.channels)
        return tuple(one.advice for one in sensors if one.verdict == "refused")

    @property
    def verdict(self) -> Verdict:
        """The worst of all sensors."""
        order = get_args(Verdict)
        verdicts: list[Verdict] = [imu.verdict for imu in self.imus] + [
            channel.verdict for channel in self.channels
        ]
        return max(verdicts, key=order.index, default="good")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, made to be read by people too; :meth:`from_json` inverts it."""
        return {
            "schema": SCHEMA,
            "kind": "edgetool calibration",
            "reference": self.reference,
            "person": self.person,
            "created": self.created,
            "strides": self.strides,
            "verdict": self.verdict,
            "nodes": dict(self.nodes or {}),
            "imus": [
                {
                    "segment": one.segment,
                    "rotation": np.round(one.rotation, 7).tolist(),
                    "gyroscope_bias_rad_s": np.round(one.bias, 7).tolist(),
                    "gravity_residual_m_s2": one.gravity_residual,
                    "uncertainty_deg": round(one.uncertainty_deg, 3),
                    "residual": round(one.residual, 4),
                    "verdict": one.verdict,
                    "advice": one.advice,
                }
                | ({"found_by": one.found_by} if one.found_by else {})
                for one in self.imus
            ],
            "emg": [
                {
                    "channel": one.channel,
                    "gain": float(f"{one.gain:.8g}"),
                    "uncertainty": round(one.uncertainty, 4),
                    "noise_floor": float(f"{one.noise_floor:.4g}"),
                    "verdict": one.verdict,
                    "advice": one.advice,
                }
                | ({"found_by": one.found_by} if one.found_by else {})
                | ({} if one.contraction is None else {"contraction": float(f"{one.contraction:.4g}")})
                for one in self.channels
            ],
            "warnings": list(self.warnings),
            # Nine digits hold a float32 exactly.
            "walk": None if self.walk is None else [float(f"{value:.9g}") for value in self.walk],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Build from :meth:`to_json`'s form; ContractError says what is missing or wrong."""
        try:
            if value["schema"] != SCHEMA or value["kind"] != "edgetool calibration":
                raise ContractError(
                    f"not an edgetool calibration of schema {SCHEMA}: it has kind {value['kind']!r}, schema {value['schema']!r}"
                )
            return cls(
                reference=str(value["reference"]),
                person=str(value["person"]),
                strides=int(value["strides"]),
                imus=tuple(_imu_from_json(one) for one in value["imus"]),
                channels=tuple(_emg_from_json(one) for one in value["emg"]),
                created=str(value["created"]),
                nodes={str(k): str(v) for k, v in value["nodes"].items()},
                warnings=tuple(str(text) for text in value["warnings"]),
                walk=_walk_from_json(value.get("walk")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"not an edgetool calibration: {type(error).__name__} at {error}") from None

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return json_hash(self.to_json())

    def save(self, path: Path) -> None:
        """Write the file whole or not at all, with its hash; OutputError if it cannot be written."""
        write_json(path, {**self.to_json(), "sha256": self.hash})


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file; InputError if it cannot be read, was changed by hand or is none."""
    value = read_json_object(path, "a calibration that edgetool calibrate wrote")
    stated = value.pop("sha256", None)
    calibration = Calibration.from_json(value)
    if stated != calibration.hash:
        raise InputError(
            f"calibration {path} was changed after it was made (its sha256 does not fit); make it again with edgetool calibrate"
        )
    return calibration


def _walk_from_json(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = tuple(float(number) for number in value)
    if not np.all(np.isfinite(numbers)):
        raise ContractError("the calibration's walk must be finite numbers")
    return numbers


def _imu_from_json(one: Mapping[str, Any]) -> ImuCalibration:
    residual = one["gravity_residual_m_s2"]
    return ImuCalibration(
        segment=str(one["segment"]),
        rotation=np.array(one["rotation"], np.float64),
        bias=np.array(one["gyroscope_bias_rad_s"], np.float64),
        gravity_residual=None if residual is None else float(residual),
        uncertainty_deg=float(one["uncertainty_deg"]),
        residual=float(one["residual"]),
        verdict=one["verdict"],
        advice=str(one["advice"]),
        found_by=str(one.get("found_by", "")),
    )


def _emg_from_json(one: Mapping[str, Any]) -> EmgCalibration:
    return EmgCalibration(
        channel=str(one["channel"]),
        gain=float(one["gain"]),
        uncertainty=float(one["uncertainty"]),
        noise_floor=float(one["noise_floor"]),
        verdict=one["verdict"],
        advice=str(one["advice"]),
        contraction=None if one.get("contraction") is None else float(one["contraction"]),
        found_by=str(one.get("found_by", "")),
    )
