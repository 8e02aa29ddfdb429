"""Golden vectors of the filters: raw samples in, the features of the Python chain out, compared in C bit for bit.

The samples are drawn by the same few lines in C and here, so that they take no flash; the expected features are constants.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantization.c_emitter import filters
from quantization.c_emitter.calibration import calibrated_stream
from quantization.c_fragments.text import Pool, identifier
from toolkit.contract import ModelInput, SensorContract
from toolkit.filtering.chain import Chain

#: Rows on the grid that are compared, of each stream: filters that carry state have settled by no means, which is as good.
_ROWS = 6

_DRAW = """\
/* Raw samples, the same as the golden features were computed from: -8 to 8 in steps of 2^-12, by a linear congruence. */
static void draw_sample(uint32_t *seed, float *sample, int32_t channels) {
    for (int32_t i = 0; i < channels; ++i) {
        *seed = *seed * 1664525u + 1013904223u;
        sample[i] = (float)((int32_t)(*seed >> 16) - 32768) * (1.0f / 4096.0f);
    }
}

"""

_STREAM = """\
/* Whether the filters of {name} give other features than the golden ones, in any bit. */
static int {name}_filter_differs(void) {{
    edgetool_{name}_filter filter;
    float features[EDGETOOL_{upper}_ROWS_MOST * {channels}];
    float sample[{channels}];
    uint32_t seed = 1u;
    int32_t rows = 0;
    edgetool_{name}_filter_reset(&filter);
{calibrate}    for (int32_t i = 0; i < {samples}; ++i) {{
        draw_sample(&seed, sample, {channels});
        const int32_t given = edgetool_{name}_push(&filter, sample, features);
        if (given < 0 || rows + given > {rows} ||
            memcmp(features, &{expected}[rows * {channels}], (size_t)given * sizeof sample) != 0) {{
            return 1;
        }}
        rows += given;
    }}
    return rows != {rows};
}}

"""


def drawn_samples(rows: int, channels: int) -> NDArray[np.float32]:
    """The raw samples (rows, channels) that the C draws."""
    seed, values = 1, []
    for _ in range(rows * channels):
        seed = (seed * 1664525 + 1013904223) % 2**32
        values.append((seed >> 16) - 32768)
    return (np.array(values, np.float32) / np.float32(4096.0)).reshape(rows, channels)


def functions(contract: SensorContract, pool: Pool) -> tuple[str, list[str]]:
    """The C functions, whose constants go into ``pool``, and the name of each, in the order of the streams."""
    texts, names = [f'#include "{filters.HEADER}"\n\n', _DRAW], []
    for item in contract.inputs:
        name = identifier(item.stream.name, "a stream of the contract")
        texts.append(_one(contract, item, name, pool))
        names.append(f"{name}_filter_differs")
    return "".join(texts), names


def _one(contract: SensorContract, item: ModelInput, name: str, pool: Pool) -> str:
    channels = len(item.stream.channels)
    count = math.ceil(_ROWS * max(1.0, item.stream.rate_hz / contract.grid_rate_hz)) + 1
    features = np.asarray(
        Chain.of(item, contract.grid_rate_hz).push(drawn_samples(count, channels)), np.float32
    )
    calibrate = ""
    if calibrated_stream(contract, item) is not None:
        calibrate = f"    edgetool_{name}_filter_calibrate(&filter, &edgetool_calibration_identity);\n"
    return _STREAM.format(
        name=name,
        upper=name.upper(),
        channels=channels,
        calibrate=calibrate,
        samples=count,
        rows=len(features),
        expected=pool.array(f"{name}_features", features),
    )
