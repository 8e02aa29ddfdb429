"""Which markers a test carries: found from the programs that it, its fixtures and its helpers ask for, and from its place."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

#: Programs whose tests carry a marker, so that ``make test-fast`` can leave them out.
OF_PROGRAM = {
    "qemu-system-arm": "qemu",
    "qemu-aarch64-static": "qemu",
    "chromium": "browser",
    "dbus-daemon": "service",
    "mosquitto": "service",
    "mosquitto_passwd": "service",
    "systemd-analyze": "service",
    "systemd-sysusers": "service",
    "promtool": "service",
    "systemd-nspawn": "service",
}
#: The same by place below tests/, for what asks for its programs elsewhere.
OF_PLACE = {"pi/": "qemu"}
_SLOW = Path(__file__).parent / "slow.txt"


def of(item: pytest.Item) -> set[str]:
    """Markers for a test to carry beside those that its file gives it."""
    functions = [getattr(item, "obj", None)]
    for definitions in getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).values():
        functions.append(definitions[-1].func)
    programs = _programs(functions)
    path = item.path.relative_to(_SLOW.parent).as_posix() if item.path.is_relative_to(_SLOW.parent) else ""
    name = f"{path}::{item.nodeid.partition('::')[2].partition('[')[0]}"
    return {
        *(OF_PROGRAM[program] for program in programs),
        *(marker for place, marker in OF_PLACE.items() if path.startswith(place)),
        *(["slow"] if {path, name} & slow() else []),
    }


@cache
def slow() -> frozenset[str]:
    """The files and tests of slow.txt."""
    return frozenset(line for line in _SLOW.read_text().splitlines() if not line.startswith("#"))


def _programs(start: list[Any]) -> set[str]:
    """The programs that these functions, and the functions of tests/ that they name, ask for."""
    waiting = [function for function in start if function is not None]
    seen: set[FunctionType] = set()
    found: set[str] = set()
    while waiting:
        function = inspect.unwrap(waiting.pop())
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        programs, named = _of_function(function)
        found |= programs
        waiting.extend(named)
    return found


@cache
def _of_function(function: FunctionType) -> tuple[frozenset[str], tuple[Any, ...]]:
    """The programs in one function's own code, and the functions that it names; of functions of tests/ alone."""
    if not function.__module__.startswith("tests") or function.__module__ == "tests.tools":
        return frozenset(), ()
    constants: set[str] = set()
    named: list[Any] = []
    for code in _codes(function.__code__):
        for constant in code.co_consts:
            constants.update([constant] if isinstance(constant, str) else ())
            constants.update(
                [c for c in constant if isinstance(c, str)] if isinstance(constant, tuple) else ()
            )
        for name in code.co_names:
            value = function.__globals__.get(name)
            named.extend(vars(value).values() if inspect.isclass(value) else [value])
            # A function of a module that is imported whole: tools.require.
            if inspect.ismodule(value) and value.__name__.startswith("tests"):
                named.extend(getattr(value, other, None) for other in code.co_names)
    functions = tuple(f for f in map(inspect.unwrap, named) if isinstance(f, FunctionType))
    return frozenset(constants & set(OF_PROGRAM)), functions


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
