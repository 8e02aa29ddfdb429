"""``edgetool validate`` on an emulated board and on the host: exit codes, and evidence that repeats byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.targets import device_data
from benchmarks.validation.validate import golden_check, source_check
from edgetool.cli import main
from quantization import golden
from quantization.bundle import Bundle
from quantization.convert import convert
from tests.artefacts import DATA
from tests.tools import require

BUDGETS = """\
rmse_increase_pct = 5.0
window_instructions = 3_400_000
step_instructions = 125_000
flash_bytes = 96_000
ram_bytes = 14_000
"""


@pytest.fixture(scope="module")
def bundle(shipped_bundle: Path) -> Path:
    return shipped_bundle


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to prove the path; a validation itself runs 200 windows and up to 2,800 steps."""
    require("arm-none-eabi-gcc", "qemu-system-arm", "make")
    monkeypatch.setattr(device_data, "WINDOWS", 8)
    monkeypatch.setattr(device_data, "STEPS", 200)
    monkeypatch.setattr(device_data, "RECORDINGS", 1)


def status(*arguments: object) -> int:
    """Exit status of the command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_evidence_of_two_runs_is_the_same_byte_for_byte(few: None, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "budgets.toml").write_text(BUDGETS)
    # Another folder and another name: the evidence knows neither.
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(bundle, tmp_path / "elsewhere" / "other-name")
    shared = ["--on", "qemu:cortex-m4", "--budgets", tmp_path / "budgets.toml", "--windows", 60]
    first, second = tmp_path / "first", tmp_path / "second"
    assert status("validate", bundle, *shared, "--out", first) == 0
    assert (
        status("validate", tmp_path / "elsewhere" / "other-name", *shared, "--data", DATA, "--out", second)
        == 0
    )
    one, two = contents(first), contents(second)
    assert set(one) == {
        "verdict.json", "report.json", "build.json", "golden.npz", "manifest.json", "budgets.toml", "SHA256SUMS",
    }  # fmt: skip
    assert {name for name in one if one[name] != two[name]} == set()
    for name, content in one.items():
        assert str(tmp_path).encode() not in content, name
    sums = dict(reversed(line.split("  ")) for line in one["SHA256SUMS"].decode().splitlines())
    assert sums == {n: hashlib.sha256(c).hexdigest() for n, c in one.items() if n != "SHA256SUMS"}
    verdict = json.loads(one["verdict.json"])
    assert verdict["passed"] is True
    names = {(check["row"], check["name"]) for check in verdict["checks"]}
    assert {
        ("window", "differing_outputs"),
        ("stream", "differing_outputs"),
        ("image", "flash_bytes"),
    } <= names
    build = json.loads(one["build.json"])["qemu:cortex-m4"]
    assert build["compiler"].startswith("arm-none-eabi-gcc ")
    assert "-mcpu=cortex-m4" in build["flags"]
    assert "c/edgetool_model.c" in build["sources"]


def test_an_unknown_budget_is_exit_code_2_before_any_work(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "budgets.toml").write_text("# bounds\nflash = 50_000\n")
    assert status("validate", bundle, "--budgets", tmp_path / "budgets.toml") == 2
    assert "budgets.toml:2: there is no budget 'flash'; allowed: " in capsys.readouterr().err


def test_on_the_host_a_broken_budget_is_exit_code_1_and_the_evidence_is_there(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No machine infers in a nanosecond: that the figure is taken and held against its bound is what is tested.
    (tmp_path / "budgets.toml").write_text(
        "rmse_increase_pct = 5\nflash_bytes = 1\n[target.host]\np99_ms = 0.000_001\n"
    )
    out = tmp_path / "out"
    arguments = ["validate", bundle, "--budgets", tmp_path / "budgets.toml", "--windows", 60, "--out", out]
    assert status(*arguments) == 1
    said = capsys.readouterr()
    assert said.out.count("FAIL host") == 4
    assert max(len(line) for line in said.out.splitlines()) <= 80
    assert "validation failed: p99_ms of host litert int8 window is " in said.err
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["passed"] is False
    timed = [check for check in verdict["checks"] if check["name"] == "p99_ms"]
    assert {check["row"] for check in timed} == {
        f"{engine} int8 {graph}" for engine in ("litert", "native") for graph in ("window", "stream")
    }
    assert all(check["label"] == "measured" and not check["passed"] for check in timed)
    assert [one["name"] for one in verdict["not_judged"]] == ["flash_bytes"]
    measured: dict[str, Any] = json.loads((out / "measured.json").read_text())
    assert {row["engine"] for row in measured["rows"]} == {"litert", "native", "tflm"}


def test_the_verdict_on_standard_output_is_alone_there(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("validate", bundle, "--windows", 20, "--json", "-") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["passed"] is True
    assert "Passed: " in said.err


def test_golden_vectors_that_are_not_the_references_fail(bundle: Path, tmp_path: Path) -> None:
    loaded = Bundle.load(bundle)
    name = "moments.window.int8.tflm"
    if name not in loaded.golden:
        pytest.skip("NOT TESTED: tflite-micro is not installed (x86-64 Linux only)")
    check = golden_check(loaded)
    assert check is not None and check.value == 0 and check.passed
    changed = {key: values.copy() for key, values in loaded.golden.items()}
    changed[name][3, 0] += 1
    changed[name][5, 1] -= 1
    other = tmp_path / "bundle"
    shutil.copytree(bundle, other)
    (other / "golden.npz").write_bytes(golden.to_bytes(changed))
    manifest = json.loads((other / "manifest.json").read_text())
    content = (other / "golden.npz").read_bytes()
    manifest["files"]["golden.npz"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (other / "manifest.json").write_text(json.dumps(manifest))
    check = golden_check(Bundle.load(other))
    assert check is not None and check.value == 2 and not check.passed


def test_c_that_is_not_what_the_graphs_give_fails(tmp_path: Path) -> None:
    """As after an edgetool of another version: a kernel that was otherwise, one that is gone and one that is new."""
    out = tmp_path / "bundle"
    convert(
        "pretrained",
        DATA,
        out,
        converter="builtin",
        calibration_windows=20,
        core="cortex-m4",
        prefix="left",
    )
    check = source_check(Bundle.load(out))
    assert check is not None and check.value == 0 and check.passed
    manifest = json.loads((out / "manifest.json").read_text())
    files = manifest["files"]
    (out / "c/kernels/et_widen.c").rename(out / "c/kernels/et_older.h")
    files["c/kernels/et_older.h"] = files.pop("c/kernels/et_widen.c")
    content = (out / "c/left_model.c").read_bytes() + b"\n"
    (out / "c/left_model.c").write_bytes(content)
    files["c/left_model.c"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (out / "manifest.json").write_text(json.dumps(manifest))
    check = source_check(Bundle.load(out))
    assert check is not None and check.value == 3 and not check.passed
    assert str(check) == "differing_sources of bundle c is 3, the bound is 0"


def test_a_bundle_without_c_has_no_such_check(bundle: Path) -> None:
    assert source_check(Bundle.load(bundle)) is None


def test_a_folder_of_another_kind_is_refused_before_any_work(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert status("validate", bundle, "--out", tmp_path / "out") == 2
    assert "holds no verdict.json, so edgetool will not replace it" in capsys.readouterr().err
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"
