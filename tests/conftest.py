"""What the tests of all rooms share: markers, shared artefacts, and the words at the end of a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import artefacts, markers, tools


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in markers.of(item):
            item.add_marker(marker)


def pytest_collection_finish() -> None:
    """What collecting has made stays to the end; Python's collector need not go through it again and again (5 % of a run)."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    tools.markers_now = {marker.name for marker in item.iter_markers()}
    try:
        return (yield)
    finally:
        tools.markers_now = None


@pytest.fixture(scope="session")
def shipped_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped checkpoint, converted once for all tests of a run. To be read: a test that changes it copies it first."""
    return artefacts.once(tmp_path_factory, "shipped", artefacts.shipped)


@pytest.fixture
def dbus_daemon() -> str:
    """Path of D-Bus's daemon, which BLE without a radio needs."""
    return tools.require("dbus-daemon")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    lines = tools.summary([str(r.longrepr[2]) for r in skipped if isinstance(r.longrepr, tuple)])
    if lines:
        terminalreporter.section("NOT TESTED, for want of tools", sep="=", red=True, bold=True)
        for line in lines:
            terminalreporter.line(line)
