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
    programs = set(_constants(functions)) & set(OF_PROGRAM)
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


def _constants(start: list[Any]) -> Iterator[str]:
    """Every string in the code of these functions and of the functions of tests/ that they name."""
    waiting, seen = list(start), set()
    while waiting:
        function = inspect.unwrap(waiting.pop()) if waiting[-1] is not None else waiting.pop()
        if not isinstance(function, FunctionType) or function in seen:
            continue
        if not function.__module__.startswith("tests") or function.__module__ == "tests.tools":
            continue
        seen.add(function)
        for code in _codes(function.__code__):
            for constant in code.co_consts:
                yield from [constant] if isinstance(constant, str) else ()
                yield from [c for c in constant if isinstance(c, str)] if isinstance(constant, tuple) else ()
            for name in code.co_names:
                named = function.__globals__.get(name)
                waiting.extend(vars(named).values() if inspect.isclass(named) else [named])
                # A function of a module that is imported whole: tools.require.
                if inspect.ismodule(named) and named.__name__.startswith("tests"):
                    waiting.extend(getattr(named, other, None) for other in code.co_names)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
