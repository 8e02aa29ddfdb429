"""Whatever is in a name, what a command shows steers no terminal and can be written in any encoding."""

from __future__ import annotations

import io
import sys

import pytest
from rich.table import Table
from rich.text import Text

from tests.hostile import few_or_all, unsafe_on_a_terminal
from toolkit.terminal import console, never_fail_to_encode, say


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    texts = few_or_all(300, 3)
    say(*texts)
    said = capsys.readouterr().out
    assert said.count("\n") == len(texts)
    assert unsafe_on_a_terminal(said) == ""


@pytest.mark.parametrize("colour", [False, True])
def test_tables_and_lines_of_the_console_steer_no_terminal(
    colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
    buffer = io.StringIO()
    out = console(file=buffer)
    for text in few_or_all(150, 4):
        table = Table(title=Text(text), box=None)
        table.add_column(text, overflow="fold")
        table.add_row(Text(text))
        table.add_row(text)
        out.print(table)
        out.print(f"Note: {text}")
        out.print(Text(text, style="bold red"))
    assert ("\x1b[" in buffer.getvalue()) == colour
    assert unsafe_on_a_terminal(buffer.getvalue(), styled=colour) == ""


def test_brackets_in_names_are_no_markup() -> None:
    buffer = io.StringIO()
    console(file=buffer).print("[bold]left[/bold] [/]")
    assert buffer.getvalue() == "[bold]left[/bold] [/]\n"


def test_a_terminal_without_the_character_gets_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    never_fail_to_encode()
    say("±0.4 ms")
    assert raw.getvalue() == b"\\xb10.4 ms\n"
