"""What calibration windows show of a float graph: the range of every tensor over all time steps, gates and cell included.

Also the second moments of what enters each matrix product, which weight rounding needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import Graph
from quantization.quantizer import outliers
from quantization.quantizer.recipe import Method
from quantization.reference import float_graph as float_interpreter
from toolkit.errors import RecordingError

Values = NDArray[np.floating[Any]]

#: Values of a tensor that are kept for percentile and MSE ranges: enough for the 99.99th percentile to be stable.
_KEPT = 200_000
#: Values of the largest tensor that are held at once; all tensors of all windows took 4.9 GB at 256 units, 2 layers, 256 rows.
_AT_ONCE = 1_500_000
#: A value this many times its tensor's 99.9th percentile is taken for an outlier by mse ranges.
_OUTLIER = 6.0
_SHRINKS = np.linspace(1.0, 0.4, 61)


@dataclass(frozen=True, eq=False)
class ObservedRange:
    """Values of one tensor: smallest, largest and a sample (at most 200,000, evenly taken)."""

    low: float
    high: float
    sample: Values

    @property
    def largest(self) -> float:
        """Largest magnitude."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, eq=False)
class Calibration:
    """``ranges`` by tensor name; ``moments`` of the matrix inputs: E[x x'] of x with a 1 appended, by weight name.

    ``warnings`` are for people: outliers, dead channels.
    """

    ranges: Mapping[str, ObservedRange]
    moments: Mapping[str, Values]
    warnings: tuple[str, ...]


def calibrate(
    graph: Graph, inputs: Mapping[str, NDArray[np.float32]], *, method: Method = "minmax"
) -> Calibration:
    """Run the float ``graph`` (a window graph) on ``inputs`` {stream: (N, T, C)} and note what every tensor holds.

    ``method`` is what the ranges are for: all but min-max leave out windows with an
    outlier (:mod:`quantization.quantizer.outliers`).
    Raises RecordingError if an input or a computed tensor is not finite.
    """
    for name, rows in inputs.items():
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            window, row, channel = (int(v) for v in bad[0])
            raise RecordingError(
                f"calibration data: stream {name!r}, window {window}, row {row}, channel {channel} is "
                f"{rows[window, row, channel]}; values must be finite: cut or repair the recording there"
            )
    found = outliers.find(inputs)
    if method != "minmax":
        inputs = {name: rows[found.sound] for name, rows in inputs.items()}
    total = len(next(iter(inputs.values())))
    chunk = _windows_at_once(graph)
    seen: dict[str, _Seen] = {}
    moments: dict[str, Values] = {}
    for start in range(0, total, chunk):
        some = {name: rows[start : start + chunk] for name, rows in inputs.items()}
        values = float_interpreter.run(graph, some)
        count = len(next(iter(some.values())))
        for name, each in values.items():
            if not np.isfinite(each).all():
                raise RecordingError(
                    f"calibration: tensor {name!r} is not finite; the model's weights or the data are broken"
                )
            seen.setdefault(name, _Seen(total)).note(each, start, count)
        for name, own in _moments(graph, values).items():
            moments[name] = moments[name] + own if name in moments else own
    ranges = {name: one.range() for name, one in seen.items()}
    return Calibration(ranges, {n: own / own[-1, -1] for n, own in moments.items()}, found.warnings)


def _windows_at_once(graph: Graph) -> int:
    """How many windows to run together, so that what a graph of any size keeps of them fits into memory."""
    largest = max(math.prod(tensor.shape) for tensor in graph.tensors if tensor.data is None)
    return max(1, _AT_ONCE // max(1, largest))


class _Seen:
    """What is known of one tensor so far, of ``total`` windows that come in chunks."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._low, self._high = math.inf, -math.inf
        self._sample: list[Values] = []

    def note(self, values: Values, start: int, count: int) -> None:
        """Add ``values`` (count, ...), those of the windows from ``start`` on; one of constants alone has no windows."""
        if len(values) != count:
            if start:
                return
            flat, first, step = values.reshape(-1), 0, _step(values.size)
        else:
            each = values.size // count
            flat, step = values.reshape(-1), _step(each * self._total)
            first = -start * each % step
        self._low, self._high = min(self._low, float(flat.min())), max(self._high, float(flat.max()))
        self._sample.append(flat[first::step].copy())

    def range(self) -> ObservedRange:
        """Of all chunks, as if they had come at once."""
        return ObservedRange(self._low, self._high, np.concatenate(self._sample))


def _step(size: int) -> int:
    """So that about 200,000 of ``size`` values are kept. It has no factor in common with their number, so that no channel is
    left out: every fourth value of 64 units would be those of 16 units only.
    """
    step = max(1, size // _KEPT)
    while math.gcd(step, size) > 1:
        step += 1
    return step


def _moments(graph: Graph, values: Mapping[str, Values]) -> dict[str, Values]:
    """Sums of second moments, by the name of the (first) weight tensor they are for."""
    names = [tensor.name for tensor in graph.tensors]
    result = {}
    for op in graph.ops:
        if op.kind == "FULLY_CONNECTED":
            x = values[names[op.inputs[0]]]
            result[names[op.inputs[1]]] = _second_moment(x.reshape(-1, x.shape[-1]))
        elif op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            x, hidden = values[names[op.inputs[0]]], values[names[op.outputs[0]]]
            before = np.concatenate([np.zeros_like(hidden[:, :1]), hidden[:, :-1]], axis=1)
            both = np.concatenate([x, before], axis=2)
            result[names[op.inputs[1]]] = _second_moment(both.reshape(-1, both.shape[-1]))
    return result


def _second_moment(x: Values) -> Values:
    """x' x of x with a 1 appended: its last entry is the number of rows."""
    extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    result: Values = extended.T @ extended
    return result


def int8_range(
    observed: ObservedRange, method: Method, percentile: float, *, symmetric: bool
) -> tuple[float, float]:
    """(low, high) that int8 is to cover, zero included; see :class:`quantization.quantizer.recipe.Recipe`."""
    low, high = min(observed.low, 0.0), max(observed.high, 0.0)
    if method == "percentile":
        tail = 100 - percentile
        low = min(0.0, float(np.percentile(observed.sample, tail / 2)))
        high = max(0.0, float(np.percentile(observed.sample, 100 - tail / 2)))
    values = observed.sample
    if method == "mse":
        values = _without_outliers(values)
        if len(values) < len(observed.sample) or observed.largest > _OUTLIER * _usual(values):
            low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if symmetric:
        high = max(-low, high)
        low = -high
    if method == "mse" and high > low:
        errors = [_square_error(values, low * shrink, high * shrink, symmetric) for shrink in _SHRINKS]
        best = float(_SHRINKS[int(np.argmin(errors))])
        low, high = low * best, high * best
    return low, high


def _usual(values: Values) -> float:
    """99.9th percentile of the magnitudes; infinite where that is 0, so that a sparse tensor has no outliers."""
    return float(np.percentile(np.abs(values), 99.9)) or math.inf


def _without_outliers(values: Values) -> Values:
    """Without what is taken for an outlier: its square would outweigh the rounding of all other values together."""
    kept: Values = values[np.abs(values) <= _OUTLIER * _usual(values)]
    return kept


def _square_error(values: Values, low: float, high: float, symmetric: bool) -> float:
    scale, zero_point = int8_affine(low, high, symmetric=symmetric)
    stored = np.clip(np.rint(values / scale) + zero_point, -128, 127)
    return float(np.mean((scale * (stored - zero_point) - values) ** 2))


def int8_affine(low: float, high: float, *, symmetric: bool) -> tuple[float, int]:
    """Scale (a float32 value) and zero point that put [low, high] on int8; a tensor that is always 0 gets scale 1/127."""
    if high <= low:
        return float(np.float32(1 / 127)), 0
    if symmetric:
        return float(np.float32(high / 127)), 0
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))
