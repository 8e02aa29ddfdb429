"""``service install`` made services that could not start, and did not say why.

A group that is not there (no BlueZ) is 216/GROUP for ever; a second install replaced another configuration silently;
``--prefix`` wrote the paths of the host that builds the image; a wrong config was started every three seconds for ever, and
``service status`` did not say what is wrong with it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runtime.daemon.daemon import TEMPORARY, Daemon
from runtime.service.manage import Place, describe, install, status, uninstall
from runtime.service.unit import GROUPS, SYSUSERS, WRONG_CONFIG, Unit
from runtime.settings import ModelSettings, ServerSettings, Settings
from tests.runtime.daemon.harness import bundle
from tests.runtime.service.test_service import CONFIG, lines_of, manager, public
from tests.tools import require
from toolkit.errors import EdgetoolError, LinkError, UsageError

__all__ = ["manager", "public"]  # fixtures


def test_every_group_of_the_unit_is_made(tmp_path: Path) -> None:
    """On a system that has neither: systemd-sysusers makes them, as it does when the service is installed."""
    named = lines_of(Unit(Path("/a"), Path("/b")).text())["SupplementaryGroups"][0].split()
    assert named == list(GROUPS)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    (tmp_path / "users.conf").write_text(SYSUSERS)
    command = [require("systemd-sysusers"), f"--root={tmp_path}", str(tmp_path / "users.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    groups = {line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert {*GROUPS, "edgetool"} <= groups


def test_another_configuration_is_not_replaced_silently(public: Path) -> None:
    place = Place(prefix=public)
    install(public / "run.toml", place)
    (public / "other.toml").write_text(CONFIG)
    with pytest.raises(
        UsageError, match=rf"runs {public}/run.toml; to replace it give --replace, .* --name NAME"
    ):
        install(public / "other.toml", place)
    assert status(place).figures["config"] == str(public / "run.toml")
    install(public / "run.toml", place, watchdog_s=0)  # the same config again: an update
    install(public / "other.toml", place, replace=True)
    assert status(place).figures["config"] == str(public / "other.toml")


def test_two_services_side_by_side(public: Path) -> None:
    left, right = Place(prefix=public, name="left"), Place(prefix=public, name="right")
    text = install(public / "run.toml", left).text
    install(public / "run.toml", right)
    assert left.unit.name == "edgetool@left.service" and right.unit.exists()
    options = lines_of(text)
    assert options["StateDirectory"] == options["RuntimeDirectory"] == ["edgetool/left"]
    assert options["WorkingDirectory"] == ["%S/edgetool/left"] and "(left)" in options["Description"][0]
    assert left.sysusers is not None
    uninstall(left)
    assert right.unit.exists() and left.sysusers.exists()  # the user is still needed
    uninstall(right)
    assert not left.sysusers.exists()
    for name in ("Left", "a b", "../x", "", "a" * 33, "x\ny"):
        with pytest.raises(UsageError, match="it must be 1 to 32 small letters"):
            Place(name=name)


def test_an_image_gets_the_paths_that_it_will_have(public: Path, tmp_path: Path) -> None:
    text = install(public / "run.toml", Place(prefix=public)).text
    assert str(public) not in text and "ExecStart=/edgetool run --realtime /run.toml\n" in text
    given = install(
        public / "run.toml", Place(prefix=public), program=Path("/opt/edgetool/bin/edgetool")
    ).text
    assert "ExecStart=/opt/edgetool/bin/edgetool run --realtime /run.toml\n" in given
    (tmp_path / "image").mkdir()
    with pytest.raises(UsageError, match=r"the program is .*, which is not below --prefix .* --program PATH"):
        install(public / "run.toml", Place(prefix=tmp_path / "image"))


def test_a_wrong_config_is_not_started_again_and_status_says_why(public: Path, manager: Path) -> None:
    options = lines_of(Unit(Path("/a"), Path("/b")).text())
    assert (
        options["RestartPreventExitStatus"] == [str(WRONG_CONFIG)] and EdgetoolError.exit_code == WRONG_CONFIG
    )
    place = Place(user=True)
    install(public / "run.toml", place)
    (public / "run.toml").write_text(CONFIG.replace("urls", "url"))
    script = public / "bin/systemctl"
    script.write_text(
        '#!/bin/sh\nprintf "ActiveState=failed\\nSubState=failed\\nResult=exit-code\\nExecMainStatus=2\\n"\n'
    )
    journal = public / "bin/journalctl"
    journal.write_text('#!/bin/sh\necho "edgetool: error: it was this"\n')
    journal.chmod(0o755)
    said = describe(status(place))
    assert any(line.startswith("why") and "run.toml:5: sources has no key 'url'" in line for line in said)
    assert "last said edgetool: error: it was this" in [" ".join(line.split()) for line in said]
    assert "exit code 2" in [" ".join(line.split()) for line in said]


def test_what_may_pass_is_tried_again() -> None:
    """A port that is still taken, a folder that is not mounted yet: another exit code, which systemd restarts after."""
    import asyncio
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = Settings(
            ModelSettings(bundle()), ("sim://synthetic",), server=ServerSettings(port=taken.getsockname()[1])
        )
        with pytest.raises(LinkError) as error:
            asyncio.run(Daemon(given).run(1))
    assert error.value.exit_code == TEMPORARY != WRONG_CONFIG and LinkError.exit_code == WRONG_CONFIG
