"""Text from outside is safe where it is shown, and nothing of it is hidden."""

from __future__ import annotations

import csv
import io
import tomllib
from pathlib import Path

import pytest
from hypothesis import given

from tests.hostile import PIECES, few_or_all, hostile_strings, hostile_text, unsafe_on_a_terminal
from toolkit.errors import InputError
from toolkit.printable import (
    LOG_LIMIT,
    file_name_text,
    log_text,
    spreadsheet_text,
    terminal_lines,
    terminal_text,
)
from toolkit.toml_lines import toml_text


@pytest.mark.parametrize(
    "text, shown",
    [
        ("knee angle, °", "knee angle, °"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\0", "a\\nb\\tc\\x00"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("file-\udcff.csv", "file-\\udcff.csv"),
        ("\x9b2J\x7f\x85", "\\x9b2J\\x7f\\x85"),
        ("C:\\new", "C:\\new"),
        (ValueError("x\ry"), "x\\ry"),
    ],
)
def test_what_cannot_be_shown_is_shown_as_an_escape(text: object, shown: str) -> None:
    assert terminal_text(text) == shown


@given(hostile_text())
def test_no_text_reaches_a_terminal_or_a_log_unescaped(text: str) -> None:
    for safe in (terminal_text(text), log_text(text), spreadsheet_text(text)):
        assert "\n" not in safe
        assert unsafe_on_a_terminal(safe) == ""
        safe.encode("utf-8")
    assert unsafe_on_a_terminal(terminal_lines(text)) == ""
    assert terminal_lines(text).count("\n") == text.count("\n")


@given(hostile_text())
def test_an_error_is_one_line_that_steers_nothing(text: str) -> None:
    said = str(InputError(f"cannot read {text}: no such file"))
    assert "\n" not in said and unsafe_on_a_terminal(said) == ""
    assert f"{InputError(text)}" == str(InputError(text)) == terminal_text(text)


def test_plain_text_stays_as_it_is() -> None:
    for text in ("hip_flexion_r", "Müller, 45°", "右膝", "x" * 200):
        assert terminal_text(text) == log_text(text) == spreadsheet_text(text) == text


def test_an_entry_of_a_log_is_bounded_and_says_what_was_cut() -> None:
    shown = log_text("x" * (LOG_LIMIT + 17))
    assert shown == "x" * LOG_LIMIT + "... (17 more characters)"
    assert log_text("y" * LOG_LIMIT) == "y" * LOG_LIMIT


@pytest.mark.parametrize("text", [text for text in few_or_all(400, 5) if text.strip()])
def test_no_cell_is_a_formula(text: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([spreadsheet_text(text), "1"])
    rows = list(csv.reader(io.StringIO(buffer.getvalue())))
    assert len(rows) == 1 and len(rows[0]) == 2 and rows[0][1] == "1"
    assert not rows[0][0].startswith(("=", "+", "-", "@", "\t", "\r"))


@given(hostile_text())
def test_a_name_becomes_one_file_in_the_folder(text: str) -> None:
    name = file_name_text(text)
    assert name and name not in (".", "..") and len(name.encode()) <= 200
    assert Path("folder", name).parent == Path("folder") and Path("folder", name).name == name
    assert unsafe_on_a_terminal(name) == "" and not name.startswith(("-", "."))


def test_ordinary_names_stay_but_for_the_separator() -> None:
    assert file_name_text("synthetic-01/level/0.9") == "synthetic-01_level_0.9"


@given(hostile_text())
def test_toml_reads_back_what_was_written(text: str) -> None:
    """Lone surrogates have no place in TOML; each becomes a question mark."""
    written = f"a = {toml_text(text)}"
    assert tomllib.loads(written)["a"] == text.encode("utf-8", "replace").decode()
    assert "\n" not in written


def test_the_hostile_strings_are_drawn_the_same_for_a_seed() -> None:
    assert hostile_strings(300, 1) == hostile_strings(300, 1) != hostile_strings(300, 2)
    assert set(hostile_strings(300, 1)) > {piece for piece in PIECES if piece}
