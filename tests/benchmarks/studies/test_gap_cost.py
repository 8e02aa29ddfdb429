"""What gaps cost, on a signal whose errors can be worked out by hand: a ramp, through a model that gives its input out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.studies import gap_cost as module
from benchmarks.studies.gap_cost import (
    SAFE_S,
    _judge,
    _play,
    _run,
    lose,
    read,
)
from benchmarks.studies.gap_cost_report import plot, table
from benchmarks.studies.gap_cost_result import GapCost
from firmware_bridge.items import Chunk, Item
from firmware_bridge.streams.alignment import GapPolicy
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.data.splits import Segment
from toolkit.errors import UsageError
from toolkit.files import write_json
from toolkit.records import Recording, Signal

RATE_HZ, SECONDS, SLOPE = 100.0, 8.0, 2.0
SPEC = StreamSpec("imu", RATE_HZ, (Channel("a", "m/s^2"),))
OUT = (Channel("knee", "Nm/kg"),)
CONTRACT = SensorContract((ModelInput(SPEC, (), Normaliser((0.0,), (1.0,))),), RATE_HZ, 8, OUT)


class Echo:
    """A model whose moment is its newest input."""

    has_stream, rows = True, 8
    channels = {"imu": 1}  # noqa: RUF012

    def reset(self) -> None: ...

    def step(self, row: dict[str, np.ndarray]) -> np.ndarray:
        return row["imu"].copy()


@pytest.fixture(scope="module")
def played() -> Any:
    times = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    ramp = Signal(SPEC, 0.0, (SLOPE * times)[:, None])
    truth = Signal(StreamSpec("moments", RATE_HZ, OUT), 0.0, (SLOPE * times)[:, None])
    recording = Recording("ramp", "x", "level", "synthetic", 70.0, {"imu": ramp}, truth)
    return _play(Segment(recording, 0.0, SECONDS), 60.0)


def without(items: list[Item], frames: range) -> list[Item]:
    """Leave out the n-th data frames after the safe time."""
    data = [
        i for i in items if isinstance(i, Chunk) and i.arrival_ns > SAFE_S * 1e9 and 20 < len(i.data) < 60
    ]
    gone = {id(data[n]) for n in frames}
    return [item for item in items if id(item) not in gone]


def cost(played: Any, policy: GapPolicy, items: list[Item]) -> GapCost:
    engines = cast(Any, {"echo float32": Echo()})
    clean = _run(played.items, played, CONTRACT, "hold", engines)
    lossy = _run(items, played, CONTRACT, policy, engines)
    return _judge("random", 0.01, policy, 0.0, [(played, clean, lossy)])


def test_no_loss_costs_nothing_and_equals_the_reference(played: Any) -> None:
    for policy in module.POLICIES:
        found = cost(played, policy, played.items)
        assert found.cost == {"echo float32": 0.0} and found.marked == 0.0
        # One step of the sensor's scale (16 g in 15 bits) is 0.0048 m/s^2; half of it at most.
        assert found.error["echo float32"] < 0.003


def test_a_lost_frame_of_a_ramp(played: Any) -> None:
    """A frame holds 2 samples. Rows lie ``phase`` of a step behind samples; held, three are off by that, and 1 and 2 more."""
    step, rows = SLOPE / RATE_HZ, (SECONDS - 4.0) * RATE_HZ  # the first 4 s do not count
    lossy = without(played.items, range(200, 201))
    assert len(lossy) == len(played.items) - 1
    clean = _run(played.items, played, CONTRACT, "hold", cast(Any, {"echo": Echo()}))
    phase = float(clean.times_s[-1] * RATE_HZ) % 1.0
    assert 0.1 < phase < 0.9
    held = cost(played, "hold", lossy)
    expected = step * np.sqrt((phase**2 + (1 + phase) ** 2 + (2 + phase) ** 2) / rows)
    # Samples are rounded to 0.0048, a quarter of a step; the errors are about 1.5 steps.
    assert held.cost["echo float32"] == pytest.approx(expected, rel=0.15)
    bridged = cost(played, "interpolate", lossy)
    assert bridged.cost["echo float32"] < 0.0048 * np.sqrt(3 / rows)  # rounding of the sensor alone
    refused = cost(played, "invalidate", lossy)
    assert (
        cast(float, refused.cost["echo float32"]) < 1e-3 * step
    )  # the clock's fit misses one packet, that is all
    # Three rows, perhaps one more at either edge, and each stays in a window of 8.
    assert 3 + 7 <= round(refused.marked * (rows - 1)) <= 5 + 7
    # The daemon's rule: 3 to 5 rows are at most 50 ms, but more than a fifth of this window of 8, until two of them are left.
    assert 3 + 7 - 2 <= round(held.degraded * (rows - 1)) <= 5 + 7


def test_lost_shares_are_as_asked_and_the_start_is_safe() -> None:
    items: list[Item] = [Chunk(0, round((0.01 * n + 0.005) * 1e9), b"x") for n in range(60_000)]  # 10 minutes
    for pattern in module.PATTERNS:
        for share in module.LOSSES:
            kept = [lose(items, pattern, share, seed) for seed in range(20)]
            lost = 1 - np.mean([len(each) for each in kept]) / len(items)
            assert lost == pytest.approx(share, rel=0.2)
            assert all(each[:300] == items[:300] for each in kept)
            assert kept[0] == lose(items, pattern, share, 0) != kept[1]


def test_outages_are_as_long_as_they_say() -> None:
    items: list[Item] = [Chunk(0, round(0.001 * n * 1e9), b"x") for n in range(600_000)]
    kept = np.array([i.arrival_ns for i in lose(items, "bursts", 0.1, 1)]) * 1e-9
    gaps = np.diff(kept)
    outages = gaps[gaps > 0.0015]
    # Lengths are exponential: the mean of about 500 is within 10 %; those shorter than a frame's distance are not seen.
    assert np.mean(outages) == pytest.approx(module.OUTAGE_S, rel=0.15)


def test_table_and_plot(played: Any) -> None:
    lossy = without(played.items, range(150, 160))
    costs = [cost(played, policy, lossy) for policy in module.POLICIES]
    none = {"echo float32": None}
    costs.append(GapCost("bursts", 0.1, "invalidate", 0.1, 1.0, none, none, none, 9.0, 1.0))
    text = table(costs)
    assert max(map(len, text.splitlines())) <= 80 and "none" in text and "hold" in text
    both = [*costs, *(GapCost(**{**vars(c), "loss": 0.1}) for c in costs[:3])]
    drawing = plot([("A ramp", both)])
    assert drawing.startswith("<svg ") and "A ramp: single frames" in drawing and "nan" not in drawing


def test_results_are_read_back(tmp_path: Path) -> None:
    both = {"a float32": 0.5}
    written = GapCost("random", 0.01, "hold", 0.011, 0.3, both, both, both, 20.0, 0.1)
    write_json(tmp_path / "a.json", {"title": "A ramp", "seeds": 1, "costs": [asdict(written)]})
    assert read(tmp_path / "a.json") == ("A ramp", [written])
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(UsageError, match="no result of this benchmark"):
        read(tmp_path / "b.json")
