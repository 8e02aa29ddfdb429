"""The files around the code agree with one another: versions, targets of make, changelog fragments, pages."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import toolkit
from tests import markers
from tests.tools import require, require_installed

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
#: Still to be wrapped.
PENDING = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def constraint(name: str) -> str:
    found = re.search(rf"^{name}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M | re.I)
    assert found, f"{name} is not in constraints.txt"
    return found[1]


def targets() -> set[str]:
    """What make can be asked for."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_a_tree_without_git_has_the_version_of_one_that_is_not_built() -> None:
    assert (
        PROJECT["tool"]["setuptools_scm"]["fallback_version"]
        in (ROOT / "toolkit" / "__init__.py").read_text()
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+", toolkit.__version__)


def test_the_version_is_the_last_tags_and_does_not_change_with_commits(tmp_path: Path) -> None:
    """Generated C carries it: an untagged commit must not change the bytes."""
    require("git")
    require_installed("setuptools_scm")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def version() -> str:
        return run(sys.executable, "-m", "setuptools_scm").splitlines()[-1]

    git = ("git", "-c", "user.name=x", "-c", "user.email=x@localhost")
    fallback = PROJECT["tool"]["setuptools_scm"]["fallback_version"]
    assert version() == fallback
    run("git", "init", "--quiet")
    run("git", "add", ".")
    run(*git, "commit", "--quiet", "--message", "one")
    assert version() == fallback
    run("git", "tag", "v9.8.7")
    assert version() == "9.8.7"
    (tmp_path / "more").touch()
    run("git", "add", ".")
    run(*git, "commit", "--quiet", "--message", "two")
    assert version() == "9.8.7"


def test_pre_commit_has_the_versions_of_make_check() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert f"rev: v{constraint('ruff')}\n" in text
    assert f"rev: v{constraint('codespell')}\n" in text


def test_ci_runs_targets_that_exist() -> None:
    asked = [
        target
        for file in (ROOT / ".github" / "workflows").glob("*.yml")
        for words in re.findall(r"make ([a-z -]+)$", file.read_text(), re.M)
        for target in words.split()
    ]
    assert {"test", "test-fast", "docs", "coverage"} <= set(asked) <= targets()


def test_changelog_fragments_are_of_a_known_kind() -> None:
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    assert kinds == {"security", "added", "changed", "fixed", "removed"}
    for fragment in (ROOT / "changelog.d").iterdir():
        name, _, rest = fragment.name.partition(".")
        assert name.startswith("+") and rest.removesuffix(".md") in kinds, fragment.name
        assert fragment.read_text().strip(), fragment.name


def test_the_changelog_has_a_place_for_the_next_release() -> None:
    assert PROJECT["tool"]["towncrier"]["start_string"] in (ROOT / "CHANGELOG.md").read_text()


def test_the_list_of_slow_tests_names_tests() -> None:
    for line in markers.slow():
        path, _, name = line.partition("::")
        text = (ROOT / "tests" / path).read_text()
        assert not name or re.search(rf"def {name.rpartition('::')[2]}\(", text), line


def test_every_page_has_a_place_on_the_site() -> None:
    """Else make docs, which takes every warning for an error, fails."""
    listed = (ROOT / "mkdocs.yml").read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in listed, (
            f"{page.name} is not in mkdocs.yml's nav"
        )


def pages() -> list[Path]:
    """What people write: not the fragments, which are one line each, and not a checkpoint's card, which is generated."""
    done = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [ROOT / name for name in done.stdout.splitlines()]
    out = [p for p in tracked if p.parent.name not in ("changelog.d", "pretrained") and p.name not in PENDING]
    return [p for p in out if p.is_file()]


def long_lines(text: str) -> list[int]:
    """Numbers of the lines of prose over the width; tables, code, headings, and what has no blank to break at are left out."""
    found, fenced = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif fenced or line.startswith(("    ", "\t", "|", "#")) or len(line) <= WIDTH:
            continue
        elif " " in line.strip()[:WIDTH].lstrip("-* "):
            found.append(number)
    return found


@pytest.mark.parametrize(
    "page",
    pages(),
    ids=lambda p: p.name,
)
def test_prose_wraps(page: Path) -> None:
    lines = long_lines(page.read_text())
    assert not lines, f"{page.relative_to(ROOT)}: lines over {WIDTH} characters: {lines}"


def invariants(text: str) -> dict[str, list[str]]:
    """Of docs/SECURITY.md: number and heading of each invariant -> the tests that it names."""
    body = re.split(r"^## ", text, flags=re.M)
    (section,) = [part for part in body if part.startswith("Invariants")]
    found = re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", section, re.M | re.S)
    return {heading: re.findall(r"^- `(\S+)`$", words, re.M) for heading, words in found}


def has_test(name: str) -> bool:
    """Whether ``FILE::TEST`` or ``FILE::CLASS::TEST`` is a function that pytest collects."""
    file, *path = name.split("::")
    if not (ROOT / file).is_file() or not Path(file).name.startswith("test_") or not path:
        return False
    inside: list[ast.stmt] = ast.parse((ROOT / file).read_text()).body
    for place, step in enumerate(path):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef) if place == len(path) - 1 else ast.ClassDef
        found = [each for each in inside if isinstance(each, kinds) and each.name == step]
        if not found or not step.lower().startswith("test"):
            return False
        inside = found[0].body
    return True


def test_every_invariant_of_security_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "SECURITY.md").read_text()
    found = invariants(text)
    assert [int(heading.split(".")[0]) for heading in found] == list(range(1, len(found) + 1)) and len(
        found
    ) > 10
    for heading, tests in found.items():
        assert tests, f"{heading}: no test holds it"
        assert len(set(tests)) == len(tests), heading
    named = re.findall(r"`(tests/\S+?)`", text)
    assert sorted(named) == sorted(name for tests in found.values() for name in tests)
    assert [name for name in named if not has_test(name)] == []


def test_a_test_that_is_not_there_is_found_missing() -> None:
    assert has_test("tests/test_project.py::test_a_test_that_is_not_there_is_found_missing")
    for name in (
        "test_project.py::test_other",
        "test_project.py::has_test",
        "test_other.py::test_x",
        "tools.py::require",
    ):
        assert not has_test(f"tests/{name}"), name
    assert not has_test("tests/test_project.py")
    assert invariants("## Invariants\n\n### 1. A\n\nx\n\n## Other\n\n- `tests/b`\n") == {"1. A": []}
