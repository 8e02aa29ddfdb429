"""Imports point down and never in a circle: between packages, between the rooms of a package, between modules.

``python -m tests.test_imports`` (or ``pytest -s tests/test_imports.py``) prints the graph. What runs on a Raspberry Pi
loads neither torch nor tensorflow (docs/ARCHITECTURE.md).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.import_graph import (
    PACKAGES,
    ROOT,
    between,
    circles,
    floors_as_text,
    module_arrows,
    module_name,
    names_imported,
    packages,
    room_arrows,
    sources,
)

#: Floors, lowest first. What lies on a floor imports only from floors below it, never from its own.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("toolkit",),
    ("quantization", "firmware_bridge"),
    ("runtime",),
    ("benchmarks",),
    ("edgetool",),
)

#: The same inside each package: its rooms are its sub-packages and the modules beside them. A new room needs a floor here.
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "toolkit": (
        ("printable",),
        ("errors",),
        ("reading",),
        ("files", "contract", "cores", "sbom", "cache_folder"),
        ("terminal", "html_text"),
        ("progress",),
        ("records", "toml_lines"),
        ("filtering",),
        ("data",),  # windows are cut after the filter chain has run
        ("calibration",),
        ("plausibility", "uncertainty"),
        ("model",),
        ("learning",),
    ),
    "quantization": (
        ("arithmetic", "kernels", "calibration_windows", "bundle_folder"),
        ("graph", "signing"),
        ("c_fragments", "passes"),
        ("ops",),
        ("lowering",),
        ("importers",),
        ("reference", "tflite"),
        ("quantizer", "c_emitter", "tflm_emitter", "golden"),
        ("bundle", "converters"),
        ("analysis", "convert_options", "error_bars", "network_check", "predict"),
        ("convert",),
    ),
    "runtime": (
        ("engines",),
        ("pipeline",),
        ("log", "status", "sinks", "calibration"),
        ("settings", "config_inputs"),
        ("server",),
        ("config",),
        ("daemon",),
        ("service",),
    ),
    "benchmarks": (
        ("evaluation", "machine", "peers"),
        ("records",),
        ("engines", "budgets"),
        ("targets",),
        ("rows", "report"),
        ("bench",),
        ("stress",),
        ("validation", "learning"),
        ("studies",),
    ),
    "firmware_bridge": (
        ("items", "protocol"),
        ("streams", "target"),
        ("recording",),
        ("sources",),
        ("simulator", "tools"),
    ),
    "edgetool": (("api",), ("commands",), ("cli",), ("__main__",)),
}

ARROWS = module_arrows()


def height(floors: tuple[tuple[str, ...], ...], room: str) -> int:
    """The floor a room lies on."""
    found = [number for number, rooms in enumerate(floors) if room in rooms]
    assert len(found) == 1, f"{room} has no floor of its own: give it one in tests/test_imports.py"
    return found[0]


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_packages_import_down(path: Path) -> None:
    here = module_name(path).partition(".")[0]
    for name in names_imported(path):
        there = name.partition(".")[0]
        if there in PACKAGES and there != here:
            assert height(FLOORS, there) < height(FLOORS, here), f"{path.relative_to(ROOT)} imports {name}"


def test_no_floor_is_empty() -> None:
    """A room that has gone is taken out of the table."""
    assert set(ROOMS) == set(PACKAGES)
    for package, floors in ROOMS.items():
        rooms = {room for floor in floors for room in floor}
        assert rooms <= set(room_arrows(package, ARROWS)), f"{package} has rooms here that it does not have"


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_down(package: str) -> None:
    floors = ROOMS[package]
    print("\n" + floors_as_text(package, floors, ARROWS))
    for here, imported in room_arrows(package, ARROWS).items():
        for there in imported:
            lines = "\n".join(between(package, here, there, ARROWS))
            assert height(floors, there) < height(floors, here), f"{here} -> {there} in {package}:\n{lines}"


@pytest.mark.parametrize("package", packages())
def test_no_circle_between_the_rooms_of_a_package(package: str) -> None:
    """At any depth, also below the rooms that have floors."""
    rooms = room_arrows(package, ARROWS)
    for circle in circles(rooms):
        lines = [
            line for a in circle for b in circle if b in rooms[a] for line in between(package, a, b, ARROWS)
        ]
        pytest.fail(f"in {package}, {', '.join(circle)} import one another:\n" + "\n".join(lines))


def test_no_circle_between_modules() -> None:
    assert circles(ARROWS) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed_and_says_what_it_is(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    for path in (ROOT / package).rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_only_studies_import_studies() -> None:
    """They are not in the wheel."""
    for importer, imported in ARROWS.items():
        if not importer.startswith("benchmarks.studies"):
            assert not [name for name in imported if name.startswith("benchmarks.studies")], importer


HEAVY_AT_TOP = {"torch", "tensorflow", "tf_keras", "scipy", "matplotlib"}
#: Designing a filter needs scipy, running one does not: this module is the deploy flow's, beside what it designs for.
DEPLOY_ONLY = ("toolkit/filtering/design.py",)
PI = (
    "runtime",
    "firmware_bridge",
    "toolkit/filtering",
    "toolkit/records.py",
    "toolkit/contract.py",
    "toolkit/errors.py",
)


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_run_flow_imports_no_training_framework(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    if relative.startswith(PI) and relative not in DEPLOY_ONLY:
        assert not {n.split(".")[0] for n in names_imported(path)} & HEAVY_AT_TOP, relative


@pytest.mark.parametrize("module", ["edgetool.cli", *PACKAGES])
def test_package_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted({HEAVY_AT_TOP!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


if __name__ == "__main__":
    for top in reversed(FLOORS):
        for name in top:
            print(floors_as_text(name, ROOMS[name], ARROWS))
