"""A session's calibration in C equals Python bit for bit, on the host and on emulated cores; without one nothing is given."""

from __future__ import annotations

import ctypes
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantization.c_emitter import filters
from quantization.c_emitter.calibration import calibration_header, declaration
from quantization.kernels import kernel_text
from tests.hostile import hostile_strings
from tests.quantization.c_emitter.harness import STRICT, emulate, link_image, run, unchecked, write
from tests.quantization.c_emitter.test_filters import FILTER_KERNEL, bits
from tests.tools import require
from toolkit.calibration import Calibration, calibrate, fit_reference, stages
from toolkit.calibration.people import walk_recording, walk_signals
from toolkit.contract import SensorContract
from toolkit.cores import CORES
from toolkit.data import load
from toolkit.data.channels import SEGMENTS
from toolkit.data.worn import amplified, random_rotation, turned
from toolkit.errors import ContractError
from toolkit.filtering.chain import Chain
from toolkit.model import load_checkpoint
from toolkit.records import Recording

Values = NDArray[np.float32]
GIVEN = ("imu", "emg")


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """The shipped model's contract, asking for a calibration; a walk with sensors put on anyhow, and its calibration."""

    contract: SensorContract
    walk: Recording
    calibration: Calibration

    def samples(self, name: str, rows: int) -> Values:
        return np.ascontiguousarray(self.walk.signals[name].samples[:rows], np.float32)

    def expected(self, name: str, rows: int) -> Values:
        """What Python's chain gives."""
        item = next(item for item in self.contract.inputs if item.stream.name == name)
        chain = Chain.of(item, self.contract.grid_rate_hz, stages(self.calibration, item.stream))
        return np.ascontiguousarray(chain.push(self.samples(name, rows)))


@pytest.fixture(scope="module")
def session() -> Session:
    people = load("synthetic:people=4,seed=5,tasks=level")
    reference = fit_reference(people[:6])
    contract = dataclasses.replace(load_checkpoint("pretrained").contract, calibration=reference.to_json())
    rng = np.random.default_rng(7)
    walk = turned(walk_recording(people[6:]), {segment: random_rotation(rng) for segment in SEGMENTS})
    walk = amplified(
        walk, {name: float(rng.uniform(0.3, 3)) for name in walk.signals["emg"].spec.channel_names}
    )
    found = calibrate(walk_signals(walk), reference, person='eve "*/ \n')
    biased = [dataclasses.replace(imu, bias=rng.normal(0, 0.02, 3)) for imu in found.imus]
    return Session(contract, walk, dataclasses.replace(found, imus=tuple(biased)))


@pytest.fixture(scope="module")
def folder(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filters, and the calibration as a header."""
    made = write(filters.files(session.contract), tmp_path_factory.mktemp("calibrated"))
    write({f"kernels/{name}": kernel_text(name) for name in FILTER_KERNEL}, made)
    (made / "today.h").write_text(calibration_header(session.calibration, session.contract, "today"))
    (made / "shim.c").write_text(
        '#include "today.h"\nconst edgetool_calibration *worn(void);\nconst edgetool_calibration *none(void);\n'
        "const edgetool_calibration *worn(void) { return &today; }\n"
        "const edgetool_calibration *none(void) { static edgetool_calibration zero; return &zero; }\n"
    )
    return made


@pytest.fixture(scope="module")
def library(folder: Path) -> Iterator[ctypes.CDLL]:
    require("gcc")
    out = folder / "filters.so"
    sources = [folder / filters.SOURCE, folder / "shim.c", folder / "kernels/et_filter.c"]
    run(["gcc", *STRICT, "-O2", "-fPIC", "-shared", f"-I{folder}", *sources, "-o", out])
    found = ctypes.CDLL(str(out))
    for name in ("worn", "none"):
        getattr(found, name).restype = ctypes.c_void_p
    yield found


class Filter:
    """One stream's filter of the library."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._library, self._name = library, name
        self._state = (ctypes.c_uint8 * 65536)(*([0xA5] * 65536))
        getattr(library, f"edgetool_{name}_filter_reset")(self._state)

    def calibrate(self, calibration: int | None) -> int:
        call = getattr(self._library, f"edgetool_{self._name}_filter_calibrate")
        return int(call(self._state, ctypes.c_void_p(calibration)))

    def push(self, sample: Values) -> tuple[int, Values]:
        rows = np.full((64, len(sample)), 7, np.float32)
        call = getattr(self._library, f"edgetool_{self._name}_push")
        count = call(self._state, ctypes.c_void_p(sample.ctypes.data), ctypes.c_void_p(rows.ctypes.data))
        return int(count), rows


@pytest.mark.parametrize("name", GIVEN)
def test_calibrated_chains_equal_python(session: Session, library: ctypes.CDLL, name: str) -> None:
    chain = Filter(library, name)
    assert chain.calibrate(library.worn()) == 0
    given = []
    for sample in session.samples(name, 2000):
        count, rows = chain.push(sample)
        given.append(rows[:count])
    expected = session.expected(name, 2000)
    assert len(expected) >= 200
    np.testing.assert_array_equal(np.concatenate(given).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", GIVEN)
def test_without_a_calibration_no_row_is_given(session: Session, library: ctypes.CDLL, name: str) -> None:
    chain, sample = Filter(library, name), session.samples(name, 1)[0]
    for given in (None, library.none()):
        assert chain.calibrate(given) == -1
        count, rows = chain.push(sample)
        assert count == -1 and (rows == 7).all()
    assert chain.calibrate(library.worn()) == 0 and chain.push(sample)[0] >= 0
    # One made for another model takes the place of none, and the one that was there is gone too.
    foreign = (ctypes.c_uint32 * 128)(0x12345678)
    assert chain.calibrate(ctypes.addressof(foreign)) == -1 and chain.push(sample)[0] == -1


def test_the_identity_is_sensors_as_they_are_worn(session: Session, library: ctypes.CDLL) -> None:
    """Run on purpose without a calibration: what Python's plain chain gives."""
    for item in session.contract.inputs:
        chain = Filter(library, item.stream.name)
        identity = ctypes.addressof(ctypes.c_uint8.in_dll(library, "edgetool_calibration_identity"))
        assert chain.calibrate(identity) == 0
        given = []
        for sample in session.samples(item.stream.name, 500):
            count, rows = chain.push(sample)
            given.append(rows[:count])
        expected = Chain.of(item, session.contract.grid_rate_hz).push(session.samples(item.stream.name, 500))
        np.testing.assert_array_equal(np.concatenate(given), expected)


def test_names_of_people_cannot_break_the_header(session: Session, folder: Path) -> None:
    text = (folder / "today.h").read_text()
    assert '#define EDGETOOL_TODAY_PERSON "eve \\042*/ \\012"' in text
    assert session.calibration.hash in text


def test_names_of_segments_cannot_break_the_struct(session: Session) -> None:
    """They stand in a comment: what a compiler sees is the same as with innocent ones."""

    def code(contract: SensorContract) -> str:
        return re.sub(r"/\*.*?\*/", "", "\n".join(declaration(contract)), flags=re.DOTALL)

    imu, emg = session.contract.inputs
    for name in hostile_strings(300, 13):
        if "\n" in name:  # no segment: the channel is none of an IMU
            continue
        channels = tuple(
            dataclasses.replace(c, name=c.name.replace(SEGMENTS[0], f"x{name}")) for c in imu.stream.channels
        )
        stream = dataclasses.replace(imu.stream, channels=channels)
        hostile = unchecked(session.contract, inputs=(dataclasses.replace(imu, stream=stream), emg))
        assert code(hostile) == code(session.contract), name


def test_what_does_not_fit_makes_no_header(session: Session) -> None:
    refused = dataclasses.replace(
        session.calibration,
        imus=(
            dataclasses.replace(
                session.calibration.imus[0], verdict="refused", advice="foot IMU: look at it"
            ),
            *session.calibration.imus[1:],
        ),
    )
    for calibration, contract, message in (
        (refused, session.contract, "nothing of it is used: foot IMU: look at it"),
        (
            session.calibration,
            dataclasses.replace(session.contract, calibration=None),
            "needs no calibration",
        ),
        (
            dataclasses.replace(session.calibration, reference="0" * 64),
            session.contract,
            "was made for another model",
        ),
        (
            dataclasses.replace(session.calibration, channels=session.calibration.channels[:3]),
            session.contract,
            "has no gain for tib_ant",
        ),
    ):
        with pytest.raises(ContractError, match=message):
            calibration_header(calibration, contract)


BOARD_MAIN = """
#include <string.h>

#include "samples.h"
#include "target.h"
#include "today.h"

static edgetool_imu_filter imu_filter;
static edgetool_emg_filter emg_filter;
static int32_t differing, rows_given;

#define RUN(name, channels)                                                                           \\
    for (int32_t i = 0, given = 0; i < name##_SAMPLES; ++i) {                                         \\
        float rows[64];                                                                               \\
        const int32_t count = edgetool_##name##_push(&name##_filter, (const float *)name##_samples[i], rows); \\
        rows_given += count;                                                                          \\
        differing += memcmp(rows, name##_expected[given], (unsigned)(4 * (channels) * count)) != 0;   \\
        given += count;                                                                               \\
    }

int main(void) {
    float rows[64];
    edgetool_imu_filter_reset(&imu_filter);
    edgetool_emg_filter_reset(&emg_filter);
    if (edgetool_imu_push(&imu_filter, (const float *)imu_samples[0], rows) != EDGETOOL_UNCALIBRATED) {
        return 1;
    }
    if (edgetool_imu_filter_calibrate(&imu_filter, &today) != 0 || edgetool_emg_filter_calibrate(&emg_filter, &today) != 0) {
        return 1;
    }
    RUN(imu, 24)
    RUN(emg, 9)
    target_print_number(differing);
    target_print(" of ");
    target_print_number(rows_given);
    return 0;
}
"""


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_calibrated_chains_equal_python_on_board(session: Session, folder: Path, core: str) -> None:
    require("arm-none-eabi-gcc", "qemu-system-arm")
    text, rows = ["#include <stdint.h>"], 0
    for name, count in (("imu", 200), ("emg", 1000)):
        expected = session.expected(name, count)
        rows += len(expected)
        text += [f"#define {name}_SAMPLES {count}", bits(f"{name}_samples", session.samples(name, count))]
        text.append(bits(f"{name}_expected", expected))
    (folder / "samples.h").write_text("\n".join(text) + "\n")
    objects = []
    for source in (folder / filters.SOURCE, folder / "kernels/et_filter.c"):
        objects.append(folder / f"{source.stem}-{core}.o")
        run(
            [
                "arm-none-eabi-gcc",
                *CORES[core].flags,
                *STRICT,
                "-O2",
                f"-I{folder}",
                "-c",
                source,
                "-o",
                objects[-1],
            ]
        )
    assert emulate(link_image(folder, BOARD_MAIN, core, *objects), core) == (0, f"0 of {rows}")
