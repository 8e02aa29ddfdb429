"""The lamp of docs/TARGETS.md: compiled from c/ of a bundle and the example alone; on the host it says what Python says."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quantization.arithmetic.storage import TensorFormat, decode, encode
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import source_files
from quantization.convert import convert
from quantization.reference import Interpreter
from quantization.tflite.file import read
from tests.quantization.c_emitter.harness import STRICT, run
from tests.quantization.c_emitter.test_models import SANITIZE
from tests.tools import require
from toolkit.data import load
from toolkit.filtering.chain import Chain
from toolkit.records import Recording

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "blink_moment"
#: Of the lamp, as in blink_moment.c, in Nm/kg.
ON, OFF = 0.3, 0.2
WALK = "synthetic:people=1,seconds=4,tasks=level"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("blink") / "bundle"
    return convert("pretrained", "synthetic:people=2", out, calibration_windows=20, core="c99")


def sample_lines(source: str) -> list[str]:
    """What the example's own script writes of a data source."""
    return run([sys.executable, EXAMPLE / "samples.py", source]).splitlines()


def tensor_format(graph: Any, name: str) -> TensorFormat:
    tensor = graph.tensor(name)
    return TensorFormat(
        name,
        tensor.shape,
        tensor.dtype,
        float(tensor.quantization.scale[0]),
        int(tensor.quantization.zero_point[0]),
    )


def python_moments(bundle: Bundle, recording: Recording) -> NDArray[np.float32]:
    """What the Python chain and the integer reference give, step by step from reset."""
    file = bundle.graph("stream", "int8")
    graph = read(file.content)
    assert file.state is not None
    rows = {}
    for item in bundle.contract.inputs:
        samples = recording.signals[item.stream.name].samples.astype(np.float32)
        features = Chain.of(item, bundle.contract.grid_rate_hz).push(samples)
        rows[item.stream.name] = encode(features, tensor_format(graph, item.stream.name))
    state = file.state.start()
    interpreter, outputs = Interpreter(graph), []
    for step in range(min(len(values) for values in rows.values())):
        feed = {name: values[step].reshape(graph.tensor(name).shape) for name, values in rows.items()}
        interpreter.run(feed | state)
        state = {c.input: interpreter.tensor(c.output) for c in file.state.carried}
        outputs.append(interpreter.tensor_at(graph.outputs[0]).reshape(-1).copy())
    return decode(np.stack(outputs), tensor_format(graph, graph.tensors[graph.outputs[0]].name))


def lamp(moments: Sequence[float]) -> list[str]:
    """On above ON, off below OFF, else as before."""
    states, on = [], False
    for moment in moments:
        on = moment > np.float32(OFF if on else ON)
        states.append("on" if on else "off")
    return states


def test_on_the_host_it_says_what_python_says(bundle: Bundle, tmp_path: Path) -> None:
    require("gcc", "make")
    shutil.copytree(EXAMPLE, tmp_path / "example")
    shutil.copytree(bundle.path / "c", tmp_path / "example" / "c")
    run(["make", "-s", "-C", tmp_path / "example"])
    recording = load(WALK)[0]
    (tmp_path / "samples").write_text("\n".join(sample_lines(WALK)) + "\n")
    said = run(["sh", "-c", f"{tmp_path}/example/blink_moment < {tmp_path}/samples"]).splitlines()
    moments = python_moments(bundle, recording)[:, 0]
    assert len(said) == len(moments) > 300
    given = np.array([line.split()[0] for line in said], np.float32)
    np.testing.assert_array_equal(given, moments)
    states = [line.split()[1] for line in said]
    assert states == lamp(moments.tolist())
    assert {"on", "off"} == set(states), "the walk must switch the lamp, or nothing is tested"


def test_without_emg_there_is_no_step(bundle: Bundle, tmp_path: Path) -> None:
    require("gcc", "make")
    shutil.copytree(EXAMPLE, tmp_path / "example")
    shutil.copytree(bundle.path / "c", tmp_path / "example" / "c")
    run(["make", "-s", "-C", tmp_path / "example"])
    recording = load(WALK)[0]
    lines = sample_lines(WALK)
    early = lines[: len(lines) // 2]
    silent = [line for line in lines[len(lines) // 2 :] if line.startswith("imu")][:200]
    (tmp_path / "samples").write_text("\n".join([*early, *silent]) + "\n")
    said = run(["sh", "-c", f"{tmp_path}/example/blink_moment < {tmp_path}/samples"]).splitlines()
    expected = python_moments(bundle, recording)[:, 0]
    given = np.array([line.split()[0] for line in said], np.float32)
    assert len(given) < len(expected) * 0.55
    np.testing.assert_array_equal(given, expected[: len(given)])


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_for_a_microcontroller_it_links_without_a_warning(bundle: Bundle, core: str, tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "make")
    shutil.copytree(EXAMPLE, tmp_path / "example")
    golden = {item.stream.name: bundle.golden[item.stream.name] for item in bundle.contract.inputs}
    files, _ = source_files(bundle.graphs, bundle.contract, golden, core)
    for name, content in files.items():
        path = tmp_path / "example" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    run(["make", "-s", "-C", tmp_path / "example", "BOARD=mailbox"])
    symbols = run(["arm-none-eabi-nm", tmp_path / "example" / "blink_moment.elf"])
    assert " T edgetool_step\n" in symbols
    assert " malloc" not in symbols, "the example allocates nothing"


MAILBOX_MAIN = """
#include <stdint.h>
#include <stdio.h>

static uint32_t port = 0x100;
#define LAMP_REGISTER &port
#include "board_mailbox.c"

int main(void) {
    float imu[EDGETOOL_IMU_CHANNELS], emg[EDGETOOL_EMG_CHANNELS];
    for (int i = 0; i < 11; ++i) { /* the last three find no room */
        emg[0] = (float)i;
        emg[EDGETOOL_EMG_CHANNELS - 1] = (float)(100 + i);
        board_put_emg(emg);
    }
    imu[EDGETOOL_IMU_CHANNELS - 1] = 7.0f;
    board_put_imu(imu);
    imu[EDGETOOL_IMU_CHANNELS - 1] = 0.0f;
    printf("lost %u;", (unsigned)board_lost_samples);
    for (int i = 0; i < 12; ++i) {
        if (i == 9) {
            board_put_emg(emg); /* round the end of the box */
            board_put_emg(emg);
            board_put_emg(emg);
        }
        if (board_next(imu, emg) == BOARD_IMU) {
            printf(" imu %g", (double)imu[EDGETOOL_IMU_CHANNELS - 1]);
        } else {
            printf(" %g/%g", (double)emg[0], (double)emg[EDGETOOL_EMG_CHANNELS - 1]);
        }
    }
    board_lamp(0.5f, 1);
    printf("; lamp %x", (unsigned)port);
    board_lamp(0.1f, 0);
    printf(" %x", (unsigned)port);
    return 0;
}
"""


def test_the_mailbox_keeps_samples_in_order_and_counts_what_it_cannot_keep(
    bundle: Bundle, tmp_path: Path
) -> None:
    require("gcc")
    (tmp_path / "main.c").write_text(MAILBOX_MAIN)
    include = [f"-I{EXAMPLE}", f"-I{bundle.path / 'c'}"]
    run(["gcc", *STRICT, "-O2", *SANITIZE.split(), *include, tmp_path / "main.c", "-o", tmp_path / "main"])
    waiting = " ".join(f"{i}/{100 + i}" for i in range(8))
    later = " ".join(["7/107"] * 3)
    said = run([tmp_path / "main"])
    assert said == f"lost 3; imu 7 {waiting} {later}; lamp 120 100"
