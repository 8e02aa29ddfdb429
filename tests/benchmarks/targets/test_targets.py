"""``bench --on qemu:`` and ``--on serial:``: rows beside the host's, and what a wrong kernel, board or model becomes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.bench import bench
from benchmarks.targets import device_data, device_image
from benchmarks.targets import qemu as target_qemu
from benchmarks.validation.validate import validate
from edgetool.cli import edgetool, main
from firmware_bridge.protocol.table import Operation
from firmware_bridge.target.build import Image
from firmware_bridge.target.emulator import Emulator
from firmware_bridge.target.link import TargetLink
from quantization.bundle import MANIFEST, Bundle
from quantization.convert import convert
from quantization.graph.ir import Graph
from quantization.tflite.file import read
from tests.artefacts import DATA
from tests.tools import require
from toolkit.errors import (
    ContractError,
    LinkError,
    MissingDependencyError,
    UsageError,
)


@pytest.fixture(scope="module", autouse=True)
def few() -> Any:
    """A dozen windows and a hundred steps prove the path; the benchmark itself runs 200 and 2,000."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_data, "WINDOWS", 12)
        patch.setattr(device_data, "STEPS", 250)
        patch.setattr(device_data, "RECORDINGS", 1)
        yield


@pytest.fixture(scope="module")
def bundle(shipped_bundle: Path) -> Path:
    return shipped_bundle


def rows(value: dict[str, Any], target: str) -> dict[str, Any]:
    return {run["graph"]: run for run in value["runs"] if run["target"] == target}


#: What one SIMD multiply-accumulate instruction does, by the bits of its factors: SMLAD, and VMLADAVA on 128 bits.
CORES = (
    ("qemu:cortex-m4", "cortex-m4", {8: 2, 16: 2}),
    ("qemu:cortex-m55", "cortex-m55", {8: 16, 16: 8}),
)


def test_rows_beside_the_hosts(bundle: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "bench.json", tmp_path / "bench.html"
    arguments = [
        "bench",
        str(bundle),
        "--windows",
        "300",
        "--on",
        "qemu:cortex-m4",
        "--on",
        "qemu:cortex-m55",
    ]
    result = CliRunner().invoke(
        edgetool, [*arguments, "--json", str(out), "--html", str(page)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    value = json.loads(out.read_text())
    assert value["runs"][0]["baseline"] and value["runs"][0]["target"] == "host"
    for target, core, lanes in CORES:
        found = rows(value, target)
        assert set(found) == {"window", "stream"}
        for graph, compared in (("window", 12), ("stream", None)):
            figures = found[graph]["figures"]
            assert figures["bit_exact"]["differing"] == 0
            assert compared is None or figures["bit_exact"]["compared"] == compared
            assert figures["core"] == core and figures["self_test"] == "passed"
            count = figures["instructions"]
            assert count["label"] == "emulated"
            # Products by hand. Of int8 factors: LSTM 256 x (24 + 9 + 2 x 64) a sample, queries 2 x 64 x 64. Of int16: scores
            # and contexts 4 x 64 x 64, projections of what attention gives 2 x 64 x 64, head 128 x 64 + 64 x 3.
            narrow = (64 if graph == "window" else 1) * 41_216 + 8_192
            least = narrow / lanes[8] + 32_960 / lanes[16]
            assert figures["simd_limit_pct"] == pytest.approx(100 * least / count["median"])
            assert figures["simd_limit_pct"] < 100
            estimate = figures["time_us"]
            assert estimate["label"] == "estimated"
            assert estimate["value"] == pytest.approx(
                count["median"] * estimate["cycles_per_instruction"] / estimate["clock_hz"] * 1e6
            )
            assert found[graph]["latency"] is None, "an emulator has no time"
            assert found[graph]["accuracy"]["error_vs_float_pct"] < 1.0
            # Flash as the README states it, in bytes; RAM is the state and the stack that was painted.
            assert figures["flash_bytes"]["library"] < 96_000 < figures["flash_bytes"]["image"]
            ram = figures["ram_bytes"]
            assert ram["library_with_stack"] == ram["library"] + figures["stack_bytes"]["value"] <= 14_000
    assert "qemu:cortex-m55" in result.output and "0 of 12" in result.output
    # All but the names of the files, which are as long as their folder.
    assert max(len(line) for line in result.output.splitlines() if not line.startswith("Wrote")) <= 80
    assert 'id="devices"' in page.read_text()


def test_a_bundle_is_read_once_and_one_image_is_built(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs the bundle has the loaded one, and the evidence of a validation is about the image that was judged."""
    opened: Counter[str] = Counter()
    hashed: Counter[bytes] = Counter()
    built: list[Path] = []
    plain_hash, plain_build = hashlib.sha256, device_image.build

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
            opened[Path(os.fspath(arguments[0])).name] += 1

    def counted_hash(content: bytes = b"") -> Any:
        hashed[bytes(content)] += 1
        return plain_hash(content)

    def counted_build(*arguments: Any) -> Image:
        built.append(arguments[0])
        return plain_build(*arguments)

    monkeypatch.setattr("quantization.bundle_folder.hashlib", SimpleNamespace(sha256=counted_hash))
    monkeypatch.setattr(device_image, "build", counted_build)
    sys.addaudithook(heard)  # it stays, and counts on in vain
    verdict = validate(bundle, on=["qemu:cortex-m4"], windows=60)
    seen = Counter(opened)
    assert len(built) == 1
    names = [Path(name).name for name in (MANIFEST, *verdict.bundle.manifest["files"])]
    assert {name: seen[name] for name in names} == dict.fromkeys(names, 1)
    assert [hashed[content] for content in verdict.bundle.files.values()] == [1] * (len(names) - 1)
    assert verdict.report.builds["qemu:cortex-m4"].board == "mps2-an386"


def change_c(monkeypatch: pytest.MonkeyPatch, name: str, line: str, changed: str) -> None:
    """Every image from now on is built with ``line`` of the generated file ``name`` as ``changed``."""
    plain = device_image.write_c

    def broken(loaded: Bundle, core: str, folder: Path, prefer: str | None = None) -> None:
        plain(loaded, core, folder, prefer)
        text = (folder / name).read_text()
        assert text.count(line) == 1
        (folder / name).write_text(text.replace(line, changed))

    monkeypatch.setattr(device_image, "write_c", broken)


def graph_of(bundle: Path, kind: Literal["window", "stream"]) -> Graph:
    return read(Bundle.load(bundle).graph(kind, "int8").content)


def test_a_wrong_kernel_is_found_and_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A softmax that is off in the generated C: both rows say so, with window or step, output and tensor."""
    line = "        y += depth;\n"
    wrong = "        y[0] = (int16_t)(y[0] ^ 64);\n" + line
    change_c(monkeypatch, "c/kernels/et_softmax_s16.c", line, wrong)
    report = bench(bundle, on=["qemu:cortex-m4"], windows=300)
    for run, kind in zip(report.devices, ("window", "stream"), strict=True):
        exact = run.measured.figures["bit_exact"]
        assert exact["differing"] > 0 and run.measured.figures["self_test"] == "failed"
        graph = graph_of(bundle, kind)
        softmax = [graph.tensors[op.outputs[0]].name for op in graph.ops if op.kind == "SOFTMAX"]
        assert exact["first"]["tensor"] == softmax[0]
        assert ("window" in exact["first"]) == (kind == "window")


def test_a_memory_that_is_a_row_too_short_is_found_in_the_step_that_needs_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows are right, and so are 63 steps; the 64th has no place for its row."""
    change_c(monkeypatch, "c/edgetool_model.c", "place == 63 ? 0", "place == 62 ? 0")
    report = bench(bundle, on=["qemu:cortex-m55"], windows=60)
    window, stream = (run.measured.figures["bit_exact"] for run in report.devices)
    assert window["differing"] == 0 and window["first"] is None
    assert stream["differing"] > 0 and stream["first"]["step"] == 63
    graph = graph_of(bundle, "stream")
    # The first tensor over the memory that is computed: which of its rows hold a sample.
    ages = [op.outputs[0] for op in graph.ops if op.kind == "CONCATENATION"]
    known = {graph.tensors[index].name: graph.tensors[index].shape for index in ages}
    assert known[stream["first"]["tensor"]] == (1, 64, 1)


class FaultyPort:
    """A port between bench and board that loses, flips and doubles bytes in both directions; ``rate``: faults a byte."""

    def __init__(self, port: Any, seed: int, rate: float) -> None:
        self._port, self._draw, self._rate = port, random.Random(seed), rate
        self.faults = [0, 0, 0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def _mangle(self, data: bytes) -> bytes:
        result = bytearray()
        for byte in data:
            kind = self._draw.randrange(3) if self._draw.random() < self._rate else None
            if kind is not None:
                self.faults[kind] += 1
            changed = byte ^ 1 << self._draw.randrange(8) if kind == 1 else byte
            result += bytes([changed] * (1, 0, 1, 2)[0 if kind is None else kind + 1])
        return bytes(result)

    def read(self, size: int) -> bytes:
        return self._mangle(self._port.read(size))

    def write(self, data: bytes) -> int:
        self._port.write(self._mangle(data))
        return len(data)


def test_a_bad_line_costs_time_and_changes_no_figure(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a bench over a line that damages one byte in 5,000 are those over a good line."""
    ports: list[FaultyPort] = []
    plain_open = target_qemu.open_port

    def bad(url: str) -> FaultyPort:
        ports.append(FaultyPort(plain_open(url), seed=2026, rate=2e-4))
        return ports[-1]

    clean = bench(bundle, on=["qemu:cortex-m4"], windows=60).devices
    monkeypatch.setattr(target_qemu, "open_port", bad)
    # A reply takes some 20 ms here; eight attempts, so that chance ends no test.
    monkeypatch.setattr(target_qemu, "TargetLink", partial(TargetLink, timeout_s=0.5, attempts=8))
    found = bench(bundle, on=["qemu:cortex-m4"], windows=60).devices
    assert min(ports[0].faults) > 0, "bytes lost, flipped and doubled"
    assert found[-1].measured.figures["resent_requests"] >= 5
    for one, other in zip(clean, found, strict=True):
        assert np.array_equal(one.measured.estimates, other.measured.estimates)
        assert other.measured.figures["bit_exact"]["differing"] == 0
        for name in ("bit_exact", "flash_bytes", "core", "self_test"):
            assert one.measured.figures[name] == other.measured.figures[name]
        # One tick of the counter is 40 instructions; an interrupt for a byte that comes late adds none to the model's own.
        counts = [run.measured.figures["instructions"]["mean"] for run in (one, other)]
        assert counts[0] == pytest.approx(counts[1], abs=40)


@pytest.mark.parametrize(
    ("operation", "number", "what", "message"),
    [
        ("window", 7, "reset", "qemu:cortex-m4 was reset in the middle of the run; its state is lost"),
        ("step", 100, "reset", "qemu:cortex-m4 was reset in the middle of the run; its state is lost"),
        ("step", 100, "stop", "qemu:cortex-m4 did not answer step in 4 attempts of 0.5 s"),
    ],
)
def test_a_board_that_fails_in_the_middle_ends_the_bench(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    number: int,
    what: str,
    message: str,
) -> None:
    """Reset or hung just before its nth inference: an error that says so, and no row and no file."""
    boards: list[Emulator] = []
    asked: list[str] = []
    plain_infer = TargetLink._infer

    def kept(image: Image) -> Emulator:
        boards.append(Emulator(image))
        return boards[-1]

    def infer(link: TargetLink, asks: Operation, *rest: Any) -> Any:
        asked.append(asks.name.lower())
        if asked.count(operation) == number and asked[-1] == operation:
            getattr(boards[0], what)()
        return plain_infer(link, asks, *rest)

    monkeypatch.setattr(target_qemu, "Emulator", kept)
    # What hangs is waited for to the end of all attempts; a board that was reset answers when this machine lets it.
    if what == "stop":
        monkeypatch.setattr(target_qemu, "TargetLink", partial(TargetLink, timeout_s=0.5))
    monkeypatch.setattr(TargetLink, "_infer", infer)
    with pytest.raises(LinkError, match=message):
        bench(bundle, on=["qemu:cortex-m4"], windows=60, json=tmp_path / "bench.json")
    assert asked.count(operation) == number
    assert list(tmp_path.iterdir()) == []


def emulated(bundle: Path, folder: Path) -> Image:
    return device_image.build_image(Bundle.load(bundle), "mps2-an386", folder)


def test_a_board_on_a_serial_port(bundle: Path, tmp_path: Path) -> None:
    """An emulated board on a pseudo-terminal stands for one that is plugged in."""
    with Emulator(emulated(bundle, tmp_path)) as board:
        target = f"serial:{board.url}"
        report = bench(bundle, on=["host", target], windows=300)
    device = {run.measured.graph: run.measured for run in report.devices}
    assert device["window"].figures["bit_exact"] == {"compared": 12, "differing": 0, "first": None}
    assert "flash_bytes" not in device["window"].figures, "an image that was not built here is not measured"


def test_a_board_with_another_model_is_refused(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    convert("pretrained", DATA, other, converter="builtin", calibration_windows=20)
    with Emulator(emulated(other, tmp_path / "image")) as board:
        with pytest.raises(ContractError, match=r"runs model [0-9a-f]{12} and the bundle holds [0-9a-f]{12}"):
            bench(bundle, on=[f"serial:{board.url}"], windows=300)


def test_targets_that_are_not_there(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="allowed: qemu:cortex-m4"):
        bench(bundle, on=["qemu:cortex-m99"], windows=300)
    with pytest.raises(LinkError, match="is the board plugged in"):
        bench(bundle, on=["serial:/dev/no-such-port"], windows=300)
    # Before any work: not even the bundle has been looked at.
    with pytest.raises(LinkError, match="is the board plugged in"):
        bench("no/such/bundle", on=["host", "serial:/dev/no-such-port"])
    with pytest.raises(UsageError, match="names no port; say for instance"):
        bench("no/such/bundle", on=["serial:"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        with pytest.raises(MissingDependencyError, match="apt install gcc-arm-none-eabi"):
            bench("no/such/bundle", on=["host", "qemu:stm32f405"])
    with pytest.raises(SystemExit) as left:
        main(["bench", str(bundle), "--on", "teapot"])
    assert left.value.code == 2
    assert "allowed: host, qemu:cortex-m4, serial:/dev/ttyACM0" in capsys.readouterr().err
