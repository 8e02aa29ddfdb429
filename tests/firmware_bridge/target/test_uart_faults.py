"""Bytes lost, flipped and doubled between host and target, at random and seeded: an answer is right, or there is none."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.protocol.table import ValueFormat
from firmware_bridge.target.build import build_process
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

#: A drawn model whose window takes one frame in int8: 8 + 2 channels, 19 rows.
MODEL = 12


class FaultyPort(ProcessPort):
    """Loses, flips and doubles bytes of both directions. ``rate``: faults a byte."""

    def __init__(self, program: Path, seed: int, rate: float) -> None:
        super().__init__(program)
        self._draw = random.Random(seed)
        self._rate = rate
        self.faults = 0

    def _mangle(self, data: bytes) -> bytes:
        result = bytearray()
        for byte in data:
            if self._draw.random() >= self._rate:
                result.append(byte)
                continue
            self.faults += 1
            kind = self._draw.randrange(3)
            if kind == 0:
                continue
            result.append(byte ^ (1 << self._draw.randrange(8)) if kind == 1 else byte)
            if kind == 2:
                result.append(byte)
        return bytes(result)

    def read(self, size: int) -> bytes:
        return self._mangle(super().read(size))

    def write(self, data: bytes) -> int:
        super().write(self._mangle(data))
        return len(data)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("cc", "make")
    folder = tmp_path_factory.mktemp("faults")
    checkpoint = drawn_checkpoint(MODEL)
    write(emission(checkpoint, "c99", drawn_windows(checkpoint.config, 8, MODEL)), folder / "c")
    return build_process(folder / "c", folder / "firmware")


@pytest.fixture(scope="module")
def expected() -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """Four windows and what the integer reference gives for them."""
    checkpoint = drawn_checkpoint(MODEL)
    window, _ = graphs(checkpoint, drawn_windows(checkpoint.config, 8, MODEL))
    draw = np.random.default_rng(5)
    inputs, outputs = [], []
    for _ in range(4):
        values = [
            draw.integers(-128, 128, (checkpoint.config.window, n)).astype(np.int8)
            for n in (checkpoint.config.imu_channels, checkpoint.config.emg_channels)
        ]
        reference = Interpreter(window)
        reference.run([v[None] for v in values])
        inputs.append(values)
        outputs.append(reference.tensor_at(window.outputs[0]).reshape(-1).copy())
    return inputs, outputs


def converse(link: TargetLink, expected: tuple[list[list[np.ndarray]], list[np.ndarray]]) -> tuple[int, int]:
    """Four windows, then the last of them as steps; answers that were right, and requests that were given up."""
    right = given_up = 0
    inputs, outputs = expected
    try:
        link.identify()
        for values, output in zip(inputs, outputs):
            try:
                answer = link.window(ValueFormat.INT8, values)
            except LinkError:
                given_up += 1
                continue
            assert (answer.values == output).all(), "a wrong answer was taken for a right one"
            right += 1
        link.reset()
        for row in range(len(inputs[-1][0])):
            # Were a step lost or carried out twice, the last output would not be the window's.
            last = link.step(ValueFormat.INT8, [v[row] for v in inputs[-1]])
        assert (last.values == outputs[-1]).all()
        right += 1
    except LinkError:
        given_up += 1
    return right, given_up


@pytest.mark.parametrize(("rate", "seeds"), [(1e-3, 40), (1e-2, 8)])
def test_an_answer_is_right_or_there_is_none(
    program: Path, expected: tuple[list[list[np.ndarray]], list[np.ndarray]], rate: float, seeds: int
) -> None:
    right = given_up = faults = resent = 0
    for seed in range(seeds):
        port = FaultyPort(program, seed, rate)
        link = TargetLink(port, f"seed {seed}", timeout_s=0.08, attempts=6)
        good, bad = converse(link, expected)
        right, given_up, faults, resent = (
            right + good,
            given_up + bad,
            faults + port.faults,
            resent + link.resent,
        )
        port.close()
    print(f"rate {rate}: {faults} faults, {resent} requests sent again, {right} right, {given_up} given up")
    assert faults > seeds and resent > 0
    if rate == 1e-3:
        # A request of 220 bytes and its reply of 40 are whole with probability 0.77; all six attempts fail with 0.0002.
        assert given_up <= 2
    else:
        assert right > 0 and given_up > 0, "at this rate some get through and some cannot"


def test_a_clean_line_needs_no_second_attempt(
    program: Path, expected: tuple[list[list[np.ndarray]], list[np.ndarray]]
) -> None:
    port = FaultyPort(program, 0, 0.0)
    link = TargetLink(port, "clean")
    assert converse(link, expected) == (5, 0)
    assert (link.resent, link.damaged) == (0, 0)
    port.close()
