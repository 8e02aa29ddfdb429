"""The shape of the code: short functions, small classes, and tests that can fail."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.import_graph import ROOT, module_name, sources

LINES_OF_A_FUNCTION = 60
METHODS_OF_A_CLASS = 20
#: A class above that states it in its docstring.
REASON = "One class because"

Function = ast.FunctionDef | ast.AsyncFunctionDef
#: Still to be parted.
PENDING = ()
#: {(module, name there): modules of tests/ that it comes from}
IMPORTED: dict[tuple[str, str], tuple[str, ...]] = {}


def sources_of_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    """Every function of a file, methods and inner functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def test_functions_are_short() -> None:
    """Signature, docstring and inner functions count."""
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name} has {length} lines"
        for path in (*sources(), *sources_of_tests())
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LINES_OF_A_FUNCTION
        and function.name not in PENDING
    ]
    assert not long, f"functions over {LINES_OF_A_FUNCTION} lines; part them:\n" + "\n".join(long)


def test_classes_are_small() -> None:
    big = []
    for path in (*sources(), *sources_of_tests()):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                methods = sum(isinstance(part, Function) for part in node.body)
                if (
                    methods > METHODS_OF_A_CLASS
                    and node.name not in PENDING
                    and REASON not in (ast.get_docstring(node) or "")
                ):
                    big.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {methods} methods")
    assert not big, (
        f"classes over {METHODS_OF_A_CLASS} methods; part them, or write in the docstring '{REASON} ...':\n"
        + "\n".join(big)
    )


#: What fails a test beside ``assert``: pytest's words, numpy.testing's assert_..., a process that must succeed, a mock's.
FAILS = ("raises", "warns", "fail", "deprecated_call")


def can_fail(function: Function, module: str, known: dict[tuple[str, str], Function], seen: set[str]) -> bool:
    """Whether a function asserts something, or calls one of the tests' own functions that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.keyword) and node.arg == "check" and ast.unparse(node.value) == "True":
            return True
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in FAILS or name.startswith("assert_"):
            return True
        for place in (module, *IMPORTED.get((module, name), ())):
            key = f"{place}.{name}"
            if (place, name) in known and key not in seen:
                seen.add(key)
                if can_fail(known[place, name], place, known, seen):
                    return True
    return False


def test_every_test_can_fail() -> None:
    """One that only sees that nothing raises would pass on code that does nothing."""
    known: dict[tuple[str, str], Function] = {}
    for path in sources_of_tests():
        for function in functions(path):
            known[module_name(path), function.name] = function
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
                for alias in node.names:
                    IMPORTED[module_name(path), alias.asname or alias.name] = (str(node.module),)
    empty = [
        f"{module}.{name}"
        for (module, name), function in known.items()
        if name.startswith("test_") and "test_" in module and not can_fail(function, module, known, set())
    ]
    assert not empty, "tests without an assertion:\n" + "\n".join(empty)
