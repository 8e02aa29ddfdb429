"""``edgetool train`` from the outside: what it writes, prints and refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.model import pretrained
from toolkit.model.card import card
from toolkit.model.checkpoint import Checkpoint

TINY = "synthetic:people=3,seconds=3,tasks=level"
SIZES = ["--epochs", "1", "--stride", "8", "--hidden", "4", "--head-hidden", "4", "--window", "16"]


def edgetool(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    code = "from edgetool.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=where, check=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("train")
    done = edgetool(
        "train",
        "--data",
        TINY,
        "--out",
        "m.safetensors",
        "--json",
        "m.json",
        "--card",
        "m.md",
        "--html",
        "m.html",
        *SIZES,
        where=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_it_writes_a_checkpoint_a_report_and_a_card(run: tuple[Path, str]) -> None:
    folder, shown = run
    checkpoint = Checkpoint.load(folder / "m.safetensors")
    report = json.loads((folder / "m.json").read_text())
    assert report["checkpoint_sha256"] == checkpoint.hash
    assert report["config"]["hidden"] == 4 and report["contract_hash"] == checkpoint.contract.hash
    assert report["split"]["kind"] == "by-subject"
    test = report["provenance"]["metrics"]["test"]
    for name, scores in test["per_joint"].items():
        assert re.search(rf"{name}\D+{scores['rmse']:.4f}\D", shown)
        assert f"| {name} | {scores['rmse']:.4f} |" in (folder / "m.md").read_text()
    assert "synthetic data" in shown
    page = (folder / "m.html").read_text()
    assert f"{test['rmse']:.4f}" in page and page.count("<svg") == 1
    assert f"epoch 1: train {report['history'][0]['train_loss']:.4f}" in page
    assert len(report["test_people"]) == 1
    assert max(map(len, shown.splitlines())) <= 80


def test_the_card_names_the_command_that_makes_it_again(run: tuple[Path, str]) -> None:
    folder, _ = run
    text = (folder / "m.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("    edgetool train"))
    assert line.strip() == (
        f"edgetool train --data {TINY} --out m.safetensors --epochs 1 --stride 8 --hidden 4 --head-hidden 4 --window 16 "
        "--json m.json --html m.html --card m.md"
    )
    assert "Synthetic recordings come from a gait generator, not from people" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--data", TINY, "--out", "x", "--hidden", "4", "--heads", "3"],
            "3 heads do not divide 4 hidden units",
        ),
        (["--data", "nowhere.npz", "--out", "x"], "nowhere.npz"),
        (["--data", TINY, "--out", "x", "--joints", "toe", *SIZES], "has no moment toe"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = edgetool("train", *arguments, where=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_card_is_that_of_the_shipped_checkpoint() -> None:
    text = pretrained().with_suffix(".md").read_text()
    command = next(line.strip() for line in text.splitlines() if line.startswith("    edgetool train"))
    assert text == card(Checkpoint.load(pretrained()), command)
    assert f"`{Checkpoint.load(pretrained()).provenance['data']['source']}`" in text


@pytest.mark.parametrize("missing", [("torch",), ("torch", "scipy")])
def test_an_installation_for_a_pi_says_what_training_needs(missing: tuple[str, ...], tmp_path: Path) -> None:
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in missing)
    code = f"import sys; {blocked}; from edgetool.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--data", TINY, "--out", "m.safetensors"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    said = f"edgetool: error: training needs {' and '.join(missing)}, not installed here: pip install 'edgetool[deploy]'\n"
    assert (done.returncode, done.stderr, done.stdout) == (2, said, "")
    assert list(tmp_path.iterdir()) == []
