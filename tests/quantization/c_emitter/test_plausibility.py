"""The check of the sensors in C: figures and findings equal Python bit for bit, on the host and a Cortex-M4; what it costs."""

from __future__ import annotations

import ctypes
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantization.c_emitter import filters, plausibility
from quantization.c_emitter.calibration import calibration_header
from quantization.kernels import kernel_text
from tests.quantization.c_emitter.harness import STRICT, emulate, instructions, link_image, run, write
from tests.quantization.c_emitter.test_filters import FILTER_KERNEL, bits
from tests.tools import require
from toolkit.calibration import (
    Calibration,
    SensorLayout,
    calibrate,
    calibrated,
    fit_reference,
    layout_of,
    with_own_walk,
)
from toolkit.calibration.moments import Moments
from toolkit.calibration.people import by_person, walk_recording, walk_signals
from toolkit.contract import SensorContract
from toolkit.cores import CORES
from toolkit.data import load
from toolkit.data.virtual_imu import rotation
from toolkit.data.windows import features
from toolkit.data.worn import amplified, turned
from toolkit.errors import ContractError, ModelFileError
from toolkit.model import load_checkpoint
from toolkit.plausibility import Familiar, Judge, Walked, fit_familiar
from toolkit.plausibility.findings import KINDS
from toolkit.records import Recording

Values = NDArray[np.float32]
KERNELS = ("et_plausibility.h", "et_plausibility.c")
IMU, EMG = 24, 9


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """A model that knows three people, and rows of one of them: as calibrated, then with this and that wrong."""

    contract: SensorContract
    layout: SensorLayout
    familiar: Familiar
    calibration: Calibration
    rows: Values

    @property
    def judge(self) -> Judge:
        assert self.calibration.walk is not None
        return Judge(self.familiar, self.calibration.walk, self.layout)

    def novelties(self) -> tuple[Values, list[bool]]:
        """After each row: the smoothed distance, and whether it is novel."""
        novelty = self.judge.novelty()
        values: list[np.float32] = []
        novel: list[bool] = []
        for row in self.rows:
            novel += novelty.append(row[None])
            values.append(novelty.value)
        return np.array(values, np.float32), novel

    def expected(self) -> list[tuple[int, list[tuple[int, int]], Values | None]]:
        """After each row: how many findings (-1 if not judged), which, and the figures."""
        judge, result = self.judge, []
        moments = Moments(judge.shape)
        for row in self.rows:
            given: tuple[int, list[tuple[int, int]], Values | None] = (-1, [], None)
            for one in moments.append(row[None]):
                found = judge.find(one)
                if found is not None:
                    named = [(KINDS.index(f.kind) + 1, f.sensor) for f in found.findings]
                    given = (len(named), named, found.figures.limited)
            result.append(given)
        return result


def _wrong(recording: Recording) -> list[Recording]:
    """One recording with a sensor turned, louder, crossed, dead, in another unit, late."""

    def changed(name: str, places: list[int], change: object) -> Recording:
        samples = np.array(recording.signals[name].samples)
        samples[:, places] = change(samples[:, places])  # type: ignore[operator]
        signal = dataclasses.replace(recording.signals[name], samples=samples)
        return dataclasses.replace(recording, signals={**recording.signals, name: signal})

    quarter = rotation("x", np.array([np.deg2rad(25)]))[0]
    return [
        recording,
        turned(recording, {"shank": quarter}),
        amplified(recording, {"soleus": 3.0, "vas_lat": 0.2}),
        changed("emg", [0, 3], lambda v: v[:, ::-1]),
        changed("emg", [0], lambda v: 0.0 * v),
        changed("imu", list(range(6)), lambda v: 0.0 * v + 1.0),
        changed("imu", [9, 10, 11], np.degrees),
        changed("emg", list(range(EMG)), lambda v: np.roll(v, 90, axis=0)),
    ]


@pytest.fixture(scope="module")
def session() -> Session:
    people = load("synthetic:people=4,seed=5,tasks=level,seconds=18")
    learners = by_person(people[:6])
    reference = fit_reference(people[:6])
    contract = dataclasses.replace(load_checkpoint("pretrained").contract, calibration=reference.to_json())
    layout = layout_of(contract)
    assert layout is not None

    def rows(recordings: list[Recording]) -> list[Values]:
        found = features(recordings, contract.inputs, contract.grid_rate_hz)
        return [np.concatenate([one[name] for name in layout.inputs], axis=1) for one in found]

    walks = []
    for theirs in learners.values():
        found = calibrate(walk_signals(walk_recording(theirs)), reference)
        for one, values in zip(theirs, rows([calibrated(r, found) for r in theirs])):
            own = 1200 if one.name == walk_recording(theirs).name else 0
            walks.append(Walked(one.person, one.task, values, own))
    walk = walk_recording(people[6:])
    calibration = with_own_walk(calibrate(walk_signals(walk), reference), walk_signals(walk), contract)
    still = np.tile(np.concatenate(rows([calibrated(walk, calibration)]))[:1], (500, 1))
    wrong = [values[:700] for values in rows([calibrated(r, calibration) for r in _wrong(walk)])]
    return Session(
        contract, layout, fit_familiar(walks, layout), calibration, np.concatenate([*wrong, still])
    )


@pytest.fixture(scope="module")
def folder(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write(filters.files(session.contract), tmp_path_factory.mktemp("plausibility"))
    write(plausibility.files(session.contract, session.familiar), made)
    write({f"kernels/{name}": kernel_text(name) for name in (*FILTER_KERNEL, *KERNELS)}, made)
    walk = plausibility.walk_lines(session.calibration, session.contract, "today")
    (made / "today.h").write_text(
        calibration_header(session.calibration, session.contract, "today", walk=walk)
    )
    return made


class State(ctypes.Structure):
    """As ``edgetool_plausibility`` of 4 IMUs and 9 electrodes."""

    _fields_ = (
        ("rising", ctypes.c_float * 94),
        ("falling", ctypes.c_float * 94),
        ("paces", ctypes.c_float * (4 * 4)),
        ("figures", ctypes.c_float * 31),
        ("novelty", ctypes.c_float),
        ("novel", ctypes.c_int32),
        ("row", ctypes.c_int32),
        ("whole", ctypes.c_int32),
    )


def test_figures_and_findings_equal_python(session: Session, folder: Path) -> None:
    require("gcc")
    (folder / "shim.c").write_text(
        '#include "today.h"\nconst void *worn(void);\nconst void *worn(void) { return &today_walk; }\n'
        "int32_t state_bytes(void);\nint32_t state_bytes(void) { return (int32_t)sizeof(edgetool_plausibility); }\n"
    )
    out = folder / "plausibility.so"
    sources = [folder / plausibility.SOURCE, folder / "shim.c", folder / "kernels/et_plausibility.c"]
    # -O0 too would do: no flag that a project may give changes the bits, but -ffast-math.
    flags = [*STRICT, "-Wno-unused-const-variable"]
    run(["gcc", *flags, "-O2", "-fPIC", "-shared", f"-I{folder}", *sources, "-o", out])
    library = ctypes.CDLL(str(out))
    library.worn.restype = ctypes.c_void_p
    assert library.state_bytes() == ctypes.sizeof(State)
    state, findings = State(), np.zeros((13, 2), np.int8)
    library.edgetool_plausibility_reset(ctypes.byref(state))
    seen: set[int] = set()
    judged = 0
    values, novel = session.novelties()
    # Not a row of the well-worn sensors, and rows of all that is grossly wrong.
    assert not any(novel[:700]) and sum(novel) > 1500 and not all(novel[700:])
    for place, (row, (count, named, figures)) in enumerate(zip(session.rows, session.expected())):
        imu, emg = np.ascontiguousarray(row[:IMU]), np.ascontiguousarray(row[IMU:])
        given = library.edgetool_plausibility_push(
            ctypes.byref(state),
            ctypes.c_void_p(library.worn()),
            ctypes.c_void_p(imu.ctypes.data),
            ctypes.c_void_p(emg.ctypes.data),
            ctypes.c_void_p(findings.ctypes.data),
        )
        assert given == count
        assert np.float32(state.novelty) == values[place] and state.novel == novel[place]
        if figures is not None:
            judged += 1
            np.testing.assert_array_equal(
                np.array(state.figures, np.float32).view(np.uint32), figures.view(np.uint32)
            )
            assert findings[:count].tolist() == [list(one) for one in named]
            seen |= {kind for kind, _ in named}
    # All kinds were there, well-worn sensors too, and standing was not judged.
    assert judged >= 20 and {1, 2, 3, 4, 5} <= seen
    none = (ctypes.c_uint32 * 300)()
    assert library.edgetool_plausibility_push(ctypes.byref(state), none, None, None, None) == -2


BOARD_MAIN = """
#include "rows.h"
#include "target.h"
#include "today.h"

static edgetool_plausibility state;
static et_finding findings[EDGETOOL_SENSORS];

static void say(const char *name, uint32_t value) {
    target_print(name);
    target_print(" ");
    target_print_number((int32_t)value);
    target_print("\\n");
}

int main(void) {
    uint32_t check = 0, ticks = 0, worst = 0;
    target_ticks_start();
    edgetool_plausibility_reset(&state);
    target_stack_paint();
    for (int32_t i = 0; i < ROWS; ++i) {
        const float *row = (const float *)rows[i];
        const uint32_t began = target_ticks();
        const int32_t count = edgetool_plausibility_push(&state, &today_walk, row, &row[24], findings);
        const uint32_t cost = (target_ticks() - began) & 0xFFFFFFu;
        worst = cost > worst ? cost : worst;
        ticks += cost > 1000 ? 0 : cost;
        check = check * 31u + (uint32_t)(count + 1) + (uint32_t)state.novel;
        for (int32_t k = 0; k < count; ++k) {
            check = check * 31u + (uint32_t)(findings[k].kind * 16 + findings[k].sensor + 1);
        }
        if (state.row == 0 && count >= 0) {
            for (int32_t k = 0; k < 31; ++k) {
                union { float number; uint32_t word; } figure;
                figure.number = state.figures[k];
                check = check * 31u + figure.word;
            }
        }
    }
    say("stack", target_stack_used());
    say("check", check & 0x7FFFFFFFu);
    say("ticks", ticks);
    say("worst", worst);
    return 0;
}
"""


def checksum(session: Session) -> int:
    """What the image makes of what Python found."""
    check = 0
    for (count, named, figures), novel in zip(session.expected(), session.novelties()[1]):
        words = [count + 1 + novel, *(kind * 16 + sensor + 1 for kind, sensor in named)]
        words += [] if figures is None else figures.view(np.uint32).tolist()
        for word in words:
            check = (check * 31 + int(word)) & 0xFFFFFFFF
    return check & 0x7FFFFFFF


def test_a_cortex_m4_has_the_same_bits_within_the_budget(session: Session, folder: Path) -> None:
    """At most a tenth of a step (111,000 instructions, docs/KERNELS.md), 3 kB of code, 2 kB of memory with the stack."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    core = "cortex-m4"
    keep = slice(600, 2200)
    part = dataclasses.replace(session, rows=np.ascontiguousarray(session.rows[keep]))
    (folder / "rows.h").write_text(
        f"#include <stdint.h>\n#define ROWS {len(part.rows)}\n{bits('rows', part.rows)}\n"
    )
    objects = []
    for source in (folder / plausibility.SOURCE, folder / "kernels/et_plausibility.c"):
        objects.append(folder / f"{source.stem}-{core}.o")
        command = ["arm-none-eabi-gcc", *CORES[core].flags, *STRICT, "-O2", f"-I{folder}", "-c", source]
        run([*command, "-o", objects[-1]])
    status, said = emulate(link_image(folder, BOARD_MAIN, core, *objects), core)
    assert status == 0, said
    figures = {name: int(value) for name, value in re.findall(r"(\w+) (-?\d+)", said)}
    assert figures["check"] == checksum(part)
    sections = run(["arm-none-eabi-size", "-A", *objects])
    code = sum(int(size) for size in re.findall(r"\.text\S*\s+(\d+)", sections))
    tables = sum(int(size) for size in re.findall(r"\.rodata\S*\s+(\d+)", sections))
    a_row = instructions(figures["ticks"], core) // len(part.rows)
    judgement = instructions(figures["worst"], core)
    memory = ctypes.sizeof(State) + figures["stack"]
    print(
        f"\n{a_row} instructions a row, {judgement} a judgement, code {code} B, tables {tables} B, RAM {memory} B"
    )
    assert a_row + judgement / 200 <= 11_100
    assert code <= 3072 and memory <= 2048


def test_a_stream_called_as_a_local_name_of_the_function_is_refused(session: Session) -> None:
    """All names that the function declares; what it only reads of others (``state->row``) is no such name."""
    imu, emg = session.contract.inputs

    def made(name: str) -> str:
        stream = dataclasses.replace(emg.stream, name=name)
        contract = dataclasses.replace(
            session.contract, inputs=(imu, dataclasses.replace(emg, stream=stream))
        )
        return plausibility.files(contract, session.familiar)[plausibility.SOURCE]

    function = made("emg").partition("int32_t edgetool_plausibility_push")[2]
    declared = set(re.findall(r"(?:float|int32_t|et_\w+|edgetool_\w+) \*?([a-z]\w*)(?=[\[;,) =])", function))
    assert {"walk", "findings", "row", "found", "own", "scratch", "state"} <= declared
    for name in {*declared, "familiar"} - {"imu", "emg"}:
        with pytest.raises(ModelFileError, match=f"is called '{name}', which"):
            made(name)
    assert "const float *timing" in made("timing")


def test_what_does_not_fit_makes_no_c(session: Session) -> None:
    other = dataclasses.replace(session.familiar, tasks=(*session.familiar.tasks, "another"))
    with pytest.raises(ContractError, match="does not fit the model's sensors"):
        plausibility.files(session.contract, other)
    short = dataclasses.replace(session.calibration, walk=(1.0, 2.0))
    with pytest.raises(ContractError, match="the calibration's walk has 2 numbers"):
        plausibility.walk_lines(short, session.contract, "today")
    emg_only = dataclasses.replace(session.contract, inputs=session.contract.inputs[1:], calibration=None)
    assert plausibility.files(emg_only, session.familiar) == {}
