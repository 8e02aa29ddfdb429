"""Imports point one way, and what runs on the Pi loads neither torch nor tensorflow (docs/ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: A package may import those of a lower rank and itself. Equal ranks do not import each other.
RANK = {
    "toolkit.errors": 0,
    "toolkit.records": 1,
    "toolkit.files": 1,
    "toolkit.toml_lines": 1,
    "toolkit.filtering": 2,
    "toolkit.data": 3,  # windows are cut after the filter chain has run
    "toolkit.model": 4,
    "quantization": 5,
    "firmware_bridge": 5,
    "runtime": 6,
    "benchmarks": 7,
    "edgetool.commands": 8,
    "edgetool.cli": 9,
}


def package_of(module: str) -> str | None:
    """The ranked package a dotted module name lies in; None for those outside the project."""
    fitting = [p for p in RANK if module == p or module.startswith(p + ".")]
    return max(fitting, key=len) if fitting else None


def project_imports(path: Path) -> set[str]:
    """Every absolute module name that a file imports, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the project writes absolute ones"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def sources() -> list[Path]:
    return sorted(
        p
        for top in ("edgetool", "toolkit", "quantization", "firmware_bridge", "runtime", "benchmarks")
        for p in (ROOT / top).rglob("*.py")
    )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    here = package_of(module_name(path))
    for name in project_imports(path):
        there = package_of(name)
        if here is None or there is None or here == there:
            continue
        assert RANK[there] < RANK[here], f"{path.relative_to(ROOT)} ({here}) imports {name} ({there})"


HEAVY_AT_TOP = {"torch", "tensorflow", "tf_keras", "scipy", "matplotlib"}
#: Designing a filter needs scipy, running one does not: this module is the deploy flow's, beside what it designs for.
DEPLOY_ONLY = ("toolkit/filtering/design.py",)
PI = ("runtime", "firmware_bridge", "toolkit/filtering", "toolkit/records.py", "toolkit/errors.py")


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_run_flow_imports_no_training_framework(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    if relative.startswith(PI) and relative not in DEPLOY_ONLY:
        assert not {n.split(".")[0] for n in project_imports(path)} & HEAVY_AT_TOP, relative


@pytest.mark.parametrize(
    "module",
    ["edgetool", "edgetool.cli", "toolkit", "quantization", "firmware_bridge", "runtime", "benchmarks"],
)
def test_package_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted({HEAVY_AT_TOP!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
