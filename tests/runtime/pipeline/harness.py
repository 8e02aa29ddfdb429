"""A small model whose estimates a person can compute, and simulated nodes in simulated time, for the tests of the runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firmware_bridge.items import Chunk, Item
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    StreamDescriptor,
    SyncRequest,
)
from firmware_bridge.protocol.table import ANY_NODE, Format
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from runtime.pipeline.estimate import Estimate
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import Pipeline, still
from runtime.pipeline.publisher import Publisher
from runtime.pipeline.states import Rules
from toolkit.contract import Channel, FilterStage, ModelInput, Normaliser, SensorContract, StreamSpec

GRID_HZ = 50.0
WINDOW = 20


def contract(imu_channels: int = 2, emg_channels: int = 1) -> SensorContract:
    """imu at 100 Hz and emg at 200 Hz onto a grid of 50 Hz, without filters but resampling; 20 rows a window."""

    def model_input(name: str, rate_hz: float, channels: int, unit: str) -> ModelInput:
        spec = StreamSpec(name, rate_hz, tuple(Channel(f"{name}{i}", unit) for i in range(channels)))
        resample = FilterStage("resample", {"from_hz": rate_hz, "to_hz": GRID_HZ})
        return ModelInput(spec, (resample,), Normaliser((0.0,) * channels, (1.0,) * channels))

    inputs = (
        model_input("imu", 100.0, imu_channels, "rad/s"),
        model_input("emg", 200.0, emg_channels, "mV"),
    )
    return SensorContract(inputs, GRID_HZ, WINDOW, (Channel("knee", "Nm/kg"),))


class SumEngine:
    """The joint moment is the sum of the newest row of all inputs plus the number of rows since the reset, over 1000."""

    name, version, has_stream = "sum", "1", True

    def __init__(self, given: SensorContract) -> None:
        self.rows = given.window
        self.channels = {item.stream.name: len(item.stream.channels) for item in given.inputs}
        self.steps = self.windows = self.since_reset = 0

    def step(self, row: Mapping[str, Any]) -> Any:
        self.steps += 1
        self.since_reset += 1
        total = sum(float(values.sum()) for values in row.values())
        return np.array([total + self.since_reset / 1000], np.float32)

    def window(self, inputs: Mapping[str, Any]) -> Any:
        self.windows += 1
        total = sum(float(values[-1].sum()) for values in inputs.values())
        return np.array([total + self.rows / 1000], np.float32)

    def reset(self) -> None:
        self.since_reset = 0


def descriptor(
    name: str, streams: Mapping[str, tuple[float, int, str]], form: Format = Format.INT16
) -> Descriptor:
    """A node with ``streams``: name -> (rate in Hz, channels, unit); full scale is 32.767 units."""
    described = [
        StreamDescriptor(
            number,
            label,
            form,
            rate_hz,
            tuple(ChannelDescriptor(f"{label}{i}", unit, 0.001, 32.767) for i in range(channels)),
        )
        for number, (label, (rate_hz, channels, unit)) in enumerate(streams.items())
    ]
    return Descriptor(name, tuple(described))


BOTH = {"imu": (100.0, 2, "rad/s"), "emg": (200.0, 1, "mV")}


def node(
    number: int,
    streams: Mapping[str, tuple[float, int, str]],
    faults: Faults | None = None,
    seed: int = 0,
    name: str = "",
) -> VirtualNode:
    """A node that plays seeded noise of some thousand counts."""
    described = descriptor(name or f"node{number}", streams)
    random = np.random.default_rng([seed, number, 9])
    tables = {
        s.stream: random.integers(-5000, 5000, (4000, len(s.channels)), dtype=np.int32)
        for s in described.streams
    }
    return VirtualNode(Programme(described, tables), number, faults or Faults(), seed)


@dataclass(eq=False)
class Bench:
    """Nodes, one a link, a pipeline on them and its publisher, all in simulated time."""

    nodes: Sequence[VirtualNode]
    given: SensorContract = field(default_factory=contract)
    inputs: Mapping[str, InputFrom] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    step_s: float = 0.005
    sync: bool = True
    make_engine: Callable[[SensorContract], SumEngine] = SumEngine

    def __post_init__(self) -> None:
        self.links = [VirtualLink(each, link, keep_sent=True) for link, each in enumerate(self.nodes)]
        self.engine = self.make_engine(self.given)
        self.intake = Intake(self.given, self.inputs, rules=self.rules)
        self.estimator = Estimator(self.given, self.engine, self.rules, still)
        self.pipeline = Pipeline(self.intake, self.estimator)
        self.estimates: list[Estimate] = []
        self.publisher = Publisher(self.rules, 1e3 / GRID_HZ, 0, self.estimates.append)
        self.items: list[Item] = []
        self.now_s = 0.0
        self._writer = FrameWriter(ANY_NODE, 1, 64)

    def run(self, seconds: float) -> Iterator[float]:
        """Step by step up to ``seconds`` from the start; yields the time after each step."""
        for count in range(round(self.now_s / self.step_s) + 1, round(seconds / self.step_s) + 1):
            self.now_s = count * self.step_s
            if self.sync and count % round(1 / self.step_s) == 1:
                for link in self.links:
                    frame = self._writer.frames(SyncRequest(round(self.now_s * 1e9)), 0)[0]
                    link.node.hear(frame, self.now_s + 0.001)
            items = [item for link in self.links for item in link.advance(self.now_s)]
            for item in sorted(items, key=lambda each: each.arrival_ns):
                self.take(item)
            self.publisher.tick(round(self.now_s * 1e9))
            yield self.now_s

    def take(self, item: Item) -> None:
        """One item, published at once."""
        self.items.append(item)
        self.publisher.publish(self.pipeline.process(item), round(self.now_s * 1e9))

    def until(self, seconds: float) -> list[Estimate]:
        """All estimates published from now until ``seconds``."""
        before = len(self.estimates)
        for _ in self.run(seconds):
            pass
        return self.estimates[before:]

    def delivered(self, link: int) -> dict[int, Any]:
        """Truth: per stream number, ascending (n, 2) of when a sample was taken and when all of its packet had come, in s."""
        came = {
            item.data: item.arrival_ns * 1e-9
            for item in self.items
            if isinstance(item, Chunk) and item.link == link
        }
        times: dict[int, list[tuple[float, float]]] = {}
        each = self.links[link]
        rate = 1 + each.node.faults.drift_ppm * 1e-6
        for sent in each.sent:
            if isinstance(sent.packet, Data) and all(frame in came for frame in sent.frames):
                stream = each.node.programme.descriptor.stream(sent.packet.stream)
                back = np.arange(sent.packet.samples - 1, -1, -1) / stream.rate_hz / rate
                arrived = max(came[frame] for frame in sent.frames)
                times.setdefault(sent.packet.stream, []).extend((sent.time_s - b, arrived) for b in back)
        return {number: np.array(sorted(values)) for number, values in times.items()}
