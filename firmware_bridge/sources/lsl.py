"""``lsl://NAME``: a stream of the Lab Streaming Layer, through pylsl (extra ``lsl``).

LSL gives samples with stamps, not our bytes; :mod:`sample_node` makes frames of them, so that ledger, recording and
replay are what they are for any node. The node's clock is the sender's LSL clock. What LSL measures of it (time
correction and its uncertainty) is passed on as sync exchanges, so the error bar holds for the stamps; what lies before
the stamp (radio, driver) no LSL receiver can know. LSL runs over TCP and tells of no loss: missing samples are inferred
from jumps of the stamps.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocol.packets import ChannelDescriptor, Descriptor, StreamDescriptor
from firmware_bridge.protocol.table import MAX_CHANNELS, MAX_TEXT_BYTES, UNIT_CODES
from firmware_bridge.sources.base import SourceUrl
from firmware_bridge.sources.sample_node import SampleClock, SampleNode, format_of
from firmware_bridge.sources.threaded import ThreadedSource
from toolkit.errors import (
    LinkError,
    MissingDependencyError,
    UsageError,
)

#: Rows of samples and their stamps in s.
Pulled = tuple[list[list[float]], list[float]]

#: How units are written in the wild -> PROTOCOL.md's.
_UNITS = {
    "microvolts": "uV", "microvolt": "uV", "uv": "uV", "µv": "uV", "μv": "uV",
    "millivolts": "mV", "millivolt": "mV", "mv": "mV", "volts": "V", "volt": "V", "v": "V",
    "m/s2": "m/s^2", "m/s²": "m/s^2", "m/s^2": "m/s^2", "m/s/s": "m/s^2", "g": "g", "gs": "g",
    "deg/s": "deg/s", "°/s": "deg/s", "dps": "deg/s", "degrees/s": "deg/s", "rad/s": "rad/s",
    "deg": "deg", "degrees": "deg", "°": "deg", "rad": "rad", "radians": "rad",
    "nm": "Nm", "nm/kg": "Nm/kg", "1": "1", "normalized": "1",
}  # fmt: skip
_STRING = 3
_SYNC_S = 1.0
_TWIN_S = 0.3
#: A channel without one finite value among so many samples is dead.
_LOOKED_AT = 200
#: How long one look for samples may take: closing waits for it.
_PULL_S = 0.1
_PULL_SAMPLES = 4_096
#: The sender's crystal against ours since LSL last measured (every 2 s), as a fraction (clock.MAX_SKEW) of that time.
STALE_S = 200e-6 * 2.0
#: Never believed to be better than this: the two readings of the two clocks are not taken at the same instant.
_LEAST_UNCERTAINTY_S = 20e-6
#: Stamps are seconds since a machine began, or since 1970; beyond this (or not a number) they mean nothing.
_MOST_STAMP_S = 1e11


@dataclass(frozen=True)
class Correction:
    """Add ``offset_s`` to the sender's clock to get ours; wrong by at most ``uncertainty_s``."""

    offset_s: float
    uncertainty_s: float


class _FiniteCheck:
    """Finds a channel that never brings a number: all samples of the stream would be dropped without a word.

    A sensor can be switched on any time, so it is a lost link, which is tried again, and no error that ends anything.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._bad: set[int] | None = None
        self._seen = 0

    def look(self, values: NDArray[np.generic], channels: list[str]) -> None:
        """LinkError once 200 samples have come and a channel was never finite."""
        if self._bad is None:
            self._bad = set(range(len(channels)))
        if not self._bad:
            return
        self._bad -= set(np.flatnonzero(np.isfinite(values).any(axis=0)).tolist())
        self._seen += len(values)
        if self._bad and self._seen >= _LOOKED_AT:
            names = ", ".join(channels[index] for index in sorted(self._bad))
            raise LinkError(
                f"LSL stream {self._name!r} gives no number in channel {names}; is that sensor on? Leave it out with "
                "?channels=, naming the others"
            )


@dataclass(frozen=True, eq=False)
class FrameMaker:
    """Frames of a node's stream from what an inlet gives: the wanted ``columns`` of its samples, as ``dtype``, with stamps."""

    name: str
    node: SampleNode
    clock: SampleClock
    columns: list[int]
    dtype: str

    def frames(self, pull: Callable[[], Pulled], correct: Callable[[], Correction]) -> Iterator[bytes]:
        """Without end. ``pull`` waits a moment for samples and gives them with their stamps, on the sender's clock;
        ``correct`` says what that clock is to ours. LinkError, of either of them or for a channel that is dead."""
        pylsl, node, clock = load_pylsl(), self.node, self.clock
        correction, synced_s, finite = correct(), -np.inf, _FiniteCheck(self.name)
        while True:
            samples, stamps = pull()
            # In this order: if we are held up between the two, the exchange is said to have taken longer, which is true.
            host_ns = time.monotonic_ns()
            ours_s = pylsl.local_clock()
            if host_ns * 1e-9 - synced_s >= _SYNC_S:
                correction, due = correct(), True
            else:
                due = False
            # The sender's clock now: at least, and at most.
            theirs_s = ours_s - correction.offset_s - correction.uncertainty_s
            latest_s = theirs_s + 2 * correction.uncertainty_s
            out = node.housekeeping(theirs_s)
            if due:
                synced_s = host_ns * 1e-9
                out += node.sync(host_ns - round(2e9 * correction.uncertainty_s), theirs_s)
            if stamps:
                # A sender can stamp as it likes; what has no time is left out, as what has no number is.
                timed = np.abs(np.asarray(stamps)) < _MOST_STAMP_S
                values = np.asarray(samples, self.dtype)[timed][:, self.columns]
                finite.look(values, [c.name for c in node.descriptor.streams[0].channels])
                if not np.issubdtype(values.dtype, np.signedinteger) or values.dtype.itemsize > 2:
                    with np.errstate(over="ignore"):  # beyond float32: not finite, so not sent, and counted
                        values = values.astype(np.float32)
                numbers, times_s = clock.number_samples(np.asarray(stamps)[timed])
                # Nothing arrives before it is taken, however a line through jittery stamps may run.
                out += node.samples(0, numbers, np.minimum(times_s, latest_s), values)
            yield out


class LslSource(ThreadedSource):
    """Options: ``type`` and ``source_id`` (which of several of that name), ``as`` (the stream's name in the session),
    ``unit`` (of all channels, over what the sender states), ``channels`` (labels, separated by commas), ``dejitter`` (1),
    ``resolve_s`` (5)."""

    def __init__(self, url: SourceUrl) -> None:
        super().__init__(url)
        url.allow("type", "source_id", "as", "unit", "channels", "dejitter", "resolve_s")
        self._resolve_s = url.number("resolve_s", 5.0, 0.1, 120.0)
        self._dejitter = bool(url.number("dejitter", 1, 0, 1))
        self._unit = url.options.get("unit")
        if self._unit is not None and self._unit not in UNIT_CODES:
            raise UsageError(f"source {url.text!r}: unit {self._unit!r}; allowed: {', '.join(UNIT_CODES)}")
        self._inlet: Any = None
        self._uid: str | None = None
        self._boot = -1
        self._node: SampleNode | None = None
        self._clock: SampleClock | None = None
        self._columns: list[int] = []
        self._dtype = "f4"

    @property
    def links(self) -> tuple[str, ...]:
        """The stream."""
        return (f"lsl {self.url.address}",)

    def connect(self) -> None:
        """Resolve the stream and subscribe to it; its description becomes the descriptor."""
        pylsl = load_pylsl()
        found = self._resolve(pylsl)
        try:
            inlet = pylsl.StreamInlet(found, max_buflen=30, recover=False)
            info = inlet.info(self._resolve_s)
            descriptor, columns = _describe(info, self.url, self._unit)
            inlet.open_stream(self._resolve_s)
            # LSL probes for about a second, then keeps its estimate up to date by itself.
            correct(inlet, self._resolve_s)
        except (pylsl.util.LostError, pylsl.util.TimeoutError) as error:
            raise LinkError(
                f"LSL stream {self.url.address!r} was found but does not answer ({error}); is a firewall between you and it?"
            ) from None
        if info.uid() != self._uid or self._node is None:
            # Another outlet: its clock and its samples begin anew.
            self._uid, self._boot = info.uid(), (self._boot + 1) % 256
            self._node = SampleNode(descriptor, self._boot)
            self._clock = SampleClock(info.nominal_srate(), self._dejitter)
        self._inlet, self._columns, self._dtype = inlet, columns, _dtype(info)

    def read(self) -> Iterator[bytes]:
        """Frames of what comes; LinkError when the outlet is gone."""
        assert self._node is not None and self._clock is not None
        pylsl, inlet = load_pylsl(), self._inlet

        def pull() -> Pulled:
            try:
                return _pull(inlet)
            except pylsl.util.LostError:
                raise LinkError(f"LSL stream {self.url.address!r} was closed or is out of reach") from None

        made = FrameMaker(self.url.address, self._node, self._clock, self._columns, self._dtype)
        return made.frames(pull, lambda: correct(inlet, _PULL_S))

    def disconnect(self) -> None:
        """Unsubscribe."""
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close_stream()

    def _resolve(self, pylsl: Any) -> Any:
        until_s = time.monotonic() + self._resolve_s
        seen: list[Any] = []
        while not self.stopping.is_set() and (left_s := until_s - time.monotonic()) > 0:
            if not pylsl.resolve_byprop("name", self.url.address, 1, min(left_s, 0.5)):
                continue
            # One has answered; if there is another of that name, it needs a moment more.
            seen = pylsl.resolve_byprop("name", self.url.address, 2, _TWIN_S)
            fitting = [info for info in seen if self._fits(info)]
            if len({info.uid() for info in fitting}) == 1:
                return fitting[0]
            if len(fitting) > 1:
                known = "; ".join(f"type={i.type()}&source_id={i.source_id()}" for i in fitting)
                raise LinkError(
                    f"{len(fitting)} LSL streams are named {self.url.address!r}; say which: {known}"
                )
        others = f"; of that name there are {len(seen)} with another type or source_id" if seen else ""
        raise LinkError(
            f"no LSL stream {self.url.address!r} was seen within {self._resolve_s:g} s{others}; is its program running on "
            "this network, and does a firewall block UDP port 16571? `edgetool scan` lists the streams in reach"
        )

    def _fits(self, info: Any) -> bool:
        options = self.url.options
        return bool(
            options.get("type", info.type()) == info.type()
            and options.get("source_id", info.source_id()) == info.source_id()
        )


def load_pylsl() -> Any:
    """pylsl, quiet; MissingDependencyError says what to install."""
    try:
        import pylsl
    except ImportError:
        raise MissingDependencyError("lsl:// needs pylsl; install it: pip install 'edgetool[lsl]'") from None
    except RuntimeError:
        raise MissingDependencyError(
            "pylsl finds no liblsl (its wheel for this platform holds none); install liblsl from "
            "github.com/sccn/liblsl/releases, or set PYLSL_LIB to liblsl.so"
        ) from None
    _quieten(pylsl)
    return pylsl


@functools.cache
def _quieten(pylsl: Any) -> None:
    """liblsl writes to stderr whatever happens; LinkChanges say the same. A user's own configuration stands."""
    home = Path("lsl_api") / "lsl_api.cfg"
    places = (Path("lsl_api.cfg"), Path.home() / home, Path("/etc") / home)
    if "LSLAPICFG" not in os.environ and not any(place.exists() for place in places):
        with contextlib.suppress(AttributeError, NotImplementedError):  # liblsl before 1.17.7 cannot be told
            pylsl.util.set_config_content("[log]\nlevel = -3\n")


def _pull(inlet: Any) -> Pulled:
    """What there is, after waiting at most 0.1 s for the first sample: rows and their stamps."""
    first, stamp = inlet.pull_sample(timeout=_PULL_S)
    if first is None:
        return [], []
    more, stamps = inlet.pull_chunk(timeout=0.0, max_samples=_PULL_SAMPLES)
    return [first, *more], [stamp, *stamps]


def correct(inlet: Any, timeout_s: float) -> Correction:
    """LSL's estimate and how wrong it can be: the round trip of its best probe, and what the clocks drift until the next."""
    import ctypes

    from pylsl.lib import lib

    uncertainty, remote_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    ask = lib.lsl_time_correction_ex
    ask.restype = ctypes.c_double
    references = ctypes.byref(remote_s), ctypes.byref(uncertainty)
    offset_s = float(ask(inlet.obj, *references, ctypes.c_double(timeout_s), ctypes.byref(code)))
    if code.value:
        raise LinkError("the LSL stream answers no time probes; is a firewall between you and it?")
    bound_s = max(uncertainty.value, _LEAST_UNCERTAINTY_S) + STALE_S
    return Correction(offset_s, bound_s)


def _describe(info: Any, url: SourceUrl, unit: str | None) -> tuple[Descriptor, list[int]]:
    """Descriptor and columns of the wanted channels. LinkError for what cannot be a stream of samples on a grid."""
    name = url.address
    if info.channel_format() == _STRING:
        raise LinkError(
            f"LSL stream {name!r} holds texts (markers), not samples; only numbers can be streamed"
        )
    if info.nominal_srate() <= 0:
        raise LinkError(
            f"LSL stream {name!r} has no regular rate (events, not samples); only streams of a stated rate can be aligned"
        )
    labels, units = _channels(info)
    columns = _wanted(labels, url)
    if len(columns) > MAX_CHANNELS:
        raise LinkError(
            f"LSL stream {name!r} has {len(columns)} channels; at most {MAX_CHANNELS}: choose with ?channels=LABEL,LABEL"
        )
    channels = []
    for column in columns:
        stated = _UNITS.get(
            units[column].strip().lower(), units[column] if units[column] in UNIT_CODES else ""
        )
        if not (unit or stated):
            raise LinkError(
                f"LSL stream {name!r}, channel {labels[column]!r} states the unit {units[column]!r}, which is not known; "
                f"give it with ?unit=: {', '.join(UNIT_CODES)}"
            )
        channels.append(ChannelDescriptor(labels[column], unit or stated, 1.0))
    label = url.options.get("as", name)
    form = format_of(np.dtype(_dtype(info)))
    stream = StreamDescriptor(0, _short(label), form, info.nominal_srate(), tuple(channels))
    hardware = f"LSL {info.type()} {info.source_id()} on {info.hostname()}"
    return Descriptor(_short(name), (stream,), hardware=_short(hardware)), columns


def _dtype(info: Any) -> str:
    """numpy's name of LSL's channel format 1 to 7."""
    return {1: "f4", 2: "f8", 4: "i4", 5: "i2", 6: "i1", 7: "i8"}[info.channel_format()]


def _channels(info: Any) -> tuple[list[str], list[str]]:
    """Labels and units of all channels as the sender's description states them (XDF wiki: channels/channel/label, unit)."""
    labels, units = [], []
    channel = info.desc().child("channels").child("channel")
    for index in range(info.channel_count()):
        label = "" if channel.empty() else _clean(channel.child_value("label"))
        units.append("" if channel.empty() else channel.child_value("unit"))
        if not label or label in labels:
            label = f"channel {index + 1}"
        while label in labels:
            label += "'"
        labels.append(label)
        channel = channel if channel.empty() else channel.next_sibling("channel")
    return labels, units


def _wanted(labels: list[str], url: SourceUrl) -> list[int]:
    text = url.options.get("channels")
    if text is None:
        return list(range(len(labels)))
    wanted = [_clean(label) for label in text.split(",")]
    for label in wanted:
        if label not in labels or wanted.count(label) > 1:
            raise LinkError(
                f"LSL stream {url.address!r}: ?channels= names {label!r}, which must occur exactly once; "
                f"there are: {', '.join(labels)}"
            )
    return [labels.index(label) for label in wanted]


def _clean(text: str) -> str:
    """``text`` as a descriptor can hold it: printable, no spaces at its ends, at most 63 bytes; perhaps nothing is left."""
    printable = "".join(each if each.isprintable() else " " for each in text).strip()
    # Room for what makes a name unique.
    return printable.encode(errors="replace")[: MAX_TEXT_BYTES - 3].decode(errors="ignore").strip()


def _short(text: str) -> str:
    """:func:`_clean`, and never empty."""
    return _clean(text) or "unnamed"
