"""The ledger balances, and says what really happened, under seeded faults with the sender's own count known."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from firmware_bridge.protocol.decoder import LinkDecoder, Received
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.ledger import (
    Balance,
    DamagePool,
    NodeLedger,
    Verdict,
)
from firmware_bridge.protocol.packets import Data
from firmware_bridge.protocol.table import Format

FAULTS = ("drop", "burst", "flip", "delimiter", "duplicate", "delay", "reboot", "noise")


@dataclass
class Sent:
    """One frame on the wire: which life and number, and whether a fault has changed it."""

    life: int
    number: int
    wire: bytes
    changed: bool = False


@dataclass
class Link:
    """Applies faults to what a node sends, and keeps the truth."""

    random: random.Random
    faults: frozenset[str]
    stream: list[Sent] = field(default_factory=list)

    def send(self, frames: int) -> None:
        life, boot = 0, 3
        writer = FrameWriter(1, boot, 64)
        burst = 0
        for sample in range(frames):
            if self._happens("reboot", 0.004):
                life, boot = life + 1, (boot + 1) % 256
                writer = FrameWriter(1, boot, 64)
            number = writer.sequence
            (wire,) = writer.frames(Data.of(0, Format.INT16, sample, [[sample % 30000]]), 1000 * sample + 1)
            if self._happens("burst", 0.01):
                burst = self.random.randrange(2, 40)
            burst -= 1
            if burst < 0 and not self._happens("drop", 0.05):
                self.stream.append(Sent(life, number, wire))
                if self._happens("duplicate", 0.05):
                    self.stream.append(Sent(life, number, wire))
        self._damage()

    def _happens(self, fault: str, chance: float) -> bool:
        return fault in self.faults and self.random.random() < chance

    def _damage(self) -> None:
        for place in range(len(self.stream) - 1, -1, -1):
            if self._happens("delay", 0.05):
                self.stream.insert(place + self.random.randrange(1, 16), self.stream.pop(place))
        for sent in self.stream:
            if self._happens("flip", 0.05):
                at = self.random.randrange(len(sent.wire) - 1)
                flipped = sent.wire[at] ^ 1 << self.random.randrange(8)
                sent.wire, sent.changed = sent.wire[:at] + bytes((flipped,)) + sent.wire[at + 1 :], True
            elif self._happens("delimiter", 0.02):
                sent.wire, sent.changed = sent.wire[:-1] + b"\x55", True
        if "noise" in self.faults:
            for sent in self.stream:
                if self.random.random() < 0.02:
                    sent.wire += self.random.randbytes(self.random.randrange(1, 700)) + b"\0"

    def intact(self) -> list[tuple[int, int]]:
        """(life, number) of every copy that arrives whole, in order of arrival."""
        after_delimiter, result = True, []
        for sent in self.stream:
            if after_delimiter and not sent.changed:
                result.append((sent.life, sent.number))
            after_delimiter = sent.wire.endswith(b"\0")
        return result

    def bytes(self) -> bytes:
        return b"".join(sent.wire for sent in self.stream)


def truth(arrivals: list[tuple[int, int]]) -> Balance:
    """What a perfect observer of the intact copies books; missing numbers are all in gap here."""
    sent = delivered = reordered = duplicate = gap = 0
    for life in {life for life, _ in arrivals}:
        highest, seen = -1, set()
        for number in (number for which, number in arrivals if which == life):
            if number in seen:
                duplicate += 1
            elif number < highest:
                reordered += 1
            else:
                delivered += 1
            seen.add(number)
            highest = max(highest, number)
        first = min(seen) if life == 0 else 0
        sent += highest - first + 1
        gap += highest - first + 1 - len(seen)
    lives = {life for life, _ in arrivals}
    return Balance(sent + duplicate, delivered, 0, gap, duplicate, reordered, 0, len(lives) - 1)


def decode(data: bytes, seed: int) -> tuple[LinkDecoder, list[Received]]:
    cuts, decoder, received, at = random.Random(seed), LinkDecoder(), [], 0
    while at < len(data):
        size = cuts.randrange(1, 400)
        received += decoder.feed(data[at : at + size], 1)
        at += size
    return decoder, received


@pytest.mark.parametrize("faults", [*((fault,) for fault in FAULTS), FAULTS], ids="+".join)
def test_the_ledger_is_true(faults: tuple[str, ...]) -> None:
    for seed in range(25):
        link = Link(random.Random(seed), frozenset(faults))
        link.send(800)
        decoder, received = decode(link.bytes(), seed)
        expected, actual = truth(link.intact()), decoder.balance()

        assert actual.balances, (seed, actual)
        assert (actual.sent, actual.delivered, actual.duplicate, actual.reordered) == (
            expected.sent,
            expected.delivered,
            expected.duplicate,
            expected.reordered,
        ), (seed, actual, expected)
        assert actual.crc_failed + actual.gap == expected.gap, seed
        assert actual.reboots == expected.reboots, seed
        assert actual.crc_failed <= decoder.damaged, seed
        assert actual.crc_failed + decoder.noise == decoder.damaged, seed
        # No wrong value: each packet holds what was sent under its number of samples.
        assert all(int(r.packet.values()[0, 0]) == r.packet.first % 30000 for r in received), seed  # type: ignore[union-attr]
        assert len(received) == actual.delivered + actual.reordered, seed


def test_flips_alone_are_all_crc_failed() -> None:
    """Without any other fault every missing frame was damaged, and the ledger says so."""
    for seed in range(25):
        link = Link(random.Random(seed), frozenset({"flip"}))
        link.send(800)
        decoder, _ = decode(link.bytes(), seed)
        assert decoder.balance().gap == 0, seed
        assert decoder.balance().crc_failed == truth(link.intact()).gap, seed


def test_drops_alone_are_all_gap() -> None:
    link = Link(random.Random(1), frozenset({"drop", "burst"}))
    link.send(800)
    decoder, _ = decode(link.bytes(), 1)
    assert decoder.balance().crc_failed == 0
    assert decoder.balance().gap == truth(link.intact()).gap > 0


def test_nodes_that_share_a_link_share_its_damage() -> None:
    """Damaged blocks name no node, yet with flips alone every missing frame of both nodes is explained by one."""
    for seed in range(10):
        generator = random.Random(seed)
        writers = [FrameWriter(node, 1, 64) for node in (1, 2)]
        wire, flipped = b"", 0
        for sample in range(400):
            for writer in writers:
                (frame,) = writer.frames(Data.of(0, Format.INT16, sample, [[sample]]), sample + 1)
                if 0 < sample < 399 and generator.random() < 0.1:
                    # 0xFF is no length that fits here, so the block is damaged whatever follows, and stays one block.
                    frame, flipped = b"\xff" + frame[1:], flipped + 1
                wire += frame
        decoder, _ = decode(wire, seed)
        balance = decoder.balance()
        assert (balance.sent, balance.crc_failed, balance.gap) == (800, flipped, 0), seed
        assert all(ledger.balance().balances for ledger in decoder.nodes.values())
        assert decoder.noise == 0


def test_what_the_consumer_drops_is_booked() -> None:
    writer, decoder = FrameWriter(1, 1), LinkDecoder()
    frames = [writer.frames(Data.of(0, Format.INT16, i, [[i]]), i + 1)[0] for i in range(4)]
    received = decoder.feed(frames[0] + frames[2] + frames[1] + frames[3], 1)
    decoder.dropped(received[1])
    decoder.dropped(received[2])
    assert decoder.balance() == Balance(sent=4, delivered=2, dropped_in_host=2)
    assert decoder.balance().balances
    assert decoder.rejected["full queue"] == 2


def book(ledger: NodeLedger, numbers: list[int], boot: int = 0) -> list[Verdict]:
    return [ledger.book(boot, number % 2**32)[0] for number in numbers]


def test_a_late_frame_takes_the_gap_back() -> None:
    ledger = NodeLedger(DamagePool())
    verdicts = book(ledger, [0, 1, 5, 3, 3, 6])
    assert verdicts[3:5] == [Verdict.LATE, Verdict.DUPLICATE]
    assert ledger.balance() == Balance(
        sent=8, delivered=4, crc_failed=0, gap=2, duplicate=1, reordered=1, dropped_in_host=0
    )


def test_a_late_frame_takes_gap_before_crc_failed() -> None:
    pool = DamagePool()
    ledger = NodeLedger(pool)
    book(ledger, [0])
    pool.add()
    book(ledger, [3])
    assert (ledger.balance().crc_failed, ledger.balance().gap, pool.noise) == (1, 1, 0)
    book(ledger, [1])
    assert (ledger.balance().crc_failed, ledger.balance().gap, pool.noise) == (1, 0, 0)
    book(ledger, [2])
    assert (ledger.balance().crc_failed, ledger.balance().gap, pool.noise) == (0, 0, 1)
    assert ledger.balance().balances


def test_sequence_numbers_turn_over() -> None:
    ledger = NodeLedger(DamagePool())
    book(ledger, [2**32 - 2, 2**32 - 1, 0, 2, 1, 3])
    assert ledger.balance() == Balance(sent=6, delivered=5, reordered=1)


def test_a_very_late_frame_is_a_duplicate() -> None:
    """Over 1,024 numbers behind nobody remembers whether it came."""
    ledger = NodeLedger(DamagePool())
    assert book(ledger, [1100, 1102, 2126, 1101])[-1] is Verdict.DUPLICATE
    assert book(NodeLedger(DamagePool()), [1100, 1102, 2124, 1101])[-1] is Verdict.LATE


def test_late_frames_of_the_life_before_are_booked_to_it() -> None:
    ledger = NodeLedger(DamagePool())
    book(ledger, [0, 1, 3], boot=1)
    book(ledger, [0], boot=2)
    assert book(ledger, [2], boot=1) == [Verdict.LATE]
    book(ledger, [1], boot=2)
    assert ledger.balance() == Balance(sent=6, delivered=5, reordered=1, reboots=1)


def test_frames_lost_after_a_reboot_are_gap() -> None:
    ledger = NodeLedger(DamagePool())
    book(ledger, [50, 51], boot=1)
    book(ledger, [4], boot=2)
    assert ledger.balance() == Balance(sent=7, delivered=3, gap=4, reboots=1)


def test_an_undeclared_reboot_is_seen() -> None:
    ledger = NodeLedger(DamagePool())
    book(ledger, [5000, 5001, 0, 1])
    assert ledger.balance() == Balance(sent=4, delivered=4, reboots=1)


def test_one_false_frame_cannot_book_millions() -> None:
    ledger = NodeLedger(DamagePool())
    book(ledger, [0, 1, 2**30])
    assert ledger.balance().sent == 3


def test_memory_is_bounded_by_the_window() -> None:
    """Every second frame lost for long: what is kept stays within the window of 1,024 numbers."""
    ledger = NodeLedger(DamagePool())
    book(ledger, list(range(0, 20_000, 2)))
    assert ledger.boot_session is not None
    assert len(ledger.boot_session._missing) <= 513
    assert ledger.balance() == Balance(sent=19_999, delivered=10_000, gap=9_999)
