"""``edgetool convert`` with the builtin converter, shipped checkpoint: same bytes, no TensorFlow, recipe search, messages."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quantization.bundle import Bundle
from toolkit.data import load
from toolkit.data.export import export

#: Six of these people are in the train part of the shipped split, 2 and 8 in the test part, none in the validation part.
DATA = "synthetic:people=8,seconds=4,tasks=level+stairs-up"

BLOCKED = """
    import sys
    for name in ("tensorflow", "tf_keras", "torch"):
        sys.modules[name] = None
    from edgetool.cli import main
    main({arguments!r})
"""


def convert(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command in a process where tensorflow and torch cannot be imported."""
    arguments = ["--quiet", "convert", "pretrained", "--data", DATA, "--out", str(out), *options]
    code = textwrap.dedent(BLOCKED).format(arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("native")
    for name in ("first", "second"):
        done = convert(folder / name)
        assert done.returncode == 0, done.stderr
    return folder / "first", folder / "second"


def test_two_conversions_give_the_same_bytes(bundles: tuple[Path, Path]) -> None:
    first, second = (
        {p.relative_to(b).as_posix(): p.read_bytes() for p in sorted(b.rglob("*")) if p.is_file()}
        for b in bundles
    )
    assert set(first) >= {
        "manifest.json",
        "models/window.int8.tflite",
        "models/stream.int8.tflite",
        "models/window.float32.tflite",
        "checkpoint.safetensors",
        "sbom.cdx.json",
    }
    assert first == second


def test_the_bundle_says_how_it_was_made(bundles: tuple[Path, Path]) -> None:
    bundle = Bundle.load(bundles[0])
    graphs = {(g.graph, g.scheme): g for g in bundle.graphs}
    assert set(graphs) == {(g, s) for g in ("window", "stream") for s in ("float32", "int8")}
    assert graphs["window", "int8"].recipe is not None
    assert graphs["window", "int8"].recipe["weight_rounding"] == "compensated"
    state = graphs["stream", "int8"].state
    assert state is not None
    assert [link.input for link in state.carried] == ["imu/ring", "emg/ring", "present"]
    assert bundle.manifest["converter"]["name"] == "builtin"
    # 75,395 weights, most of them one byte; float32 has four.
    assert len(graphs["window", "int8"].content) < 95_000


def test_search_says_what_it_tried_and_looks_at_no_test_data(tmp_path: Path) -> None:
    done = convert(tmp_path / "bundle", "--max-rmse-increase", "2")
    assert done.returncode == 0, done.stderr
    assert "Recipes tried for an RMSE increase" in done.stdout
    assert "the last fifth of each recording of the train part" in " ".join(done.stdout.split())
    searched = json.loads((tmp_path / "bundle" / "manifest.json").read_text())["search"]
    assert searched["max_rmse_increase_pct"] == 2
    assert searched["tried"][-1]["rmse_increase_pct"] <= 2
    assert searched["tried"][0]["recipe"]["wide"] == ["norm", "head"]
    assert all(trial["rmse_increase_pct"] > 2 for trial in searched["tried"][:-1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "{",
            "is not a quantization recipe in JSON (docs/CONVERTER.md lists its entries): Expecting property name",
        ),
        ("[1]", "it must be a JSON object and is an array"),
        ("[" * 100_000, "lists its entries): it is nested more than 64 deep"),
        ('{"headroom": null}', "recipe entry headroom is None; it must be a number"),
        ('{"wide": ["lstm"]}', "recipe entry wide: lstm is not known; allowed: norm, head"),
    ],
)
def test_a_wrong_recipe_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(content)
    done = convert(tmp_path / "bundle", "--recipe", str(recipe))
    assert done.returncode == 2
    assert message in done.stderr
    *stages, said = done.stderr.strip().splitlines()
    assert said.startswith("edgetool: error: ") and all(line.endswith(" ...") for line in stages)
    assert not (tmp_path / "bundle").exists()


def test_the_next_step_names_data_that_bench_could_not_find(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    export(load("synthetic:people=3,seconds=3,tasks=level,speeds=1"), data, "npz")
    done = convert(tmp_path / "bundle", "--data", str(data), "--calibration-windows", "5")
    assert done.stdout.splitlines()[-1].endswith(f"edgetool bench {tmp_path}/bundle --data '{data}'")


@pytest.mark.parametrize("option", [("--prefer", "size"), ("--prefix", "left_knee")])
def test_options_of_the_c_source_need_a_target(tmp_path: Path, option: tuple[str, str]) -> None:
    done = convert(tmp_path / "bundle", *option)
    assert done.returncode == 2
    assert "--prefer and --prefix are for the C source; give --core too" in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_search_belongs_to_the_builtin_converter(tmp_path: Path) -> None:
    done = convert(tmp_path / "bundle", "--max-rmse-increase", "1", "--scheme", "float32")
    assert done.returncode == 2
    assert "--max-rmse-increase searches recipes of the builtin converter for int8" in done.stderr
