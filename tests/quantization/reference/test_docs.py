"""The figures of docs/INTEGER.md on sigmoid and tanh are those that the code gives, and the plot can be drawn."""

from __future__ import annotations

from pathlib import Path

from quantization.analysis.plot_activations import draw, table
from tests.tools import require_package

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_figures_of_sigmoid_and_tanh() -> None:
    text = (DOCS / "INTEGER.md").read_text()
    names = {"tflm": "TFLM", "litert": "LiteRT"}
    for row in table():
        figures = f"{row['largest_error_steps']:.2f} | {row['rms_error_steps']:.3f}"
        stated = f"| {row['function']} | {names[str(row['semantics'])]} | {figures} |"
        assert stated in text
        if row["semantics"] == "tflm":
            assert f"| {row['inputs_where_engines_differ']:,} | {row['largest_difference_steps']} |" in text


def test_plot_is_written_and_the_same_twice(tmp_path: Path) -> None:
    require_package("matplotlib", "deploy")
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 20_000
    assert content == (tmp_path / "b.png").read_bytes()
    assert (DOCS / "images" / "integer_sigmoid_tanh.png").is_file()
