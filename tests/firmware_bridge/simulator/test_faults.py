"""Every fault of the simulator, alone and mixed, over 200 seeds: the ledger balances, no value and no time is wrong.

Mixed always; alone over 20 seeds, and over 200 with ``make faults`` (three minutes of one core).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest

from firmware_bridge.items import Chunk
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Descriptor,
    StreamDescriptor,
    SyncRequest,
)
from firmware_bridge.protocol.table import ANY_NODE, Format
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from firmware_bridge.streams.session import Session, TimedSamples

SECONDS = 5.0
#: Without a sync reply the clock's bar rests on this: that the fastest frame since the node's start took no longer.
ASSUMED_DELAY_S = 0.03
ALONE_SEEDS = int(os.environ.get("EDGETOOL_FAULT_SEEDS", "20"))

ALONE = {
    "none": Faults(),
    "flip": Faults(flip=0.03),
    "drop": Faults(drop=0.05),
    "burst": Faults(burst=0.01),
    "duplicate": Faults(duplicate=0.05),
    "reorder": Faults(reorder=0.05),
    "reboot": Faults(reboot_s=2.3),
    "zero stamp": Faults(zero_stamp=0.1),
    "drift": Faults(drift_ppm=-80.0),
    "stall": Faults(stall_s=2.0),
    "silent": Faults(silent_s=1.5),
    "link loss": Faults(link_loss_s=2.0),
    "jitter": Faults(jitter_ms=10.0),
}
MIXED = Faults(
    flip=0.01, drop=0.01, burst=0.002, duplicate=0.01, reorder=0.02, reboot_s=2.3, zero_stamp=0.02,
    drift_ppm=50.0, stall_s=1.0, stall_for_s=0.3, silent_s=2.8, link_loss_s=1.5, link_loss_for_s=0.4, jitter_ms=3.0,
)  # fmt: skip


def small_programme() -> Programme:
    """Two streams whose values never repeat within the test, so that a wrong one cannot go unseen."""
    random = np.random.default_rng(7)
    imu = StreamDescriptor(0, "imu", Format.INT16, 100.0, (ChannelDescriptor("a", "m/s^2", 0.005),))
    emg = StreamDescriptor(1, "emg", Format.INT24, 500.0, (ChannelDescriptor("b", "uV", 0.1),))
    tables = {
        0: random.permutation(np.arange(-3000, 3000, dtype=np.int32))[:, None],
        1: random.permutation(np.arange(-(1 << 22), (1 << 22), 1000, dtype=np.int32))[:, None],
    }
    return Programme(Descriptor("small", (imu, emg)), tables)


@dataclass
class Run:
    """What happened: the link with its truth, the session, the wire bytes that arrived, and the timed samples."""

    link: VirtualLink
    session: Session
    wire: bytes
    late_us: float


def run(faults: Faults, seed: int) -> Run:
    """Play, with a sync exchange twice a second, and check each packet against what was sent, as it comes."""
    node = VirtualNode(small_programme(), 4, faults, seed, start_us=(1 << 32) - 1_500_000)
    origin_ns = 7_000_000_000_000
    link = VirtualLink(node, 0, origin_ns, keep_sent=True)
    session, host = Session(), FrameWriter(ANY_NODE, 1, 64)
    truth: dict[tuple[int, int], object] = {}
    fastest: dict[int, float] = {}
    wire, known, worst = b"", 0, 0.0
    for step in range(1, int(SECONDS * 100) + 1):
        now_s = step / 100
        for item in link.advance(now_s):
            for each in link.sent[known:]:
                truth[each.boot, each.sequence] = each
            known = len(link.sent)
            wire += item.data if isinstance(item, Chunk) else b""
            done = session.process(item)
            for packet in done.received:
                sent = truth[packet.boot, packet.sequence]
                assert packet.packet == sent.packet and packet.device_us == sent.device_us  # type: ignore[attr-defined]
            fastest_s = fastest_frames(done.received, truth, origin_ns, fastest)
            for samples in done.samples:
                error_s = check_time(samples, truth, done.received, origin_ns)
                clock = session.clock(samples.key)
                assert clock is not None
                if (
                    faults.jitter_ms > 5
                    and not clock.synced
                    and fastest_s[id(samples.data)] > ASSUMED_DELAY_S
                ):
                    continue  # what the bar assumes until a sync reply has come is not so, as the truth says
                # 2 us: the node's clock ticks once a microsecond, and a packet without a stamp counts in them too.
                assert abs(error_s) <= samples.error_s + 2e-6, (seed, now_s, error_s, samples.error_s)
                worst = max(worst, abs(error_s))
        if step % 50 == 10:
            request = SyncRequest(origin_ns + round(now_s * 1e9))
            node.hear(host.frames(request, 0)[0], now_s + 0.0005)
    return Run(link, session, wire, worst * 1e6)


def fastest_frames(
    received: tuple, truth: dict, origin_ns: int, fastest: dict[int, float]
) -> dict[int, float]:
    """What the fastest stamped frame of a packet's boot session took, in s, when the packet was timed; by its id.

    ``fastest`` is that of each boot session so far, and is kept up to date.
    """
    then: dict[int, float] = {}
    for each in received:
        took_s = (each.arrival_ns - origin_ns) * 1e-9 - truth[each.boot, each.sequence].time_s
        if each.device_us:
            fastest[each.boot] = min(took_s, fastest.get(each.boot, took_s))
        then[id(each.packet)] = fastest.get(each.boot, np.inf)
    return then


def check_time(samples: TimedSamples, truth: dict, received: tuple, origin_ns: int) -> float:
    """Mapped less true host time of a packet's newest or oldest sample, whichever is further off."""
    key = next((each.boot, each.sequence) for each in received if each.packet is samples.data)
    newest_s = origin_ns * 1e-9 + truth[key].time_s
    # A crystal 80 ppm off makes 1.6 us of the 20 ms of a packet: within the 2 us of the tick.
    oldest_s = newest_s - (samples.data.samples - 1) / samples.stream.rate_hz
    return max(float(samples.times_s[-1] - newest_s), float(samples.times_s[0] - oldest_s), key=abs)


def check_ledger(done: Run) -> None:
    """The ledger against a count that knows nothing of decoders: blocks of the wire that equal a sent frame."""
    number: dict[bytes, tuple[int, int]] = {}
    boots: list[int] = []
    for each in done.link.sent:
        for part, frame in enumerate(each.frames):
            number[frame[:-1]] = (each.boot, each.sequence + part)
        if each.boot not in boots:
            boots.append(each.boot)
    copies = [number[block] for block in done.wire.split(b"\0")[:-1] if block in number]
    unique = set(copies)
    balance = done.session.receiver.balance()
    assert balance.balances
    assert balance.delivered + balance.reordered + balance.dropped_in_host == len(unique)
    assert balance.duplicate == len(copies) - len(unique)
    sent = 0
    for place, boot in enumerate(boots):
        heard = [sequence for life, sequence in unique if life == boot]
        if heard:
            sent += max(heard) + 1 - (min(heard) if place == 0 else 0)
    assert balance.sent == sent + balance.duplicate
    assert balance.gap + balance.crc_failed == sent - len(unique)
    assert balance.reboots == max(0, len({boot for boot, _ in unique}) - 1)


@pytest.mark.parametrize("name", ALONE)
def test_each_fault_alone(name: str) -> None:
    for seed in range(ALONE_SEEDS):
        done = run(ALONE[name], seed)
        check_ledger(done)
        assert done.session.receiver.balance().delivered > 100


def test_all_faults_mixed_over_200_seeds() -> None:
    for seed in range(200):
        check_ledger(run(MIXED, seed))
