"""The bridge's benchmarks measure what they say, on runs short enough for tests; figures are for `make soak`."""

from __future__ import annotations

import numpy as np

from benchmarks.studies.bridge_live import _latencies_ms, measure_live
from benchmarks.studies.bridge_load import measure
from benchmarks.studies.bridge_nodes import Nodes
from benchmarks.studies.clock_error import SETTLED_S, clock_hour


def test_latencies_are_from_the_last_byte_to_the_chunk_that_has_it() -> None:
    # Link 0: frames end at bytes 10, 20 and 30; the host saw 15 bytes, then 30. Link 1: one frame in two chunks.
    written = np.array([[0, 10, 1_000_000], [0, 20, 2_000_000], [0, 30, 3_000_000], [1, 8, 5_000_000]])
    seen = np.array(
        [[0, 15, 1_500_000, 0], [1, 5, 5_500_000, 0], [0, 30, 4_000_000, 0], [1, 8, 6_250_000, 0]]
    )
    assert _latencies_ms(written, seen).tolist() == [0.5, 2.0, 1.0, 1.25]


def test_the_nodes_send_what_the_load_is_and_the_same_each_time() -> None:
    first, again = Nodes(2, keep_sent=True), Nodes(2, keep_sent=True)
    items = [item for _ in range(200) for item in first.step()]
    assert items == [item for _ in range(200) for item in again.step()] and first.now_s == 2.0
    # 2 s: 6 int16 at 200 Hz and 4 int16 at 1 kHz are 10,400 bytes/s; with headers at most a third more.
    assert 2 * 2 * 10_400 < sum(len(item.data) for item in items) < 1.35 * 2 * 2 * 10_400  # type: ignore[union-attr]


def test_a_short_run_in_simulated_time_loses_nothing() -> None:
    load = measure(2, 3.0)
    assert load.frames_sent - load.frames_delivered <= 8  # still on their way: at most 20 ms of each node's
    assert load.rows > 2 * 1200 * 1.5 and load.core_share > 0 and load.process_share is None


def test_a_short_run_over_pseudo_terminals_loses_nothing() -> None:
    load = measure_live(2, 2.0)
    assert load.frames_sent == load.frames_delivered > 0
    assert load.process_share is not None and load.process_share >= load.core_share > 0
    # No frame is rows before its writing began, however busy the machine is.
    assert 0 < load.p50_ms <= load.p99_ms and load.memory_mb is not None and min(load.memory_mb) > 10


def test_a_clock_for_two_minutes() -> None:
    found = clock_hour(seed=3, hours=1 / 30)
    assert SETTLED_S < 1 / 30 * 3600
    assert found.worst_ms < 1.5 and found.inside == 1.0 and found.p99_ms <= found.worst_ms
    assert clock_hour(seed=3, hours=1 / 30) == found
