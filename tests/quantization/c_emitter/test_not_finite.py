"""A NaN in one sample, infinities and absurd values: held before the filters, flagged, and over with the next sample.

On the host and on an emulated Cortex-M4 with the same program.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quantization.c_emitter.harness import STRICT, build_image, emulate, run, write
from tests.quantization.c_emitter.test_emit import shipped_emission
from tests.tools import require

#: Three runs over the same samples: as they are with two bad values; with these held by hand; and what is left after.
PROGRAM = """
#include <string.h>

#include "edgetool_filters.h"
#include "edgetool_model.h"

#define SAMPLES 300
#define BAD_AT 120

static edgetool_state state, before;
static edgetool_imu_filter imu_filter;
static edgetool_emg_filter emg_filter;

static float wave(int32_t i, int32_t channel) { /* no libm: a triangle of its own period for each channel */
    const int32_t period = 20 + 7 * channel;
    const int32_t at = i % period;
    return (float)(2 * at < period ? at : period - at) / (float)period - 0.25f;
}

static float not_a_number(void) {
    const uint32_t bits = 0x7FC00000u;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float infinity_of(void) {
    const uint32_t bits = 0xFF800000u;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Moments of the last row; *rows counts those that were OK. */
static void stream(int bad, int by_hand, float *moments, int32_t *rows, int32_t *others) {
    float emg_rows[EDGETOOL_EMG_ROWS_MOST * EDGETOOL_EMG_CHANNELS];
    float imu_rows[EDGETOOL_IMU_ROWS_MOST * EDGETOOL_IMU_CHANNELS];
    edgetool_reset(&state);
    edgetool_imu_filter_reset(&imu_filter);
    edgetool_emg_filter_reset(&emg_filter);
    *rows = 0;
    *others = 0;
    const int32_t each = (int32_t)(EDGETOOL_EMG_STREAM_HZ / EDGETOOL_IMU_STREAM_HZ + 0.5f);
    for (int32_t i = 0; i < SAMPLES; ++i) {
        float imu[EDGETOOL_IMU_CHANNELS], emg[EDGETOOL_EMG_CHANNELS];
        int32_t emg_count = 0;
        for (int32_t part = 0; part < each; ++part) {
            for (int32_t k = 0; k < EDGETOOL_EMG_CHANNELS; ++k) {
                emg[k] = 0.001f * wave(each * i + part, k);
            }
            if (i == BAD_AT && part == 0) {
                emg[1] = by_hand ? 0.001f * wave(each * i - 1, 1) : bad ? infinity_of() : emg[1];
            }
            const int32_t count = edgetool_emg_push(&emg_filter, emg, emg_rows);
            emg_count = count > 0 ? count : emg_count;
        }
        for (int32_t k = 0; k < EDGETOOL_IMU_CHANNELS; ++k) {
            imu[k] = wave(i, k);
        }
        if (i == BAD_AT) {
            imu[2] = by_hand ? wave(i - 1, 2) : bad ? not_a_number() : imu[2];
            imu[3] = by_hand ? wave(i - 1, 3) : bad ? 3e12f : imu[3];
        }
        const int32_t imu_count = edgetool_imu_push(&imu_filter, imu, imu_rows);
        if (imu_count > 0 && emg_count > 0) {
            const int32_t status = edgetool_step(&state, imu_rows, emg_rows, moments);
            *rows += status == EDGETOOL_OK;
            *others += status != EDGETOOL_OK;
        }
    }
}

static int check(void) {
    float held[EDGETOOL_OUTPUTS], wanted[EDGETOOL_OUTPUTS], good[EDGETOOL_OUTPUTS], same[EDGETOOL_OUTPUTS];
    int32_t rows, others, usual;
    stream(0, 0, good, &usual, &others);
    if (usual < SAMPLES / 4 || others != 0 || imu_filter.held != 0 || emg_filter.held != 0) {
        return 1; /* the samples are nothing to note */
    }
    stream(1, 0, held, &rows, &others);
    if (rows != usual || others != 0 || imu_filter.held != 2 || emg_filter.held != 1) {
        return 2; /* all rows go on, and three values were counted */
    }
    stream(1, 1, wanted, &rows, &others);
    if (memcmp(held, wanted, sizeof held) != 0 || imu_filter.held != 0) {
        return 3; /* to the last bit as if the values before had come again */
    }
    float imu[EDGETOOL_IMU_CHANNELS] = {0}, emg[EDGETOOL_EMG_CHANNELS] = {0};
    memcpy(&before, &state, sizeof state);
    memcpy(same, wanted, sizeof same);
    emg[4] = not_a_number();
    if (edgetool_step(&state, imu, emg, same) != EDGETOOL_NOT_FINITE) {
        return 4;
    }
    if (memcmp(&before, &state, sizeof state) != 0 || memcmp(same, wanted, sizeof same) != 0) {
        return 5; /* neither the stream nor the caller's moments changed */
    }
    emg[4] = 1e9f;
    if (edgetool_step(&state, imu, emg, same) != EDGETOOL_SATURATED) {
        return 6;
    }
    emg[4] = 0.0f;
    if (edgetool_step(&state, imu, emg, same) != EDGETOOL_OK) {
        return 7; /* over with the next row */
    }
    static float imus[EDGETOOL_WINDOW * EDGETOOL_IMU_CHANNELS], emgs[EDGETOOL_WINDOW * EDGETOOL_EMG_CHANNELS];
    if (edgetool_window(&state, imus, emgs, same) != EDGETOOL_OK) {
        return 8;
    }
    imus[EDGETOOL_WINDOW * EDGETOOL_IMU_CHANNELS - 1] = infinity_of();
    return edgetool_window(&state, imus, emgs, same) == EDGETOOL_NOT_FINITE ? 0 : 9;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("gcc", "make")
    return write(shipped_emission(), tmp_path_factory.mktemp("host"))


def test_on_the_host(folder: Path) -> None:
    (folder / "main.c").write_text(PROGRAM + "int main(void) { return check(); }\n")
    run(["make", "-s", "-C", folder, "libedgetool_model.a"])
    run(["gcc", *STRICT, folder / "main.c", folder / "libedgetool_model.a", "-o", folder / "main"])
    run([folder / "main"])


def test_on_an_emulated_cortex_m4(tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "qemu-system-arm")
    folder = write(shipped_emission("cortex-m4"), tmp_path)
    image = build_image(folder, PROGRAM + "int main(void) { return check(); }\n", "cortex-m4")
    status, text = emulate(image, "cortex-m4")
    assert status == 0, text
