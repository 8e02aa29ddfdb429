"""Bytes to the rows of the model's inputs: session, contract check, findings, and several nodes' streams joined into one input.

Everything follows from the items alone. After a silence that is too long to bridge the rows start anew (``restart``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.items import Chunk, LinkChange, Recorded, Snapshot
from firmware_bridge.protocol.packets import Descriptor, StreamDescriptor
from firmware_bridge.streams.alignment import AlignmentSettings, Rows
from firmware_bridge.streams.receiver import NodeKey
from firmware_bridge.streams.session import Session, SessionStep, TimedSamples
from runtime.pipeline.input_from import InputFrom, require_inputs_fit
from runtime.pipeline.input_plan import InputPlan, SensorStream, plan_input, used_part
from runtime.pipeline.resampling import LastGood, StreamResampler
from runtime.pipeline.states import Rules
from runtime.pipeline.stream_watch import StreamWatch
from toolkit.contract import ModelInput, SensorContract
from toolkit.errors import ContractError
from toolkit.filtering.mains import notch
from toolkit.filtering.stages import Stage, build

Place = tuple[NodeKey, int]


@dataclass(frozen=True, eq=False)
class InputRows:
    """Rows of one input from row ``first`` on: float32 (rows, channels), findings (rows,), and the age of what they rest on.

    ``source_s`` (rows,) is the host time of the newest measured sample that a row rests on, of the stream that is
    furthest behind.
    """

    first: int
    values: NDArray[np.float32]
    findings: NDArray[np.uint8]
    source_s: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one item settled. ``restart``: the rows begin anew at row 0, and so must filters and model."""

    arrival_ns: int
    restart: bool
    inputs: Mapping[str, InputRows]
    #: The largest error bar of the sample times, in s.
    error_s: float


@dataclass(eq=False)
class _Stream:
    """One stream of an input: where it comes from, and its rows that wait for the other streams of the input.

    Of its channels ``columns`` are used; the watch looks at those alone.
    """

    name: str
    place: Place
    descriptor: StreamDescriptor
    columns: NDArray[np.intp]
    watch: StreamWatch
    resampler: StreamResampler | None
    values: list[NDArray[np.float32]] = field(default_factory=list)
    findings: list[NDArray[np.uint8]] = field(default_factory=list)
    source_s: list[NDArray[np.float64]] = field(default_factory=list)
    #: How many they are.
    waiting: int = 0
    measured_s: float = -np.inf

    def add(self, rows: Rows, epoch_s: float) -> None:
        """Keep rows with their findings; rows that fill a gap rest on the last measured one."""
        if self.partial:
            rows = rows._replace(values=rows.values[:, self.columns])
        source_s = rows.times_s
        if np.count_nonzero(rows.valid) < len(rows.valid):
            measured = np.where(rows.valid, source_s, -np.inf)
            source_s = np.maximum(np.maximum.accumulate(measured), self.measured_s)
        self.measured_s = float(source_s[-1])
        values, findings = rows.values, self.watch.findings(rows, epoch_s)
        if self.resampler is not None:
            values, findings, source_s = self.resampler.resample(values, findings, source_s, epoch_s)
            if not len(values):
                return
        self.waiting += len(source_s)
        self.values.append(values)
        self.findings.append(findings)
        self.source_s.append(source_s)

    @property
    def partial(self) -> bool:
        """Whether some of its channels are not used."""
        return len(self.columns) < len(self.descriptor.channels)

    def inspect(self, samples: TimedSamples, arrival_ns: int, clock_restarts: int) -> None:
        """Watch what is used of one packet."""
        if self.partial:
            samples = samples._replace(values=samples.values[:, self.columns])
        self.watch.inspect(samples, arrival_ns, clock_restarts)

    def forget(self) -> None:
        """The rows start anew."""
        self.watch.forget()
        if self.resampler is not None:
            self.resampler.reset()
        self.values, self.findings, self.source_s = [], [], []
        self.waiting, self.measured_s = 0, -np.inf

    def pop(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64]]:
        """The first ``count`` rows."""
        self.waiting -= count
        if len(self.values) == 1 and count == len(self.values[0]):
            return self.values.pop(), self.findings.pop(), self.source_s.pop()
        values, findings = np.concatenate(self.values), np.concatenate(self.findings)
        source_s = np.concatenate(self.source_s)
        self.values, self.findings = [values[count:]], [findings[count:]]
        self.source_s = [source_s[count:]]
        return values[:count], findings[:count], source_s[:count]


class _Notch:
    """Takes mains hum out of the rows of one input, in order."""

    def __init__(self, item: ModelInput, line_hz: int) -> None:
        self._channels = len(item.stream.channels)
        self._stage: Stage = build(notch(line_hz, item.stream.rate_hz), self._channels)
        self.reset()

    def reset(self) -> None:
        """The next row is row 0."""
        self._stage.reset()
        self._held = LastGood(self._channels)

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows without hum, same shape, float32; what is not finite does not stay in the filter."""
        return self._stage.push(self._held.hold(values))


class Intake:
    """Takes items, gives batches. ``inputs`` says where each input of ``contract`` comes from; not named: its own name.

    ``calibrated`` gives the nodes that the session was calibrated with, by "input/stream": others are not taken.
    """

    def __init__(
        self,
        contract: SensorContract,
        inputs: Mapping[str, InputFrom] | None = None,
        alignment: AlignmentSettings | None = None,
        rules: Rules | None = None,
        calibrated: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self.contract = contract
        self._calibrated = calibrated
        self.rules = rules or Rules()
        given = dict(inputs or {})
        own = [item.stream.name for item in contract.inputs]
        require_inputs_fit(contract, given)
        self.inputs = {name: given.get(name, InputFrom((name,))) for name in own}
        self._notches = {
            item.stream.name: _Notch(item, self.inputs[item.stream.name].notch_hz)
            for item in contract.inputs
            if self.inputs[item.stream.name].notch_hz
        }
        self.session = Session(alignment or AlignmentSettings(), by_hand=True)
        #: Why the sensors do not fit the contract, both sides named; None when they do or are not all known yet.
        self.trouble: str | None = None
        #: Names of streams that no node has described yet.
        self.missing: tuple[str, ...] = tuple(name for each in self.inputs.values() for name in each.streams)
        self.links: dict[int, LinkChange] = {}
        self.newest_ns: int | None = None
        #: What the newest item was decoded to.
        self.step = SessionStep((), (), {})
        #: How often rows began anew, the first time included.
        self.restarts = 0
        self._streams: dict[str, list[_Stream]] = {}
        self._plans: dict[str, InputPlan] = {}
        self._by_place: dict[Place, _Stream] = {}
        self._by_name: dict[str, _Stream] = {}
        self._silence_ns = round(self.rules.silence_ms * 1e6)
        #: Every stream has spoken at this time or after it.
        self._heard_ns = -(1 << 62)
        self._known: dict[NodeKey, Descriptor] = {}
        self._next: dict[str, int] = {}
        self._restart = True

    def streams(self) -> list[tuple[str, str, NodeKey, StreamWatch]]:
        """Input, name, node and watch of every stream that the model uses, in order."""
        return [
            (name, each.name, each.place[0], each.watch)
            for name, streams in self._streams.items()
            for each in streams
        ]

    def decode(self, item: Recorded) -> Batch | None:
        """The rows that ``item`` settles, or None if there are none."""
        if isinstance(item, LinkChange):
            self.links[item.link] = item
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found and said, row by row
            step = self.step = self.session.process(item)
        if isinstance(item, Snapshot) or any(isinstance(r.packet, Descriptor) for r in step.received):
            self._learn()
        if not isinstance(item, Chunk):
            return None
        self.newest_ns = item.arrival_ns
        self._look(step, item.arrival_ns)
        if not self._streams:
            return None
        if not self._restart and self._silent(item.arrival_ns):
            self.realign()
            return None
        return self._batch(step, item.arrival_ns)

    def realign(self) -> None:
        """Give up the rows so far: the next begin at row 0 when every stream has come again."""
        names, specs = {}, {}
        self._by_name = {each.name: each for each in self._by_place.values()}
        self._heard_ns = -(1 << 62)
        for each in self._by_place.values():
            names[each.place] = each.name
            specs[each.name] = each.descriptor.spec
            each.forget()
        self.session.align(names, specs)
        for filtered in self._notches.values():
            filtered.reset()
        self._next = dict.fromkeys(self._streams, 0)
        self._restart = True

    def choose_streams_again(self) -> None:
        """Another model or calibration: whether its nodes are the ones that are here, and the rows begin anew."""
        if self._known:
            self._choose()
        self.realign()

    def _learn(self) -> None:
        """Nodes repeat their descriptors; only another one changes something."""
        if self.session.receiver.descriptors != self._known:
            self._known = dict(self.session.receiver.descriptors)
            self._choose()

    def _look(self, step: SessionStep, arrival_ns: int) -> None:
        """Watch the samples of this step."""
        for samples in step.samples:
            stream = self._by_place.get((samples.key, samples.stream.stream))
            if stream is not None:
                clock = self.session.clock(samples.key)
                stream.inspect(samples, arrival_ns, clock.restarts if clock is not None else 0)

    def _silent(self, arrival_ns: int) -> bool:
        """Whether a stream has said nothing for too long."""
        limit_ns = arrival_ns - self._silence_ns
        if self._heard_ns < limit_ns:  # of late nobody has looked
            heard_ns = [each.watch.heard_ns for each in self._by_place.values()]
            self._heard_ns = min(ns if ns is not None else -(1 << 62) for ns in heard_ns)
        return self._heard_ns < limit_ns

    def _batch(self, step: SessionStep, arrival_ns: int) -> Batch | None:
        aligner = self.session.aligner
        if not step.rows or aligner is None or aligner.epoch_s is None:
            return None
        for name, rows in step.rows.items():
            self._by_name[name].add(rows, aligner.epoch_s)
        inputs = {}
        for name, streams in self._streams.items():
            count = min([each.waiting for each in streams])
            if count:
                inputs[name] = self._join(name, streams, count)
        if not inputs:
            return None
        restart, self._restart = self._restart, False
        self.restarts += restart
        return Batch(arrival_ns, restart, inputs, self.error_s)

    @property
    def error_s(self) -> float:
        """The largest error bar of the times of the streams' newest samples, in s; infinite before the first."""
        return max((each.watch.error_s for each in self._by_place.values()), default=float("inf"))

    def _join(self, name: str, streams: list[_Stream], count: int) -> InputRows:
        first = self._next[name]
        self._next[name] = first + count
        parts = [each.pop(count) for each in streams]
        if len(parts) == 1:
            values, findings, source_s = parts[0]
        else:
            values = np.concatenate([part[0] for part in parts], axis=1)
            findings = np.bitwise_or.reduce([part[1] for part in parts])
            source_s = np.minimum.reduce([part[2] for part in parts])
        values = self._plans[name].apply(values)
        if name in self._notches:
            values = self._notches[name].apply(values)
        return InputRows(first, values, findings, source_s)

    def _choose(self) -> None:
        """New descriptors: which streams are ours, and do they fit the contract."""
        found, missing = self._resolve()
        self.missing = tuple(missing)
        if missing:
            self._drop()
            return
        try:
            plans = {
                item.stream.name: self._plan(item, found[item.stream.name]) for item in self.contract.inputs
            }
            self._require_calibrated(found)
        except ContractError as error:
            self.trouble = str(error)
            self._drop()
            return
        self.trouble = None
        if self._same(found):
            return
        self._streams, self._by_place, self._plans = {}, {}, plans
        for item in self.contract.inputs:
            name = item.stream.name
            self._streams[name] = [
                self._stream(text, place, plans[name], number, item.stream.rate_hz)
                for number, (text, place) in enumerate(zip(self.inputs[name].streams, found[name]))
            ]
            self._by_place.update((each.place, each) for each in self._streams[name])
        self.realign()

    def _require_calibrated(self, found: Mapping[str, Sequence[tuple[Place, StreamDescriptor]]]) -> None:
        """ContractError for a node that the session was not calibrated with: where it sits is not known."""
        known = {} if self._calibrated is None else self._calibrated()
        for name, places in found.items():
            for text, (place, _) in zip(self.inputs[name].streams, places):
                have, wanted = self.session.receiver.name(place[0]), known.get(f"{name}/{text}")
                if wanted is not None and have != wanted:
                    raise ContractError(
                        f"input {name} comes from node {have!r} and was calibrated with node {wanted!r}: use that node, or "
                        "calibrate again with this one"
                    )

    def _stream(
        self, text: str, found: tuple[Place, StreamDescriptor], plan: InputPlan, number: int, rate_hz: float
    ) -> _Stream:
        (place, descriptor), columns, change = found, plan.columns[number], plan.changes[number]
        resampler = None if change is None else StreamResampler(change, len(columns), rate_hz)
        watch = StreamWatch(used_part(descriptor, columns), self.rules)
        return _Stream(text, place, descriptor, columns, watch, resampler)

    def _drop(self) -> None:
        self._streams, self._by_place = {}, {}
        self.realign()

    def _same(self, found: Mapping[str, list[tuple[Place, StreamDescriptor]]]) -> bool:
        have = {n: [(s.place, s.descriptor) for s in streams] for n, streams in self._streams.items()}
        return have == found

    def _resolve(self) -> tuple[dict[str, list[tuple[Place, StreamDescriptor]]], list[str]]:
        """Places of the streams of each input; names that no node, or more than one, has described."""
        known: dict[str, list[tuple[Place, StreamDescriptor]]] = {}
        for key, descriptor in sorted(self._known.items()):
            for stream in descriptor.streams:
                entry = ((key, stream.stream), stream)
                known.setdefault(stream.name, []).append(entry)
                known.setdefault(f"{descriptor.name}/{stream.name}", []).append(entry)
        found, missing = {}, []
        for name, wanted in self.inputs.items():
            found[name] = [known[text][0] for text in wanted.streams if len(known.get(text, [])) == 1]
            missing += [
                f"{text} (of {len(known[text])} nodes: write NODE/{text})" if text in known else text
                for text in wanted.streams
                if len(known.get(text, [])) != 1
            ]
        return found, missing

    def _plan(self, item: ModelInput, places: list[tuple[Place, StreamDescriptor]]) -> InputPlan:
        wanted = self.inputs[item.stream.name]
        streams = [
            SensorStream(text, self._known[place[0]].name, descriptor)
            for text, (place, descriptor) in zip(wanted.streams, places)
        ]
        return plan_input(item, streams, wanted)
