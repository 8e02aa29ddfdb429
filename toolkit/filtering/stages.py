"""The filter stages: what each ``FilterStage.kind`` does, sample by sample, in float32.

=============  =====================================================================================
kind           parameters
=============  =====================================================================================
sections       ``coefficients``: rows ``[b0, b1, b2, a1, a2]`` of second-order sections (a0 = 1), each a
               float32 value; ``design``: how they were made, for people. Direct form II transposed:
               ``y = b0*x + z0; z0 = (b1*x - a1*y) + z1; z1 = b2*x - a2*y``. The state starts at the
               steady state of the first sample, so that a constant input has no transient.
rectify        none: ``y = |x|``
scale          ``gain``: one float32 a channel: ``y = gain * x``
rotate         ``places``: rows of 6 channels, an IMU's accelerometer x, y, z and gyroscope x, y, z; for each a
               ``rotation`` of 9 float32 by rows and a ``bias`` of 3: both vectors become
               ``y_i = (r_i0*v_0 + r_i1*v_1) + r_i2*v_2``, the gyroscope's of ``v = x - bias``; other channels stay
resample       ``from_hz``, ``to_hz``: row k of the output is at time ``k / to_hz`` after the first
               input row, linearly interpolated between the input rows about it, and given out as soon as
               the later of them is there: no sample from the future enters.
=============  =====================================================================================

Every stage is elementwise over channels and carries its state, so any chunking gives the same bits.
Arrays have shape (rows, ..., channels); the axes between are independent recordings run side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import RATE_HZ, FilterStage
from toolkit.errors import ContractError

Samples = NDArray[np.float32]


class Stage(Protocol):
    """A stage with its state."""

    def push(self, samples: Samples) -> Samples:
        """Take the next rows, shape (rows, ..., channels); give out the rows that are now known."""
        ...

    def reset(self) -> None:
        """Forget all samples."""
        ...


class Sections:
    """Second-order sections in series; see the module's table."""

    def __init__(self, parameters: Mapping[str, Any], channels: int) -> None:
        rows = _numbers(parameters, "sections", "coefficients")
        if rows.ndim != 2 or rows.shape[1] != 5 or not len(rows):
            raise ContractError(
                f"filter stage 'sections' needs coefficients of shape (sections, 5): b0, b1, b2, a1, a2; "
                f"it has shape {rows.shape}"
            )
        unstable = [i for i, (_, _, _, a1, a2) in enumerate(rows) if not (abs(a2) < 1 and abs(a1) < 1 + a2)]
        if unstable:
            raise ContractError(
                f"filter stage 'sections': section {unstable[0]} is unstable; "
                "it needs |a2| < 1 and |a1| < 1 + a2"
            )
        self._rows = rows
        self._arrays = [(row[:3], row[3:]) for row in rows]
        self._state: list[tuple[Samples, Samples]] | None = None

    def push(self, samples: Samples) -> Samples:
        """Filter the rows; see the module's table for the arithmetic."""
        if not len(samples):
            return samples
        if self._state is None:
            self._state = self._steady_state(samples[0])
        axes = (1,) * (samples.ndim - 1)
        signal = samples
        for index, (forward, feedback) in enumerate(self._arrays):
            z0, z1 = self._state[index]
            # What depends on the input alone is done for all rows at once; only the feedback is a loop.
            terms: Samples = signal[:, np.newaxis] * forward.reshape(3, *axes)
            signal, states = terms[:, 0], terms[:, 1:]
            back = feedback.reshape(2, *axes)
            for y, z in zip(signal, states):
                y += z0
                z -= back * y
                z0, z1 = z[0] + z1, z[1]
            self._state[index] = (z0, z1)
        return np.ascontiguousarray(signal)

    def _steady_state(self, first: Samples) -> list[tuple[Samples, Samples]]:
        state = []
        x = first
        for b0, b1, b2, a1, a2 in self._rows:
            gain = np.float32((b0 + b1 + b2) / (np.float32(1) + a1 + a2))
            y = gain * x
            z1 = b2 * x - a2 * y
            z0 = (b1 * x - a1 * y) + z1
            state.append((z0, z1))
            x = y
        return state

    def reset(self) -> None:
        """The next row starts from its own steady state."""
        self._state = None


class Rectify:
    """Absolute value: full-wave rectification of EMG."""

    def __init__(self, parameters: Mapping[str, Any], channels: int) -> None:
        pass

    def push(self, samples: Samples) -> Samples:
        """|x|, same shape."""
        return np.abs(samples)

    def reset(self) -> None:
        """Stateless."""


class Scale:
    """One gain a channel."""

    def __init__(self, parameters: Mapping[str, Any], channels: int) -> None:
        gain = _numbers(parameters, "scale", "gain")
        if gain.shape != (channels,):
            raise ContractError(
                f"filter stage 'scale' needs {channels} gains, one per channel; it has {gain.shape}"
            )
        self._gain = gain

    def push(self, samples: Samples) -> Samples:
        """gain * x, same shape."""
        return self._gain * samples

    def reset(self) -> None:
        """Stateless."""


class Rotate:
    """Turns IMUs from the axes of their cases into those of their segments; see the module's table."""

    def __init__(self, parameters: Mapping[str, Any], channels: int) -> None:
        places = _numbers(parameters, "rotate", "places")
        rotation, bias = (_numbers(parameters, "rotate", name) for name in ("rotation", "bias"))
        if places.ndim != 2 or places.shape[1:] != (6,) or not len(places):
            raise ContractError(
                f"filter stage 'rotate' needs places of shape (IMUs, 6); it has shape {places.shape}"
            )
        count = len(places)
        if rotation.shape != (count, 9) or bias.shape != (count, 3):
            raise ContractError(
                f"filter stage 'rotate' needs a rotation of 9 and a bias of 3 for each of {count} IMUs; it has shapes "
                f"{rotation.shape} and {bias.shape}"
            )
        self._places = places.astype(np.int64)
        if len({*self._places.flat}) != self._places.size or not (
            (self._places >= 0).all() and (self._places < channels).all()
        ):
            raise ContractError(f"filter stage 'rotate': its places must differ and be 0 to {channels - 1}")
        self._rotation, self._bias = rotation, bias

    def push(self, samples: Samples) -> Samples:
        """Turned samples, same shape."""
        result = np.array(samples, np.float32)
        for places, r, bias in zip(self._places, self._rotation, self._bias):
            vectors = samples[..., places]
            for first, (x, y, z) in (
                (0, (vectors[..., i] for i in range(3))),
                (3, (vectors[..., 3 + i] - bias[i] for i in range(3))),
            ):
                for i in range(3):
                    result[..., places[first + i]] = (r[3 * i] * x + r[3 * i + 1] * y) + r[3 * i + 2] * z
        return result

    def reset(self) -> None:
        """Stateless."""


class Resample:
    """Causal linear interpolation from one regular rate to another; see the module's table."""

    def __init__(self, parameters: Mapping[str, Any], channels: int) -> None:
        self._step = resample_step(parameters)
        self._arrived = 0
        self._next = 0
        self._last: Samples | None = None

    def push(self, samples: Samples) -> Samples:
        """Give out every output row whose later neighbour has arrived."""
        if not len(samples):
            return samples
        known = samples if self._last is None else np.concatenate([self._last[np.newaxis], samples])
        first = self._arrived - (len(known) - len(samples))  # input row number of known[0]
        self._arrived += len(samples)
        numerator, denominator = self._step.numerator, self._step.denominator
        output = []
        while True:
            before, remainder = divmod(self._next * numerator, denominator)
            after = before + (remainder > 0)
            if after >= self._arrived:
                break
            low = known[before - first]
            weight = np.float32(remainder / denominator)
            output.append(low if remainder == 0 else low + weight * (known[after - first] - low))
            self._next += 1
        # The next output row may lie between the newest row and the one to come.
        self._last = known[-1].copy()
        return np.stack(output) if output else np.empty((0, *samples.shape[1:]), np.float32)

    def reset(self) -> None:
        """The next input row is row 0 of both rates."""
        self._arrived = 0
        self._next = 0
        self._last = None


def resample_step(parameters: Mapping[str, Any]) -> Fraction:
    """Input rows an output row of a ``resample`` stage, exact; ContractError for rates that are not above 0."""
    for name in ("from_hz", "to_hz"):
        if not _numbers(parameters, "resample", name) > 0:
            raise ContractError(f"filter stage 'resample' needs {name} above 0 Hz; it is {parameters[name]}")
        if not RATE_HZ[0] <= float(parameters[name]) <= RATE_HZ[1]:
            raise ContractError(
                f"filter stage 'resample' has {name} {parameters[name]} Hz; {RATE_HZ[0]:g} to {RATE_HZ[1]:g} are allowed"
            )
    return rational(float(parameters["from_hz"])) / rational(float(parameters["to_hz"]))


def rational(rate_hz: float) -> Fraction:
    """The rate as an exact small fraction, so that long runs do not drift."""
    return Fraction(rate_hz).limit_denominator(10_000)


def _numbers(parameters: Mapping[str, Any], kind: str, name: str) -> NDArray[np.float32]:
    if name not in parameters:
        raise ContractError(f"filter stage {kind!r} lacks its parameter {name!r}")
    try:
        values = np.asarray(parameters[name], np.float64)
    except (TypeError, ValueError):
        raise ContractError(f"filter stage {kind!r}: parameter {name!r} must be numbers") from None
    single = values.astype(np.float32)
    if not np.all(np.isfinite(single)) or not all(math.isfinite(v) for v in values.flat):
        raise ContractError(f"filter stage {kind!r}: parameter {name!r} must be finite")
    return single


STAGES: dict[str, Callable[[Mapping[str, Any], int], Stage]] = {
    "sections": Sections,
    "rectify": Rectify,
    "scale": Scale,
    "rotate": Rotate,
    "resample": Resample,
}


def build(stage: FilterStage, channels: int) -> Stage:
    """The running stage for its data; ContractError names an unknown kind or a wrong parameter."""
    if stage.kind not in STAGES:
        raise ContractError(f"unknown filter stage {stage.kind!r}; allowed: {', '.join(STAGES)}")
    return STAGES[stage.kind](stage.parameters, channels)
