"""Who imports whom in this project: read from the source, at any depth of the code, so lazy imports count too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edgetool", "benchmarks", "runtime", "quantization", "firmware_bridge", "toolkit")

#: {importer: {imported}}, of modules or of rooms.
Arrows = Mapping[str, set[str]]


def sources() -> list[Path]:
    """Every Python file of the packages, in order of its path."""
    return sorted(p for top in PACKAGES for p in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    """``toolkit.data`` for ``toolkit/data/__init__.py``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every statement of a body at any depth; what is within an expression is none, so expressions are not entered."""
    for node in body:
        yield node
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            yield from statements(getattr(node, field, ()))


@cache
def names_imported(path: Path) -> frozenset[str]:
    """Every absolute dotted name that a file imports."""
    names: set[str] = set()
    for node in statements(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the project writes absolute ones"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def module_arrows() -> dict[str, set[str]]:
    """Which of the project's modules each of its modules imports; a name in a module is an arrow to that module."""
    modules = {module_name(path): path for path in sources()}
    arrows: dict[str, set[str]] = {}
    for module, path in modules.items():
        arrows[module] = set()
        for name in names_imported(path):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and name != module:
                arrows[module].add(name)
    return arrows


def packages() -> list[str]:
    """Every package of the project at any depth, such as ``toolkit.data.readers``."""
    return [module_name(p) for p in sources() if p.name == "__init__.py"]


def room_of(module: str, package: str) -> str | None:
    """The direct child of a package that a module is or lies in; None for the package itself and for others."""
    if not module.startswith(package + "."):
        return None
    return module.removeprefix(package + ".").partition(".")[0]


def room_arrows(package: str, arrows: Arrows) -> dict[str, set[str]]:
    """Which of a package's rooms (direct children: modules and sub-packages) each of them imports."""
    rooms: dict[str, set[str]] = {}
    for importer, imported in arrows.items():
        here = room_of(importer, package)
        if here is None:
            continue
        found = rooms.setdefault(here, set())
        found.update(
            there for name in imported if (there := room_of(name, package)) not in (None, here) and there
        )
    return rooms


def between(package: str, here: str, there: str, arrows: Arrows) -> list[str]:
    """The imports of one room by another, as lines to read."""
    return [
        f"{importer} imports {name}"
        for importer, imported in sorted(arrows.items())
        if room_of(importer, package) == here
        for name in sorted(imported)
        if room_of(name, package) == there
    ]


def circles(arrows: Arrows) -> list[list[str]]:
    """Sets of nodes that all reach one another (Tarjan's strongly connected components of two nodes or more)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(arrows):
        if node not in number:
            visit(node)
    return found


def floors_as_text(package: str, floors: Sequence[Iterable[str]], arrows: Arrows) -> str:
    """One package's rooms, top floor first, each with the rooms that it imports."""
    rooms = room_arrows(package, arrows)
    lines = [package]
    for height in range(len(floors) - 1, -1, -1):
        for room in sorted(floors[height]):
            if room in rooms:
                lines.append(f"  {height:2}  {room:16} -> {', '.join(sorted(rooms[room])) or '-'}")
    return "\n".join(lines)
