"""The virtual node by itself: numbers, stamps and values that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    StreamDescriptor,
)
from firmware_bridge.protocol.table import Format
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from toolkit.errors import UsageError

STREAM = StreamDescriptor(3, "imu", Format.INT16, 100.0, (ChannelDescriptor("a", "m/s^2", 0.01),))
PROGRAMME = Programme(Descriptor("n", (STREAM,)), {3: np.arange(10, dtype=np.int32)[:, None]})


def data_of(node: VirtualNode, until_s: float) -> list[tuple[float, int, int, list[int]]]:
    """(time, stamp, first number, values) of each data packet."""
    sent = [each for each in node.advance(until_s) if isinstance(each.packet, Data)]
    return [
        (round(e.time_s, 9), e.device_us, e.packet.first, e.packet.values()[:, 0].tolist())
        for e in sent
        if isinstance(e.packet, Data)
    ]


def test_two_samples_a_packet_at_100_hz_played_in_a_circle() -> None:
    packets = data_of(VirtualNode(PROGRAMME, start_us=1000), 0.12)
    # Sample k is taken at k / 100 s; a packet of 20 ms holds two and is sent with its newest.
    assert packets[0] == (0.01, 11_000, 0, [0, 1])
    assert packets[1] == (0.03, 31_000, 2, [2, 3])
    assert packets[5] == (0.11, 111_000, 10, [0, 1])
    assert len(packets) == 6


def test_the_same_whatever_the_steps_in_which_time_is_given() -> None:
    node = VirtualNode(PROGRAMME)
    stepped = [packet for step in range(1, 200) for packet in data_of(node, step * 0.007)]
    assert stepped == data_of(VirtualNode(PROGRAMME), 199 * 0.007)


def test_a_fast_crystal_samples_early_and_stamps_by_its_own_time() -> None:
    packets = data_of(VirtualNode(PROGRAMME, faults=Faults(drift_ppm=100.0), start_us=1), 100.5)
    time_s, stamp, first, _ = packets[-1]
    assert time_s == pytest.approx((first + 1) / 100 / 1.0001, abs=1e-9)
    assert stamp == 1 + (first + 1) * 10_000


def test_a_reboot_starts_numbers_and_clock_again_under_another_boot() -> None:
    node = VirtualNode(PROGRAMME, faults=Faults(reboot_s=0.5), start_us=5_000_000)
    sent = node.advance(0.6)
    lives = sorted({each.boot for each in sent}, key=[each.boot for each in sent].index)
    assert len(lives) == 2
    after = [each for each in sent if each.boot == lives[1]]
    assert after[0].sequence == 0 and after[0].device_us == 1
    first = next(each.packet for each in after if isinstance(each.packet, Data))
    assert first.first == 0


def test_a_stall_skips_numbers_and_counts_the_samples() -> None:
    node = VirtualNode(PROGRAMME, faults=Faults(stall_s=0.2, stall_for_s=0.1))
    firsts = [packet[2] for packet in data_of(node, 0.5)]
    # Packets due from 0.2 s up to 0.3 s are those at 0.21, 0.23, 0.25, 0.27 and 0.29: samples 20 to 29.
    assert set(range(0, 48, 2)) - set(firsts) == {20, 22, 24, 26, 28}
    assert node.samples_dropped == 10


@pytest.mark.parametrize(
    "options", [{"drop": "2"}, {"flips": "0.1"}, {"drop": "x"}, {"burst_frames": "0"}, {"drift_ppm": "5000"}]
)
def test_faults_that_cannot_be_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="fault"):
        Faults.parse(options)


def test_faster_is_a_sensor_of_a_higher_rate_with_true_stamps() -> None:
    packets = data_of(VirtualNode(PROGRAMME.faster(4), start_us=1000), 0.06)
    # 400 Hz: eight samples in 20 ms, the newest at 7 / 400 s = 17.5 ms; the values are those of the table, none left out.
    assert packets[0] == (0.0175, 18_500, 0, [0, 1, 2, 3, 4, 5, 6, 7])
    assert packets[1] == (0.0375, 38_500, 8, [8, 9, 0, 1, 2, 3, 4, 5])
    assert PROGRAMME.faster(4).descriptor.streams[0].rate_hz == 400.0
    assert PROGRAMME.descriptor.streams[0].rate_hz == 100.0
