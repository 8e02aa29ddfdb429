"""The model's channels spread over eight nodes give the estimates of one node that has them all."""

from __future__ import annotations

import numpy as np

from benchmarks.studies.daemon_nodes import inputs, recordings
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import SyncRequest
from firmware_bridge.protocol.table import ANY_NODE
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from quantization.bundle import Bundle
from runtime.engines import open_engine
from runtime.pipeline.estimate import State
from runtime.pipeline.estimator import Estimator, RowEstimate
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import Pipeline, still
from tests.runtime.daemon.harness import bundle
from toolkit.data import load

SECONDS = 4.0


def _estimates(
    programmes: list[Programme], wanted: dict[str, InputFrom], drift_ppm: float
) -> list[RowEstimate]:
    """Moments of nodes on links of their own, in simulated time; sync exchanges once a second."""
    loaded = Bundle.load(bundle())
    # The float graph: int8 steps would hide or blow up differences of a thousandth of a sample's time.
    engine = open_engine(loaded, "litert", "float32")
    pipeline = Pipeline(Intake(loaded.contract, wanted), Estimator(loaded.contract, engine, None, still))
    links = [
        VirtualLink(VirtualNode(programme, place, Faults(drift_ppm=drift_ppm), place), place)
        for place, programme in enumerate(programmes)
    ]
    writer, result = FrameWriter(ANY_NODE, 1, 64), list[RowEstimate]()
    for count in range(1, round(SECONDS * 200) + 1):
        now_s = count * 0.005
        if count % 200 == 1:
            for link in links:
                link.node.hear(writer.frames(SyncRequest(round(now_s * 1e9)), 0)[0], now_s + 0.001)
        items = [item for link in links for item in link.advance(now_s)]
        for item in sorted(items, key=lambda each: each.arrival_ns):
            result += pipeline.process(item)
    assert pipeline.intake.trouble is None and pipeline.intake.missing == ()
    return result


def test_eight_nodes_are_as_good_as_one() -> None:
    whole = _estimates([Programme.of(load("synthetic:people=1")[1], "one")], {}, 0.0)
    wanted = {name: InputFrom(tuple(streams)) for name, streams in inputs().items()}
    parts = [Programme.of(recording, name) for name, recording in recordings().items()]
    spread = _estimates(parts, wanted, 0.0)
    good = [[e for e in each if e.verdict.state is State.OK] for each in (whole, spread)]
    count = min(map(len, good))
    assert count > 320  # 4 s less warm-up and the first packets
    one, eight = (np.array([e.values for e in each[:count]]) for each in good)
    # The same samples; only the estimate of the clocks may differ, by microseconds here.
    assert np.abs(one - eight).max() < 1e-3
    assert one.std(axis=0).min() > 0.1


def test_eight_crystals_of_their_own() -> None:
    """Each node's clock runs 25 ppm fast: nothing is called a gap, and estimates go on at the host's rate."""
    wanted = {name: InputFrom(tuple(streams)) for name, streams in inputs().items()}
    parts = [Programme.of(recording, name) for name, recording in recordings().items()]
    found = _estimates(parts, wanted, 25.0)
    warm = [e for e in found if "warm-up" in e.verdict.reasons]
    assert len(warm) == 63
    assert {e.verdict.state for e in found[63:]} == {State.OK}
