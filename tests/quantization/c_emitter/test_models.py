"""Whole models: generated C equals the integer reference bit for bit on hosts and on emulated Arm boards.

By default twelve drawn models run, two in each place; EDGETOOL_FULL=1 runs thirty in all six places.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from quantization.arithmetic.storage import quantized
from quantization.c_emitter import (
    Emission,
    emit,
)
from quantization.converters import builtin
from quantization.graph.ir import Graph
from quantization.reference import Interpreter
from quantization.tflite.file import read
from tests.quantization.c_emitter.harness import BOARDS, build_image, emulate, instructions, run, write
from tests.tools import require
from toolkit.model import pretrained
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig
from toolkit.records import Windows

PLACES = ("gcc", "clang", *BOARDS)
MODELS = 30
#: Windows of the shipped model in each place: overlapping by all rows but one, so that 200 fit into an image.
WINDOWS = 200
FULL = bool(os.environ.get("EDGETOOL_FULL"))
PAIRS = (
    [(number, place) for number in range(MODELS) for place in PLACES]
    if FULL
    else [(number, PLACES[number % len(PLACES)]) for number in range(12)]
)
SANITIZE = "-g -fsanitize=address,undefined -fno-sanitize-recover=all"

SELF_TEST_MAIN = """
#include "edgetool_self_test.h"
#include "target.h"
static edgetool_state state;
int main(void) { return edgetool_self_test(&state); }
"""


def drawn_windows(config: ModelConfig, count: int, seed: int) -> Windows:
    """Smooth random windows: what calibration and inputs need, without data."""
    draw = np.random.default_rng(seed)

    def walk(channels: int) -> np.ndarray:
        steps = draw.normal(size=(count, config.window, channels)) * 0.3
        return np.clip(np.cumsum(steps, axis=1), -4, 4).astype(np.float32)

    inputs = {"imu": walk(config.imu_channels), "emg": walk(config.emg_channels)}
    targets = np.zeros((count, len(config.outputs)), np.float32)
    return Windows(inputs, targets, np.zeros(count, np.int32), np.arange(count, dtype=np.float64), ())


def graphs(checkpoint: Checkpoint, windows: Windows) -> tuple[Graph, Graph]:
    """The builtin converter's int8 graphs."""
    files = builtin.build(checkpoint, windows, scheme="int8")
    window = next(f for f in files if (f.graph, f.scheme) == ("window", "int8"))
    stream = next(f for f in files if (f.graph, f.scheme) == ("stream", "int8"))
    assert stream.state is not None
    return read(window.content), read(stream.content).carrying(stream.state)


def drawn_checkpoint(number: int) -> Checkpoint:
    """A random model: sizes from one unit up, one or two layers, one or several heads, norm or none."""
    draw = np.random.default_rng(1000 + number)
    heads = int(draw.choice([1, 1, 2, 3]))
    sizes = {
        "imu_channels": int(draw.integers(1, 26)),
        "emg_channels": int(draw.integers(1, 11)),
        "window": int(draw.integers(2, 24)),
        "hidden": heads * int(draw.integers(1, 34 // heads)),
        "layers": int(draw.choice([1, 1, 2])),
    }
    norm = "none" if sizes["hidden"] == 1 else str(draw.choice(["layer", "none"]))
    config = ModelConfig(**sizes, heads=heads, norm=norm, head_hidden=int(draw.integers(1, 40)))  # type: ignore[arg-type]
    return Checkpoint.random(config, seed=number)


def emission(checkpoint: Checkpoint, core: str, windows: Windows, count: int = 2) -> Emission:
    window, stream = graphs(checkpoint, windows)
    return emit(
        window, checkpoint.contract, core, stream=stream, golden=windows.inputs, self_test_windows=count
    )


@lru_cache(maxsize=1)
def shipped() -> tuple[Checkpoint, Windows, Graph, Graph]:
    """The shipped model on drawn windows."""
    checkpoint = Checkpoint.load(pretrained())
    windows = drawn_windows(checkpoint.config, 40, 7)
    return checkpoint, windows, *graphs(checkpoint, windows)


def check_on_host(files: Emission, compiler: str, folder: Path) -> None:
    """Build with warnings as errors and with sanitizers, and run the self-test."""
    write(files, folder)
    said = run(["make", "-s", "-C", folder, "check", f"CC={compiler}", f"CFLAGS=-O2 {SANITIZE}"])
    assert "all vectors equal" in said


@pytest.mark.parametrize(("number", "place"), PAIRS)
def test_drawn_model_is_bit_exact(number: int, place: str, tmp_path: Path) -> None:
    checkpoint = drawn_checkpoint(number)
    windows = drawn_windows(checkpoint.config, 8, number)
    if place in BOARDS:
        require("arm-none-eabi-gcc", "qemu-system-arm", "make")
        core: str = place
        folder = write(emission(checkpoint, core, windows), tmp_path)
        image = build_image(folder, SELF_TEST_MAIN, core, folder / "edgetool_self_test.c")
        assert emulate(image, core) == (0, "")
    else:
        require(place, "make")
        check_on_host(emission(checkpoint, "c99", windows), place, tmp_path)


THREADS_MAIN = """
#include <pthread.h>
#include <stdio.h>
#include "edgetool_self_test.h"
#include "samples.h"
#define THREADS 4
#ifndef USED
#define USED WINDOWS
#endif

static edgetool_state states[THREADS];
static int differing[THREADS];

static void *work(void *number) {
    const long k = (long)number;
    int16_t result[EDGETOOL_OUTPUTS];
    for (long i = k; i < USED; i += THREADS) {
        edgetool_reset(&states[k]);
        edgetool_window_quantized(&states[k], &imu_rows[i][0], &emg_rows[i][0], result);
        for (int j = 0; j < EDGETOOL_OUTPUTS; ++j) {
            differing[k] += result[j] != expected[i][j];
        }
    }
    differing[k] += edgetool_self_test(&states[k]) != 0; /* steps too */
    return 0;
}

int main(void) {
    pthread_t threads[THREADS];
    int total = 0;
    for (long k = 0; k < THREADS; ++k) {
        if (pthread_create(&threads[k], 0, work, (void *)k) != 0) {
            return 2;
        }
    }
    for (long k = 0; k < THREADS; ++k) {
        (void)pthread_join(threads[k], 0);
        total += differing[k];
    }
    printf("%d windows, %d differing", USED, total);
    return total != 0;
}
"""


@pytest.mark.parametrize(
    ("compiler", "flags", "used"),
    # A race does not need 200 windows to be seen, and its sanitizer is slow.
    [("gcc", SANITIZE, WINDOWS), ("clang", SANITIZE, WINDOWS), ("gcc", "-g -fsanitize=thread", 16)],
    ids=["gcc", "clang", "gcc, data races"],
)
def test_shipped_model_on_the_host_with_sanitizers(
    compiler: str, flags: str, used: int, tmp_path: Path
) -> None:
    """200 windows and the golden steps, bit for bit, in four instances that run at once."""
    require(compiler, "make")
    checkpoint, windows, window, stream = shipped()
    write(emit(window, checkpoint.contract, "c99", stream=stream, golden=windows.inputs), tmp_path)
    (tmp_path / "samples.h").write_text(samples_header(windows, window))
    (tmp_path / "threads.c").write_text(THREADS_MAIN)
    options = f"-O2 {flags} -pthread -DUSED={used}"
    objects = ["edgetool_self_test.o", "libedgetool_model.a"]
    run(["make", "-s", "-C", tmp_path, *objects, f"CC={compiler}", f"CFLAGS={options}"])
    parts = [tmp_path / name for name in ("threads.c", *objects)]
    run([compiler, "-std=gnu99", *options.split(), *parts, "-o", tmp_path / "threads"])
    assert run([tmp_path / "threads"]) == f"{used} windows, 0 differing"


MEASURE_MAIN = """
#include "edgetool_model.h"
#include "target.h"
#include "samples.h"
static edgetool_state state;
static int16_t result[EDGETOOL_OUTPUTS];

static void say(const char *name, uint32_t value) {
    target_print(name);
    target_print(" ");
    target_print_number((int32_t)value);
    target_print("\\n");
}

int main(void) {
    int32_t differing = 0;
    edgetool_reset(&state);
    target_ticks_start();
    uint32_t start = target_ticks();
    for (int i = 0; i < WINDOWS; ++i) {
        edgetool_window_quantized(&state, imu[i], emg[i], result);
        for (int k = 0; k < EDGETOOL_OUTPUTS; ++k) {
            differing += result[k] != expected[i][k];
        }
        if (i == 0) {
            say("window_ticks", (target_ticks() - start) & 0xFFFFFFu);
        }
    }
    say("differing", (uint32_t)differing);
    edgetool_reset(&state);
    for (int i = 0; i < EDGETOOL_WINDOW; ++i) {
        edgetool_step_quantized(&state, imu[i], emg[i], result);
    }
    start = target_ticks();
    for (int i = 0; i < 10; ++i) {
        edgetool_step_quantized(&state, imu[i], emg[i], result);
    }
    say("step_ticks_10", (target_ticks() - start) & 0xFFFFFFu);
    target_stack_paint();
    edgetool_window_quantized(&state, imu[0], emg[0], result);
    say("window_stack", target_stack_used());
    target_stack_paint();
    edgetool_step_quantized(&state, imu[0], emg[0], result);
    say("step_stack", target_stack_used());
    return 0;
}
"""


def samples_header(windows: Windows, graph: Graph) -> str:
    """200 overlapping windows of one long drawn recording, quantized, and what the reference gives for them."""
    rows = np.concatenate([graph.tensors[i].shape[1] * [0] for i in graph.inputs[:1]]).size
    parts, given = [], []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        recording = windows.inputs[tensor.name].reshape(-1, tensor.shape[2])[: rows + WINDOWS - 1]
        assert tensor.quantization is not None
        stored = quantized(
            recording, tensor.quantization.scale[0], int(tensor.quantization.zero_point[0]), tensor.dtype
        )
        given.append(
            np.lib.stride_tricks.sliding_window_view(stored, rows, axis=0).transpose(0, 2, 1)[:, None]
        )
        text = ",".join("{" + ",".join(map(str, row)) + "}" for row in stored.tolist())
        parts.append(f"static const int8_t {tensor.name}_rows[][{tensor.shape[2]}] = {{{text}}};")
        parts.append(f"#define {tensor.name} {tensor.name}_rows")
    (expected,) = Interpreter(graph).run([np.ascontiguousarray(q) for q in given])
    text = ",".join("{" + ",".join(map(str, row)) + "}" for row in expected.reshape(WINDOWS, -1).tolist())
    parts.append(f"static const int16_t expected[][{expected.shape[-1]}] = {{{text}}};")
    return (
        "\n".join([f"#define WINDOWS {WINDOWS}", *parts, ""])
        .replace("#define imu imu_rows", "")
        .replace("#define emg emg_rows", "")
    )


def measured(core: str, prefer: str, folder: Path) -> dict[str, int]:
    """Figures of the shipped model on an emulated board."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    checkpoint, windows, window, stream = shipped()
    files = emit(window, checkpoint.contract, core, stream=stream, prefer=prefer)  # type: ignore[arg-type]
    assert not files.notes, files.notes
    write(files, folder)
    (folder / "samples.h").write_text(samples_header(windows, window))
    main = MEASURE_MAIN.replace("imu[i]", "imu_rows[i]").replace("emg[i]", "emg_rows[i]")
    main = main.replace("imu[0]", "imu_rows[0]").replace("emg[0]", "emg_rows[0]")
    # A window is 64 rows that follow each other, so a row's address is a window's.
    main = main.replace("imu_rows[i]", "&imu_rows[i][0]").replace("emg_rows[i]", "&emg_rows[i][0]")
    image = build_image(folder, main, core)
    status, said = emulate(image, core)
    assert status == 0, said
    figures = {name: int(value) for name, value in re.findall(r"(\w+) (-?\d+)", said)}
    figures["window_instructions"] = instructions(figures["window_ticks"], core)
    figures["step_instructions"] = instructions(figures["step_ticks_10"], core) // 10
    figures["state_bytes"] = int(
        re.search(r"EDGETOOL_STATE_BYTES (\d+)", files.files["edgetool_model.h"].decode())[1]  # type: ignore[index]
    )
    figures["flash_bytes"] = library_flash(image)
    return figures


def library_flash(image: Path) -> int:
    """Code and constants of the image that come from the library: all but the test's own."""
    listing = run(["arm-none-eabi-nm", "-S", "--size-sort", image])
    own = ("target_", "image_", "vectors", "main", "_rows", "expected", "semihost")
    total = 0
    for line in listing.splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[2] in "tTrR" and not any(mark in parts[3] for mark in own):
            total += int(parts[1], 16)
    return total
