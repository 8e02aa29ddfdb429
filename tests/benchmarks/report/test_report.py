"""The JSON is what docs/BENCH.md says, the page loads nothing, the tables fit a terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.evaluation.accuracy import Accuracy
from benchmarks.records import Run
from benchmarks.report import html as report_html
from benchmarks.report import json_file as report_json
from benchmarks.report.console import show
from benchmarks.report.svg import Scale, label, nice_step
from tests.benchmarks.report.small_report import small_report
from toolkit.contract import Channel
from toolkit.errors import OutputError
from toolkit.terminal import console

DOCS = Path(__file__).resolve().parents[3] / "docs" / "BENCH.md"


def documented() -> dict[str, Any]:
    text = DOCS.read_text().split("<!-- example -->")[1]
    value: dict[str, Any] = json.loads(text.split("```json")[1].split("```")[0])
    return value


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def require_like(example: Any, actual: Any, where: str) -> None:
    """Every field of the documented example is in the report, with a value of the same type."""
    if example is None or actual is None:
        return
    assert kind(example) == kind(actual), where
    if isinstance(example, dict):
        named_by_data = where.endswith(("per_joint", "per_task", "engine"))
        if named_by_data:
            for one in actual.values():
                require_like(next(iter(example.values())), one, where + ".*")
            return
        missing = set(example) - set(actual)
        assert not missing, f"{where} lacks {missing}"
        for name in example:
            require_like(example[name], actual[name], f"{where}.{name}")
    elif isinstance(example, list):
        for one in actual:
            require_like(example[0], one, where + "[]")


def test_json_is_as_documented() -> None:
    value = report_json.to_json(small_report(max_rmse_increase=1.0))
    assert value["schema"] == 1
    value["bundle"] = documented()["bundle"] | value["bundle"]  # scheme and engine come from a manifest
    require_like(documented(), value, "report")


def test_json_figures_by_hand(tmp_path: Path) -> None:
    report_json.write(small_report(max_rmse_increase=10), tmp_path / "bench.json")
    value = json.loads((tmp_path / "bench.json").read_text())
    assert value["data"] | {"contract_hash": ""} == {
        "kind": "synthetic", "source": "synthetic", "part": "test", "windows": 1000, "windows_available": 1000,
        "gait_cycles": 10, "recordings": 2, "people": ["one"], "tasks": ["level", "stairs-up"],
        "joints": ["hip_flexion_moment", "knee_extension_moment"], "rate_hz": 100.0, "window": 4, "horizon_ms": 0.0,
        "contract_hash": "",
    }  # fmt: skip
    int8 = next(r for r in value["runs"] if (r["engine"], r["scheme"]) == ("litert", "int8"))
    # Float is off by 0.1 everywhere, int8 by 0.12: 20 % more. Tolerances: estimates are float32 (1e-7 of values up to 2).
    assert int8["accuracy"]["rmse"] == pytest.approx(0.12, rel=1e-5)
    assert int8["accuracy"]["rmse_increase_pct"] == pytest.approx(20, rel=1e-4)
    assert int8["accuracy"]["per_task"]["level"]["per_joint"]["knee_extension_moment"][
        "rmse"
    ] == pytest.approx(0.12, rel=1e-5)
    # A sine of amplitude 1 and one of 2 have variances 0.5 and 2: 0.02 is 1.789 % of sqrt(1.25).
    assert int8["accuracy"]["error_vs_float_pct"] == pytest.approx(100 * 0.02 / np.sqrt(1.25), rel=1e-4)
    assert int8["latency"]["p50_us"] == 2049 and int8["latency"]["max_us"] == 2099
    assert int8["latency"]["p99_share_pct"] == pytest.approx(20.98)
    assert value["budgets"]["broken"][0]["row"] == "host litert int8 window"
    assert [one["row"] for one in value["budgets"]["broken"]] == [
        "host litert int8 window",
        "host tflm int8 window",
    ]


def test_what_cannot_be_computed_is_null(tmp_path: Path) -> None:
    report = small_report()
    run = report.runs[1]
    spoiled = replace(
        run, accuracy=replace(run.accuracy, overall=replace(run.accuracy.overall, r2=float("nan")))
    )
    report_json.write(replace(report, runs=(report.runs[0], spoiled)), tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text())["runs"][1]["accuracy"]["r2"] is None


def test_page_is_one_file_with_its_plots_and_figures() -> None:
    page = report_html.page(small_report(max_rmse_increase=10))
    assert not re.findall(r"(?:src|href|@import|url\()", page), "the page must load nothing"
    assert "<script" not in page
    assert page.count('class="plot gait"') == 4  # two tasks, two joints
    assert page.count('class="plot rows"') == 4  # two joints, and the increase of two int8 rows
    assert page.count('class="plot latency"') == 4  # four rows
    assert "synthetic gait" in page and "+20.00 %" in page and "0.1200" in page
    assert (
        "budget broken" in page
        and "rmse_increase_pct of host litert int8 window is 20, the bound is 10" in page
    )
    assert "edgetool bench bundle --data synthetic" in page
    assert "Bench of &lt;bundle&gt;" in page and "<bundle>" not in page  # names are escaped
    assert not re.search(r"\$[a-z]|nan\b", page.split("</style>")[1])


def test_page_without_heel_strikes_says_so() -> None:
    report = small_report()
    data = report.data
    page = report_html.page(replace(report, data=replace(data, units=replace(data.units, strides=False))))
    assert 'class="plot gait"' not in page and "no heel strikes" in page


def test_tables_fit_80_columns() -> None:
    text = io.StringIO()
    show(small_report(max_rmse_increase=10), Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "Latency of one inference (us, 1 thread; a sample comes every 10,000 us)" in map(str.rstrip, lines)
    row = next(line for line in lines if line.startswith("litert int8"))
    assert "+20.00 %" in row and "0.1200" in row
    assert any("not run: tflm float32 window" in line for line in lines)
    assert "…" not in text.getvalue()  # nothing is cut off


LONG = "serial:/dev/serial/by-id/usb-STMicroelectronics_STM32_STLink_066DFF515055657867153131-if02"


def test_tables_fit_80_columns_whatever_the_names_are() -> None:
    """Long names of targets, tasks and joints fold, and joints that are too many get tables of their own; nothing is cut."""
    report = small_report()
    joints = tuple(f"a_joint_of_the_spine_that_is_number_{number}_moment" for number in range(7))
    scores = report.runs[0].accuracy.overall
    task = "walking-up-a-very-long-ramp-with-a-load-of-20-kg"

    def renamed(run: Run) -> Run:
        accuracy = Accuracy(
            scores, dict.fromkeys(joints, scores), {task: scores}, {task: dict.fromkeys(joints, scores)}
        )
        measured = replace(
            run.measured, target=LONG if run.measured.scheme == "int8" else "host", version="x" * 200
        )
        return replace(run, accuracy=accuracy, measured=measured)

    outputs = tuple(Channel(joint, "Nm/kg") for joint in joints)
    data = replace(report.data, contract=replace(report.data.contract, outputs=outputs), source="s" * 200)
    runs = tuple(map(renamed, report.runs))
    text = io.StringIO()
    report = replace(report, data=data, runs=runs, targets=(LONG, "host"), command="c" * 200)
    show(report, console(file=text))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text.getvalue()
    whole = re.sub(r"\s", "", text.getvalue())
    for name in (LONG, "s" * 200, "c" * 200):
        assert name in whole
    # What is folded within a column stands in pieces: each piece is there.
    for number in range(7):
        assert f"number {number}" in text.getvalue()


def test_the_row_that_was_asked_for_leads() -> None:
    """An emulated core was asked for; the host's float rows are there to compare with."""
    report = small_report()
    exact = {"compared": 200, "differing": 0, "first": None}
    figures = {
        "bit_exact": exact,
        "board": "mps2-an386",
        "core": "cortex-m4",
        "self_test": "passed",
        "instructions": {"label": "emulated", "median": 2_950_000, "mean": 2_950_000.5, "most": 2_950_040},
        "flash_bytes": {"label": "measured", "library": 91_000, "image": 105_000},
        "ram_bytes": {"label": "measured", "library": 9_700, "library_with_stack": 10_600, "image": 20_000},
        "stack_bytes": {"label": "emulated", "value": 888, "at_start": 824},
    }
    int8 = report.runs[2]
    measured = replace(
        int8.measured,
        target="qemu:cortex-m4",
        engine="firmware",
        latency=None,
        figures=figures,
        rows=np.arange(200),
    )
    device = replace(int8, measured=measured)
    asked = replace(report, runs=report.runs[:2], devices=(device,), targets=("qemu:cortex-m4",))
    text = io.StringIO()
    show(asked, console(file=text))
    said = text.getvalue()
    first = said.index("On qemu:cortex-m4 the RMSE changes by +20.00 %")
    assert first < said.index("On devices") < said.index("Accuracy, all joints")
    assert "All 200 windows give the integer reference’s outputs, bit for bit." in " ".join(said.split())
    assert "litert" not in said[: said.index("Accuracy, all joints")]
    page = report_html.page(asked)
    head = page[page.index("<h1>") : page.index('<section id="summary">')]
    assert "2.95 M" in head and "91.0 kB" in head and "litert" not in head
    assert page.index('id="devices"') < page.index('id="summary"')
    both = report_html.page(replace(asked, runs=report.runs, targets=("host", "qemu:cortex-m4")))
    assert both.index('id="devices"') > both.index('id="summary"')


def test_the_processor_stands_beside_every_time() -> None:
    report = small_report()
    latency = replace(report.runs[2].measured.latency, processor="Raspberry Pi 5")
    elsewhere = replace(report.runs[2], measured=replace(report.runs[2].measured, latency=latency))
    report = replace(
        report, runs=(*report.runs[:2], elsewhere), machine=report.machine | {"processor": "EPYC"}
    )
    text = io.StringIO()
    show(report, console(file=text))
    assert "measured on EPYC" in text.getvalue() and "  Raspberry Pi 5" in text.getvalue()
    assert "Raspberry Pi 5" in report_html.page(report)
    runs = report_json.to_json(report)["runs"]
    assert [run["latency"]["processor"] for run in runs] == ["", "", "Raspberry Pi 5"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (report_json.write, report_html.write):
        with pytest.raises(OutputError, match=r"cannot write .*file/out"):
            write(small_report(), tmp_path / "file" / "out")


def test_scales_and_ticks() -> None:
    assert [nice_step(v) for v in (0.7, 1.0, 1.2, 3.0, 70.0)] == [1, 1, 2, 5, 100]
    assert Scale(0, 1, 0, 100).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Scale(90, 1100, 0, 100, log=True).ticks() == pytest.approx([100, 200, 500, 1000])
    assert Scale(10, 1000, 0, 100, log=True)(100) == pytest.approx(50)
    assert (label(-0.5), label(0.0), label(12000.0)) == ("\N{MINUS SIGN}0.5", "0", "12,000")
