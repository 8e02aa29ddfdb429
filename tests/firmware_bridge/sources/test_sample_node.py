"""Samples with stamps to frames: numbers, times and packets that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.protocol.decoder import LinkDecoder
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    Status,
    StreamDescriptor,
    SyncReply,
)
from firmware_bridge.protocol.table import Format
from firmware_bridge.sources.sample_node import (
    SampleClock,
    SampleNode,
    device_us,
    format_of,
)


def test_even_stamps_are_kept_and_numbers_count() -> None:
    stamps = 1000.0 + np.arange(500) / 100
    numbers, times = SampleClock(100.0).number_samples(stamps)
    assert numbers.tolist() == list(range(500))
    # Rounding of float64 alone: the error is 0 at every step.
    assert np.abs(times - stamps).max() < 1e-9


def test_the_same_in_whatever_pieces() -> None:
    stamps = 50.0 + np.arange(300) / 100 + np.random.default_rng(1).exponential(0.005, 300)
    whole = SampleClock(100.0).number_samples(stamps)
    clock = SampleClock(100.0)
    pieces = [clock.number_samples(part) for part in np.split(stamps, [1, 7, 8, 150])]
    assert np.array_equal(np.concatenate([p[0] for p in pieces]), whole[0])
    assert np.array_equal(np.concatenate([p[1] for p in pieces]), whole[1])


def test_a_rate_half_a_percent_off_is_followed() -> None:
    stamps = np.arange(6000) / 1005.0
    numbers, times = SampleClock(1000.0).number_samples(stamps)
    assert numbers[-1] == 5999
    # 30 samples of 5 us a sample are behind at first; after a second nothing is left of it.
    assert np.abs(times - stamps)[1000:].max() < 5e-5


def test_jitter_of_the_stamps_is_smoothed() -> None:
    random = np.random.default_rng(3)
    true = np.arange(4000) / 100
    numbers, times = SampleClock(100.0).number_samples(true + random.normal(0, 0.005, 4000))
    assert numbers[-1] == 3999
    rough, smooth = 0.005, float(np.std((times - true)[1000:]))
    # White noise through least squares over 500 samples: sigma x sqrt(4 / 500) = 0.09 sigma.
    assert smooth < 0.15 * rough
    numbers, times = SampleClock(100.0, smooth=False).number_samples(true)
    assert np.array_equal(times, true)


@pytest.mark.parametrize("missing", [3, 7, 500])
def test_a_hole_in_the_stamps_is_a_hole_in_the_numbers(missing: int) -> None:
    k = np.concatenate([np.arange(600), np.arange(600 + missing, 900 + missing)])
    clock = SampleClock(100.0)
    numbers, times = clock.number_samples(k / 100)
    assert np.array_equal(numbers, k) and clock.jumps == 1
    assert np.abs(times - k / 100).max() < 1e-9


def test_counted_samples_say_themselves_how_many_are_missing() -> None:
    k = np.concatenate([np.arange(600), [601], np.arange(700, 800)])
    stamps = k / 250 + np.random.default_rng(5).exponential(0.004, len(k))
    numbers, _ = SampleClock(250.0).number_samples(stamps, np.diff(k, prepend=-1))
    assert np.array_equal(numbers, k)


def test_a_clock_set_back_begins_a_new_line_and_counts_on() -> None:
    stamps = np.concatenate([10 + np.arange(300) / 100, 5 + np.arange(300) / 100])
    clock = SampleClock(100.0)
    numbers, times = clock.number_samples(stamps)
    assert numbers.tolist() == list(range(600)) and clock.jumps == 1
    assert times[300] == 5.0


def node(form: Format = Format.FLOAT32) -> SampleNode:
    channels = (ChannelDescriptor("a", "uV", 1.0), ChannelDescriptor("b", "uV", 1.0))
    return SampleNode(Descriptor("n", (StreamDescriptor(0, "emg", form, 100.0, channels),)), boot=9)


def packets(data: bytes) -> list[tuple[int, object]]:
    return [(each.device_us, each.packet) for each in LinkDecoder().feed(data, 0)]


def test_samples_become_packets_with_the_newest_ones_time() -> None:
    values = np.arange(140, dtype=np.float32).reshape(70, 2)
    out = packets(node().samples(0, np.arange(70), 2.0 + np.arange(70) / 100, values))
    # 494 bytes of payload less 8 of header hold 60 samples of 8 bytes.
    assert [(stamp, p.first, p.samples) for stamp, p in out if isinstance(p, Data)] == [
        (2_590_000, 0, 60),
        (2_690_000, 60, 10),
    ]
    assert np.array_equal(np.concatenate([p.values() for _, p in out if isinstance(p, Data)]), values)


def test_a_value_that_is_no_number_is_a_missing_sample() -> None:
    values = np.ones((5, 2), np.float32)
    values[2, 1] = np.nan
    it = node()
    out = packets(it.samples(0, np.arange(5), np.arange(5) / 100 + 1, values))
    assert [(stamp, p.first, p.samples) for stamp, p in out if isinstance(p, Data)] == [
        (1_010_000, 0, 2),
        (1_040_000, 3, 2),
    ]
    (status,) = [p for _, p in packets(it.housekeeping(1.0)) if isinstance(p, Status)]
    assert it.samples_dropped == status.samples_dropped == 1


def test_descriptor_every_5_s_status_every_second() -> None:
    it = node()
    kinds = [[type(p).__name__ for _, p in packets(it.housekeeping(now))] for now in (0.0, 0.5, 1.0, 5.0)]
    assert kinds == [["Descriptor", "Status"], [], ["Status"], ["Descriptor", "Status"]]


def test_a_sync_exchange_names_the_request_and_the_nodes_clock() -> None:
    ((stamp, reply),) = packets(node().sync(123, 4300.0))
    # 4300 s are 4,300,000,000 us: once round a u32.
    assert reply == SyncReply(123, 4_300_000_000 - 2**32) and stamp == 4_300_000_000 - 2**32
    assert device_us(0.0) == 1


def test_formats() -> None:
    names = ("i1", "i2", "i4", "i8", "f4", "f8")
    assert [format_of(np.dtype(name)) for name in names] == [Format.INT16] * 2 + [Format.FLOAT32] * 4
    values = np.array([[-5, 7]], np.int16)
    ((_, data),) = packets(node(Format.INT16).samples(0, np.array([3]), np.array([1.0]), values))
    assert isinstance(data, Data) and data.values().tolist() == [[-5, 7]] and data.first == 3


@pytest.mark.parametrize(("bunch", "rate_hz"), [(10, 200.0), (40, 1000.0)])
def test_samples_that_are_stamped_in_bunches_are_spread_and_none_is_called_missing(
    bunch: int, rate_hz: float
) -> None:
    """As of a radio that delivers several at a time and a program that stamps each when it comes."""
    k = np.arange(round(20 * rate_hz))
    late = np.random.default_rng(0).exponential(0.01, len(k) // bunch + 1).repeat(bunch)[: len(k)]
    stamps = np.maximum.accumulate(np.ceil((k + 1) / bunch) * bunch / rate_hz + late) + 1e-5 * (k % bunch)
    numbers, times = SampleClock(rate_hz).number_samples(stamps)
    assert np.array_equal(numbers, k)
    error_s = (times - k / rate_hz)[round(2 * rate_hz) :]
    # They are late by what the radio holds them back on average, which no stamp tells; the rest of the bunch is gone.
    assert error_s.std() < 0.004 < 0.01 < error_s.mean() < bunch / rate_hz + 0.01


def test_single_samples_that_come_very_late_are_seldom_taken_for_a_hole() -> None:
    """Late by 10 ms on average (exponential), a whole period: a very late one and a hole look alike until the next comes."""
    wrong = 0
    for seed in range(10):
        k = np.arange(2000)
        late = np.random.default_rng(seed).exponential(0.01, 2000)
        numbers, _ = SampleClock(100.0).number_samples(np.maximum.accumulate(k / 100 + late))
        wrong += int(numbers[-1] - k[-1])
    assert 0 <= wrong <= 40  # of 20,000: 0.2 %
