"""The LSTM kernels over all inputs: activations at every int16, requantization at every step of its rounding."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from quantization.arithmetic.activations import gate_table
from quantization.c_emitter.emit import kernel_files
from quantization.c_fragments.context import Context
from quantization.c_fragments.weight_layout import LstmWeights, dsp_refusal
from quantization.graph.ir import GraphBuilder
from quantization.kernels import INCLUDE_OPTIONS, kernel_paths
from quantization.ops import lstm_source as lstm
from tests.quantization.c_emitter.harness import BOARDS, STRICT, emulate, link_image, run, write
from tests.quantization.reference.harness import INT8, INT16, compare, integers, quantization
from tests.tools import require

EVERY_INT16 = np.arange(-32768, 32768)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The portable kernels and the tables of the fast ones, on this machine."""
    require("gcc")
    folder = tmp_path_factory.mktemp("lstm")
    (folder / "lines.c").write_text(
        '#include "et_piecewise_linear.h"\n#include "et_lstm_mve.h"\n'
        "int32_t line_sigmoid(int32_t v) { return et_piecewise_linear_sigmoid(v); }\n"
        "int32_t line_tanh(int32_t v, int32_t s) {\n"
        "    return et_piecewise_linear_tanh(et_clamp(et_tanh_steps(v, s), -65536, 65535)); }\n"
    )
    names = ("et_lstm.c", "et_activation.c", "et_piecewise_linear.c", "et_piecewise_linear_mve.c")
    target = folder / "lstm.so"
    sources = [folder / "lines.c", *(kernel_paths()[name] for name in names)]
    run(["gcc", *STRICT, "-O2", "-fPIC", "-shared", *INCLUDE_OPTIONS, *sources, "-o", target])
    return ctypes.CDLL(str(target))


def test_sigmoid_at_every_int16(library: ctypes.CDLL) -> None:
    expected = gate_table("sigmoid", "tflm")
    library.et_sigmoid_q15.restype = ctypes.c_int16
    for function in (library.et_sigmoid_q15, library.line_sigmoid):
        given = [function(int(v)) for v in EVERY_INT16]
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("exponent", range(-15, -8))
def test_tanh_at_every_int16(library: ctypes.CDLL, exponent: int) -> None:
    """``exponent`` is log2 of the cell's scale; -12 is that of the gates."""
    expected = gate_table("tanh", "tflm", exponent)
    library.et_tanh_q15.restype = ctypes.c_int16
    for function in (library.et_tanh_q15, library.line_tanh):
        given = [function(int(v), exponent + 12) for v in EVERY_INT16]
        np.testing.assert_array_equal(given, expected)


def test_helium_tables_are_the_same_lines(library: ctypes.CDLL) -> None:
    for name, count, divisor in (("sigmoid", 384, 1), ("tanh", 512, 256)):
        lines = np.array((ctypes.c_int32 * (2 * count)).in_dll(library, f"et_{name}_lines"))
        bases = np.array((ctypes.c_int32 * count).in_dll(library, f"et_{name}_bases"))
        slopes = np.array((ctypes.c_uint16 * count).in_dll(library, f"et_{name}_slopes"))
        np.testing.assert_array_equal(lines[0::2], bases)
        np.testing.assert_array_equal(lines[1::2], slopes.astype(np.int64) * divisor)


UNITS = 8
#: Input shifts of each sign and size; the gate's factor 1 is (2^30, 1).
INPUT_SCALES = ((1 << 30, 1), (1518500250, -3), ((1 << 31) - 1, 0), (1 << 30, -1))
RECURRENT_SCALES = ((1 << 30, 1), (1 << 30, -7), (1073741825, -1), (2000000001, 0))

SWEEP = """
#include <string.h>
#include "target.h"
{source}
static const et_lstm_numbers plain_numbers = {numbers};
static int32_t plain_bias[4][{units}];
static const int8_t zeros[4 * {units} * {units}];
static const et_lstm_weights plain = {{1, {units}, zeros, zeros, &plain_bias[0][0], &plain_recurrent_bias[0][0]}};

static int32_t differing;

/* The same step by the portable kernel and by the core's; bias of each gate and cell state of each unit are given. */
static void compare(int32_t bias[4][{units}], const int16_t start[{units}]) {{
    static const int8_t x[16] = {{{zero}}};
    int8_t before[16];
    int16_t cell[2][{units}];
    int8_t hidden[2][{units}];
    memset(before, {hidden_zero}, sizeof before);
    memcpy(plain_bias, bias, sizeof plain_bias);
    memcpy(cell[0], start, sizeof cell[0]);
    memcpy(cell[1], start, sizeof cell[1]);
    for (int unit = 0; unit < {units}; ++unit) {{
        for (int gate = 0; gate < 4; ++gate) {{
            set_bias(unit, gate, bias[gate][unit], bias[gate & ~1][unit], bias[gate | 1][unit]);
        }}
    }}
    et_lstm_step(&plain_numbers, &plain, x, before, cell[0], hidden[0]);
    lstm_0(x, 1, before, cell[1], hidden[1]);
    differing += memcmp(cell[0], cell[1], sizeof cell[0]) != 0 || memcmp(hidden[0], hidden[1], sizeof hidden[0]) != 0;
}}

int main(void) {{
    for (int swept = 0; swept < 5; ++swept) {{
        for (int32_t value = -32768; value < 32768; value += {units}) {{
            int32_t bias[4][{units}];
            int16_t start[{units}];
            for (int unit = 0; unit < {units}; ++unit) {{
                for (int gate = 0; gate < 4; ++gate) {{
                    /* Gates not swept are open, at a value that depends on the unit. */
                    bias[gate][unit] = (gate == swept ? value + unit : 3000 * (unit - 2)) * {spread};
                }}
                start[unit] = (int16_t)(swept == 4 ? value + unit : 4001 * (unit - 4));
            }}
            compare(bias, start);
        }}
    }}
    target_print_number(differing);
    return differing != 0;
}}
"""

SET_BIAS = {
    "dsp": """
static void set_bias(int unit, int gate, int32_t value, int32_t low, int32_t high) {{
    int32_t *word = &lstm_stream[unit * (sizeof lstm_stream / 4 / {units}) + (gate & ~1)];
    (void)value;
    word[0] = 2 * (low + 256 * high);
    word[1] = 2 * low;
}}
""",
    "helium": """
static void set_bias(int unit, int gate, int32_t value, int32_t low, int32_t high) {{
    const int group = (int)(sizeof lstm_stream / ({units} / 4));
    (void)low;
    (void)high;
    memcpy(&lstm_stream[unit / 4 * group + gate * (64 + 16) + 64 + unit % 4 * 4], &value, 4);
}}
""",
}


def swept_image(core: str, layer: lstm.LstmLayer, spread: int, folder: Path) -> Path:
    """An image that sweeps biases and cell states of ``layer`` (zero weights) through both kernels."""
    context = Context(core, "speed")
    assert lstm.layer_function(context, layer) == "lstm_0"
    fast = context.pool.text().replace("static const int32_t lstm_stream", "static int32_t lstm_stream")
    fast = fast.replace("static const int8_t lstm_stream", "static int8_t lstm_stream")
    fast = fast.replace("ET_ALIGNED4 ", "__attribute__((aligned(4))) ")
    context.use("et_lstm.c", "et_activation.c", header="et_lstm.h")
    write({f"kernels/{name}": text for name, text in kernel_files(context).items()}, folder)
    write({"layer.S": "\n".join(context.assembly)}, folder)
    headers = "".join(f'#include "kernels/{n}"\n' for n in sorted(context.headers) if n.endswith(".h"))
    rounding = layer.weights

    def rows(pairs: tuple[tuple[int, int], ...]) -> str:
        return "{" + ", ".join(f"{{{m}, {s}}}" for m, s in pairs) + "}"

    numbers = (
        f"{{{rows(layer.input_scales)}, {rows(layer.recurrent_scales)}, "
        f"{{{layer.forget_cell[0]}, {layer.forget_cell[1]}}}, {{{layer.input_cell[0]}, {layer.input_cell[1]}}}, "
        f"{{{layer.hidden[0]}, {layer.hidden[1]}}}, {layer.cell_shift}, {layer.cell_clip}, "
        f"{rounding.input_zero_point}, {rounding.hidden_zero_point}}}"
    )
    source = headers + fast + "\n".join(context.functions.values())
    source += SET_BIAS["dsp" if context.dsp else "helium"].format(units=UNITS)
    source += f"static const int32_t plain_recurrent_bias[4][{UNITS}];\n"
    main = SWEEP.format(
        source=source,
        numbers=numbers,
        units=UNITS,
        spread=spread,
        zero=rounding.input_zero_point,
        hidden_zero=rounding.hidden_zero_point,
    )
    sources = [folder / "layer.S", *sorted((folder / "kernels").glob("*.c"))]
    return link_image(folder, main, core, *sources)


def zero_layer(exponent: int, clip: int, hidden: tuple[int, int]) -> lstm.LstmLayer:
    """A layer whose weights are zero: its biases are its sums."""
    weights = LstmWeights(
        np.zeros((4, UNITS, 1), np.int8),
        np.zeros((4, UNITS, UNITS), np.int8),
        np.zeros((4, UNITS), np.int32),
        0,
        -7,
    )
    scales = INPUT_SCALES if clip == 0 else ((1 << 30, 1),) * 4
    return lstm.LstmLayer(
        weights,
        scales,
        RECURRENT_SCALES,
        (1 << 30, -14),
        (1 << 30, -29 - exponent),
        hidden,
        exponent + 12,
        clip,
    )


@pytest.mark.parametrize(
    ("exponent", "clip", "spread"),
    [(-12, 32767, 1), (-15, 20000, 1), (-9, 32767, 1), (-11, 0, 31)],
    ids=["cell 2^-12", "cell 2^-15, clipped", "cell 2^-9", "four scales, wide sums"],
)
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_core_kernel_equals_portable_twin(
    core: str, exponent: int, clip: int, spread: int, tmp_path: Path
) -> None:
    """Every int16 as the sum of each gate and as the cell state; the last case crosses every rounding of four scales."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    layer = zero_layer(exponent, clip, (1717986918, -22))
    assert emulate(swept_image(core, layer, spread, tmp_path), core) == (0, "0")


def test_weights_that_the_paired_rows_cannot_hold_are_refused() -> None:
    ones = np.ones((4, 1, 1), np.int8)
    bias = np.zeros((4, 1), np.int32)
    assert dsp_refusal(LstmWeights(ones, ones, bias, 0, 0)) is None
    assert "-128" in str(dsp_refusal(LstmWeights(ones * np.int8(-128), ones, bias, 0, 0)))
    assert "2^22" in str(dsp_refusal(LstmWeights(ones, ones, bias + 5_000_000, 0, 0)))
    assert set(BOARDS) == {"cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"}


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_lstm_with_a_batch_and_time_first(time_major: bool, batch: int) -> None:
    """A batch inside the graph, and time before it: forms that foreign files have."""
    random = np.random.default_rng(2)
    steps, depth, units = 5, 4, 3
    builder = GraphBuilder("lstm")
    shape = (steps, batch, depth) if time_major else (batch, steps, depth)
    hidden = quantization(0.008, -7)
    source = builder.add("in", shape, INT8, quantization(0.03, 5))

    def weights(name: str, columns: int) -> list[int]:
        drawn = random.integers(-127, 128, (4, units, columns)).astype(np.int8)
        return [builder.constant(f"{name}{k}", drawn[k], quantization(0.005)) for k in range(4)]

    driven, recurrent = weights("w", depth), weights("r", units)
    biases = [
        builder.constant(
            f"b{k}", random.integers(-3000, 3000, units).astype(np.int32), quantization(0.03 * 0.005)
        )
        for k in range(4)
    ]
    states = (
        builder.add("h", (batch, units), INT8, hidden, is_variable=True),
        builder.add("c", (batch, units), INT16, quantization(2.0**-11), is_variable=True),
    )
    out = builder.add("out", (*shape[:2], units), INT8, hidden)
    intermediates = (*(builder.add(f"g{k}", (0,)) for k in range(4)), builder.add("gh", (0,), INT8, hidden))
    places = (source, *driven, *recurrent, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1)
    builder.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        places,
        (out,),
        intermediates,
        fused_activation_function="TANH",
        cell_clip=10.0,
        time_major=time_major,
    )
    compare(builder.build((source,), (out,)), [integers(random, INT8, shape)])
