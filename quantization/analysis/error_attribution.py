"""Where an int8 graph loses accuracy: per tensor, per time step, and what 16 bits would give back.

Five computations of the same windows stand side by side: float64, the float graph with every tensor and weight
rounded ("fake-quantized"), the integer reference, LiteRT and TensorFlow Lite Micro. Then each rounding is made alone on
the float graph, and with all roundings made, each is widened to 16 bits in turn: the first names what costs most, the
second what mending it gains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import toolkit.data
from quantization.analysis.error_records import (
    Attribution,
    Loss,
    OutputError,
    TensorErrors,
)
from quantization.analysis.every_runtime import GATES, real_values
from quantization.bundle import Bundle
from quantization.calibration_windows import (
    VALIDATION,
    calibration_split,
    stratified,
    validation_segments,
)
from quantization.graph.ir import Graph
from quantization.reference.fake_quantization import FloatReplica, Source
from quantization.tflite.file import graph_of
from quantization.tflite.run import has_tflm
from toolkit.calibration import for_model
from toolkit.data.splits import Part
from toolkit.data.windows import cut
from toolkit.errors import BundleError, RecordingError, UsageError
from toolkit.model.float_model import FloatModel
from toolkit.progress import Progress
from toolkit.records import Recording, Windows

Values = NDArray[np.floating[Any]]
#: The replica must equal the float graph of the bundle to this share of the output's deviation; float32 weights allow 1e-6.
REPLICA_TOLERANCE = 1e-4
STRIDE = 3


def attribute_errors(
    bundle: str | Path | Bundle,
    data: str | Sequence[Recording] | None = None,
    *,
    windows: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attribution:
    """Attribute the error of ``bundle``'s int8 window graph on ``windows`` windows of ``data``.

    ``data`` is a source as for :func:`toolkit.data.load` (None: the one that calibrated the bundle), or recordings; the
    validation part of the checkpoint's split is used, never the test part, because what is learnt here chooses recipes; a
    note says what stands in for it. Raises BundleError if the bundle has no int8 window graph or its
    float graph does not belong to it, UsageError for a count below 2, RecordingError if the part has no window.
    """
    if windows < 2:
        raise UsageError(f"windows is {windows}; it must be at least 2")
    found = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    source = data if data is not None else _own_source(found)
    chosen, part, notes = _draw(found.checkpoint, source, windows, seed)
    name = source if isinstance(source, str) else "recordings in memory"
    return attribute_windows(found, chosen, name, part, notes, progress=progress)


def attribute_windows(
    bundle: Bundle,
    windows: Windows,
    data: str = "windows in memory",
    part: str = "whole",
    notes: Sequence[str] = (),
    *,
    progress: Progress | None = None,
) -> Attribution:
    """The same on given normalised windows; ``data``, ``part`` and ``notes`` only say where they come from."""
    integer = graph_of(bundle.graph("window", "int8"))
    work = _Attributor(bundle, integer, _float_graph(bundle), windows, progress or _silent)
    work.notes += notes
    return work.run(data, part)


def _own_source(bundle: Bundle) -> str:
    source = bundle.data_source
    if not source.startswith("synthetic"):
        raise UsageError(
            f"bundle {bundle.path} was calibrated on {source!r}, whose location it does not hold; give it with --data"
        )
    return source


def _float_graph(bundle: Bundle) -> Graph | None:
    if any((item.graph, item.scheme) == ("window", "float32") for item in bundle.graphs):
        return graph_of(bundle.graph("window", "float32"))
    return None


def _draw(
    checkpoint: FloatModel, source: str | Sequence[Recording], count: int, seed: int
) -> tuple[Windows, Part, tuple[str, ...]]:
    """Windows that recipes may be judged by, the part they are of, and what to know about it."""
    recordings = for_model(
        toolkit.data.load(source) if isinstance(source, str) else source, checkpoint.contract
    )
    split, notes = calibration_split(checkpoint, recordings)
    segments, words = validation_segments(recordings, split)
    every = cut(segments, checkpoint.contract, STRIDE)
    if not len(every):
        raise RecordingError(
            f"{words} has no window of {checkpoint.contract.window} samples; record longer or use other data"
        )
    chosen = every.take(stratified(every, count, np.random.default_rng(seed)))
    if words == VALIDATION:
        return chosen, "validation", notes
    return chosen, "train", (*notes, f"the windows are of {words}")


def _rms(values: Values) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


class _Attributor:
    """Holds the windows and the float results while everything is compared with them."""

    def __init__(
        self, bundle: Bundle, integer: Graph, real: Graph | None, windows: Windows, tell: Progress
    ) -> None:
        self.bundle, self.integer, self.windows, self.tell = bundle, integer, windows, tell
        self.notes: list[str] = []
        self.replica = FloatReplica(integer, real)
        self.inputs = {name: values.astype(np.float64) for name, values in windows.inputs.items()}
        self.output = integer.tensors[integer.outputs[0]].name
        self.target = windows.targets.astype(np.float64)
        self.float = self.replica.run(self.inputs)
        self.rmse = _rms(self._moments(self.float) - self.target)
        self.deviation = _rms(self.target - self.target.mean(axis=0))
        self._require_replica(real)

    def _moments(self, values: Mapping[str, Values]) -> Values:
        return values[self.output].reshape(len(self.target), -1)

    def _require_replica(self, real: Graph | None) -> None:
        from quantization.importers.network import float_moments

        expected = float_moments(self.bundle.checkpoint, self.inputs)
        apart = _rms(self._moments(self.float) - expected) / self.deviation
        if real is not None and self.replica.exact_weights and apart > REPLICA_TOLERANCE:
            raise BundleError(
                f"bundle {self.bundle.path}: its float graph and checkpoint disagree by {100 * apart:.3g} % of the moments' "
                "deviation; convert again"
            )

    def run(self, source: str, part: str) -> Attribution:
        every = [item.name for item in self.replica.sources]
        faked = self.replica.run(self.inputs, every)
        computed, notes = real_values(
            self.integer,
            self.bundle.graph("window", "int8").content,
            self.windows.inputs,
            lambda name: float(self.replica.quantization_of(f"{name}/cell").single),
            self.tell,
        )
        self.notes += notes
        engines = {"fake-quantized": faked, **computed}
        if not has_tflm():
            self.notes.append("tflite-micro is not installed: its column is missing")
        if not self.replica.exact_weights:
            self.notes.append("not all float weights are known: the rounding of weights is not included")
        outputs = [self._output_error("float", self.float)]
        outputs += [self._output_error(engine, values) for engine, values in engines.items()]
        losses = self._losses(every, faked)
        return Attribution(
            "window",
            source,
            part,
            len(self.target),
            tuple(self.notes),
            tuple(outputs),
            tuple(self._tensor_errors(engines)),
            tuple(sorted(losses, key=lambda item: -item.alone_error_pct)),
        )

    # -- comparisons ------------------------------------------------------------------------------------------------

    def _output_error(self, engine: str, values: Mapping[str, Values]) -> OutputError:
        moments = self._moments(values)
        rmse = _rms(moments - self.target)
        return OutputError(
            engine,
            rmse,
            100.0 * (rmse / self.rmse - 1.0),
            100.0 * _rms(moments - self._moments(self.float)) / self.deviation,
        )

    def _tensor_errors(self, engines: Mapping[str, Mapping[str, Values]]) -> list[TensorErrors]:
        rows = []
        steps = self.bundle.contract.window
        for name, op, kind, axis in self._named_tensors(steps):
            exact = self.float[name]
            deviation = float(exact.std())
            scale = 100.0 / deviation if deviation > 0 else 0.0
            errors = {e: values[name] - exact for e, values in engines.items() if name in values}
            over_time = {}
            if axis is not None:
                others = tuple(a for a in range(exact.ndim) if a != axis)
                for engine, error in errors.items():
                    by_step = np.sqrt(np.mean(error**2, axis=others)) * scale
                    over_time[engine] = tuple(float(v) for v in by_step)
            percent = {engine: _rms(error) * scale for engine, error in errors.items()}
            rows.append(TensorErrors(name, op, kind, deviation, percent, over_time))
        return rows

    def _named_tensors(self, steps: int) -> list[tuple[str, str, str, int | None]]:
        """Name, op, type and time axis (of the float values) of each tensor in running order.

        An LSTM's gate sums and cell state stand before its output.
        """
        tensors = self.integer.tensors
        named: list[tuple[str, str, str, int | None]] = [
            (tensors[i].name, "input", str(tensors[i].dtype), 1) for i in self.integer.inputs
        ]
        for op in self.integer.ops:
            out = tensors[op.outputs[0]]
            along = len(out.shape) == 3 and out.shape[1] == steps > 1
            if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
                named += [(f"{out.name}/gate/{gate}", op.kind, "int16", 1) for gate in GATES]
                named.append((f"{out.name}/cell", op.kind, str(tensors[op.inputs[19]].dtype), 1))
            axis = 1 if along else None
            if op.kind == "SOFTMAX" and out.shape[-1] == steps > 1:
                axis = len(out.shape) - 1
            named.append((out.name, op.kind, str(out.dtype), axis))
        return named

    def _losses(self, every: Sequence[str], faked: Mapping[str, Values]) -> list[Loss]:
        all_rounded = self._output_error("fake-quantized", faked)
        losses = []
        for done, source in enumerate(self.replica.sources):
            self.tell("roundings one by one", done, len(self.replica.sources))
            alone = self._output_error("alone", self._one(source, (source.name,), (), self.float))
            gain_error = gain_rmse = None
            if source.bits == 8:
                rest = [name for name in every if name != source.name]
                wide = self._output_error("wide", self._one(source, rest, (source.name,), faked))
                gain_error = all_rounded.error_vs_float_pct - wide.error_vs_float_pct
                gain_rmse = all_rounded.rmse_increase_pct - wide.rmse_increase_pct
            losses.append(
                Loss(
                    source.name,
                    source.kind,
                    source.op,
                    source.bits,
                    alone.error_vs_float_pct,
                    alone.rmse_increase_pct,
                    gain_error,
                    gain_rmse,
                )
            )
        return losses

    def _one(
        self, source: Source, active: Sequence[str], wide: Sequence[str], before: Mapping[str, Values]
    ) -> Mapping[str, Values]:
        if source.stage == "tail":
            return self.replica.run_tail(before, active, wide)
        return self.replica.run(self.inputs, active, wide)


def _silent(stage: str, done: int, total: int) -> None:
    """No progress is shown."""
