"""``edgetool bench`` on a bundle of the shipped checkpoint: rows, exit codes, files, refusals, the rendered page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.cli import edgetool, main
from tests.tools import require
from toolkit.errors import UsageError


@dataclass(frozen=True)
class Benched:
    bundle: Path
    json_file: Path
    html_file: Path
    output: str
    value: dict[str, Any]

    def run(self, engine: str, scheme: str, graph: str = "window") -> dict[str, Any]:
        found = [
            r for r in self.value["runs"] if (r["engine"], r["scheme"], r["graph"]) == (engine, scheme, graph)
        ]
        assert len(found) == 1, (engine, scheme, graph)
        return found[0]


@pytest.fixture(scope="module")
def benched(shipped_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Benched:
    folder = tmp_path_factory.mktemp("bench")
    bundle = shipped_bundle
    files = folder / "bench.json", folder / "bench.html"
    arguments = ["bench", str(bundle), "--windows", "300", "--json", str(files[0]), "--html", str(files[1])]
    result = CliRunner().invoke(edgetool, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return Benched(bundle, *files, result.output, json.loads(files[0].read_text()))


def test_every_engine_is_there_and_near_the_float_model(benched: Benched) -> None:
    torch = benched.run("torch", "float32")
    assert torch["baseline"] and benched.value["runs"][0] is torch
    assert torch["accuracy"]["rmse_increase_pct"] == 0 == torch["accuracy"]["error_vs_float_pct"]
    # The same float32 arithmetic in another order: differences of 1e-6 Nm/kg, a deviation near 0.3.
    assert benched.run("litert", "float32")["accuracy"]["error_vs_float_pct"] < 0.01
    for engine in ("litert", "tflm", "native"):
        accuracy = benched.run(engine, "int8")["accuracy"]
        # The bounds of a deployed model, with data and calibration that are a small part of the demo's.
        assert accuracy["rmse_increase_pct"] <= 1.5 and 0 < accuracy["error_vs_float_pct"] <= 2.5
    assert benched.run("litert", "int8")["accuracy"] != benched.run("tflm", "int8")["accuracy"]


def test_the_native_engine_gives_what_a_microcontroller_gives(benched: Benched) -> None:
    """The integer reference's bits: TensorFlow Lite Micro's for windows, and for a stream those of the graph from reset."""
    native, tflm = (benched.run(engine, "int8")["accuracy"] for engine in ("native", "tflm"))
    assert native == tflm
    stream = benched.run("native", "int8", "stream")
    assert stream["compared_with"] == "litert float32 stream"
    assert 0 < stream["accuracy"]["error_vs_float_pct"] <= 2.5
    library, state = (stream["size"][name] for name in ("model_bytes", "arena_bytes"))
    assert (
        library > (benched.bundle / "models" / "window.int8.tflite").stat().st_size and 4_000 < state < 20_000
    )


def test_without_a_compiler_the_native_rows_say_so(benched: Benched, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.bench import bench

    monkeypatch.setenv("CC", "no-such-compiler")
    report = bench(benched.bundle, windows=30)
    assert not [run for run in report.runs if run.measured.engine == "native"]
    reasons = {one.reason for one in report.skipped if (one.engine, one.scheme) == ("native", "int8")}
    assert len(reasons) == 1 and "apt install gcc" in reasons.pop()
    threads = bench(benched.bundle, windows=30, threads=2).skipped
    assert any(one.engine == "native" and "one thread" in one.reason for one in threads)


def test_latency_and_size_are_plausible(benched: Benched) -> None:
    for run in benched.value["runs"]:
        latency = run["latency"]
        assert latency["label"] == "measured" and latency["n"] >= 200
        assert 0 < latency["p50_us"] <= latency["p90_us"] <= latency["p99_us"] <= latency["max_us"]
        assert latency["sample_period_us"] == 10_000
    file = benched.bundle / "models" / "window.int8.tflite"
    assert benched.run("litert", "int8")["size"]["model_bytes"] == file.stat().st_size
    assert 20_000 < benched.run("tflm", "int8")["size"]["arena_bytes"] < 100_000


def test_state_does_not_leak_between_windows(benched: Benched) -> None:
    """Each window alone in a fresh interpreter gives what it gave in the row of all windows."""
    from benchmarks.bench import bench
    from benchmarks.engines import load
    from quantization.bundle import Bundle

    report = bench(benched.bundle, windows=100)
    bundle = Bundle.load(benched.bundle)
    graph = bundle.graph("window", "int8")
    for name in ("litert", "tflm"):
        whole = next(
            r.measured.estimates
            for r in report.runs
            if (r.measured.engine, r.measured.graph, r.measured.scheme) == (name, "window", "int8")
        )
        data = report.data
        for row in (0, 57, len(data.windows) - 1):
            alone = type(data)(
                data.contract, data.segments, data.windows.take(np.array([row])), data.units, 1, "test", "x"
            )
            moments = load(name, bundle, graph, 1).estimate(alone, lambda n: None)
            np.testing.assert_array_equal(moments[0], whole[row])


def test_console_is_readable(benched: Benched) -> None:
    assert max(map(len, benched.output.splitlines())) <= max(80, len(f"Wrote {benched.html_file}"))
    assert "synthetic gait" in benched.output and "torch float32" in benched.output
    assert re.search(r"litert int8 .* [+-]\d+\.\d\d %", benched.output)


def run_main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["--quiet", "bench", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().err


def test_broken_budget_is_exit_code_1_after_the_files(
    benched: Benched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "a.json", tmp_path / "a.html"
    code, error = run_main(
        capsys, str(benched.bundle), "--windows", "50", "--max-p99-us", "1",
        "--json", str(files[0]), "--html", str(files[1]),
    )  # fmt: skip
    assert code == 1
    assert re.search(r"budget broken: p99_us of host litert int8 window is [\d.,]+, the bound is 1", error)
    assert "tflm" not in error and error.count("\n") == 1
    assert json.loads(files[0].read_text())["budgets"]["broken"][0]["budget"] == "p99_us"
    assert "budget broken" in files[1].read_text()


def test_a_changed_bundle_is_refused(
    benched: Benched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(benched.bundle, changed)
    file = changed / "models" / "window.int8.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    code, error = run_main(capsys, str(changed))
    assert code == 2
    assert "models/window.int8.tflite was changed after its manifest" in error and error.count("\n") == 1


def test_json_on_standard_output_is_alone_there(
    benched: Benched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", str(benched.bundle), "--windows", "20", "--max-p99-us", "1", "--json", "-"]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--html", str(tmp_path / "a.html")])
    assert left.value.code == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["budgets"]["broken"][0]["budget"] == "p99_us"
    assert "Accuracy, all joints" in said.err and "budget broken" in said.err
    assert not Path("-").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "moon"], "moon"),
        (["--on", "moon"], "target 'moon' is not known; allowed: host"),
        (["--windows", "0"], "windows is 0; it must be at least 1"),
        (["--threads", "0"], "--threads is 0"),
        (["--max-p99-us", "-1"], "--max-p99-us is -1.0; give microseconds above 0"),
        (["--max-rmse-increase", "nan"], "--max-rmse-increase is nan; give a percentage"),
    ],
)
def test_bad_arguments(
    benched: Benched, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = run_main(capsys, str(benched.bundle), *arguments)
    assert code == 2 and message in error and error.count("\n") == 1


def test_data_that_is_not_here_must_be_given(benched: Benched) -> None:
    from benchmarks.bench import bench
    from quantization.bundle import Bundle

    bundle = Bundle.load(benched.bundle)
    elsewhere = replace(bundle, manifest={**bundle.manifest, "data": {"source": "walk.toml"}})
    with pytest.raises(
        UsageError, match=r"was made from 'walk.toml', which is not here; say where it is with --data"
    ):
        bench(elsewhere)


def test_no_bundle_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run_main(capsys, str(tmp_path / "none"))
    assert code == 2 and "is not a folder; a bundle is the folder that edgetool convert writes" in error


def chromium(page: Path, folder: Path, *options: str) -> str:
    command = [
        require("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", *options, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_browser_finds_plots_and_figures(benched: Benched, tmp_path: Path) -> None:
    page = chromium(benched.html_file, tmp_path, "--dump-dom")
    joints, tasks = len(benched.value["data"]["joints"]), len(benched.value["data"]["tasks"])
    assert page.count('<svg class="plot gait"') == joints * tasks
    assert page.count('<svg class="plot latency"') == len(benched.value["runs"])
    assert page.count('<svg class="plot rows"') >= joints + 1
    assert f"{benched.run('litert', 'int8')['accuracy']['rmse']:.4f}" in page
    assert "synthetic gait" in page


@pytest.mark.parametrize("width", [1200, 500])
def test_page_renders(benched: Benched, tmp_path: Path, width: int) -> None:
    from matplotlib.image import imread

    picture = tmp_path / "page.png"
    chromium(benched.html_file, tmp_path, f"--window-size={width},2400", f"--screenshot={picture}")
    pixels = np.round(imread(picture)[..., :3] * 255).astype(int)
    assert pixels.shape[:2] == (2400, width)
    # The colours of three curves and of the text are on it: a page without style or plots has none of them.
    for colour in ("#0b62a8", "#d9590b", "#1d2329"):
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels - wanted).max(axis=-1) <= 2).sum() > 50, colour
    ink = (np.abs(pixels - pixels[0, 0]).max(axis=-1) > 40).mean(axis=1)
    assert (ink > 0.005).mean() > 0.3  # something on many rows, down the page
