"""The firmware image on every emulated board: who it says it is, its bits, its memory, and what a reset does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.protocol.table import CounterKind, SelfTest, ValueFormat
from firmware_bridge.protocol.target_packets import Identity
from firmware_bridge.target.boards import BOARDS, require_board
from firmware_bridge.target.build import Image, build, header_facts
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import (
    TargetLink,
    TargetResetError,
    counted,
    open_port,
    seconds,
)
from quantization.reference import Interpreter
from tests.firmware_bridge.target.images import shipped_image
from tests.quantization.c_emitter.harness import write
from tests.quantization.c_emitter.test_models import drawn_windows, emission, shipped
from tests.tools import require
from toolkit.errors import (
    InputError,
    LinkError,
    MissingDependencyError,
    UsageError,
)
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig


@pytest.fixture(scope="module", params=BOARDS)
def image(request: pytest.FixtureRequest) -> Image:
    return shipped_image(request.param)


@pytest.fixture
def emulator(image: Image) -> Iterator[Emulator]:
    with Emulator(image) as running:
        yield running


def session(emulator: Emulator) -> tuple[TargetLink, Identity]:
    link = TargetLink(open_port(emulator.url), emulator.image.board.name)
    identity = link.identify()
    link.require(identity, emulator.image.model_hash, emulator.image.contract_hash)
    return link, identity


def test_identity_bits_and_counts(emulator: Emulator) -> None:
    image = emulator.image
    link, identity = session(emulator)
    with link:
        assert (identity.board, identity.core) == (image.board.name, image.board.core)
        assert identity.self_test == SelfTest.PASSED
        assert (identity.counter, identity.clock_hz) == (CounterKind.INSTRUCTIONS, image.board.clock_hz)
        # One instruction is 1 ns of virtual time: a tick of the clock is 1e9 / clock instructions.
        assert identity.counter_step == pytest.approx(1e9 / image.board.clock_hz, rel=1e-6)
        assert (identity.window, identity.channels, identity.outputs) == (64, (24, 9), 3)
        _, _, window, _ = shipped()
        draw = np.random.default_rng(11)
        inputs = [draw.integers(-128, 128, (64, n)).astype(np.int8) for n in (24, 9)]
        reference = Interpreter(window)
        reference.run([values[None] for values in inputs])
        expected = reference.tensor_at(window.outputs[0]).reshape(-1)
        answer = link.window(ValueFormat.INT8, inputs)
        assert (answer.values == expected).all()
        # The two LSTM layers alone are 2.6 M products, and no core does more than 16 an instruction.
        instructions = counted(answer.ticks, identity)
        assert instructions is not None and 165_000 < instructions < 5_000_000
        assert seconds(answer.ticks, identity) is None, "instructions are no time"
        floats = [
            ((values.astype(np.int32) - stored.zero_point[0]) * np.float32(stored.scale[0])).astype(
                np.float32
            )
            for values, stored in zip(inputs, (window.tensor(name).quantization for name in ("imu", "emg")))
            if stored is not None
        ]
        output = window.tensors[window.outputs[0]].quantization
        moments = link.window(ValueFormat.FLOAT32, floats).values
        # The board quantizes to the same integers; a moment is one float32 product, rounded once.
        assert output is not None and moments.dtype == np.float32
        assert moments == pytest.approx(expected * np.float64(np.float32(output.scale[0])), rel=2**-22)
        for row in range(64):
            last = link.step(ValueFormat.INT8, [values[row] for values in inputs])
        assert (last.values == expected).all()
        test = link.self_test()
        assert (test.run, test.failed, test.first_failed) == (2 + 64 + 4 + 2, 0, None)
        stack = link.stack()
        assert 300 < stack.high_water < 4096 < stack.size


def test_a_reset_in_the_middle_is_an_error_and_a_new_session_works(emulator: Emulator) -> None:
    link, _ = session(emulator)
    with link:
        zero = [np.zeros(24, np.int8), np.zeros(9, np.int8)]
        first = link.step(ValueFormat.INT8, zero).values
        link.step(ValueFormat.INT8, zero)
        emulator.reset()
        with pytest.raises(TargetResetError, match="was reset in the middle of the run"):
            link.step(ValueFormat.INT8, zero)
        link.identify()
        # The step that was on its way may have come to the new life, which then has carried it out.
        link.reset()
        assert (link.step(ValueFormat.INT8, zero).values == first).all()


def test_sizes_fit_together(image: Image) -> None:
    board = image.board
    assert image.library_flash_bytes < image.flash_bytes < board.code_bytes
    assert image.library_ram_bytes == 0, "the library has no memory of its own"
    assert image.state_bytes < image.ram_bytes < board.ram_bytes


def test_the_same_inputs_give_the_same_image(tmp_path: Path) -> None:
    first = shipped_image("stm32f405")
    shutil.copytree(first.elf.parent / "c", tmp_path / "another folder" / "c")
    again = build(tmp_path / "another folder" / "c", first.board, tmp_path / "other.elf")
    content = again.elf.read_bytes()
    assert content == first.elf.read_bytes()
    assert str(tmp_path).encode() not in content and b"edgetool-firmware-" not in content


def test_a_board_that_hangs_or_dies_is_an_error() -> None:
    with Emulator(shipped_image("mps2-an386")) as emulator:
        link = TargetLink(open_port(emulator.url), "qemu", timeout_s=3.0, attempts=2)
        with link:
            link.identify()
            emulator.stop()
            with pytest.raises(LinkError, match=r"did not answer reset in 2 attempts of 3 s"):
                link.reset()
            emulator.resume()
            link.reset()
            emulator.kill()
            with pytest.raises(LinkError, match=r"unplugged|accepts no bytes|did not answer"):
                link.reset()


@pytest.mark.parametrize("name", ["mps2-an386", "mps3-an547"])
def test_an_image_whose_windows_are_too_long_for_floats(name: str, tmp_path: Path) -> None:
    """160 rows of 33 channels are 21 kB as float32: the board takes them as int8 and greets with golden vectors that pass."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    board = BOARDS[name]
    checkpoint = Checkpoint.random(ModelConfig(window=160, hidden=8, head_hidden=8), seed=2)
    windows = drawn_windows(checkpoint.config, 2, 2)
    write(emission(checkpoint, board.core, windows, count=1), tmp_path / "c")
    image = build(tmp_path / "c", board, tmp_path / "firmware.elf")
    with Emulator(image) as emulator, TargetLink(open_port(emulator.url), name) as link:
        identity = link.identify()
        assert (identity.max_message, identity.self_test) == (8 + 160 * 33, SelfTest.PASSED)
        values = [np.zeros((160, n), np.int8) for n in (24, 9)]
        assert link.window(ValueFormat.INT8, values).values.shape == (3,)


def test_what_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'arduino' is not known; allowed: mps2-an386"):
        require_board("arduino")
    with pytest.raises(InputError, match="edgetool convert --core"):
        header_facts(tmp_path)
    checkpoint, _, _, _ = shipped()
    folder = write(emission(checkpoint, "c99", drawn_windows(checkpoint.config, 2, 0)), tmp_path / "c")
    with pytest.raises(InputError, match="holds C for c99 and board mps2-an386 is a cortex-m4"):
        build(folder, BOARDS["mps2-an386"], tmp_path / "x.elf")
    write(emission(checkpoint, "cortex-m4", drawn_windows(checkpoint.config, 2, 0)), folder)
    small = replace(BOARDS["mps2-an386"], code_bytes=40_000)
    with pytest.raises(
        InputError, match=r"needs [\d,]+ bytes more code memory than the board has: use a smaller"
    ):
        build(folder, small, tmp_path / "x.elf")
    header = (folder / "edgetool_model.h").read_text()
    (folder / "edgetool_model.h").write_text(header.replace("EDGETOOL_WINDOW 64\n", "EDGETOOL_WINDOW 500\n"))
    # 500 rows of 24 + 9 channels of int8, and the request's header.
    with pytest.raises(InputError, match=r"message of 16,508 bytes and the firmware's link takes 16,384"):
        build(folder, BOARDS["mps2-an386"], tmp_path / "x.elf")
    (folder / "edgetool_model.h").write_text(header.replace("EDGETOOL_WINDOW 64\n", "EDGETOOL_WINDOW a b\n"))
    with pytest.raises(InputError, match="EDGETOOL_WINDOW is 'a b', which is not a number"):
        build(folder, BOARDS["mps2-an386"], tmp_path / "x.elf")
    (folder / "edgetool_model.h").write_text(header)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt install gcc-arm-none-eabi"):
        build(folder, BOARDS["mps2-an386"], tmp_path / "x.elf")
    assert not (tmp_path / "x.elf").exists()
