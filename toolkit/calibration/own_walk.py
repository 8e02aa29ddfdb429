"""A person's own calibration walk as the model sees it: what the rest of the session is held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.apply import calibrated
from toolkit.calibration.layout import SensorLayout, layout_of
from toolkit.calibration.moments import HALF_S, MomentLayout, moments_of
from toolkit.calibration.session import Calibration
from toolkit.calibration.strides import find_strides
from toolkit.contract import SensorContract
from toolkit.data.windows import features
from toolkit.errors import RecordingError
from toolkit.records import Recording, Signal

Values = NDArray[np.float32]

#: Triangles of the walk begin at this many places of half a triangle: their mean is smoother than one's.
_PLACES = 4


def own_moments(rows: Values, layout: SensorLayout) -> Values:
    """Mean moments (size,) of the walk in ``rows`` (rows, columns) of the model's inputs, from its first stride to its last.

    RecordingError where there is no walk of four seconds and more.
    """
    inertial = layout.imus
    columns = [column for sensor in inertial for column in sensor.columns[3:]]
    gyroscopes = layout.physical(rows)[:, columns]
    strides = find_strides(gyroscopes.reshape(len(rows), len(inertial), 3), layout.grid_rate_hz)
    shape = MomentLayout(layout)
    walked = rows[strides.rows[0, 0] : strides.rows[-1, 1]] if len(strides) else rows[:0]
    found = [moments_of(walked[shape.half * k // _PLACES :], shape) for k in range(_PLACES)]
    together = np.concatenate(found)
    if not len(together):
        raise RecordingError(
            f"the walk has {len(walked) / layout.grid_rate_hz:.1f} s of regular strides and needs {2 * HALF_S:g}: "
            "walk about ten strides straight ahead at a steady pace, and do it again"
        )
    return np.asarray(together.astype(np.float64).mean(axis=0), np.float32)


def with_own_walk(
    calibration: Calibration, signals: Mapping[str, Signal], contract: SensorContract
) -> Calibration:
    """``calibration`` and the moments of the walk that it was made of, ``signals`` as the sensors gave them.

    As it is for a contract whose sensors cannot be judged. RecordingError for a walk that is too short.
    """
    layout = layout_of(contract)
    if layout is None:
        return calibration
    worn = Recording("walk", calibration.person or "somebody", "level", "measured", 70.0, dict(signals))
    rows = features([calibrated(worn, calibration)], contract.inputs, contract.grid_rate_hz)[0]
    joined = np.concatenate([rows[name] for name in layout.inputs], axis=1)
    return dataclasses.replace(calibration, walk=tuple(float(v) for v in own_moments(joined, layout)))
