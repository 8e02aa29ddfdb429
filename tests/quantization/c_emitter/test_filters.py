"""The contract's filter chains in C equal the Python chains bit for bit, sample by sample."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from quantization.c_emitter import filters
from quantization.kernels import kernel_text
from tests.quantization.c_emitter.harness import BOARDS, STRICT, emulate, link_image, run, write
from tests.tools import require
from toolkit.contract import Channel, FilterStage, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.cores import CORES
from toolkit.filtering.chain import Chain
from toolkit.filtering.design import butterworth
from toolkit.filtering.mains import notch

#: What generated filters include and link.
FILTER_KERNEL = ("et_filter.h", "et_filter.c")


def model_input(name: str, channels: int, rate: float, stages: tuple[FilterStage, ...]) -> ModelInput:
    draw = np.random.default_rng(channels)
    stream = StreamSpec(name, rate, tuple(Channel(f"{name}{i}", "1") for i in range(channels)))
    normaliser = Normaliser(
        tuple(draw.normal(size=channels).tolist()), tuple(draw.uniform(0.1, 3, channels).tolist())
    )
    return ModelInput(stream, stages, normaliser)


def contract(imu_rate: float, emg_rate: float) -> SensorContract:
    """EMG: notch, band-pass, rectify, envelope, resample, gain; IMU: resample, then a low-pass on the grid."""
    imu = (
        FilterStage("resample", {"from_hz": imu_rate, "to_hz": 100.0}),
        butterworth("lowpass", 4, 12.0, 100.0),
    )
    emg = (
        notch(50, emg_rate),
        butterworth("bandpass", 2, (20.0, 0.4 * emg_rate), emg_rate),
        FilterStage("rectify"),
        butterworth("lowpass", 2, 6.0, emg_rate),
        FilterStage("resample", {"from_hz": emg_rate, "to_hz": 100.0}),
        FilterStage("scale", {"gain": [2.5, -0.75, 1e-3]}),
    )
    inputs = (model_input("imu", 5, imu_rate, imu), model_input("emg", 3, emg_rate, emg))
    return SensorContract(inputs, 100.0, 8, (Channel("knee", "Nm/kg"),))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("imu_rate", "emg_rate"), [(200.0, 1000.0), (148.148, 1259.26), (60.0, 2000.0), (100.0, 128.0)]
)
def test_chain_equals_python(imu_rate: float, emg_rate: float, compiler: str, tmp_path: Path) -> None:
    require(compiler)
    made = contract(imu_rate, emg_rate)
    folder = write(filters.files(made), tmp_path)
    write({f"kernels/{name}": kernel_text(name) for name in FILTER_KERNEL}, folder)
    core = folder / "filters.so"
    sources = [folder / filters.SOURCE, folder / "kernels/et_filter.c"]
    run([compiler, *STRICT, "-O2", "-fPIC", "-shared", f"-I{folder}", *sources, "-o", core])
    library = ctypes.CDLL(str(core))
    for item in made.inputs:
        name, channels = item.stream.name, len(item.stream.channels)
        samples = np.random.default_rng(5).normal(size=(700, channels)).astype(np.float32)
        samples[3] = -0.0
        expected = Chain.of(item, made.grid_rate_hz).push(samples)
        state = (ctypes.c_uint8 * 65536)(*([0xA5] * 65536))
        for _ in range(2):  # a reset filter starts again
            getattr(library, f"edgetool_{name}_filter_reset")(state)
            given = []
            for sample in samples:
                rows = np.zeros((64, channels), np.float32)
                count = getattr(library, f"edgetool_{name}_push")(
                    state, ctypes.c_void_p(sample.ctypes.data), ctypes.c_void_p(rows.ctypes.data)
                )
                given.append(rows[:count])
            np.testing.assert_array_equal(
                np.concatenate(given).view(np.uint32), np.ascontiguousarray(expected).view(np.uint32)
            )
            assert len(expected) > 20


BOARD_MAIN = """
#include <string.h>

#include "edgetool_filters.h"
#include "samples.h"
#include "target.h"

static edgetool_imu_filter imu_filter;
static edgetool_emg_filter emg_filter;

#define RUN(name, channels)                                                                           \\
    edgetool_##name##_filter_reset(&name##_filter);                                                   \\
    for (int32_t i = 0, given = 0; i < SAMPLES; ++i) {                                                \\
        float rows[64];                                                                               \\
        const int32_t count = edgetool_##name##_push(&name##_filter, (const float *)name##_samples[i], rows); \\
        rows_given += count;                                                                          \\
        differing += memcmp(rows, name##_expected[given], (unsigned)(4 * (channels) * count)) != 0;   \\
        given += count;                                                                               \\
    }

int main(void) {
    int32_t differing = 0, rows_given = 0;
    RUN(imu, 5)
    RUN(emg, 3)
    target_print_number(differing);
    target_print(" of ");
    target_print_number(rows_given);
    return 0;
}
"""


def bits(name: str, values: np.ndarray) -> str:
    """A constant array of the bits of float32 values."""
    rows = ",".join("{" + ",".join(map(str, row)) + "}" for row in values.view(np.uint32).tolist())
    return f"static const uint32_t {name}[][{values.shape[1]}] = {{{rows}}};"


#: A project that adds the files to its own build, with GNU C, in which GCC fuses multiplications and additions by itself.
OWN_BUILD = ("-std=gnu11", "-O3", "-ffp-contract=fast")


@pytest.mark.parametrize(
    ("core", "flags"),
    [*((core, (*STRICT, "-O2")) for core in BOARDS), ("cortex-m4", OWN_BUILD), ("cortex-m55", OWN_BUILD)],
)
def test_chain_equals_python_on_board(core: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """The cores' own float unit, and on M4 and M33 the compiler's double division."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    made, samples = contract(148.148, 1259.26), 500
    folder = write(filters.files(made), tmp_path)
    write({f"kernels/{name}": kernel_text(name) for name in FILTER_KERNEL}, folder)
    text, rows = ["#include <stdint.h>", f"#define SAMPLES {samples}"], 0
    for item in made.inputs:
        values = np.random.default_rng(9).normal(size=(samples, len(item.stream.channels))).astype(np.float32)
        values[100:200] *= np.float32(1e-38)  # denormal numbers too: none may be flushed to zero
        expected = np.ascontiguousarray(Chain.of(item, made.grid_rate_hz).push(values))
        rows += len(expected)
        text += [bits(f"{item.stream.name}_samples", values), bits(f"{item.stream.name}_expected", expected)]
    (folder / "samples.h").write_text("\n".join(text) + "\n")
    objects = []
    for source in (folder / filters.SOURCE, folder / "kernels/et_filter.c"):
        objects.append(folder / f"{source.stem}.o")
        run(["arm-none-eabi-gcc", *CORES[core].flags, *flags, f"-I{folder}", "-c", source, "-o", objects[-1]])
    assert emulate(link_image(folder, BOARD_MAIN, core, *objects), core) == (0, f"0 of {rows}")
