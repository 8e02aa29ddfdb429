"""What is familiar to a model: how far training people walk from their own calibration walks, as a record and as JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.moments import PER_ELECTRODE, PER_IMU, MomentLayout
from toolkit.contract import SensorContract
from toolkit.errors import ContractError

Values = NDArray[np.float32]

FORM = "moments 2"


class Knowing(Protocol):
    """A model's file."""

    @property
    def contract(self) -> SensorContract: ...

    @property
    def familiar(self) -> Mapping[str, Any] | None: ...


def packed_size(count: int) -> int:
    """Numbers of a packed lower triangle."""
    return count * (count + 1) // 2


@dataclass(frozen=True, eq=False)
class Familiar:
    """float32 arrays; T tasks, n IMUs, m electrodes, F numbers (``MomentLayout.size``), packed lower triangles by rows.

    ``mean``, ``slope`` (T, F): expected deviation, and what a unit of speed adds; ``speeds`` (T, 3): slowest, mean, fastest.
    ``imu`` (n, 55), ``electrode`` (T, m, 3), ``timing`` (m, n(n+1)/2) whiten. ``lag`` (T, m, n): what the timing's deviations
    are weighted with for a delay of EMG in s; ``late`` (T, m, n): what a second of it adds to them.
    ``limits``: squared distances of IMUs (n), electrodes (m) and timings (m), then n limits of an IMU's power and n of its mean
    square. ``delays`` (T,): limits of the delay in s. ``row`` (packed) whitens a row of the model's inputs, ``novelty`` (1,)
    limits its distance (:class:`~toolkit.plausibility.novelty.Novelty`).
    """

    tasks: tuple[str, ...]
    mean: Values
    slope: Values
    speeds: Values
    imu: Values
    electrode: Values
    timing: Values
    lag: Values
    late: Values
    limits: Values
    delays: Values
    row: Values
    novelty: Values

    def require_fits(self, layout: MomentLayout) -> None:
        """ContractError unless the arrays are those of ``layout``'s sensors."""
        n, m, count = layout.imus, layout.electrodes, len(self.tasks)
        wanted = {
            "mean": (count, layout.size),
            "slope": (count, layout.size),
            "speeds": (count, 3),
            "imu": (n, packed_size(PER_IMU)),
            "electrode": (count, m, packed_size(PER_ELECTRODE)),
            "timing": (m, packed_size(n)),
            "lag": (count, m, n),
            "late": (count, m, n),
            "limits": (3 * n + 2 * m,),
            "delays": (count,),
            "row": (packed_size(layout.columns_in_all),),
            "novelty": (1,),
        }
        wrong = [name for name, shape in wanted.items() if getattr(self, name).shape != shape]
        if wrong or not count:
            raise ContractError(
                f"what is familiar does not fit the model's sensors ({', '.join(wrong) or 'no task'}): train it again"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; arrays as base64 of little-endian float32. :meth:`from_json` inverts it."""
        arrays = {one.name: _packed(getattr(self, one.name)) for one in fields(self) if one.name != "tasks"}
        return {"form": FORM, "tasks": list(self.tasks), **arrays}

    @classmethod
    def of(cls, model: Knowing) -> Familiar | None:
        """What ``model`` knows; None for one that asks for no calibration, and as :meth:`read`."""
        if model.familiar is None or model.contract.calibration is None:
            return None
        return cls.read(model.familiar)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Familiar | None:
        """:meth:`from_json`, or None for another form than this version's: such a model runs, its sensors are not judged."""
        return cls.from_json(value) if value.get("form") == FORM else None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Familiar:
        """Build from :meth:`to_json`'s form; ContractError says what is wrong."""
        try:
            if value.get("form") != FORM:
                raise ContractError(
                    f"what is familiar has the form {value.get('form')!r}; this version reads {FORM!r}: train the model again"
                )
            arrays = {one.name: _unpacked(value[one.name]) for one in fields(cls) if one.name != "tasks"}
            return cls(tasks=tuple(str(task) for task in value["tasks"]), **arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"not a model's familiar walks: {type(error).__name__} at {error}") from None


def _packed(values: Values) -> dict[str, Any]:
    content = base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
    return {"shape": list(values.shape), "float32": content}


def _unpacked(value: Mapping[str, Any]) -> Values:
    content = base64.b64decode(value["float32"], validate=True)
    values = np.frombuffer(content, "<f4").reshape([int(v) for v in value["shape"]]).astype(np.float32)
    if not np.all(np.isfinite(values)):
        raise ValueError("an array is not finite")
    return values
