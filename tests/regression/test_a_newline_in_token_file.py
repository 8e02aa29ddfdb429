"""A newline in ``token_file`` wrote lines of its own into the unit that root installs: ``ExecStartPre=`` and what one likes.

The name went into ``LoadCredential=`` as it stood. Every text that reaches a unit goes through one of two functions: words of a
command line are quoted so that systemd reads them back, and a setting that systemd takes to the end of the line refuses what
it cannot hold. Drawn hostile names are put in every place; systemd itself reads the units.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runtime.service.unit import Unit, quoted, setting, unquoted
from tests.hostile import MARK, few_or_all
from tests.tools import require
from toolkit.errors import UsageError

EVIL = f"/etc/token\nExecStartPre=/bin/touch {MARK}"
NAMES = [name.replace("/", "-") for name in few_or_all(400, 20260701)]


def test_a_token_file_writes_no_line_of_its_own() -> None:
    with pytest.raises(UsageError, match=r"server.token_file is .* a systemd unit cannot name it: rename it"):
        Unit(Path("/a"), Path("/b"), Path(EVIL)).text()


def _units() -> list[tuple[str, str]]:
    """A name and its unit, for all places that a name can reach, if it can be said at all."""
    found = []
    for name in NAMES:
        for make in (
            lambda path: Unit(path, Path("/etc/run.toml")),
            lambda path: Unit(Path("/opt/edgetool"), path),
            lambda path: Unit(Path("/opt/edgetool"), Path("/etc/run.toml"), path),
        ):
            try:
                found.append((name, make(Path("/x") / name).text()))
            except UsageError:
                continue
    return found


def test_hostile_names_change_no_other_line() -> None:
    plain = Unit(Path("/opt/edgetool"), Path("/etc/run.toml"), Path("/x/token")).text().splitlines()
    units = _units()
    assert len(units) > 2 * len(NAMES)
    for name, text in units:
        lines = text.split("\n")
        others = [line for line in lines if not line.startswith(("ExecStart=", "LoadCredential="))]
        assert others == [
            line for line in plain if not line.startswith(("ExecStart=", "LoadCredential="))
        ] + [""], name
        assert text.isprintable() or {c for c in text if not c.isprintable()} == {"\n"}, name


def test_a_quoted_word_is_read_back() -> None:
    for name in NAMES:
        try:
            (word,) = [quoted([name])]
        except UsageError:
            assert "\0" in name or not name.isprintable()
            continue
        assert unquoted(word.removeprefix('"').removesuffix('"') if word.startswith('"') else word) == name


def test_systemd_reads_the_names_as_they_are(tmp_path: Path) -> None:
    """A program of each name is made, and the verifier, which looks for the program, finds it in every unit."""
    analyze = require("systemd-analyze")
    folder = tmp_path / "units"
    folder.mkdir()
    files = []
    for number, name in enumerate(NAMES):
        program = tmp_path / "programs" / str(number) / name
        try:
            text = Unit(program, tmp_path / name).text()
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
        except (UsageError, OSError, ValueError):
            continue
        program.chmod(0o755)
        file = folder / f"edgetool-{number}.service"
        # systemd starts no program whose path has a quote, backslash or $ in it, however it is written; install refuses it.
        if not set(str(program)) & set("'\"\\$") and str(program).isprintable():
            file.write_text(text)
            files.append(file)
    assert len(files) > 100
    done = subprocess.run([analyze, "verify", *map(str, files)], capture_output=True, text=True, timeout=300)
    about_us = [line for line in done.stderr.splitlines() if "edgetool-" in line]
    assert about_us == [], about_us[:5]


def test_what_a_setting_cannot_hold() -> None:
    for text in ("a\nb", "a\rb", "a\x1bb", " a", "a ", "a\\", "\u202ea", "\ud800"):
        with pytest.raises(UsageError, match="rename it without control characters"):
            setting("server.token_file", text)
    assert setting("server.token_file", "/50 % of \\ this") == "/50 %% of \\ this"
