"""A recording replayed gives the live estimates, and those of the bench, bit for bit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engines import load
from benchmarks.evaluation.windows import evaluate_on
from firmware_bridge.recording.file import RecordingReader
from firmware_bridge.streams.session import Session
from firmware_bridge.tools.record import record
from quantization.bundle import Bundle
from runtime.engines import open_engine
from runtime.pipeline.estimate import State
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import Pipeline, still
from runtime.settings import RecordingSettings
from tests.runtime.daemon.harness import (
    Running,
    bundle,
    during,
    settings,
)
from toolkit.contract import StreamSpec
from toolkit.records import Recording, Signal

SECONDS = 12


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s of the simulator on an ideal clock and link."""
    path = tmp_path_factory.mktemp("recorded") / "ideal.etl"
    asyncio.run(record([f"sim://synthetic?speed=max&seconds={SECONDS}"], path))
    return path


def _aligned(path: Path) -> Recording:
    """The recording's rows on regular axes, as the bench reads recordings; labels are 0, nobody looks at them."""
    contract = Bundle.load(bundle()).contract
    session = Session(wanted={item.stream.name: item.stream for item in contract.inputs})
    parts: dict[str, list[np.ndarray]] = {item.stream.name: [] for item in contract.inputs}
    for item in RecordingReader.open(path).items():
        for name, rows in session.process(item).rows.items():
            assert rows.valid.all()
            parts[name].append(rows.values)
    signals = {
        item.stream.name: Signal(item.stream, 0.0, np.concatenate(parts[item.stream.name]))
        for item in contract.inputs
    }
    labels = StreamSpec("moments", contract.grid_rate_hz, contract.outputs)
    estimates = Signal(labels, 0.0, np.zeros((SECONDS * 100, len(contract.outputs))))
    return Recording("replayed", "nobody", "level", "synthetic", 70.0, signals, estimates)


def _daemon_moments(path: Path, engine: str) -> tuple[list[tuple[float, ...]], Running]:
    running = Running(settings(f"replay://{path}?speed=max", engine=engine))
    asyncio.run(running.daemon.run())
    return [estimate.values for estimate in running.estimates if estimate.values], running


def test_daemon_equals_bench_bit_for_bit(recorded: Path) -> None:
    loaded = Bundle.load(bundle())
    values, running = _daemon_moments(recorded, "litert")
    evaluation = evaluate_on(replace(loaded.checkpoint, split=None), [_aligned(recorded)], "x", 10_000)
    engine = load("litert", loaded, loaded.graph("stream", "int8"), 1)
    expected = engine.estimate(evaluation, lambda count: None)
    # Every window of the bench is an estimate of the daemon: rows 63 to the end, and nothing else is called ok.
    assert evaluation.available == len(evaluation.windows) == len(values) > 1100
    assert np.array_equal(np.array(values, np.float32), expected)
    states = [estimate.state for estimate in running.estimates]
    assert states.count(State.INVALID) == 63  # warm-up
    assert set(states[63:]) == {State.OK}


@pytest.mark.parametrize("engine", ["litert", "native"])
def test_daemon_equals_the_core_alone(recorded: Path, engine: str) -> None:
    loaded = Bundle.load(bundle())
    core = Pipeline(
        Intake(loaded.contract), Estimator(loaded.contract, open_engine(loaded, engine), None, still)
    )
    estimates = list(core.replay(recorded))
    values, running = _daemon_moments(recorded, engine)
    assert values == [estimate.values for estimate in estimates if not estimate.verdict.reasons]
    assert running.daemon.status().queue_dropped == 0
    assert [m.sequence for m in running.estimates] == list(range(len(running.estimates)))


def test_a_live_run_with_faults_is_given_again_by_its_recording(tmp_path: Path) -> None:
    """What a daemon recorded while it ran, replayed: the same estimates from the same bytes, gaps and all."""
    source = "sim://synthetic?drop=0.02&jitter_ms=2&drift_ppm=40&link_loss_s=2&link_loss_for_s=0.3&seed=4"
    live = Running(settings(source, recording=RecordingSettings(tmp_path)))

    async def enough(running: Running) -> None:
        await running.until(lambda: sum(bool(estimate.values) for estimate in running.estimates) > 200)

    asyncio.run(during(live, enough))
    (file,) = tmp_path.glob("*.etl")
    loaded = Bundle.load(bundle())
    core = Pipeline(Intake(loaded.contract), Estimator(loaded.contract, open_engine(loaded), None, still))
    again = list(core.replay(file))
    given = [(m.source_ns, m.values) for m in live.estimates if m.values]
    expected = iter([(e.source_ns, e.values) for e in again if e.values])
    assert len(given) > 200
    assert any(m.state is State.DEGRADED for m in live.estimates)
    # Estimates that were too late to be published with values have none live. All others are equal, bit for bit and in order;
    # rows that fill a gap rest on the same sample, so that a source time may come more than once.
    assert [estimate for estimate in given if estimate not in expected] == []
