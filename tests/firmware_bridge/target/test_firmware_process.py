"""The firmware's end of PROTOCOL.md section 9, as a process with sanitizers on: every operation, every refusal, any noise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.protocol.decoder import LinkDecoder, Received
from firmware_bridge.protocol.framing import Frame, FrameWriter, encode_frame
from firmware_bridge.protocol.table import (
    ANY_NODE,
    CounterKind,
    Operation,
    PacketType,
    SelfTest,
    TargetError,
    ValueFormat,
)
from firmware_bridge.protocol.target_packets import (
    Identity,
    Reply,
    Request,
    pack_values,
)
from firmware_bridge.target.build import build_process, header_facts
from firmware_bridge.target.link import TargetLink
from quantization.reference import Interpreter
from tests.firmware_bridge.target.process_port import ProcessPort
from tests.quantization.c_emitter.harness import write
from tests.quantization.c_emitter.test_models import (
    drawn_checkpoint,
    drawn_windows,
    emission,
    graphs,
)
from tests.tools import require
from toolkit.errors import LinkError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

#: A drawn model that needs several frames a window: 23 + 5 channels, 20 rows, two layers, three heads.
MODEL = 17


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("cc", "make")
    folder = tmp_path_factory.mktemp("firmware")
    checkpoint = drawn_checkpoint(MODEL)
    write(emission(checkpoint, "c99", drawn_windows(checkpoint.config, 8, MODEL)), folder / "c")
    return build_process(folder / "c", folder / "firmware", sanitize=True)


@pytest.fixture
def port(program: Path) -> Iterator[ProcessPort]:
    one = ProcessPort(program)
    yield one
    one.close()


@pytest.fixture
def link(port: ProcessPort) -> TargetLink:
    return TargetLink(port, "process")


def ask(port: ProcessPort, frames: list[bytes], seconds: float = 2.0) -> list[Received]:
    """Send; what comes back until a reply has come and 50 ms of silence, the greeting left out."""
    port.write(b"\0" + b"".join(frames))
    decoder, found = LinkDecoder(), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = port.read(4096)
        found += [r for r in decoder.feed(data, 0) if isinstance(r.packet, Reply) and not r.packet.unasked]
        if found and not data:
            break
    return found


def answer(port: ProcessPort, payload: Request | bytes, sequence: int = 5) -> Reply:
    """The one reply to a request, or to raw payload bytes of one."""
    if isinstance(payload, Request):
        frames = FrameWriter(ANY_NODE, 9, sequence=sequence).frames(payload, 0)
    else:
        frames = [encode_frame(Frame(PacketType.REQUEST, ANY_NODE, 9, sequence, 0, payload))]
    replies = ask(port, frames)
    assert len(replies) == 1
    reply = replies[0].packet
    assert isinstance(reply, Reply) and reply.answers(9, sequence)
    return reply


def test_identity_is_the_models(link: TargetLink, program: Path) -> None:
    config = drawn_checkpoint(MODEL).config
    facts = header_facts(program.parent / "c")
    identity = link.identify()
    assert identity.channels == (config.imu_channels, config.emg_channels)
    assert (identity.window, identity.outputs) == (config.window, len(config.outputs))
    assert identity.model_hash.hex() == facts["MODEL_HASH"]
    assert identity.contract_hash.hex() == facts["CONTRACT_HASH"]
    assert identity.self_test == SelfTest.PASSED
    assert (identity.counter, identity.graphs, identity.formats) == (CounterKind.NONE, 3, 0b101)
    assert identity.output_format == ValueFormat.INT16
    # A request's header and a float window: what the largest message must hold.
    assert identity.max_message == 8 + 4 * config.window * sum(identity.channels)
    assert (identity.board, identity.core) == ("posix", "host")


def test_it_greets_when_it_has_started(port: ProcessPort) -> None:
    decoder, found = LinkDecoder(), []
    while not found:
        found = decoder.feed(port.read(4096), 0)
    reply = found[0].packet
    assert isinstance(reply, Reply) and reply.unasked and reply.operation == Operation.IDENTIFY
    assert Identity.from_bytes(reply.body).self_test == SelfTest.PASSED


def test_windows_and_steps_are_the_references(link: TargetLink) -> None:
    checkpoint = drawn_checkpoint(MODEL)
    window, stream = graphs(checkpoint, drawn_windows(checkpoint.config, 8, MODEL))
    draw = np.random.default_rng(3)
    config = checkpoint.config
    inputs = [
        draw.integers(-128, 128, (config.window, n)).astype(np.int8)
        for n in (config.imu_channels, config.emg_channels)
    ]
    link.identify()
    reference = Interpreter(window)
    reference.run([values[None] for values in inputs])
    expected = reference.tensor_at(window.outputs[0]).reshape(-1)
    assert (link.window(ValueFormat.INT8, inputs).values == expected).all()
    # A window resets the stream; from reset, T steps of the stream give the window's output.
    for row in range(config.window):
        last = link.step(ValueFormat.INT8, [values[row] for values in inputs])
    assert (last.values == expected).all()
    again = link.step(ValueFormat.INT8, [values[0] for values in inputs]).values
    link.reset()
    first = link.step(ValueFormat.INT8, [values[0] for values in inputs]).values
    assert (again != first).any(), "a step that ignores what was carried would not see the reset"
    assert stream.state


def test_float_values_are_quantized_by_the_target(link: TargetLink) -> None:
    checkpoint = drawn_checkpoint(MODEL)
    window, _ = graphs(checkpoint, drawn_windows(checkpoint.config, 8, MODEL))
    stored = [window.tensor(name).quantization for name in ("imu", "emg")]
    config = checkpoint.config
    draw = np.random.default_rng(4)
    inputs = [
        draw.integers(-128, 128, (config.window, n)) for n in (config.imu_channels, config.emg_channels)
    ]
    link.identify()
    exact = link.window(ValueFormat.INT8, [v.astype(np.int8) for v in inputs]).values
    floats = [
        ((v - q.zero_point[0]) * np.float32(q.scale[0])).astype(np.float32)
        for v, q in zip(inputs, stored)
        if q
    ]
    answer = link.window(ValueFormat.FLOAT32, floats)
    output = window.tensors[window.outputs[0]].quantization
    assert output is not None and answer.values.dtype == np.float32
    # One float32 product: the step times the integer, rounded once.
    assert answer.values == pytest.approx(exact * np.float64(np.float32(output.scale[0])), rel=2**-22)


def test_a_window_too_long_for_a_message_of_floats_goes_as_integers(tmp_path: Path) -> None:
    """420 rows of 10 channels: 16,808 bytes as float32, over the protocol's 16,384; 4,208 as int8."""
    require("cc", "make")
    config = ModelConfig(imu_channels=8, emg_channels=2, window=420, hidden=4, head_hidden=4)
    checkpoint = Checkpoint.random(config, seed=3)
    windows = drawn_windows(config, 2, 3)
    write(emission(checkpoint, "c99", windows, count=1), tmp_path / "c")
    port = ProcessPort(build_process(tmp_path / "c", tmp_path / "firmware", sanitize=True))
    link = TargetLink(port, "process")
    identity = link.identify()
    assert (identity.window, identity.max_message) == (420, 8 + 4_200)
    draw = np.random.default_rng(8)
    inputs = [draw.integers(-128, 128, (420, n)).astype(np.int8) for n in (8, 2)]
    window, _ = graphs(checkpoint, windows)
    reference = Interpreter(window)
    reference.run([values[None] for values in inputs])
    expected = reference.tensor_at(window.outputs[0]).reshape(-1)
    assert (link.window(ValueFormat.INT8, inputs).values == expected).all()
    floats = [values[:400].astype(np.float32) for values in inputs]  # as many as a host may send
    with pytest.raises(LinkError, match="refused window: too large"):
        link.window(ValueFormat.FLOAT32, floats)
    assert np.isfinite(link.step(ValueFormat.FLOAT32, [values[0] for values in floats]).values).all()
    port.close()


def row(config_channels: tuple[int, int], form: ValueFormat = ValueFormat.INT8) -> bytes:
    kind = np.int8 if form == ValueFormat.INT8 else np.float32
    return pack_values(form, [np.zeros(n, kind) for n in config_channels])


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (bytes([77, 0, 0, 0, 0, 0, 0, 0]), TargetError.UNKNOWN_OPERATION),
        (bytes(Request(Operation.RESET, ValueFormat.INT8)), TargetError.BAD_FORMAT),
        (bytes(Request(Operation.RESET, body=b"x")), TargetError.BAD_LENGTH),
        (bytes(Request(Operation.STEP, ValueFormat.INT16, bytes(60))), TargetError.BAD_FORMAT),
        (bytes(Request(Operation.STEP, ValueFormat.INT8, bytes(3))), TargetError.BAD_LENGTH),
        (bytes(Request(Operation.WINDOW, ValueFormat.INT8, bytes(3))), TargetError.BAD_LENGTH),
        (bytes(Request(Operation.RESET, model=b"\xff\xff\xff\xff")), TargetError.OTHER_MODEL),
        (bytes(Request.tensor(0, 0, 4)), TargetError.UNSUPPORTED),
        (bytes(5), TargetError.BAD_LENGTH),
    ],
)
def test_what_it_refuses(port: ProcessPort, payload: bytes, error: TargetError) -> None:
    # An operation that the host's own parser does not know cannot come back as one: look at the reply's bytes.
    if payload[0] == 77:
        frames = [encode_frame(Frame(PacketType.REQUEST, ANY_NODE, 9, 5, 0, payload))]
        port.write(b"\0" + frames[0])
        decoder, data = LinkDecoder(), b""
        for _ in range(10):
            data += port.read(4096)
        decoder.feed(data, 0)
        assert bytes([77, error]) in data.replace(b"\x00", b"")
        return
    assert answer(port, payload).error == error


def test_not_finite_values_are_refused_and_change_nothing(link: TargetLink) -> None:
    channels = link.identify().channels
    zero = [np.zeros(n, np.int8) for n in channels]
    first = link.step(ValueFormat.INT8, zero).values
    body = bytearray(row((channels[0], channels[1]), ValueFormat.FLOAT32))
    body[-4:] = np.float32(np.nan).tobytes()
    with pytest.raises(LinkError, match="refused step: not finite"):
        link._ask(Request(Operation.STEP, ValueFormat.FLOAT32, bytes(body)))
    second = link.step(ValueFormat.INT8, zero).values
    link.reset()
    assert (link.step(ValueFormat.INT8, zero).values == first).all()
    assert (link.step(ValueFormat.INT8, zero).values == second).all()


def test_a_request_sent_twice_is_carried_out_once(port: ProcessPort, program: Path) -> None:
    config = drawn_checkpoint(MODEL).config
    body = row((config.imu_channels, config.emg_channels))
    frames = FrameWriter(ANY_NODE, 9, sequence=40).frames(Request(Operation.STEP, ValueFormat.INT8, body), 0)
    once = ask(port, frames)
    twice = ask(port, frames)
    assert bytes(once[0].packet) == bytes(twice[0].packet)  # type: ignore[arg-type]
    assert twice[0].sequence == once[0].sequence + 1
    other = ProcessPort(program)
    steps = [
        ask(
            other,
            FrameWriter(ANY_NODE, 9, sequence=n).frames(Request(Operation.STEP, ValueFormat.INT8, body), 0),
        )
        for n in (40, 41)
    ]
    third = ask(
        port, FrameWriter(ANY_NODE, 9, sequence=41).frames(Request(Operation.STEP, ValueFormat.INT8, body), 0)
    )
    assert third[0].packet.body == steps[1][0].packet.body  # type: ignore[union-attr]
    other.close()


def test_a_part_that_is_missing_is_told_once_and_can_be_sent_again(port: ProcessPort) -> None:
    config = drawn_checkpoint(MODEL).config
    shape = (config.window, config.imu_channels), (config.window, config.emg_channels)
    request = Request(
        Operation.WINDOW, ValueFormat.FLOAT32, pack_values(ValueFormat.FLOAT32, [np.ones(s) for s in shape])
    )
    frames = FrameWriter(ANY_NODE, 9, sequence=80).frames(request, 0)
    assert len(frames) >= 3, "the model must need several frames"
    replies = ask(port, [frames[0], *frames[2:]])
    assert [r.packet.error for r in replies] == [TargetError.BAD_FRAGMENT]  # type: ignore[union-attr]
    assert replies[0].packet.answers(9, 80)  # type: ignore[union-attr]
    assert [r.packet.error for r in ask(port, frames)] == [TargetError.NONE]  # type: ignore[union-attr]


def test_a_message_that_is_too_large_is_refused(port: ProcessPort) -> None:
    frames = FrameWriter(ANY_NODE, 9, sequence=80).frames(
        Request(Operation.WINDOW, ValueFormat.FLOAT32, bytes(16_000)), 0
    )
    replies = ask(port, frames)
    assert replies[0].packet.error == TargetError.TOO_LARGE  # type: ignore[union-attr]
    assert answer(port, Request(Operation.RESET), 200).error == TargetError.NONE


@pytest.mark.parametrize("seed", range(8))
def test_noise_neither_stops_nor_misleads_it(port: ProcessPort, seed: int) -> None:
    draw = random.Random(seed)
    config = drawn_checkpoint(MODEL).config
    writer = FrameWriter(ANY_NODE, 9)
    for _ in range(60):
        frame = bytearray(
            b"".join(
                writer.frames(
                    Request(
                        Operation.STEP, ValueFormat.INT8, row((config.imu_channels, config.emg_channels))
                    ),
                    0,
                )
            )
        )
        for _ in range(draw.randrange(1, 6)):
            kind, place = draw.randrange(3), draw.randrange(len(frame))
            if kind == 0:
                frame[place] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del frame[place]
            else:
                frame[place:place] = draw.randbytes(draw.randrange(1, 40))
        port.write(bytes(frame))
    reply = answer(port, Request(Operation.SELF_TEST), 5000)
    assert reply.error == TargetError.NONE and reply.body[2:4] == b"\0\0"


def test_requests_to_another_node_are_not_answered(port: ProcessPort) -> None:
    payload = bytes(Request(Operation.RESET))
    port.write(b"\0" + encode_frame(Frame(PacketType.REQUEST, 7, 9, 5, 0, payload)))
    replies = ask(port, [encode_frame(Frame(PacketType.REQUEST, 0, 9, 6, 0, payload))])
    assert [r.packet.request_sequence for r in replies] == [6]  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(8))
def test_intact_frames_with_any_content_neither_stop_nor_mislead_it(port: ProcessPort, seed: int) -> None:
    """Frames whose CRC holds: any type, node, number, part, operation, format, length, values."""
    draw = random.Random(100 + seed)
    config = drawn_checkpoint(MODEL).config
    values = config.imu_channels + config.emg_channels
    zero = row((config.imu_channels, config.emg_channels))
    fresh = [answer(port, Request(Operation.STEP, ValueFormat.INT8, zero), 20 + n).body for n in range(2)]
    assert fresh[0] != fresh[1], "a step that ignores what was carried would not see a wrong state"
    sequence = 1000
    for _ in range(300):
        length = draw.choice([0, 1, 12, values, 4 * values, draw.randrange(480)]) + draw.choice([0, 0, 0, 1])
        head = bytes(
            [draw.randrange(10), draw.randrange(5), 0, 0, *draw.choice([bytes(4), draw.randbytes(4)])]
        )
        payload = (head + draw.randbytes(length))[: draw.choice([3, 488, 488, 488])]
        kind = draw.choice([PacketType.REQUEST] * 6 + list(PacketType))
        sequence += draw.choice([1, 1, 1, 0, 7, -3])
        node = draw.choice([ANY_NODE, ANY_NODE, 0, 3])
        count = draw.choice([1, 1, 2, 3, 255])
        part = draw.randrange(count)
        port.write(encode_frame(Frame(kind, node, draw.randrange(8), sequence, 0, payload, part, count)))
    port.write(b"".join(FrameWriter(ANY_NODE, 9, sequence=9000).frames(Request(Operation.RESET), 0)))
    decoder, replies = LinkDecoder(), []
    until = time.monotonic() + 20
    while not (replies and replies[-1].answers(9, 9000)) and time.monotonic() < until:
        replies += [r.packet for r in decoder.feed(port.read(4096), 0) if isinstance(r.packet, Reply)]
    assert replies[-1].answers(9, 9000) and replies[-1].error == TargetError.NONE
    assert len({reply.error for reply in replies}) >= 4, (
        "the draw must reach what is refused, and for different reasons"
    )
    again = [answer(port, Request(Operation.STEP, ValueFormat.INT8, zero), 9001 + n).body for n in range(2)]
    assert again == fresh
    reply = answer(port, Request(Operation.SELF_TEST), 9003)
    assert reply.error == TargetError.NONE and reply.body[2:4] == b"\0\0"
