"""The words that all of edgetool shares, as frozen and validated records.

Nothing here reads files or computes; a record that exists is valid. Arrays are float64 or
float32, C-contiguous and read-only, rows in time order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec
from toolkit.errors import RecordingError

Array = NDArray[np.float64] | NDArray[np.float32]

#: A time this near a boundary, in seconds, counts as on it: times are sums of rounded periods.
TIME_TOLERANCE_S = 1e-9

#: Where the numbers of a recording come from. Virtual IMU is computed from measured motion.
DataKind = Literal["synthetic", "measured", "virtual-imu"]


def within(times_s: NDArray[np.float64], spans: Sequence[tuple[float, float]] | None) -> NDArray[np.bool_]:
    """Which of ``times_s`` lie in one of ``spans`` (start, stop), ends included to within 1 ns; None: everywhere."""
    times = np.asarray(times_s)
    if spans is None:
        return np.ones(times.shape, np.bool_)
    found = np.zeros(times.shape, np.bool_)
    for start, stop in spans:
        found |= (times >= start - TIME_TOLERANCE_S) & (times <= stop + TIME_TOLERANCE_S)
    return found


@dataclass(frozen=True, eq=False)
class Signal:
    """Samples of one stream on a regular time axis: row i is at ``start_s + i / spec.rate_hz``.

    ``samples`` has shape (rows, channels), finite, in the channels' units.
    """

    spec: StreamSpec
    start_s: float
    samples: Array

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(self.samples)
        if samples.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            samples = samples.astype(np.float64)
        if samples.ndim != 2 or samples.shape[1] != len(self.spec.channels):
            raise RecordingError(
                f"stream {self.spec.name!r} needs samples of shape (rows, {len(self.spec.channels)}); "
                f"it has shape {samples.shape}"
            )
        if not (math.isfinite(self.start_s) and math.isfinite(len(samples) / self.spec.rate_hz)):
            raise RecordingError(
                f"stream {self.spec.name!r} starts at {self.start_s} s with {self.spec.rate_hz:g} Hz; its times must be finite"
            )
        bad = np.argwhere(~np.isfinite(samples))
        if len(bad):
            row, column = (int(v) for v in bad[0])
            raise RecordingError(
                f"stream {self.spec.name!r}, channel {self.spec.channel_names[column]!r}, row {row} "
                f"(time {self.start_s + row / self.spec.rate_hz:.3f} s) is {samples[row, column]}; values must be "
                "finite: cut or repair the recording there"
            )
        if samples is self.samples:
            samples = samples.view()
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Time of each row in seconds, shape (rows,)."""
        times: NDArray[np.float64] = self.start_s + np.arange(len(self.samples)) / self.spec.rate_hz
        return times

    @property
    def duration_s(self) -> float:
        """Rows over rate, in seconds."""
        return len(self.samples) / self.spec.rate_hz


@dataclass(frozen=True, eq=False)
class Recording:
    """One trial of one person: sensor streams by name ("imu", "emg"), and the reference moments if known.

    ``person`` and ``task`` ("level", "incline", "decline", "stairs-up", "stairs-down", ...) group
    recordings for splits and reports; ``heel_strikes_s`` bounds gait cycles, ascending, in seconds.
    ``calibration`` is the hash of what its sensors were calibrated on (``SensorContract.calibration_hash``), empty if
    they are as they were worn.

    ``valid_s`` are the spans (start, stop) in which the moments are true, both ends included, ascending and
    disjoint, in seconds; None: everywhere. ``missing`` names, by stream, the channels that were not worn or were
    dead; their samples are set to 0 here.
    """

    name: str
    person: str
    task: str
    kind: DataKind
    mass_kg: float
    signals: Mapping[str, Signal]
    moments: Signal | None = None
    heel_strikes_s: tuple[float, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    calibration: str = ""
    valid_s: tuple[tuple[float, float], ...] | None = None
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("synthetic", "measured", "virtual-imu"):
            raise RecordingError(
                f"recording {self.name!r} is of kind {self.kind!r}; allowed: synthetic, measured, virtual-imu"
            )
        if not (math.isfinite(self.mass_kg) and 2 <= self.mass_kg <= 400):
            raise RecordingError(
                f"recording {self.name!r} has body mass {self.mass_kg} kg; it must be between 2 and 400"
            )
        if not self.signals:
            raise RecordingError(f"recording {self.name!r} has no streams")
        if self.moments is not None and any(c.unit != "Nm/kg" for c in self.moments.spec.channels):
            raise RecordingError(
                f"recording {self.name!r}: moments must be in Nm/kg; divide Nm by the body mass"
            )
        for word in ("name", "person", "task"):
            if not isinstance(getattr(self, word), str):
                raise RecordingError(
                    f"recording {self.name!r}: its {word} is {getattr(self, word)!r}; it must be text"
                )
        strikes = self.heel_strikes_s
        if not all(math.isfinite(t) for t in strikes) or any(b <= a for a, b in pairwise(strikes)):
            raise RecordingError(
                f"recording {self.name!r}: heel strikes must be finite and ascend, in seconds"
            )
        self._require_spans()
        self._require_missing()
        signals = {name: self._without_missing(name, signal) for name, signal in self.signals.items()}
        object.__setattr__(self, "signals", MappingProxyType(signals))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        gone = {name: tuple(channels) for name, channels in self.missing.items() if channels}
        object.__setattr__(self, "missing", MappingProxyType(gone))

    def _require_spans(self) -> None:
        if self.valid_s is None:
            return
        ends = [t for span in self.valid_s for t in span]
        ordered = all(a <= b for a, b in self.valid_s) and all(a[1] < b[0] for a, b in pairwise(self.valid_s))
        if not all(math.isfinite(t) for t in ends) or not ordered:
            raise RecordingError(
                f"recording {self.name!r}: valid_s must be spans (start, stop) in seconds, finite, ascending and disjoint"
            )

    def _require_missing(self) -> None:
        for stream, channels in self.missing.items():
            if stream not in self.signals:
                raise RecordingError(
                    f"recording {self.name!r}: missing names stream {stream!r}; it has {', '.join(self.signals)}"
                )
            signal = self.signals[stream]
            for channel in channels:
                if channel not in signal.spec.channel_names:
                    raise RecordingError(
                        f"recording {self.name!r}: missing names channel {channel!r}, which stream {stream!r} does not "
                        f"have; it has {', '.join(signal.spec.channel_names)}"
                    )

    def _without_missing(self, stream: str, signal: Signal) -> Signal:
        places = self.missing_places(stream)
        if not places or not np.any(signal.samples[:, places]):
            return signal
        samples = signal.samples.copy()
        samples[:, places] = 0.0
        return Signal(signal.spec, signal.start_s, samples)

    def extent(self, stream: str) -> tuple[StreamSpec, float, int]:
        """What ``stream`` is, where it starts, s, and how many rows it has: all but its samples."""
        signal = self.signals[stream]
        return signal.spec, signal.start_s, len(signal.samples)

    @property
    def span_s(self) -> tuple[float, float]:
        """Where its first stream starts and stops, s."""
        spec, start_s, rows = self.extent(next(iter(self.signals)))
        return start_s, start_s + rows / spec.rate_hz

    def is_valid(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the moments at ``times_s`` (n,) are true; shape (n,). Ends of spans count, to within 1 ns."""
        return within(times_s, self.valid_s)

    def missing_places(self, stream: str) -> list[int]:
        """Places of the missing channels of ``stream`` among its channels."""
        if not self.missing.get(stream):
            return []
        names = self.extent(stream)[0].channel_names
        return [names.index(channel) for channel in self.missing[stream]]


@dataclass(frozen=True, eq=False)
class Windows:
    """Model-ready windows cut from recordings: what training, calibration and bench feed to every engine.

    ``inputs[name]`` is float32 (n, window, channels), filtered and normalised; windows that were cut from recordings are
    gathered when they are asked for, all at once by ``inputs[name]`` or a few by :meth:`gather`; ``targets`` is float32
    (n, outputs) in Nm/kg. ``recording`` (n,) indexes ``recordings``; ``time_s`` (n,) is the time of the
    newest sample of each window, on the grid. Rows of one recording are in time order.
    """

    inputs: Mapping[str, NDArray[np.float32]]
    targets: NDArray[np.float32]
    recording: NDArray[np.int32]
    time_s: NDArray[np.float64]
    recordings: tuple[Recording, ...]

    def __len__(self) -> int:
        return len(self.targets)

    def gather(self, index: NDArray[np.int64] | slice) -> dict[str, NDArray[np.float32]]:
        """Inputs of the windows at ``index`` alone, in that order; windows that are gathered when asked for stay so."""
        if isinstance(self.inputs, _Lazy):
            return self.inputs.gather(index)
        return {name: values[index] for name, values in self.inputs.items()}

    def take(self, index: NDArray[np.int64] | slice) -> Windows:
        """The windows at ``index``, in that order."""
        inputs: Mapping[str, NDArray[np.float32]] = (
            self.inputs.take(index) if isinstance(self.inputs, _Lazy) else self.gather(index)
        )
        return Windows(
            inputs,
            self.targets[index],
            self.recording[index],
            self.time_s[index],
            self.recordings,
        )


@runtime_checkable
class _Lazy(Protocol):
    """Inputs that know how to gather some of their windows (toolkit.data.gather)."""

    def gather(self, index: NDArray[np.int64] | slice) -> dict[str, NDArray[np.float32]]: ...

    def take(self, index: NDArray[np.int64] | slice) -> Mapping[str, NDArray[np.float32]]: ...
