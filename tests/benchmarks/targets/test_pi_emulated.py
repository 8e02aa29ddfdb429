"""What the arm64 user land says where it cannot be made, and when its packages are fetched anew."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.targets import pi_emulated as pi_user_land
from benchmarks.targets.pi_architectures import ARMV7L
from benchmarks.targets.pi_emulated import (
    UserLand,
    make,
    own_requirements,
    why_not,
)
from toolkit.errors import MissingDependencyError


@pytest.fixture(autouse=True)
def python_3_11(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 11, 2, "final", 0))


def only(monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    """As if these tools alone were installed."""
    monkeypatch.setattr(pi_user_land, "_which", lambda tool: f"/usr/bin/{tool}" if tool in tools else None)


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "dpkg", "qemu-aarch64-static")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    expected = "not installed: apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross debootstrap fakeroot"
    assert why_not(tmp_path) == expected
    with pytest.raises(MissingDependencyError, match="no arm64 user land on this machine: not installed"):
        make(tmp_path, "x", [])
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert why_not(tmp_path) == expected.removesuffix(" fakeroot")
    monkeypatch.setattr("sys.version_info", (3, 12, 1, "final", 0))
    assert "Debian bookworm's is 3.11" in str(why_not(tmp_path))


def test_32_bits_need_their_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "dpkg", "debootstrap", "fakeroot", "qemu-aarch64-static", "aarch64-linux-gnu-gcc")
    expected = "not installed: apt install qemu-user-static gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"
    assert why_not(tmp_path) is None
    assert why_not(tmp_path, ARMV7L) == expected


def test_what_made_it_is_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    assert why_not(tmp_path) is not None
    (tmp_path / "made").touch()
    assert why_not(tmp_path) is None


def test_a_tool_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say, no network: the last line of what the tool printed, and nothing half made is taken for a user land."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho 'I: Retrieving'\necho 'E: Failed getting release file' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setattr(pi_user_land, "_which", lambda name: str(tool))
    with pytest.raises(MissingDependencyError, match="cannot be made: tool: E: Failed getting release file"):
        make(tmp_path / "pi", "x", [])
    assert not (tmp_path / "pi" / "made").exists() and not (tmp_path / "pi" / "root").exists()


def wheel_requiring(folder: Path, requirement: str) -> str:
    path = folder / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", f"Name: x\nRequires-Dist: {requirement}\n")
    return f"x @ {path.as_uri()}"


def test_packages_are_fetched_when_what_a_wheel_requires_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    (tmp_path / "made").touch()
    fetched: list[list[str]] = []
    monkeypatch.setattr(
        pi_user_land, "_fetch", lambda folder, to, wanted, architecture: fetched.append(list(wanted))
    )
    for requirement in ("numpy>=1", "numpy>=1", "numpy>=2"):
        make(tmp_path, "set", [wheel_requiring(tmp_path, requirement)])
    assert len(fetched) == 2


def test_a_local_wheel_is_unpacked_only_when_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second test process must not take the files away from under the first."""
    only(monkeypatch, "aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    (tmp_path / "made").touch()
    (tmp_path / "site-set").mkdir()
    (tmp_path / "site-set.key").write_text(pi_user_land._key([]))
    wheel_requiring(tmp_path, "numpy")
    wheel = tmp_path / "x-1-py3-none-any.whl"
    found = tmp_path / "site-set" / "x-1.dist-info" / "METADATA"
    make(tmp_path, "set", [], [wheel])
    found.write_text("still here")
    make(tmp_path, "set", [], [wheel])
    assert found.read_text() == "still here"
    wheel_requiring(tmp_path, "scipy")
    make(tmp_path, "set", [], [wheel])
    assert "scipy" in found.read_text()


def test_the_environment_holds_nothing_of_this_machines_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/usr/lib/python3")
    land = UserLand(tmp_path)
    variables = land.environment("set")
    assert variables["PYTHONPATH"] == str(tmp_path / "site-set") and "PYTHONHOME" not in variables
    assert land.command(["-c", "0"])[:4] == ["qemu-aarch64-static", "-cpu", "cortex-a72", "-L"]


def test_what_edgetool_needs_everywhere_has_no_extra() -> None:
    found = own_requirements()
    assert any(requirement.startswith("numpy") for requirement in found)
    assert not any("torch" in requirement or "pytest" in requirement for requirement in found)
