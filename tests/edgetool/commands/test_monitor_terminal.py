"""``edgetool monitor`` on a terminal of 80 x 24: what it draws fits, whatever the number of nodes, and nothing wraps."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgetool.commands.monitor_tables import tables

TOKENS = re.compile(r"\x1b\[(?P<number>[0-9;?]*)(?P<command>[A-Za-z])|(?P<character>.)", re.DOTALL)


class Screen:
    """As much of an 80 x 24 terminal as the monitor uses; counts what must not happen."""

    def __init__(self) -> None:
        self.lines = [""] * 24
        self.wrapped = self.scrolled = self.pictures = 0
        self._row = self._column = 0

    def take(self, text: str) -> None:
        for token in TOKENS.finditer(text):
            if token["character"] is not None:
                self._character(token["character"])
            elif token["command"] == "A":
                self._row = max(0, self._row - int(token["number"] or 1))
            elif token["command"] == "K":
                assert token["number"] == "2"
                self.lines[self._row] = ""
                self.pictures += self._row == 0
            else:
                assert token["command"] in "mhl", token  # colour, cursor hidden and shown

    def _character(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._row += 1
            if self._row == 24:
                self.scrolled += 1
                self.lines, self._row = [*self.lines[1:], ""], 23
        else:
            self.wrapped += self._column >= 80
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1


def test_a_name_with_brackets_is_shown_as_it_is() -> None:
    """Nodes name themselves: what looks like markup is neither swallowed nor an error."""
    now = state(1)
    for name, node in now["nodes"].items():
        node["name"] = "[/red]left"
        node["battery_percent"] = 3
        now["links"] = {name: "down: [errno 5]"}
    for stream in now["streams"]:
        stream["node"], stream["stream"] = "[/red]left", "[bold]"
    for height in (None, 8):
        console = Console(width=80, file=io.StringIO())
        console.print(tables(now, height))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "[/red]left" in text and "down: [errno 5]" in text and "[/red]left: battery" in text
        assert ("[bold]" in text) == (height is None)


def state(nodes: int, *, digits: int = 3, synced: bool = True) -> dict[str, Any]:
    """The JSON state of ``nodes`` nodes of two streams, with numbers of so many digits."""
    big = 10**digits - 1
    names = [f"shank sensor {index}" for index in range(nodes)]
    terms = {
        "sent": big,
        "delivered": big - 600,
        "crc_failed": 0,
        "gap": 600,
        "duplicate": 9,
        "reordered": 12,
    }
    return {
        "streams": [
            {
                "node": name,
                "stream": stream,
                "channels": 24,
                "nominal_hz": hz,
                "measured_hz": hz * 0.99,
                "samples": big,
                "rows": big,
                "rows_in_gaps": 600,
            }
            for name in names
            for stream, hz in (("imu", 200.0), ("emg", 1000.0))
        ],
        "nodes": {
            f"{index}/0": {
                "name": name,
                "skew_ppm": -12.3,
                "error_ms": 15.31,
                "synced": synced,
                "samples_dropped": 40 * (index == 0),
                "battery_percent": 10 if index == 0 else 90,
            }
            for index, name in enumerate(names)
        },
        "ledger": {
            **{f"{index}/0": {**terms, "dropped_in_host": 0, "gap": 600 + index} for index in range(nodes)},
            "0": {"damaged": 0, "noise": 0, "rejected": {}},
        },
        "links": {"0": "down: shank sensor 0 was disconnected"},
        "undescribed_packets": 0,
        "untimed_packets": 0,
    }


def lines_of(value: dict[str, Any], height: int | None = 24) -> list[str]:
    console = Console(width=80, height=24, record=True, file=io.StringIO())
    console.print(tables(value, height))
    return [line.rstrip() for line in console.export_text().rstrip("\n").split("\n")]


@pytest.mark.parametrize("nodes", [1, 4, 5, 8, 20, 64])
@pytest.mark.parametrize("synced", [True, False])
def test_it_fits_80_by_24_with_numbers_of_seven_digits(nodes: int, synced: bool) -> None:
    lines = lines_of(state(nodes, digits=7, synced=synced))
    # One line stays free for the cursor.
    assert len(lines) <= 23 and max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines), lines
    assert any("9999999" in line for line in lines)
    assert any("the node itself dropped 40 samples" in line for line in lines)
    assert any("battery 10 %" in line for line in lines) and any("was disconnected" in line for line in lines)
    assert any(line.startswith("? assumed") for line in lines) is not synced


def test_what_is_shown_of_one_node() -> None:
    assert lines_of(state(1)) == [
        "Streams",
        "node           stream ch   Hz measured samples rows     in gaps",
        "shank sensor 0 imu    24  200    198.0     999  999 600 (60.1%)",
        "shank sensor 0 emg    24 1000    990.0     999  999 600 (60.1%)",
        "",
        "Ledger, in frames",
        "node           sent deliv. crc gap dup reord drop clock, ms ppm",
        "shank sensor 0  999    399   0 600   9    12    0    ±15.31 -12",
        "shank sensor 0: the node itself dropped 40 samples",
        "shank sensor 0: battery 10 %",
        "link 0 down: shank sensor 0 was disconnected",
    ]


def test_too_many_for_the_screen_are_a_row_each_the_worst_first() -> None:
    lines = lines_of(state(30))
    assert lines[0].startswith("Nodes") and lines[2].startswith("shank sensor 29 ")
    assert "more nodes that lost less" in "\n".join(lines)
    assert len(lines_of(state(30), None)) == 30 * 3 + 5 + 3  # a file gets all of them


def test_nothing_heard() -> None:
    nothing = {**state(0), "links": {}}
    assert lines_of(nothing) == ["No intact frame has been received yet."]


@pytest.mark.parametrize("nodes", [2, 12])
def test_on_a_real_terminal_no_line_wraps_and_the_screen_does_not_scroll(nodes: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    url = f"sim://synthetic:people=1,seconds=2,tasks=level?nodes={nodes}&drop=0.02"
    program = [
        sys.executable,
        "-c",
        "from edgetool.cli import main; main()",
        "monitor",
        url,
        "--seconds",
        "2.5",
    ]
    process = subprocess.Popen(program, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    drawn = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        drawn += piece
    os.close(ours)
    assert process.wait(10) == 0
    screen = Screen()
    screen.take(drawn.decode())
    assert screen.pictures > 4 and screen.wrapped == screen.scrolled == 0
    shown = [line.rstrip() for line in screen.lines if line]
    assert shown[0] == ("Streams" if nodes == 2 else "Nodes (a taller window shows all)")
    assert sum(line.startswith("virtual") for line in shown) == (6 if nodes == 2 else 12)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_in_order_and_writes_the_last_state(tmp_path: Path, number: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    state_file = tmp_path / "state.json"
    url = "sim://synthetic:people=1,seconds=2,tasks=level"
    arguments = ["monitor", url, "--seconds", "60", "--json", str(state_file)]
    program = [sys.executable, "-c", "from edgetool.cli import main; main()", *arguments]
    process = subprocess.Popen(program, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    drawn, told = b"", False
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        drawn += piece
        if b"virtual" in drawn and not told:
            told = True
            process.send_signal(number)
    os.close(ours)
    assert process.wait(10) == 0, drawn.decode()
    assert json.loads(state_file.read_text())["ledger"]["0/0"]["delivered"] > 0
