"""What lost packets cost: ``python -m benchmarks.studies.gap_cost BUNDLE --data DATA --json FILE --svg FILE``.

The test part of the data is played by a virtual node as frames of at most 244 bytes; frames are lost at random or in
outages, seeded; the rest goes the daemon's own way: decoder, clock, alignment with a gap policy, filters, stream model. The
moments are compared, row by row, with those of the same way without loss, and with the reference moments of the data.
Nothing is lost in the first :data:`SAFE_S` seconds, so that both runs begin alike; jitter and drift are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from json import loads
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks.studies.gap_cost_report import plot, table
from benchmarks.studies.gap_cost_result import GapCost, Pattern
from firmware_bridge.items import Item
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import SyncRequest
from firmware_bridge.protocol.table import ANY_NODE
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from firmware_bridge.streams.alignment import AlignmentSettings, GapPolicy
from quantization.bundle import Bundle
from runtime.engines import open_engine
from runtime.engines.interface import Engine
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.intake import Intake
from runtime.pipeline.states import WORDS, Finding, Rules
from toolkit.contract import SensorContract
from toolkit.data import load
from toolkit.data.splits import Segment, Split, select
from toolkit.errors import UsageError
from toolkit.files import write_bytes, write_json
from toolkit.records import Recording

PATTERNS: tuple[Pattern, ...] = ("random", "bursts")
POLICIES: tuple[GapPolicy, ...] = ("hold", "interpolate", "invalidate")
LOSSES = (0.001, 0.01, 0.05, 0.1)
SAFE_S = 3.0
#: Mean length of an outage, exponentially distributed: what a body between antenna and node does.
OUTAGE_S = 0.1
#: What a BLE notification holds.
_FRAME_BYTES = 244
#: The data begins this long before the test part, so that filters and model have settled in it.
_LEAD_S = 4.0
_GAP = WORDS[Finding.GAP]


@dataclass(frozen=True, eq=False)
class _Played:
    """A segment as items, and the reference: ``start_s`` of the part that counts, both on the recording's time."""

    items: list[Item]
    recording: Recording
    start_s: float


@dataclass(frozen=True, eq=False)
class _Run:
    """Moments by engine (rows, outputs), which rows are marked and degraded, when each came (s after its time), rows' times."""

    moments: dict[str, NDArray[np.float64]]
    marked: NDArray[np.bool_]
    degraded: NDArray[np.bool_]
    wait_s: NDArray[np.float64]
    times_s: NDArray[np.float64]


def gap_cost(
    bundle: Bundle,
    source: str,
    seeds: int = 3,
    losses: Sequence[float] = LOSSES,
    engines: Sequence[tuple[str, str]] = (("litert", "float32"), ("native", "int8")),
    longest_s: float = 60.0,
    progress: Progress | None = None,
) -> list[GapCost]:
    """Measure every pattern, loss and policy on the test part of ``source``, at most ``longest_s`` of each recording."""
    opened = {f"{name} {scheme}": open_engine(bundle, name, scheme) for name, scheme in engines}
    split = bundle.checkpoint.split
    if split is None:
        raise UsageError(
            "the bundle's checkpoint does not say which part of its data is for tests; train it with edgetool"
        )
    segments = select(load(source), Split.from_json(split), "test")
    played = [_play(segment, longest_s) for segment in segments]
    task = (
        progress.add_task("runs", total=len(played) * (1 + len(PATTERNS) * len(losses) * 3 * seeds))
        if progress
        else None
    )

    def run(items: list[Item], each: _Played, policy: GapPolicy) -> _Run:
        result = _run(items, each, bundle.contract, policy, opened)
        if progress is not None and task is not None:
            progress.advance(task)
        return result

    clean = [run(each.items, each, "hold") for each in played]
    costs = []
    for pattern in PATTERNS:
        for loss in losses:
            for policy in POLICIES:
                runs, lost, frames = [], 0, 0
                for seed in range(seeds):
                    for place, each in enumerate(played):
                        kept = lose(each.items, pattern, loss, seed * 1000 + place)
                        lost, frames = lost + len(each.items) - len(kept), frames + len(each.items)
                        runs.append((each, clean[place], run(kept, each, policy)))
                costs.append(_judge(pattern, loss, policy, lost / frames, runs))
    return costs


def lose(items: Sequence[Item], pattern: Pattern, share: float, seed: int) -> list[Item]:
    """The frames that arrive. ``random``: each is lost with probability ``share``. ``bursts``: all in outages are."""
    random = np.random.default_rng([seed, PATTERNS.index(pattern), round(share * 1e6)])
    safe_ns = round(SAFE_S * 1e9)
    if pattern == "random":
        gone = random.random(len(items)) < share
        return [item for item, lost in zip(items, gone) if not lost or item.arrival_ns < safe_ns]
    end_s = items[-1].arrival_ns * 1e-9
    outages, at_s = [], SAFE_S
    while at_s < end_s:
        at_s += random.exponential(OUTAGE_S * (1 - share) / share)
        length_s = random.exponential(OUTAGE_S)
        outages.append((at_s, at_s + length_s))
        at_s += length_s
    starts = np.array([start for start, _ in outages])
    stops = np.array([stop for _, stop in outages])
    times_s = np.array([item.arrival_ns for item in items]) * 1e-9
    place = np.searchsorted(starts, times_s, side="right") - 1
    gone = (place >= 0) & (times_s < stops[np.maximum(place, 0)])
    return [item for item, lost in zip(items, gone) if not lost]


def _play(segment: Segment, longest_s: float) -> _Played:
    """All frames of a segment in order of arrival, with a lead before it; a sync exchange a second."""
    recording = segment.recording
    first_s = min(signal.start_s for signal in recording.signals.values())
    start_s = max(segment.start_s - _LEAD_S, first_s)
    stop_s = min(segment.stop_s, segment.start_s + longest_s)
    cut = _cut(recording, start_s, stop_s)
    node = VirtualNode(Programme.of(cut, "virtual"), max_frame=_FRAME_BYTES)
    link = VirtualLink(node)
    writer = FrameWriter(ANY_NODE, 1, 64)
    items: list[Item] = []
    for step in range(1, int((stop_s - start_s) * 100) + 1):
        now_s = step / 100
        if step % 100 == 50:
            node.hear(writer.frames(SyncRequest(round(now_s * 1e9)), 0)[0], now_s + 0.001)
        items += link.advance(now_s)
    return _Played(items, cut, max(segment.start_s, start_s + _LEAD_S))


def _cut(recording: Recording, start_s: float, stop_s: float) -> Recording:
    signals = {}
    for name, signal in recording.signals.items():
        first = round((start_s - signal.start_s) * signal.spec.rate_hz)
        last = round((stop_s - signal.start_s) * signal.spec.rate_hz)
        signals[name] = replace(
            signal, start_s=signal.start_s + first / signal.spec.rate_hz, samples=signal.samples[first:last]
        )
    return replace(recording, signals=signals)


def _run(
    items: Sequence[Item],
    played: _Played,
    contract: SensorContract,
    policy: GapPolicy,
    engines: Mapping[str, Engine],
) -> _Run:
    """Items the daemon's way, through every engine at once."""
    usual = Rules(silence_ms=4000.0)
    every_gap = replace(usual, short_gap_ms=0.0, gap_share=0.0)
    intake = Intake(contract, alignment=AlignmentSettings(policy), rules=usual)
    estimators = {
        name: Estimator(contract, engine, every_gap, lambda: 0.0) for name, engine in engines.items()
    }
    judge = Estimator(contract, cast(Engine, _NoEngine(contract)), usual, lambda: 0.0)
    judged: list[RowEstimate] = []
    found: dict[str, list[RowEstimate]] = {name: [] for name in engines}
    shift_s = 0.0
    for item in items:
        batch = intake.decode(item)
        for samples in intake.step.samples:
            signal = played.recording.signals[samples.stream.name]
            shift_s = signal.start_s + samples.data.first / samples.stream.rate_hz - float(samples.times_s[0])
        if batch is not None:
            for name, estimator in estimators.items():
                found[name] += estimator.estimate(batch)
            judged += judge.estimate(batch)
    aligner = intake.session.aligner
    assert intake.restarts == 1 and aligner is not None and aligner.epoch_s is not None
    first = next(iter(found.values()))
    times_s = aligner.epoch_s + np.array([each.row for each in first]) / contract.grid_rate_hz
    wait_s = np.array([each.arrival_ns for each in first]) * 1e-9 - times_s
    return _Run(
        {name: np.array([each.values for each in estimates]) for name, estimates in found.items()},
        np.array([_GAP in each.verdict.reasons for each in first]),
        np.array([_GAP in each.verdict.reasons for each in judged]),
        wait_s,
        times_s + shift_s + contract.horizon_ms * 1e-3,
    )


class _NoEngine:
    """Stands for an engine where only the states count."""

    def __init__(self, contract: SensorContract) -> None:
        self.rows, self.has_stream = contract.window, True
        self.channels = {item.stream.name: len(item.stream.channels) for item in contract.inputs}
        self._moments: NDArray[np.float32] = np.zeros(len(contract.outputs), np.float32)

    def step(self, _row: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        return self._moments

    def reset(self) -> None: ...


def _judge(
    pattern: Pattern,
    loss: float,
    policy: GapPolicy,
    lost_share: float,
    runs: Sequence[tuple[_Played, _Run, _Run]],
) -> GapCost:
    """Pool the squares of all runs."""
    engines = list(runs[0][1].moments)
    pooled: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        kind: {name: [] for name in engines} for kind in ("cost", "error", "clean")
    }
    marked, degraded, waits = [], [], []
    for played, clean, lossy in runs:
        rows = min(len(clean.times_s), len(lossy.times_s))
        counts = clean.times_s[:rows] >= played.start_s
        marked.append(lossy.marked[:rows][counts])
        degraded.append(lossy.degraded[:rows][counts])
        waits.append(lossy.wait_s[:rows][counts])
        given = counts.copy()
        if policy == "invalidate":
            given &= ~lossy.marked[:rows]
        truth = _reference(played.recording, clean.times_s[:rows][given])
        for name in engines:
            with_loss, without = lossy.moments[name][:rows][given], clean.moments[name][:rows][given]
            pooled["cost"][name].append(with_loss - without)
            pooled["error"][name].append(with_loss - truth)
            pooled["clean"][name].append(without - truth)
    rmse = {kind: {name: _rmse(parts) for name, parts in each.items()} for kind, each in pooled.items()}
    return GapCost(
        pattern,
        loss,
        policy,
        lost_share,
        float(np.mean(np.concatenate(marked))),
        rmse["cost"],
        rmse["error"],
        rmse["clean"],
        float(np.percentile(np.concatenate(waits), 99)) * 1e3,
        float(np.mean(np.concatenate(degraded))),
    )


def _reference(recording: Recording, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The reference moments at ``times_s``, straight lines between samples."""
    moments = recording.moments
    assert moments is not None
    return np.stack([np.interp(times_s, moments.times_s, column) for column in moments.samples.T], axis=1)


def _rmse(parts: Sequence[NDArray[np.float64]]) -> float | None:
    joined = np.concatenate(parts)
    return float(np.sqrt(np.mean(joined**2))) if joined.size else None


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--data", default="synthetic", show_default=True, help="As in edgetool bench.")
@click.option("--seeds", default=3, show_default=True, help="Runs of each kind, with losses in other places.")
@click.option("--longest", default=60.0, show_default=True, help="Seconds of each recording at most.")
@click.option("--title", default="", help="What the data is, for the plot.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures.")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write the plot.")
@click.option("--also", multiple=True, type=click.Path(path_type=Path), help="Plot these --json files above.")
def main(
    bundle: Path,
    data: str,
    seeds: int,
    longest: float,
    title: str,
    json: Path | None,
    svg: Path | None,
    also: tuple[Path, ...],
) -> None:
    """Measure what lost packets cost."""
    before = [read(path) for path in also]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        costs = gap_cost(Bundle.load(bundle), data, seeds, longest_s=longest, progress=progress)
    click.echo(table(costs))
    if json is not None:
        value: dict[str, Any] = {"title": title, "seeds": seeds, "costs": [asdict(cost) for cost in costs]}
        write_json(json, value)
    if svg is not None:
        write_bytes(svg, plot([*before, (title, costs)]).encode())


def read(path: Path) -> tuple[str, list[GapCost]]:
    """What ``--json`` wrote."""
    try:
        value = loads(path.read_text())
        return str(value["title"]), [GapCost(**cost) for cost in value["costs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no result of this benchmark: {error}") from None


if __name__ == "__main__":
    main()
