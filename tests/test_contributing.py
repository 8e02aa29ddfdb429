"""CONTRIBUTING's examples are put in place as the page says, in a copy of the tree, and their tests are run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import require

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PACKAGES = ("benchmarks", "edgetool", "firmware_bridge", "quantization", "runtime", "toolkit", "tests")
#: A fence with what it is: a new file, or a row that goes before a line of a table.
_BLOCK = re.compile(r"^```\w+ (file|row)=(\S+)(?: before=(\"(?:[^\"\\]|\\.)*\"))?\n(.*?)^```$", re.M | re.S)


def blocks(heading: str) -> list[tuple[str, str, str | None, str]]:
    """Kind, path, the line that a row goes before, and text of every block below ``heading``."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = [match.groups() for match in _BLOCK.finditer(section)]
    assert found, f"no example under {heading!r}"
    return [(kind, path, before, text) for kind, path, before, text in found]


def put_in_place(heading: str, tree: Path) -> list[str]:
    """The example in a copy of the packages; gives back its tests."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "golden")
        )
    shutil.copy(ROOT / "pyproject.toml", tree)
    new, rows = 0, 0
    for kind, path, before, text in blocks(heading):
        target = tree / path
        if kind == "file":
            assert not (ROOT / path).exists(), f"{path} is in the tree already: choose another example"
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
            new += target.suffix == ".py" and not path.startswith("tests/")
        else:
            assert before is not None
            line = before[1:-1].replace('\\"', '"')
            content = target.read_text()
            assert content.count(f"\n{line}") == 1, f"{path} has no line {line!r}"
            content = content.replace(f"\n{line}", f"\n{text}{line}")
            if path.endswith("ops/table.py"):  # the page says: beside an import of it
                content = content.replace(
                    "from quantization.ops import (\n", "from quantization.ops import (\n    absolute,\n"
                )
            target.write_text(content)
            rows += 1
    assert (new, rows) == (1, 1), "an addition is one file and one row"
    return [path for kind, path, _, _ in blocks(heading) if path.startswith("tests/")]


@pytest.mark.parametrize("heading", ["Add an op", "Add a sink"])
def test_the_example_works_as_the_page_says(heading: str, tmp_path: Path) -> None:
    require("gcc")
    tests = put_in_place(heading, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *tests],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def test_the_page_names_only_what_is_there() -> None:
    """Every path of the tables and lists exists, but for the placeholders and the examples' own files."""
    own = {path for heading in ("Add an op", "Add a sink") for _, path, _, _ in blocks(heading)}
    named = set(
        re.findall(
            r"`((?:benchmarks|edgetool|firmware_bridge|quantization|runtime|toolkit|tests|docs)/[^`<]*)`",
            PAGE,
        )
    )
    missing = sorted(path for path in named if path not in own and not (ROOT / path).exists())
    assert len(named) > 15
    assert not missing
