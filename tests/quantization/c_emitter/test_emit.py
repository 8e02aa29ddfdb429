"""The generated folder: deterministic, self-contained, refused where it cannot be right."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantization.c_emitter import Emission, emit
from quantization.c_emitter.bundle_files import source_files
from quantization.c_emitter.project import WARNINGS
from quantization.reference import Interpreter
from tests.quantization.c_emitter.harness import STRICT, run, write
from tests.quantization.c_emitter.test_models import (
    WINDOWS,
    drawn_checkpoint,
    drawn_windows,
    emission,
    graphs,
    shipped,
)
from tests.tools import require
from toolkit.contract import FilterStage
from toolkit.errors import ContractError, ModelFileError, UsageError
from toolkit.model import float_reference

DOCS = Path(__file__).parents[3] / "docs" / "KERNELS.md"


def shipped_emission(core: str = "c99") -> Emission:
    checkpoint, windows, window, stream = shipped()
    return emit(window, checkpoint.contract, core, stream=stream, golden=windows.inputs)


def test_same_model_same_text() -> None:
    assert shipped_emission().files == shipped_emission().files


def test_no_dates_paths_or_unused_kernels() -> None:
    files = shipped_emission().files
    text = "\n".join(content.decode() for content in files.values())
    assert (
        "/home" not in text
        and "/tmp" not in text
        and "202" not in re.sub(r"-?\d{2,}|0x[0-9a-f.p+-]+", "", text)
    )
    headers = {name for name in files if name.startswith("kernels/") and name.endswith(".h")}
    for header in headers:
        assert any(
            f'"{header}"' in c.decode() or f'"{Path(header).name}"' in c.decode() for c in files.values()
        )
    assert "kernels/et_lstm_dsp.c" not in files and "kernels/et_softmax_s8.c" not in files


def test_documented_example_compiles_with_nothing_but_the_folder(tmp_path: Path) -> None:
    require("gcc", "make")
    folder = write(shipped_emission(), tmp_path)
    example = re.search(r"```c\n(#include.*?)```", DOCS.read_text(), re.S)
    assert example is not None
    (folder / "example.c").write_text(example[1])
    run(["make", "-s", "-C", folder, "libedgetool_model.a"])
    run(["gcc", *STRICT, folder / "example.c", folder / "libedgetool_model.a", "-o", folder / "example"])
    run([folder / "example"])


CPP = """
#include "edgetool_filters.h"
#include "edgetool_model.h"
#include "edgetool_self_test.h"

static edgetool_state state;
static edgetool_imu_filter filter;

int main() {
    static const float rates[] = {EDGETOOL_GRID_HZ, EDGETOOL_HORIZON_MS, EDGETOOL_IMU_STREAM_HZ, EDGETOOL_OUTPUT_SCALE};
    float sample[EDGETOOL_IMU_CHANNELS] = {0}, rows[EDGETOOL_IMU_ROWS_MOST * EDGETOOL_IMU_CHANNELS];
    edgetool_imu_filter_reset(&filter);
    if (edgetool_imu_push(&filter, sample, rows) != 1 || rates[0] != 100.0f) {
        return 2;
    }
    return edgetool_self_test(&state);
}
"""


def test_a_program_in_cpp_links_and_runs(tmp_path: Path) -> None:
    require("g++", "gcc", "make")
    folder = write(shipped_emission(), tmp_path)
    (folder / "main.cpp").write_text(CPP)
    run(["make", "-s", "-C", folder, "libedgetool_model.a", "edgetool_self_test.o"])
    objects = [folder / "edgetool_self_test.o", folder / "libedgetool_model.a"]
    strict = ["-std=c++11", *WARNINGS]
    run(["g++", *strict, folder / "main.cpp", *objects, "-o", folder / "main"])
    run([folder / "main"])


NAMES = ('a "quoted" name', "back\\slash", "what??/", "Fu\u00df 1", "*/ %s \\n #9")
SAY_NAMES = """
#include <stdio.h>
#include "edgetool_model.h"

int main(void) {
    static const char *const names[] = {EDGETOOL_EMG_NAMES};
    for (unsigned i = 0; i < sizeof names / sizeof *names; ++i) {
        (void)fwrite(names[i], 1, 1 + (unsigned)snprintf(NULL, 0, "%s", names[i]), stdout);
    }
    printf("%a %a", (double)EDGETOOL_EMG_SCALE, (double)EDGETOOL_EMG_STREAM_HZ);
    return 0;
}
"""


def test_names_and_numbers_reach_c_as_they_are(tmp_path: Path) -> None:
    """Whatever a channel is called, of what a contract allows; constants in decimal are the float32 values to the last bit."""
    require("gcc")
    checkpoint, _, window, _ = shipped()
    imu, emg = checkpoint.contract.inputs
    channels = tuple(replace(c, name=n) for c, n in zip(emg.stream.channels, NAMES))
    stream = replace(emg.stream, channels=(*channels, *emg.stream.channels[len(NAMES) :]), rate_hz=1259.26)
    # Without filters: they would not fit the odd rate, and the header has none of them.
    stages = (FilterStage("resample", {"from_hz": 1259.26, "to_hz": checkpoint.contract.grid_rate_hz}),)
    contract = replace(checkpoint.contract, inputs=(imu, replace(emg, stream=stream, filters=stages)))
    broken = replace(stream, channels=(replace(channels[0], name="line\nbreak\t9"), *stream.channels[1:]))
    with pytest.raises(ContractError, match="is not allowed: names are printable text"):
        replace(contract, inputs=(imu, replace(emg, stream=broken, filters=stages)))
    folder = write(emit(window, contract), tmp_path)
    (folder / "say.c").write_text(SAY_NAMES)
    run(["gcc", *STRICT, folder / "say.c", "-o", folder / "say"])
    *names, numbers = run([folder / "say"]).split("\0")
    assert names == list(stream.channel_names)
    affine = window.tensors[window.inputs[1]].quantization
    assert affine is not None
    expected = [float(np.float32(affine.scale[0])), float(np.float32(1259.26))]
    assert [float.fromhex(text) for text in numbers.split()] == expected


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_the_library_keeps_nothing_and_calls_nothing_but_memcpy_and_memset(core: str, tmp_path: Path) -> None:
    """No variable outside the caller's state, so that instances may run at once; no malloc and no libm, by its symbols."""
    require("arm-none-eabi-gcc", "make")
    folder = write(shipped_emission(core), tmp_path)
    run(["make", "-s", "-C", folder, "libedgetool_model.a"])
    defined, wanted, member = set(), {}, ""
    for line in run(["arm-none-eabi-nm", folder / "libedgetool_model.a"]).splitlines():
        *_, kind, name = ["", "", *line.split()]
        if line.endswith(":"):
            member = line.removesuffix(":")
        elif kind == "U":
            wanted.setdefault(member, set()).add(name)
        elif kind:
            assert kind not in "bBdDcC", f"{member} has a variable {name}"
            defined.add(name)
    # The filters' resampling divides two integers in double, as Python does: a call on a core without such an instruction.
    assert wanted.pop("et_filter.o", set()) <= {"__aeabi_i2d", "__aeabi_ddiv", "__aeabi_d2f"}
    assert {name for names in wanted.values() for name in names} - defined == {"memcpy", "memset"}


class HostModel:
    """The shipped model's library through its public interface."""

    def __init__(self, folder: Path) -> None:
        write(shipped_emission(), folder)
        sources = [folder / "edgetool_model.c", *sorted((folder / "kernels").glob("*.c"))]
        library = folder / "model.so"
        run(["gcc", *STRICT, "-O2", "-fPIC", "-shared", f"-I{folder}", *sources, "-o", library])
        self.library = ctypes.CDLL(str(library))
        size = re.search(r"EDGETOOL_STATE_BYTES (\d+)", (folder / "edgetool_model.h").read_text())
        assert size is not None
        self.state_bytes = int(size[1])

    def state(self) -> ctypes.Array[ctypes.c_uint8]:
        made = (ctypes.c_uint8 * self.state_bytes)()
        self.library.edgetool_reset(made)
        return made

    def call(self, name: str, state: object, imu: np.ndarray, emg: np.ndarray, dtype: type) -> np.ndarray:
        result = np.zeros(3, dtype)
        given = [np.ascontiguousarray(values) for values in (imu, emg)]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*given, result)]
        getattr(self.library, name)(state, *pointers)
        return result


def test_public_interface(tmp_path: Path) -> None:
    """200 windows bit for bit, the float form near the float model, instances apart, a stream ends at its window."""
    require("gcc")
    model = HostModel(tmp_path)
    checkpoint, windows, window, _ = shipped()
    affines = [window.tensors[i].quantization for i in window.inputs]
    scale = window.tensors[window.outputs[0]].quantization
    assert scale is not None
    draw = np.random.default_rng(3)
    imu = draw.integers(-128, 128, (WINDOWS, 1, 64, 24)).astype(np.int8)
    emg = draw.integers(-128, 128, (WINDOWS, 1, 64, 9)).astype(np.int8)
    (expected,) = Interpreter(window).run([imu, emg])
    state = model.state()
    for i in range(WINDOWS):
        given = model.call("edgetool_window_quantized", state, imu[i], emg[i], np.int16)
        np.testing.assert_array_equal(given, expected[i].reshape(-1))
    # Two streams, their steps interleaved, each ends where its window's output is: state is the caller's alone.
    states = [model.state(), model.state()]
    for t in range(64):
        ends = [
            model.call("edgetool_step_quantized", s, imu[k, 0, t], emg[k, 0, t], np.int16)
            for k, s in enumerate(states)
        ]
    for k in range(2):
        np.testing.assert_array_equal(ends[k], expected[k].reshape(-1))
    # The float form: the same outputs times the scale, close to the float model.
    inputs = {name: values[:8] for name, values in windows.inputs.items()}
    reference = float_reference.window(checkpoint, inputs)
    moments = [
        model.call("edgetool_window", state, inputs["imu"][i], inputs["emg"][i], np.float32) for i in range(8)
    ]
    assert affines[0] is not None
    # The whole int8 error of this model is about 1 % of the outputs' spread.
    assert np.abs(np.stack(moments) - reference).max() < 0.05 * np.abs(reference).max()


def test_unsupported_graphs_are_refused() -> None:
    checkpoint, _, window, stream = shipped()
    with pytest.raises(UsageError, match=r"core 'avr' is not known; allowed: c99, cortex-m4"):
        emit(window, checkpoint.contract, "avr")
    odd = replace(window, ops=(*window.ops[:-1], replace(window.ops[-1], kind="CUSTOM")))
    with pytest.raises(
        ModelFileError, match=r"CUSTOM 'moments' has no C kernel; supported: ADD, BATCH_MATMUL"
    ):
        emit(odd, checkpoint.contract)
    with pytest.raises(ModelFileError, match=r"has inputs imu, emg, .*the contract streams imu, emg"):
        emit(stream, checkpoint.contract)
    with pytest.raises(UsageError, match="--core needs --scheme int8"):
        source_files([], checkpoint.contract, {}, "c99")


def test_small_layers_and_dsp_weights_fall_back_with_a_reason() -> None:
    """A layer that the paired rows cannot hold runs in portable C, and the notes say so."""
    checkpoint = drawn_checkpoint(0)
    windows = drawn_windows(checkpoint.config, 8, 0)
    window, _ = graphs(checkpoint, windows)
    index = next(i for i, t in enumerate(window.tensors) if t.name.endswith("lstm/0/input/weight_ih"))
    data = window.tensors[index].data
    assert data is not None
    worse = data.copy()
    worse.reshape(-1)[0] = -128
    tensors = list(window.tensors)
    tensors[index] = replace(tensors[index], data=worse)
    made = emit(replace(window, tensors=tuple(tensors)), checkpoint.contract, "cortex-m4")
    reason = "an LSTM runs in portable C and not in the DSP kernel: an input weight is -128"
    others = emission(checkpoint, "cortex-m4", windows).notes
    assert made.notes == (reason,)
    # Layers of sizes that are no whole vectors are filled up with zeros: none of this model's is portable C.
    assert others == ()
    assert emission(checkpoint, "c99", windows).notes == ()
