"""Clock mapping: closed forms, and an error bar that holds against simulated drift, jitter and asymmetry."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.clock import ClockMap, TickEvent, TickUnwrapper

HOST_AT_ZERO_S = 1000.0


class Link:
    """A node whose clock runs ``ppm`` fast of the host's, behind a link with seeded delays."""

    def __init__(self, ppm: float, jitter_s: float, up_s: float, down_s: float, seed: int) -> None:
        self.rate = 1.0 + ppm * 1e-6
        self.jitter_s, self.up_s, self.down_s = jitter_s, up_s, down_s
        self.random = np.random.default_rng(seed)

    def ticks(self, host_s: float) -> int:
        return int((host_s - HOST_AT_ZERO_S) * self.rate * 1e6)

    def host(self, ticks: int) -> float:
        return HOST_AT_ZERO_S + ticks * 1e-6 / self.rate

    def delay(self, base_s: float) -> float:
        return base_s + float(self.random.exponential(self.jitter_s))


def run(link: Link, seconds: float, sync_every_s: float | None) -> list[tuple[float, float, float]]:
    """(seconds since start, error, error bar) about every half second; 45 frames a second as one BLE node sends."""
    clock = ClockMap(assumed_delay_s=0.03)
    result = []
    next_sync = 0.0
    for index in range(int(seconds * 45)):
        elapsed = index / 45
        now = HOST_AT_ZERO_S + elapsed
        ticks = link.ticks(now)
        clock.arrival(ticks, now + link.delay(link.up_s))
        if sync_every_s is not None and elapsed >= next_sync:
            next_sync += sync_every_s
            received = now + link.delay(link.down_s)
            replied = received + 0.0003
            clock.sync(now, link.ticks(received), link.ticks(replied), replied + link.delay(link.up_s))
        if index % 22 == 21:
            mapped = clock.map(ticks)
            result.append((elapsed, mapped.time_s - link.host(ticks), mapped.error_s))
    return result


def test_an_hour_of_drift_and_jitter_stays_within_a_millisecond_and_its_bar() -> None:
    samples = run(Link(50.0, 0.010, 0.0005, 0.0005, seed=1), 3600.0, sync_every_s=0.5)
    settled = [(error, bar) for elapsed, error, bar in samples if elapsed >= 60.0]
    assert max(abs(error) for error, _ in settled) < 0.001
    inside = np.mean([abs(error) <= bar for error, bar in settled])
    assert inside >= 0.99
    # The bar is of use: it does not hold by being wide. Two envelopes of 10 ms jitter close to below 2 ms.
    assert np.median([bar for _, bar in settled]) < 0.002


@pytest.mark.parametrize("seed", range(6))
def test_the_bar_holds_for_an_asymmetric_link(seed: int) -> None:
    random = np.random.default_rng(seed)
    link = Link(float(random.uniform(-100, 100)), 0.005, 0.001, 0.015, seed)
    samples = run(link, 120.0, sync_every_s=1.0)
    assert np.mean([abs(error) <= bar for _, error, bar in samples]) >= 0.99
    # 14 ms of asymmetry cannot be seen by anyone: the estimate is off by half of it, and the bar knows.
    assert abs(samples[-1][1]) == pytest.approx(0.007, abs=0.0015)


def test_without_sync_the_bar_is_the_assumption() -> None:
    samples = run(Link(30.0, 0.005, 0.004, 0.0, seed=2), 120.0, sync_every_s=None)
    assert all(abs(error) <= bar for elapsed, error, bar in samples if elapsed > 2)
    assert samples[-1][2] >= 0.015


def test_skew_is_found() -> None:
    clock = ClockMap()
    link = Link(80.0, 0.0, 0.0, 0.0, seed=0)
    for index in range(1200):
        now = HOST_AT_ZERO_S + index / 10
        clock.sync(now, link.ticks(now), link.ticks(now), now)
    # The host gains -80 ppm on a node that runs 80 ppm fast; microsecond ticks over 120 s resolve 0.02 ppm.
    assert clock.skew_ppm == pytest.approx(-80.0, abs=0.05)


def test_a_stepped_host_clock_is_survived() -> None:
    clock = ClockMap()
    for index in range(400):
        device_us = index * 100_000
        host_s = index / 10 + (5.0 if index >= 200 else 0.0)
        clock.sync(host_s, device_us, device_us, host_s)
    assert clock.map(39_900_000).time_s == pytest.approx(44.9, abs=1e-4)
    assert clock.restarts > 0


def test_nothing_is_known_before_the_first_frame() -> None:
    with pytest.raises(LookupError):
        ClockMap().map(0)


def test_ticks_unwrap_over_the_end_of_32_bits() -> None:
    ticks = TickUnwrapper()
    top = (1 << 32) - 500
    assert ticks.push(top, 10.0) == (TickEvent.NORMAL, top)
    assert ticks.push(500, 10.001) == (TickEvent.WRAP, top + 1000)
    assert ticks.push(1500, 10.002) == (TickEvent.NORMAL, top + 2000)


def test_a_late_frame_is_reordered_not_a_reboot() -> None:
    ticks = TickUnwrapper()
    ticks.push(50_000_000, 50.0)
    assert ticks.push(49_980_000, 50.01) == (TickEvent.REORDERED, 49_980_000)
    assert ticks.push(50_020_000, 50.02) == (TickEvent.NORMAL, 50_020_000)


def test_a_reboot_starts_a_new_life_after_the_old_one() -> None:
    ticks = TickUnwrapper()
    ticks.push(900_000_000, 900.0)
    event, count = ticks.push(12_000, 903.0)
    assert event is TickEvent.REBOOT
    assert count > 900_000_000
    assert ticks.push(22_000, 903.01) == (TickEvent.NORMAL, count + 10_000)


def test_a_zero_stamp_is_named_and_forgotten() -> None:
    ticks = TickUnwrapper()
    ticks.push(5_000_000, 5.0)
    assert ticks.push(0, 5.01)[0] is TickEvent.ZERO
    assert ticks.push(5_020_000, 5.02) == (TickEvent.NORMAL, 5_020_000)


def test_two_turns_of_silence_are_counted_by_the_hosts_clock() -> None:
    ticks = TickUnwrapper()
    ticks.push(1_000, 0.0)
    silence_us = (1 << 32) * 2 + 5_000_000
    event, count = ticks.push((1_000 + silence_us) % (1 << 32), silence_us * 1e-6)
    assert event is TickEvent.WRAP
    assert count == 1_000 + silence_us
