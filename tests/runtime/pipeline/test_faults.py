"""The fault matrix in simulated time: each fault with the state, the reason and the count that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from firmware_bridge.items import Chunk
from firmware_bridge.protocol.packets import Data
from firmware_bridge.protocol.table import Format
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from firmware_bridge.streams.receiver import NodeKey
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.intake import Intake
from runtime.pipeline.states import Rules
from tests.runtime.pipeline.harness import (
    BOTH,
    GRID_HZ,
    WINDOW,
    Bench,
    SumEngine,
    contract,
    descriptor,
    node,
)
from toolkit.contract import FilterStage
from toolkit.errors import ContractError

IMU = {"imu": (100.0, 2, "rad/s")}
EMG = {"emg": (200.0, 1, "mV")}


def _at(estimates: list[Estimate], from_s: float, to_s: float) -> list[Estimate]:
    return [m for m in estimates if from_s <= m.published_ns * 1e-9 < to_s]


def _only(estimates: list[Estimate]) -> set[tuple[State, tuple[str, ...]]]:
    return {(m.state, m.reasons) for m in estimates}


def test_a_good_start() -> None:
    """Waiting is said, then warm-up for one window, then ok; numbers have no hole."""
    estimates = Bench([node(0, BOTH)]).until(3.0)
    assert [m.sequence for m in estimates] == list(range(len(estimates)))
    warm = [m for m in estimates if "warm-up" in m.reasons]
    assert len(warm) == WINDOW - 1
    assert all(m.state is State.INVALID and m.values == () for m in warm)
    after = estimates[estimates.index(warm[-1]) + 1 :]
    assert _only(after) == {(State.OK, ())}
    assert len(after) > 100 and all(len(m.values) == 1 for m in after)
    # The engine counts rows since its reset in thousandths; sums of counts are whole thousandths too.
    assert all(np.isfinite(m.values[0]) for m in after)


def test_nothing_is_plugged_in() -> None:
    bench = Bench([])
    estimates = bench.until(3.0)
    assert _only(_at(estimates, 0.0, 1.0)) == {(State.STALE, ("waiting",))}
    assert _only(_at(estimates, 1.2, 3.0)) == {(State.INVALID, ("waiting",))}
    # stale_hz is 10: from 0.1 s on, one every 0.1 s (rounded up to the 5 ms of a step).
    assert 25 <= len(estimates) <= 30
    assert all(m.values == () for m in estimates)
    assert bench.intake.missing == ("imu", "emg")


def test_sensor_unplugged_and_back() -> None:
    bench = Bench([node(0, BOTH, Faults(link_loss_s=3.0, link_loss_for_s=2.0))])
    estimates = bench.until(8.0)
    assert _only(_at(estimates, 1.5, 3.0)) == {(State.OK, ())}
    # No item comes any more: it is said when the last sample is older than stale_ms (150); after silence_ms it is invalid.
    assert _only(_at(estimates, 3.15, 3.9)) == {(State.STALE, ("silent",))}
    assert _only(_at(estimates, 4.2, 5.0)) == {(State.INVALID, ("silent",))}
    back = _at(estimates, 5.0, 8.0)
    assert len([m for m in back if "warm-up" in m.reasons]) >= WINDOW - 1
    assert _only(_at(estimates, 5.8, 8.0)) == {(State.OK, ())}
    assert bench.intake.restarts == 2
    assert bench.intake.links[0].up and "back" in bench.intake.links[0].reason
    assert bench.intake.session.receiver.balance().gap > 0


def test_short_loss_is_degraded_for_one_window() -> None:
    bench = Bench([node(0, BOTH, Faults(link_loss_s=3.0, link_loss_for_s=0.1))])
    estimates = bench.until(6.0)
    found = [m for m in estimates if m.state is State.DEGRADED]
    assert {m.reasons for m in found} == {("gap",)}
    assert all(len(m.values) == 1 for m in found)
    # The rows of the gap (5 of 50 Hz, and one to either side) and a window after them.
    assert WINDOW + 4 <= len(found) <= WINDOW + 8
    assert bench.intake.restarts == 1
    assert sum(watch.rows_in_gaps for *_, watch in bench.intake.streams()) > 20


def test_a_short_gap_is_degraded_while_it_lasts() -> None:
    """A packet of 20 ms: 2 samples of 100 Hz and one about it at either end, three rows of 50 Hz. Not 22, as if all counted."""

    def found(short_gap_ms: float) -> list[Estimate]:
        faults = Faults(link_loss_s=3.0, link_loss_for_s=0.02)
        bench = Bench([node(0, BOTH, faults)], rules=Rules(short_gap_ms=short_gap_ms))
        estimates = bench.until(6.0)
        assert bench.intake.session.receiver.balance().gap > 0
        return [m for m in estimates if "gap" in m.reasons]

    short = found(60.0)
    assert len(short) == 3 and {m.state for m in short} == {State.DEGRADED}
    assert len(found(40.0)) == len(found(0.0)) == 3 + WINDOW - 1


def test_gap_policy_invalidate() -> None:
    bench = Bench(
        [node(0, BOTH, Faults(link_loss_s=3.0, link_loss_for_s=0.1))], rules=Rules(gaps_invalid=True)
    )
    estimates = bench.until(6.0)
    found = [m for m in estimates if "gap" in m.reasons]
    assert len(found) >= WINDOW and {m.state for m in found} == {State.INVALID}
    assert all(m.values == () for m in found)


def test_node_reboot() -> None:
    bench = Bench([node(0, BOTH, Faults(reboot_s=3.0))])
    estimates = bench.until(7.0)
    found = [m for m in estimates if "reboot" in m.reasons]
    assert len(found) >= WINDOW and {m.state for m in found} <= {State.DEGRADED, State.INVALID}
    assert _only(_at(estimates, 5.0, 7.0)) == {(State.OK, ())}
    assert bench.intake.session.receiver.links[0].nodes[0].balance().reboots == 1


def test_one_of_two_nodes_silent() -> None:
    bench = Bench([node(0, IMU), node(1, EMG, Faults(link_loss_s=3.0, link_loss_for_s=2.0))])
    estimates = bench.until(8.0)
    assert _only(_at(estimates, 1.5, 3.0)) == {(State.OK, ())}
    # The other goes on, so rows are filled for a while: degraded, then stale because the silent one's newest sample is old.
    said = [m.state for m in _at(estimates, 3.1, 4.0)]
    assert said.index(State.DEGRADED) < said.index(State.STALE)
    assert State.OK not in said
    late = [m for m in _at(estimates, 3.1, 4.0) if "late" in m.reasons]
    assert late and all((m.published_ns - m.source_ns) * 1e-6 > 150 and m.values == () for m in late)
    assert _only(_at(estimates, 4.3, 5.0)) == {(State.INVALID, ("silent",))}
    assert _only(_at(estimates, 6.0, 8.0)) == {(State.OK, ())}
    assert bench.intake.restarts == 2


def _float_node(scale: float, rows: slice, value: float) -> VirtualNode:
    """A node that sends float32, with one ``value`` in ``rows`` of the imu's first channel."""
    described = descriptor("node0", BOTH, Format.FLOAT32)
    streams = tuple(
        replace(s, channels=tuple(replace(c, scale=scale, full_scale=0.0) for c in s.channels))
        for s in described.streams
    )
    random = np.random.default_rng(1)
    tables = {s.stream: random.normal(size=(4000, len(s.channels))).astype(np.float32) for s in streams}
    tables[0][rows, 0] = value
    return VirtualNode(Programme(replace(described, streams=streams), tables), 0)


def test_values_that_are_not_finite() -> None:
    """3e38 times 10 is no float32. For 50 ms: degraded, held at the last good value, forgotten with the window."""
    bench = Bench([_float_node(10.0, slice(300, 305), 3e38)])
    estimates = bench.until(6.0)
    found = [m for m in estimates if "not-finite" in m.reasons]
    assert {m.state for m in found} <= {State.DEGRADED, State.INVALID} and len(found) >= WINDOW
    # A value as large as that never reaches the filters: sums of some normal draws times 10 stay below 200.
    assert all(abs(m.values[0]) < 200 for m in estimates if m.values)
    assert _only(_at(estimates, 4.0, 6.0)) == {(State.OK, ())}
    (_, _, _, watch), _ = bench.intake.streams()
    assert 5 <= watch.rows_not_finite <= 9


def test_values_that_no_sensor_measures_do_not_poison_filters() -> None:
    """3e38 is a float32, and would make a filter's sums infinite for ever; held as what is not finite, it leaves no trace."""
    sections = FilterStage(
        "sections",
        {"coefficients": [[0.0675, 0.1349, 0.0675, -1.1430, 0.4128]], "design": "low pass 10 Hz at 100 Hz"},
    )
    given = contract()
    inputs = tuple(replace(each, filters=(sections, *each.filters)) for each in given.inputs)
    for large in (3e38, -3e38, 1e15):
        bench = Bench([_float_node(1.0, slice(300, 305), large)], replace(given, inputs=inputs))
        estimates = bench.until(6.0)
        assert {m.state for m in estimates if "not-finite" in m.reasons} <= {State.DEGRADED, State.INVALID}
        assert not [m for m in estimates if "engine" in m.reasons]
        assert _only(_at(estimates, 4.0, 6.0)) == {(State.OK, ())}
        assert all(abs(m.values[0]) < 200 for m in estimates if m.values)


def test_values_that_are_not_finite_for_long() -> None:
    """More than a fifth of the window (20 rows of 50 Hz: 80 ms): invalid."""
    estimates = Bench([_float_node(10.0, slice(300, 330), 3e38)]).until(6.0)
    found = [m.state for m in estimates if "not-finite" in m.reasons]
    assert found[0] is State.DEGRADED and State.INVALID in found
    assert _only(_at(estimates, 4.2, 6.0)) == {(State.OK, ())}


def test_not_a_number_in_a_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet with NaN is refused by the decoder, counted there, and is a gap."""
    one = _float_node(1.0, slice(300, 305), float("nan"))
    with monkeypatch.context() as free:
        free.setattr(Data, "__post_init__", lambda self: None)  # a node whose firmware does not look
        sent = [(each.time_s, frame) for each in one.advance(6.0) for frame in each.frames]
    bench = Bench([])
    for time_s, frame in sent:
        bench.now_s = time_s
        bench.take(Chunk(0, round(time_s * 1e9) + 1_000_000, frame))
    found = [m for m in bench.estimates if m.state is State.DEGRADED]
    assert found and {m.reasons for m in found} == {("gap",)}
    assert (
        sum(bench.intake.session.receiver.links[0].rejected.values()) == 3
    )  # 5 samples lie in 3 packets of 2
    assert all(np.isfinite(m.values).all() for m in bench.estimates)
    assert bench.estimates[-1].state is State.OK


@pytest.mark.parametrize(("samples", "worst"), [(4, State.DEGRADED), (40, State.INVALID)])
def test_saturation(samples: int, worst: State) -> None:
    """Counts at the end of the scale for 40 ms, and for 400 ms, which is more than a fifth of the window."""
    one = node(0, BOTH)
    one.programme.tables[0][300 : 300 + samples, 1] = 32767
    bench = Bench([one])
    estimates = bench.until(6.0)
    found = [m for m in estimates if "saturated" in m.reasons]
    assert found and max(m.state.rank for m in found) == worst.rank
    assert _only(_at(estimates, 4.5, 6.0)) == {(State.OK, ())}
    ((_, _, _, watch), _) = bench.intake.streams()
    assert samples <= watch.rows_saturated <= samples + 4


def test_negative_end_of_the_scale_is_saturation_too() -> None:
    one = node(0, BOTH)
    one.programme.tables[1][600, 0] = -32767
    estimates = Bench([one]).until(6.0)
    assert any("saturated" in m.reasons for m in estimates)


def test_flat_channel_and_sensor_off() -> None:
    one = node(0, BOTH)
    one.programme.tables[0][300:600, 1] = 7  # one of two channels of the imu, from 3 s to 6 s
    one.programme.tables[1][1600:2200, 0] = 7  # the only channel of the emg, from 8 s to 11 s
    estimates = Bench([one]).until(13.0)
    assert _only(_at(estimates, 1.5, 3.9)) == {(State.OK, ())}
    # flat_ms is 1000: said from 4 s on.
    assert _only(_at(estimates, 4.2, 6.0)) == {(State.DEGRADED, ("flat",))}
    assert _only(_at(estimates, 6.6, 8.9)) == {(State.OK, ())}
    assert _only(_at(estimates, 9.2, 11.0)) == {(State.INVALID, ("sensor-off",))}
    assert _only(_at(estimates, 11.7, 13.0)) == {(State.OK, ())}


class _OddNode(VirtualNode):
    """A firmware that is wrong: from 3 s on its packets of the emg are what ``odd`` makes of them."""

    odd: Callable[[Data], Data]

    def _send(self, packet: Any, host_s: float) -> Any:
        ours = isinstance(packet, Data) and packet.stream == 1 and host_s >= 3.0
        return super()._send(self.odd(packet) if ours else packet, host_s)


def test_the_same_packet_again_and_again_is_never_ok() -> None:
    """Its frames and stamps go on, so that neither the ledger nor the clock sees anything."""
    stuck = _OddNode(node(0, BOTH).programme, 0)
    kept: list[Data] = []

    def odd(packet: Data) -> Data:
        kept.append(packet)
        return kept[0]

    stuck.odd = odd
    estimates = Bench([stuck]).until(8.0)
    assert _only(_at(estimates, 1.5, 3.0)) == {(State.OK, ())}
    assert State.OK not in {m.state for m in _at(estimates, 3.1, 8.0)}
    assert all("reboot" in m.reasons for m in _at(estimates, 3.5, 8.0))


def test_samples_that_are_counted_anew_without_a_new_life() -> None:
    """Degraded for a window; after it faults are seen as before: the emg is at full scale from 5 s on."""
    anew = _OddNode(node(0, BOTH).programme, 0)
    begun: list[int] = []

    def odd(packet: Data) -> Data:
        begun.append(packet.first)
        first = packet.first - begun[0]
        raw = packet.raw if first < 400 else np.full(packet.samples, 32767, "<i2").tobytes()
        return replace(packet, first=first, raw=raw)

    anew.odd = odd
    estimates = Bench([anew]).until(8.0)
    found = [m for m in _at(estimates, 3.0, 4.9) if m.state is not State.OK]
    assert {m.reasons for m in found} == {("reboot",)} and WINDOW - 1 <= len(found) <= WINDOW + 4
    assert _only(_at(estimates, 5.5, 5.9)) == {(State.INVALID, ("saturated",))}


class _SteppedNode(VirtualNode):
    """Its clock jumps by ``step_us`` at 3 s, as a node's does that is told the time in mid-stream."""

    step_us = 0

    def device_us(self, host_s: float) -> int:
        return super().device_us(host_s) + (self.step_us if host_s >= 3.0 else 0)


@pytest.mark.parametrize("step_s", [60.0, 10.0, 0.3, -0.3, -2.0])
def test_clock_stepped(step_s: float) -> None:
    """A node's clock that jumps: said while rows from before and after it are in the window, then right again."""
    stepped = _SteppedNode(node(0, BOTH).programme, 0, start_us=5_000_000)
    stepped.step_us = round(step_s * 1e6)
    bench = Bench([stepped])
    estimates = bench.until(20.0)
    found = _at(estimates, 3.05, 3.35)
    assert found and State.OK not in {m.state for m in found}
    assert any(
        {"clock-uncertain", "late", "silent", "reboot"} & set(m.reasons) for m in _at(estimates, 3.0, 3.5)
    )
    # No estimate is made of samples that it takes for younger than the clock's error bar allows.
    assert all(m.source_ns <= m.arrival_ns + 20e6 for m in estimates if m.values and m.state is State.OK)
    # The clock map finds the contradiction and starts anew.
    clock = bench.intake.session.clock(NodeKey(0, 0))
    assert clock is not None and clock.restarts >= 1
    assert _only(_at(estimates, 18.0, 20.0)) == {(State.OK, ())}


def test_clock_uncertain() -> None:
    """Without replies to sync requests the bar is about 15 ms; whoever wants less gets degraded estimates."""
    bench = Bench([node(0, BOTH)], rules=Rules(clock_ms=5.0), sync=False)
    estimates = bench.until(4.0)
    assert _only(_at(estimates, 2.0, 4.0)) == {(State.DEGRADED, ("clock-uncertain",))}
    assert bench.intake.error_s * 1e3 > 5


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        ({**EMG, "imu": (50.0, 2, "rad/s")}, ("100 Hz", "50 Hz")),
        ({**EMG, "imu": (100.0, 3, "rad/s")}, ("must have 2 channels", "has 3", "imu2")),
        ({**EMG, "imu": (100.0, 2, "deg/s")}, ("in rad/s", "in deg/s")),
    ],
)
def test_contract_mismatch_is_refused_with_both_sides(
    streams: dict[str, tuple[float, int, str]], words: tuple[str, ...]
) -> None:
    bench = Bench([node(0, streams)])
    bench.until(1.0)
    assert bench.estimates[-1].values == ()
    assert bench.intake.trouble is not None
    for word in words:
        assert word in bench.intake.trouble
    bench.publisher.tick(2_000_000_000, (State.INVALID, "contract-mismatch"))
    assert bench.estimates[-1].reasons[0] == "contract-mismatch" or bench.estimates[-1].state is State.INVALID
    assert bench.estimator.engine.steps == 0


def test_engine_slower_than_the_rate() -> None:
    """20 ms a row are asked for, a step takes 30 ms and a window 35: every third row, said, counted, until it is fast again."""
    now = [0.0]
    given = contract()

    class Slow(SumEngine):
        step_s, window_s = 0.030, 0.035

        def step(self, row: Any) -> Any:
            now[0] += self.step_s
            return super().step(row)

        def window(self, inputs: Any) -> Any:
            now[0] += self.window_s
            return super().window(inputs)

    bench = Bench([node(0, BOTH)])
    engine = Slow(given)
    bench.estimator = Estimator(given, engine, clock=lambda: now[0])
    bench.pipeline.estimator = bench.estimator
    estimates = bench.until(6.0)
    found = [m for m in estimates if "decimated" in m.reasons]
    assert {m.state for m in found} == {State.DEGRADED}
    assert bench.estimator.decimation.every == 3  # ceil(35 / (0.8 * 20))
    assert bench.estimator.graph == "window"
    rows = bench.estimator.decimated + len(
        [m for m in estimates if "silent" not in m.reasons and "waiting" not in m.reasons]
    )
    assert abs(rows - 5.9 * GRID_HZ) < 10
    assert 2 * len(found) - 2 <= bench.estimator.decimated <= 2 * len(found) + 2
    # Each is a whole window: the engine adds the window's rows over 1000.
    steps_before = engine.steps
    engine.step_s = engine.window_s = 0.001
    now[0] += 10.0
    later = bench.until(8.0)
    assert bench.estimator.decimation.every == 1 and bench.estimator.graph == "stream"
    # It went through the window's rows once, and from then on each row is a step; nothing was warmed up anew.
    assert engine.steps - steps_before >= WINDOW + 50
    assert _only(later[5:]) == {(State.OK, ())}


def test_a_bundle_without_a_stream_graph_runs_windows() -> None:
    given = contract()

    class Windows(SumEngine):
        has_stream = False

        def step(self, row: Any) -> Any:
            raise AssertionError("no stream graph")

    bench = Bench([node(0, BOTH)])
    engine = Windows(given)
    bench.estimator = bench.pipeline.estimator = Estimator(given, engine, clock=lambda: 0.0)
    estimates = bench.until(4.0)
    good = [m for m in estimates if m.state is State.OK]
    assert bench.estimator.graph == "window" and len(good) == engine.windows > 150
    # Inputs are counts of thousandths, mixed between two neighbours at most; each estimate has the window's 20 rows in it.
    assert _only(_at(estimates, 1.0, 4.0)) == {(State.OK, ())}


def test_engine_that_refuses() -> None:
    given = contract()

    class Broken(SumEngine):
        def step(self, row: Any) -> Any:
            if 60 <= self.steps < 63:
                self.steps += 1
                raise ContractError("no")
            return super().step(row)

    bench = Bench([node(0, BOTH)])
    bench.estimator = bench.pipeline.estimator = Estimator(given, Broken(given), clock=lambda: 0.0)
    estimates = bench.until(5.0)
    found = [m for m in estimates if "engine" in m.reasons]
    assert len(found) == 3 and {m.state for m in found} == {State.INVALID}
    assert bench.estimator.refused == 3
    assert estimates[-1].state is State.OK


class TestSeveralNodes:
    """Two IMUs make one input, in the order that the config gives."""

    given = contract(imu_channels=4)
    inputs: ClassVar = {"imu": InputFrom(("shank/imu", "foot/imu"), check_names=False)}

    def _nodes(self) -> list[VirtualNode]:
        return [
            node(0, IMU, name="foot", seed=1),
            node(1, IMU, name="shank", seed=2),
            node(2, EMG, name="emg", seed=3),
        ]

    def test_they_are_joined_in_order(self) -> None:
        nodes = self._nodes()
        bench = Bench(nodes, given=self.given, inputs=self.inputs)
        rows: list[np.ndarray[Any, Any]] = []
        estimate = bench.estimator.estimate

        def watch(batch: Any) -> Any:
            if "imu" in batch.inputs:
                rows.append(batch.inputs["imu"].values)
            return estimate(batch)

        bench.estimator.estimate = watch  # type: ignore[method-assign]
        estimates = bench.until(3.0)
        values = np.concatenate(rows)
        assert values.shape[1] == 4 and estimates[-1].state is State.OK
        # Both play noise of their own: shank's two channels first, and each row near a row that was measured.
        for columns, one in ((slice(0, 2), nodes[1]), (slice(2, 4), nodes[0])):
            table = one.programme.tables[0] * 0.001
            part = values[100:150, columns]
            low, high = table[:400].min(axis=0), table[:400].max(axis=0)
            assert (part >= low - 1e-6).all() and (part <= high + 1e-6).all()
            best = max(
                float(np.corrcoef(part[:, 0], table[shift : shift + 50, 0])[0, 1]) for shift in range(60, 140)
            )
            assert (
                best > 0.7
            )  # times are known to about a tenth of a period, so rows are mixtures of neighbours

    def test_names_are_compared_with_the_nodes_name_before(self) -> None:
        channels = ("foot_x", "foot_y", "shank_x", "shank_y")
        imu = self.given.inputs[0]
        named = replace(
            imu.stream, channels=tuple(replace(c, name=n) for c, n in zip(imu.stream.channels, channels))
        )
        given = replace(self.given, inputs=(replace(imu, stream=named), self.given.inputs[1]))
        nodes = self._nodes()
        for one in nodes[:2]:
            stream = one.programme.descriptor.streams[0]
            renamed = replace(
                stream, channels=tuple(replace(c, name=n) for c, n in zip(stream.channels, "xy"))
            )
            object.__setattr__(one.programme.descriptor, "streams", (renamed,))
        good = Bench(nodes, given=given, inputs={"imu": InputFrom(("foot/imu", "shank/imu"))})
        good.until(2.0)
        assert good.intake.trouble is None and good.estimates[-1].state is State.OK
        # The same the wrong way round is not silently taken.
        bad = Bench(self._nodes(), given=given, inputs={"imu": InputFrom(("shank/imu", "foot/imu"))})
        bad.until(2.0)
        assert bad.intake.trouble is not None and bad.estimator.engine.steps == 0

    def test_a_stream_that_two_nodes_have_must_be_named_with_its_node(self) -> None:
        bench = Bench(self._nodes(), given=contract())
        bench.until(1.0)
        assert bench.intake.missing == ("imu (of 2 nodes: write NODE/imu)",)
        assert bench.estimates[-1].values == ()

    def test_an_input_that_the_model_has_not(self) -> None:
        with pytest.raises(
            ContractError, match=r"input 'imo' is not one of the model's; its inputs are imu, emg"
        ):
            Intake(contract(), {"imo": InputFrom(("imu",))})

    def test_a_node_that_comes_back_with_another_descriptor(self) -> None:
        bench = Bench([node(0, BOTH)])
        bench.until(2.0)
        assert bench.estimates[-1].state is State.OK
        known = bench.intake.session.receiver.descriptors
        known[NodeKey(0, 0)] = node(0, {**EMG, "imu": (100.0, 2, "deg/s")}).programme.descriptor
        bench.intake._learn()
        assert bench.intake.trouble is not None and "deg/s" in bench.intake.trouble
        before = bench.estimator.engine.steps
        # The node goes on sending what is now described otherwise: nothing of it reaches the model.
        for item in bench.links[0].advance(3.0):
            if bench.intake.trouble is not None:
                assert bench.pipeline.process(item) == [] or bench.intake.trouble is None
        assert bench.estimator.engine.steps == before or bench.intake.trouble is None
