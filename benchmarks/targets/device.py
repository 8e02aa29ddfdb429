"""A board in a bench, emulated or real: the same link, the same rows, and every figure with its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.latency import Latency, summarise
from benchmarks.records import Measured, Size
from benchmarks.targets.device_data import (
    DeviceData,
    StreamData,
    moments,
)
from benchmarks.targets.first_difference import FORMATS
from benchmarks.targets.job import Job
from firmware_bridge.protocol.table import CounterKind
from firmware_bridge.protocol.target_packets import Identity, StackUse
from firmware_bridge.target.build import Image
from firmware_bridge.target.link import (
    Answer,
    TargetLink,
    counted,
    seconds,
)
from quantization.ops.work import products_by_bits
from toolkit.cores import CORES, Kernels
from toolkit.errors import LinkError

#: Multiply-accumulates of one SIMD instruction, by a core's kernels and the bits of the factors: SMLAD takes two products, of
#: whatever fits 16 bits; VMLADAVA a register of 128 bits.
LANES: dict[Kernels, Mapping[int, int]] = {
    "portable": {8: 1, 16: 1},
    "dsp": {8: 2, 16: 2},
    "helium": {8: 16, 16: 8},
}


def least_instructions(kernels: Kernels, products: Mapping[int, int]) -> float:
    """What the multiply-accumulates alone would take, if nothing had to be loaded."""
    return sum(count / LANES[kernels][bits] for bits, count in products.items())


@dataclass(eq=False)
class Tally:
    """Outputs of one graph on the device against the reference: how many differ, and which first."""

    compared: int = 0
    differing: int = 0
    first: dict[str, Any] | None = None
    ticks: list[int] = field(default_factory=list)

    def compare(self, answer: Answer, expected: NDArray[Any], where: Mapping[str, int]) -> None:
        """Compare one inference."""
        self.compared += 1
        self.ticks.append(answer.ticks)
        if answer.values.dtype != expected.dtype or answer.values.shape != expected.shape:
            raise LinkError(
                f"the target gave {answer.values.shape} {answer.values.dtype}, expected {expected.shape} {expected.dtype}: "
                "it runs another image"
            )
        different = np.flatnonzero(answer.values != expected)
        if len(different):
            self.differing += 1
            if self.first is None:
                self.first = {
                    **where,
                    "output": int(different[0]),
                    "device": int(answer.values[different[0]]),
                    "reference": int(expected[different[0]]),
                }

    def figures(self, identity: Identity, products: Mapping[int, int]) -> dict[str, Any]:
        """For the report's JSON; see docs/BENCH.md."""
        result: dict[str, Any] = {
            "bit_exact": {"compared": self.compared, "differing": self.differing, "first": self.first}
        }
        counts = [n for t in self.ticks if (n := counted(t, identity)) is not None]
        core = CORES.get(identity.core)
        if counts and identity.counter == CounterKind.INSTRUCTIONS:
            median = int(np.median(counts))
            result["instructions"] = {
                "label": "emulated",
                "median": median,
                "mean": float(np.mean(counts)),
                "most": max(counts),
            }
            if core is not None:
                result["simd_limit_pct"] = 100.0 * least_instructions(core.kernels, products) / median
            if core is not None and core.part is not None:
                part = core.part
                result["time_us"] = {
                    "label": "estimated",
                    "value": median * part.cycles_per_instruction / part.clock_hz * 1e6,
                    "clock_hz": part.clock_hz,
                    "part": part.name,
                    "cycles_per_instruction": part.cycles_per_instruction,
                }
        elif counts:
            result["cycles"] = {"label": "measured", "median": int(np.median(counts)), "most": max(counts)}
        return result


@dataclass(frozen=True, eq=False)
class Board:
    """What is known of the device beside the link: ``image`` where it was built here, ``label`` of its figures."""

    target: str
    label: str
    how: str
    version: str
    model_bytes: Mapping[str, int]
    model_hash: str
    contract_hash: str
    image: Image | None = None


def judge_link(job: Job, board: Board, link: TargetLink) -> list[Measured]:
    """Rows of the window and the stream graph. ContractError or LinkError rather than a row that is not true."""
    data = job.device_data
    identity = link.identify()
    link.require(identity, board.model_hash, board.contract_hash)
    at_start = link.stack().high_water
    rows = [_windows(job, board, link, identity, data)]
    if data.stream is not None and identity.graphs & 2:
        rows.append(_steps(job, board, link, identity, data, data.stream))
    for row in rows:
        row.figures["stack_bytes"]["at_start"] = at_start
    return rows


def _windows(job: Job, board: Board, link: TargetLink, identity: Identity, data: DeviceData) -> Measured:
    one, tally = data.window, Tally()
    values = []
    for number, row in enumerate(one.rows):
        job.progress(f"{board.target} windows", number + 1, len(one.rows))
        inputs = [stream[number] for stream in one.inputs]
        answer = link.window(FORMATS[inputs[0].dtype], inputs)
        tally.compare(answer, one.expected[number], {"window": int(row)})
        values.append(answer.values)
    estimates = moments(np.stack(values), one.output)
    work = products_by_bits(data.window_graph)
    return _measured(job, board, identity, link, "window", estimates, one.rows, tally, work)


def _steps(
    job: Job, board: Board, link: TargetLink, identity: Identity, data: DeviceData, stream: StreamData
) -> Measured:
    tally = Tally()
    runs = []
    for place, (inputs, expected) in enumerate(zip(stream.inputs, stream.expected)):
        job.progress(f"{board.target} steps", place, len(stream.inputs))
        link.reset()
        values = []
        for step in range(len(expected)):
            answer = link.step(FORMATS[inputs[0].dtype], [channel[step] for channel in inputs])
            tally.compare(answer, expected[step], {"recording": stream.recordings[place], "step": step})
            values.append(answer.values)
        runs.append(np.stack(values))
    job.progress(f"{board.target} steps", len(stream.inputs), len(stream.inputs))
    estimates = moments(np.stack([runs[r][s] for r, s in stream.place]), stream.output)
    assert data.stream_graph is not None
    work = products_by_bits(data.stream_graph)
    return _measured(job, board, identity, link, "stream", estimates, stream.rows, tally, work)


def _measured(
    job: Job,
    board: Board,
    identity: Identity,
    link: TargetLink,
    graph: str,
    estimates: NDArray[np.float32],
    rows: NDArray[np.int64],
    tally: Tally,
    products: Mapping[int, int],
) -> Measured:
    return Measured(
        target=board.target,
        engine="firmware",
        graph=graph,
        scheme="int8",
        version=board.version,
        how=board.how,
        estimates=estimates,
        latency=_latency(tally.ticks, identity, job.data.contract.grid_rate_hz),
        size=Size(board.model_bytes[graph]),
        figures={
            "board": identity.board,
            "core": identity.core,
            "build": identity.build,
            "self_test": identity.self_test.name.lower(),
            **tally.figures(identity, products),
            **_memory(board, link.stack()),
            "resent_requests": link.resent,
            "damaged_frames": link.damaged,
        },
        rows=rows,
    )


def _memory(board: Board, stack: StackUse) -> dict[str, Any]:
    figures: dict[str, Any] = {"stack_bytes": {"label": board.label, "value": stack.high_water}}
    if board.image is not None:
        image = board.image
        library = image.library_ram_bytes + image.state_bytes
        figures["flash_bytes"] = {
            "label": "measured",
            "library": image.library_flash_bytes,
            "image": image.flash_bytes,
        }
        figures["ram_bytes"] = {
            "label": "measured",
            "library": library,
            "library_with_stack": library + stack.high_water,
            "image": image.ram_bytes,
        }
    return figures


def _latency(ticks: Sequence[int], identity: Identity, rate_hz: float) -> Latency | None:
    """Times where the board counts its own cycles; None where only instructions are known."""
    times = [s for t in ticks if (s := seconds(t, identity)) is not None]
    return (
        summarise([round(s * 1e9) for s in times], rate_hz, f"{identity.board}, {identity.core}")
        if times
        else None
    )
