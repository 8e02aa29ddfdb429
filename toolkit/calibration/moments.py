"""What seconds of walking are in a hundred numbers: weighted moments of every sensor, without strides or phases.

Of each IMU, in its segment's axes and units: the mean accelerometer (3), the mean products of the gyroscope's axes (xx,
xy, xz, yy, yz, zz) and the mean square of the accelerometer. A turned sensor turns the first nine and leaves the trace and the
tenth. Of each electrode, in the unit that the model reads: mean and mean square. Of each electrode with each IMU: the mean
product with the gyroscope's z, which says when in a step a muscle works, and moves when one stream is late.

Weights rise and fall in a triangle over two halves of :data:`HALF_S`, and triangles overlap by half: where in a stride a span
begins counts for little. Beside them, how fast each IMU turned in every quarter of the span says whether it was walked
throughout. All of it is float32, a row after the other, one product and one sum at a time: the generated C
(``quantization/kernels/plausibility``) has the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.layout import SensorLayout

Values = NDArray[np.float32]

#: Half of a triangle, s: longer than two strides of a slow walk.
HALF_S = 2.0
#: Parts of half a triangle, of 1 s, and of a whole one.
PARTS, PARTS_OF_SPAN = 2, 4
#: Numbers of an IMU (mean accelerometer, products of the gyroscope, accelerometer's mean square) and of an electrode.
PER_IMU, PER_ELECTRODE = 10, 2
#: Places of the products' two factors among x, y, z.
PRODUCTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
#: Among an IMU's ten numbers: where the trace's terms are.
TRACE = (3, 6, 8)


@dataclass(frozen=True, eq=False)
class MomentLayout:
    """Which number is what: IMUs first, then electrodes, then each electrode with each IMU."""

    layout: SensorLayout

    @cached_property
    def imus(self) -> int:
        return len(self.layout.imus)

    @cached_property
    def electrodes(self) -> int:
        return len(self.layout.electrodes)

    @property
    def size(self) -> int:
        return PER_IMU * self.imus + (PER_ELECTRODE + self.imus) * self.electrodes

    @property
    def columns_in_all(self) -> int:
        """Columns of a row: the sensors', and any that are of none."""
        return len(self.layout.mean)

    @property
    def half(self) -> int:
        """Rows of half a triangle."""
        return max(1, round(HALF_S * self.layout.grid_rate_hz))

    @property
    def part(self) -> int:
        """Rows of the first part of half a triangle; the other has one more where they are odd."""
        return max(1, self.half // PARTS)

    def split(self, moments: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """``moments`` (..., size) as (..., IMUs, 10), (..., electrodes, 2) and (..., electrodes, IMUs)."""
        first = PER_IMU * self.imus
        second = first + PER_ELECTRODE * self.electrodes
        leading = moments.shape[:-1]
        return (
            moments[..., :first].reshape(*leading, self.imus, PER_IMU),
            moments[..., first:second].reshape(*leading, self.electrodes, PER_ELECTRODE),
            moments[..., second:].reshape(*leading, self.electrodes, self.imus),
        )

    @cached_property
    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns of the IMUs (IMUs, 6) and of the electrodes (electrodes,)."""
        inertial = np.array([sensor.columns for sensor in self.layout.imus], np.int64).reshape(-1, 6)
        electric = np.array([sensor.columns[0] for sensor in self.layout.electrodes], np.int64)
        return inertial, electric

    @cached_property
    def units(self) -> tuple[Values, Values]:
        """Deviation and mean of every column, float32."""
        return np.asarray(self.layout.deviation, np.float32), np.asarray(self.layout.mean, np.float32)

    def products(self, rows: Values) -> Values:
        """What each of ``rows`` (rows, columns), normalised, adds to the moments: (rows, size)."""
        deviation, mean = self.units
        values = rows * deviation + mean
        inertial, electric = self.columns
        a, g = values[:, inertial[:, :3]], values[:, inertial[:, 3:]]
        e = values[:, electric]
        squares = (a[..., 0] * a[..., 0] + a[..., 1] * a[..., 1]) + a[..., 2] * a[..., 2]
        pairs = np.stack([g[..., i] * g[..., j] for i, j in PRODUCTS], axis=-1)
        imu = np.concatenate([a, pairs, squares[..., None]], axis=-1)
        electrode = np.stack([e, e * e], axis=-1)
        cross = e[:, :, None] * g[:, None, :, 2]
        count = len(rows)
        return np.concatenate([part.reshape(count, -1) for part in (imu, electrode, cross)], axis=1)


@dataclass(frozen=True, eq=False)
class Span:
    """What a whole triangle of rows comes to: ``moments`` (size,), and ``paces`` (parts, IMUs), the mean square of each
    gyroscope in each second of it, rad^2/s^2. float32."""

    moments: Values
    paces: Values


class Moments:
    """Rows in, moments out: one span after every :data:`HALF_S` once the first triangle is whole."""

    def __init__(self, layout: MomentLayout) -> None:
        self.layout = layout
        self._scale = np.float32(1.0 / (layout.half * (layout.half + 1)))
        self._pace_scale = np.float32(PARTS / layout.half)
        self.reset()

    def reset(self) -> None:
        """The next row is the first."""
        self._rising = np.zeros(self.layout.size, np.float32)
        self._falling = np.zeros(self.layout.size, np.float32)
        self._paces = np.zeros((PARTS_OF_SPAN, self.layout.imus), np.float32)
        self._row, self._whole = 0, False

    @property
    def until_whole(self) -> int:
        """Rows until the half that has begun is whole."""
        return self.layout.half - self._row

    def append(self, rows: Values) -> Iterator[Span]:
        """Take normalised ``rows`` (rows, columns); give the span of every triangle that is whole now."""
        half, part = self.layout.half, self.layout.part
        while len(rows):
            end = part if self._row < part else half
            now, rows = rows[: end - self._row], rows[end - self._row :]
            products = self.layout.products(np.asarray(now, np.float32))
            up = np.arange(self._row + 1, self._row + len(now) + 1, dtype=np.float32)
            self._rising = _added(self._rising, products * up[:, None])
            self._falling = _added(self._falling, products * (np.float32(half + 1) - up)[:, None])
            place = PARTS + (end == half and half > part)
            self._paces[place] = _added(self._paces[place], self._powers(products))
            self._row += len(now)
            if self._row == half:
                done = Span(self._falling * self._scale, self._paces * self._pace_scale)
                whole, self._whole = self._whole, True
                self._falling, self._rising = self._rising, np.zeros_like(self._rising)
                self._paces = np.concatenate([self._paces[PARTS:], np.zeros_like(self._paces[PARTS:])])
                self._row = 0
                if whole:
                    yield done

    def _powers(self, products: Values) -> Values:
        """Each gyroscope's square, (rows, IMUs)."""
        imu = self.layout.split(products)[0]
        xx, yy, zz = (imu[..., place] for place in TRACE)
        result: Values = (xx + yy) + zz
        return result


def _added(total: Values, terms: Values) -> Values:
    """``total`` and the rows of ``terms``, one sum after the other."""
    result: Values = np.add.accumulate(np.concatenate([total[None], terms]), axis=0, dtype=np.float32)[-1]
    return result


def spans_of(rows: Values, layout: MomentLayout) -> list[Span]:
    """Every whole triangle of ``rows`` from the first on."""
    return list(Moments(layout).append(rows))


def moments_of(rows: Values, layout: MomentLayout) -> Values:
    """The moments of every whole triangle of ``rows`` from the first on, (triangles, size)."""
    found = [span.moments for span in spans_of(rows, layout)]
    return np.array(found, np.float32).reshape(-1, layout.size)
