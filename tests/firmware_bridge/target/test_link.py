"""The host's end of on-target inference against a scripted target: what is asked again, refused, and never believed."""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.protocol.decoder import HOST_PACKETS, LinkDecoder
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.table import (
    CounterKind,
    Operation,
    SelfTest,
    TargetError,
    ValueFormat,
)
from firmware_bridge.protocol.target_packets import (
    Identity,
    Reply,
    Request,
    SelfTestResult,
)
from firmware_bridge.target.link import (
    TargetLink,
    TargetResetError,
    counted,
    open_port,
    seconds,
)
from toolkit.errors import ContractError, LinkError

MODEL, CONTRACT = "ab" * 32, "cd" * 32
IDENTITY = Identity(
    clock_hz=168_000_000,
    counter=CounterKind.CYCLES,
    counter_step=1.0,
    graphs=3,
    self_test=SelfTest.PASSED,
    formats=5,
    window=4,
    max_frame=512,
    max_message=8456,
    channels=(2, 1),
    outputs=2,
    output_format=ValueFormat.INT16,
    contract_hash=bytes.fromhex(CONTRACT),
    model_hash=bytes.fromhex(MODEL),
    board="desk",
    core="cortex-m4",
    build="by hand",
)
ROW = [np.array([1, -2], np.int8), np.array([3], np.int8)]


class Target:
    """Answers as section 9 says, each request once. ``faults`` act in turn, one for each message that arrives."""

    def __init__(self, boot: int = 7) -> None:
        self.decoder = LinkDecoder(HOST_PACKETS)
        self.writer = FrameWriter(1, boot)
        self.now_us = 1000
        self.last: tuple[int, int] | None = None
        self.last_reply: Reply | None = None
        self.steps = 0
        self.carried_out: list[Operation] = []
        #: The numbers under which messages came.
        self.seen: list[tuple[int, int]] = []
        self.faults: list[Callable[[Target, bytes], bytes]] = []

    def restart(self, boot: int) -> bytes:
        """Another life; the bytes of its greeting."""
        self.writer, self.now_us, self.last, self.steps = FrameWriter(1, boot), 500, None, 0
        return self.frames(
            Reply(Operation.IDENTIFY, TargetError.NONE, ValueFormat.NONE, 0, 0xFFFFFFFF, 0, bytes(IDENTITY))
        )

    def frames(self, reply: Reply) -> bytes:
        self.now_us += 100
        return b"".join(self.writer.frames(reply, self.now_us))

    def take(self, data: bytes) -> bytes:
        """What it sends when ``data`` arrives."""
        out = b""
        for received in self.decoder_feed(data):
            wire = self.frames(self.reply(*received))
            out += self.faults.pop(0)(self, wire) if self.faults else wire
        return out

    def decoder_feed(self, data: bytes) -> Iterator[tuple[Request, int, int]]:
        # A message that comes again has the same numbers, which a decoder drops as a duplicate: a target keeps no ledger.
        for received in self.decoder.feed(data, 0):
            assert isinstance(received.packet, Request)
            yield received.packet, received.boot, received.sequence
        self.decoder = LinkDecoder(HOST_PACKETS)

    def reply(self, request: Request, boot: int, sequence: int) -> Reply:
        self.seen.append((boot, sequence))
        if self.last == (boot, sequence) and self.last_reply is not None:
            return self.last_reply
        self.carried_out.append(request.operation)
        form, body, count = ValueFormat.NONE, b"", 0
        if request.operation == Operation.IDENTIFY:
            body = bytes(IDENTITY)
        elif request.operation == Operation.SELF_TEST:
            body = bytes(SelfTestResult(70, 0, None))
        elif request.operation == Operation.STEP:
            self.steps += 1
            form, count = ValueFormat.INT16, 168_000
            body = np.array([self.steps, request.body[0]], "<i2").tobytes()
        self.last = (boot, sequence)
        self.last_reply = Reply(request.operation, TargetError.NONE, form, boot, sequence, count, body)
        return self.last_reply


class Port:
    """What pyserial offers, without a wire."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._coming = b""

    @property
    def in_waiting(self) -> int:
        return len(self._coming)

    def read(self, size: int) -> bytes:
        data, self._coming = self._coming[:size], self._coming[size:]
        return data

    def write(self, data: bytes) -> int:
        self._coming += self.target.take(data)
        return len(data)

    def close(self) -> None:
        self._coming = b""


def lost(target: Target, wire: bytes) -> bytes:
    return b""


def flipped(target: Target, wire: bytes) -> bytes:
    return wire[:9] + bytes([wire[9] ^ 0x20 or 1]) + wire[10:]


def doubled(target: Target, wire: bytes) -> bytes:
    return wire + wire


def refusing(error: TargetError) -> Callable[[Target, bytes], bytes]:
    def fault(target: Target, wire: bytes) -> bytes:
        assert target.last is not None
        boot, sequence = target.last
        target.last = None  # it does not count as carried out
        return target.frames(Reply(Operation.STEP, error, ValueFormat.NONE, boot, sequence))

    return fault


def session(target: Target) -> TargetLink:
    """A link that knows its target; reading costs no time, so that waiting for nothing is short."""
    link = TargetLink(Port(target), "desk", timeout_s=0.02)
    link.require(link.identify(), MODEL, CONTRACT)
    return link


def step(link: TargetLink) -> list[int]:
    return [int(value) for value in link.step(ValueFormat.INT8, ROW).values]


def test_it_asks_and_reads() -> None:
    link = session(Target())
    answer = link.step(ValueFormat.INT8, ROW)
    assert answer.values.tolist() == [1, 1]
    assert answer.values.dtype == np.int16
    assert link.self_test() == SelfTestResult(70, 0, None)
    # 168,000 cycles at 168 MHz.
    assert seconds(answer.ticks, IDENTITY) == pytest.approx(0.001)
    assert counted(answer.ticks, IDENTITY) == 168_000
    assert (link.resent, link.damaged) == (0, 0)


@pytest.mark.parametrize("fault", [lost, flipped])
def test_a_reply_that_does_not_arrive_is_asked_for_again_and_the_step_done_once(
    fault: Callable[[Target, bytes], bytes],
) -> None:
    target = Target()
    link = session(target)
    target.faults = [fault, fault]
    assert [step(link), step(link)] == [[1, 1], [2, 1]]
    assert target.carried_out == [Operation.IDENTIFY, Operation.STEP, Operation.STEP]
    first = target.seen[1:4]
    assert first[0] == first[1] == first[2], "a request comes again under its own number"
    assert link.resent == 2
    assert link.damaged == (2 if fault is flipped else 0)


def test_a_reply_that_comes_twice_is_taken_once() -> None:
    target = Target()
    link = session(target)
    target.faults = [doubled]
    assert [step(link), step(link), step(link)] == [[1, 1], [2, 1], [3, 1]]
    assert link.resent == 0


def test_a_late_reply_to_another_request_is_not_taken_for_this_one() -> None:
    target = Target()
    link = session(target)
    kept: list[bytes] = []

    def keep(target: Target, wire: bytes) -> bytes:
        kept.append(wire)
        return b""

    def first_the_old_one(target: Target, wire: bytes) -> bytes:
        return kept[0] + wire

    target.faults = [keep]
    assert step(link) == [1, 1]
    target.faults = [first_the_old_one]
    assert step(link) == [2, 1]


@pytest.mark.parametrize("error", [TargetError.BUSY, TargetError.BAD_FRAGMENT])
def test_what_the_target_did_not_read_is_sent_again(error: TargetError) -> None:
    target = Target()
    link = session(target)
    target.faults = [refusing(error)]
    target.steps = -1  # the step that is refused is counted by this script, not carried out
    assert step(link) == [1, 1]
    assert link.resent == 1


def test_a_refusal_is_an_error_that_says_what() -> None:
    target = Target()
    link = session(target)
    target.faults = [refusing(TargetError.OTHER_MODEL)]
    with pytest.raises(LinkError, match="desk refused step: other model"):
        step(link)


def test_a_target_that_hangs_is_an_error_that_says_what_to_check() -> None:
    target = Target()
    link = session(target)
    target.faults = [lost] * 4
    with pytest.raises(
        LinkError, match=r"did not answer step in 4 attempts of 0.02 s: nothing came; check cable, baud rate"
    ):
        step(link)
    assert target.steps == 1


def test_another_device_on_the_port_is_told_from_a_dead_line() -> None:
    """A GPS receiver's sentences, which hold no delimiter of ours."""
    target = Target()
    link = session(target)
    target.faults = [lambda _, wire: b"$GPGGA,123519,4807.038,N*47\r\n"] * 4
    with pytest.raises(LinkError, match=r"4 attempts of 0.02 s: 116 bytes came, but no answer; check"):
        step(link)


def test_an_answer_to_another_operation_is_an_error() -> None:
    target = Target()
    link = session(target)

    def other(target: Target, wire: bytes) -> bytes:
        assert target.last is not None
        return target.frames(Reply(Operation.RESET, TargetError.NONE, ValueFormat.NONE, *target.last))

    target.faults = [other]
    with pytest.raises(LinkError, match="desk answered reset to step"):
        step(link)


@pytest.mark.parametrize("boot", [8, 7], ids=["another boot number", "by chance the same"])
@pytest.mark.parametrize("steps_before", [0, 3, 30])
def test_a_reset_in_the_middle_is_seen_before_any_value(boot: int, steps_before: int) -> None:
    target = Target()
    link = session(target)
    for _ in range(steps_before):
        step(link)

    def reset(target: Target, wire: bytes) -> bytes:
        return target.restart(boot)

    target.faults = [reset]
    # With the same number the new life's first frames look like copies of old ones: then nothing is believed at all.
    with pytest.raises(LinkError, match=r"was reset in the middle|did not answer step"):
        for _ in range(5):
            assert step(link)[0] != 1, "a value of the new life, whose state is another"


def test_a_greeting_of_the_same_boot_is_a_reset() -> None:
    target = Target()
    link = session(target)

    def greeting(target: Target, wire: bytes) -> bytes:
        return target.frames(
            Reply(Operation.IDENTIFY, TargetError.NONE, ValueFormat.NONE, 0, 0xFFFFFFFF, 0, bytes(IDENTITY))
        )

    target.faults = [greeting]
    with pytest.raises(TargetResetError, match="its state is lost: start the run again"):
        step(link)


def test_a_clock_that_goes_back_is_a_reset() -> None:
    target = Target()
    link = session(target)
    step(link)
    target.now_us = 0
    with pytest.raises(TargetResetError, match="was reset in the middle of the run"):
        step(link)


def test_a_clock_that_wraps_is_none() -> None:
    target = Target()
    target.now_us = 2**32 - 150
    link = session(target)
    assert [step(link), step(link)] == [[1, 1], [2, 1]]


def test_a_new_session_after_a_reset_begins_anew() -> None:
    target = Target()
    link = session(target)
    step(link)
    target.faults = [lambda target, wire: target.restart(9)]
    with pytest.raises(TargetResetError):
        step(link)
    link.require(link.identify(), MODEL, CONTRACT)
    assert step(link) == [1, 1]


@pytest.mark.parametrize(
    ("model", "contract", "said"),
    [
        ("12" * 32, CONTRACT, r"desk \(desk\) runs model abababababab and the bundle holds 121212121212"),
        (MODEL, "34" * 32, r"runs sensor contract cdcdcdcdcdcd and the bundle holds 343434343434"),
    ],
)
def test_another_model_or_contract_is_refused_with_both_sides_named(
    model: str, contract: str, said: str
) -> None:
    link = TargetLink(Port(Target()), "desk", timeout_s=0.02)
    with pytest.raises(ContractError, match=said):
        link.require(link.identify(), model, contract)


def test_it_waits_for_a_start_without_a_word() -> None:
    target = Target()
    port = Port(target)
    link = TargetLink(port, "desk", timeout_s=0.02)
    assert link.await_start(0.02) is False
    port._coming = target.restart(8)
    assert link.await_start(5.0) is True
    assert target.seen == []


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        LinkError, match=r"cannot be opened: No such file or directory; is the board plugged in"
    ):
        open_port(str(tmp_path / "ttyACM0"))


def test_over_a_pseudo_terminal_until_it_is_unplugged() -> None:
    near, far = pty.openpty()
    tty.setraw(far)
    target = Target()

    def serve() -> None:
        try:
            while target.steps < 3:
                os.write(near, target.take(os.read(near, 4096)))
        except OSError:
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with TargetLink(open_port(os.ttyname(far)), "pty", timeout_s=5) as link:
            link.require(link.identify(), MODEL, CONTRACT)
            assert [step(link)[0] for _ in range(3)] == [1, 2, 3]
            thread.join(10)
            os.close(near)
            near = -1
            with pytest.raises(
                LinkError, match=r"pty (was unplugged|accepts no bytes): .*plug it in and start the run again"
            ):
                step(link)
    finally:
        os.close(far)
        if near >= 0:
            os.close(near)
