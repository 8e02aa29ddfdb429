"""The wheel alone, in a fresh environment and an empty folder, converts and benches the shipped checkpoint."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(command: list[str], folder: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # From what is committed or would be: a copy without the build leftovers that setuptools would pick up.
    names = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).splitlines()
    for name in names:
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    # As README and docs/SERVICE.md say; the environment is the one that runs the tests.
    run(["make", "wheel", f"VENV={sys.prefix}"], source)
    (built,) = (source / "dist").glob("edgetool-*.whl")
    return built


def test_the_wheel_carries_what_runs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "benchmarks",
        "edgetool",
        "firmware_bridge",
        "quantization",
        "runtime",
        "toolkit",
    }
    # What only measures the project itself stays in the checkout.
    assert not [name for name in names if name.startswith("benchmarks/studies")]
    assert "benchmarks/bench.py" in names
    for needed in (
        "edgetool/sbom.cdx.json",
        "toolkit/model/pretrained/cross_lstm_synthetic.safetensors",
        "toolkit/model/pretrained/cross_lstm_calibrated.safetensors",
        "quantization/kernels/lstm/et_lstm.h",
        "firmware_bridge/protocol/codec_c/edgetool_frame.c",
        "benchmarks/report/report.html",
        "benchmarks/report/page.html",
        "quantization/analysis/error_report.html",
    ):
        assert needed in names
    sbom = json.loads(zipfile.ZipFile(wheel).read("edgetool/sbom.cdx.json"))
    assert f"edgetool-{sbom['metadata']['component']['version']}-" in wheel.name
    assert {"numpy", "flatbuffers", "click"} <= {component["name"] for component in sbom["components"]}


def test_the_set_up_in_the_docs_names_the_file_that_make_wheel_writes(wheel: Path) -> None:
    for page in ("README.md", "docs/SERVICE.md"):
        named = re.findall(r"edgetool-[^ /\[`]+\.whl", (ROOT / page).read_text(encoding="utf-8"))
        assert named and set(named) == {wheel.name}, page


def test_the_installed_wheel_converts_and_benches(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[deploy]"], tmp_path)
    edgetool = str(home / "bin" / "edgetool")
    empty = tmp_path / "empty"
    empty.mkdir()
    # People 2 and 8 are those of the shipped split's test part among the first eight.
    data = "synthetic:people=8,seconds=4,tasks=level+stairs-up"
    run([edgetool, "convert", "pretrained", "--data", data, "--out", "bundle"], empty)
    run(
        [edgetool, "bench", "bundle", "--windows", "200", "--json", "bench.json", "--html", "bench.html"],
        empty,
    )
    report = json.loads((empty / "bench.json").read_text())
    rows = {(r["engine"], r["graph"], r["scheme"]): r for r in report["runs"]}
    assert rows["litert", "window", "int8"]["accuracy"]["error_vs_float_pct"] <= 2.5
    assert rows["tflm", "window", "int8"]["accuracy"]["error_vs_float_pct"] <= 2.5
    where = run(
        [str(home / "bin" / "python"), "-c", "import toolkit; print(toolkit.__file__)"], empty
    ).strip()
    assert Path(where).is_relative_to(home)
