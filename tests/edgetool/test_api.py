"""``import edgetool``: a function for each command, with its options; light; typed; every name documented."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import click
import pytest

import edgetool
from edgetool.cli import COMMANDS
from edgetool.cli import edgetool as group
from toolkit.errors import EdgetoolError

HEAVY = (
    "numpy",
    "torch",
    "tensorflow",
    "scipy",
    "matplotlib",
    "rich",
    "click",
    "quantization",
    "runtime",
    "benchmarks",
)
#: Arguments that only a function can take: callables, and what is told while it works.
ONLY_PYTHON = {"progress", "show", "marks"}


def _commands() -> list[tuple[str, click.Command]]:
    """Dotted name below ``edgetool`` and command; the commands of a group are functions of a module."""
    found: list[tuple[str, click.Command]] = []
    for name in (name for names in COMMANDS.values() for name in names):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{name}.{inner}", each) for inner, each in command.commands.items()]
        else:
            found.append((name, command))
    return found


def _public(dotted: str) -> object:
    value: object = edgetool
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("dotted, command", _commands(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_has_a_function_with_the_same_options(dotted: str, command: click.Command) -> None:
    function = _public(dotted)
    assert isinstance(function, types.FunctionType)
    parameters = inspect.signature(function).parameters
    options: dict[str, click.Parameter] = {}
    for each in command.params:
        if isinstance(each, click.Option):
            options[max(each.opts, key=len).removeprefix("--").replace("-", "_")] = each
        else:
            options[each.name or ""] = each
    assert set(parameters) - ONLY_PYTHON == set(options)
    for name, option in options.items():
        theirs, ours = option.default, parameters[name].default
        if not isinstance(
            theirs, str | int | float | tuple
        ):  # click's word for none has changed between its versions
            theirs = None
        if ours is inspect.Parameter.empty:
            assert option.required, f"{dotted}: {name} is required in Python only"
        else:
            assert not option.required, f"{dotted}: {name} is required on the command line only"
            same = str(ours) == str(theirs) if isinstance(theirs, str) else (ours or None) == (theirs or None)
            assert same, f"{dotted}: {name} is {ours!r} in Python and {theirs!r} on the command line"


@pytest.mark.parametrize("name", edgetool.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(edgetool, name)
    assert name in dir(edgetool)
    if isinstance(value, types.FunctionType):
        text = inspect.getdoc(value)
        assert text is not None
        missing = [p for p in inspect.signature(value).parameters if f"``{p}``" not in text]
        assert not missing, f"the docstring of edgetool.{name} does not say what {missing} are"
    elif name != "__version__":
        assert inspect.getdoc(value)


def test_what_editors_see_is_what_is_there() -> None:
    tree = ast.parse(Path(edgetool.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    typed = {
        (node.module, alias.asname)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {(module, name) for name, module in edgetool._MODULE.items()}


def test_import_is_light() -> None:
    code = (
        "import sys, edgetool; dir(edgetool); edgetool.__version__; edgetool.UsageError\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'convrt'; it has .*convert.*bench"):
        edgetool.convrt  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        exec("from edgetool import convrt")


def test_python_m_edgetool_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgetool", "--version"], capture_output=True, text=True, check=True
    )
    assert edgetool.__version__ in done.stdout


def test_what_waits_for_sensors_works_within_an_event_loop_as_in_a_notebook(tmp_path: Path) -> None:
    """``asyncio.run`` refuses to nest; a notebook's cell runs in a loop."""

    async def cell() -> None:
        summary = edgetool.record(
            source="sim://synthetic?speed=20", out=tmp_path / "x.etl", seconds=0.2, json=tmp_path / "x.json"
        )
        assert summary.chunks > 0
        assert edgetool.replay(tmp_path / "x.etl").ledger == summary.ledger
        assert edgetool.monitor("sim://synthetic?speed=20", seconds=0.3).streams
        assert edgetool.doctor("sim://synthetic?speed=20", seconds=0.5).findings

    asyncio.run(cell())


def test_interrupting_a_cell_ends_a_recording_in_order(tmp_path: Path) -> None:
    out = tmp_path / "x.etl"

    async def cell() -> None:
        def interrupt_when_there() -> None:
            while not out.exists():
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt_when_there).start()
        edgetool.record(source="sim://synthetic", out=out)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(cell())
    finally:
        signal.signal(signal.SIGINT, before)
    assert edgetool.replay(out).closed


def test_options_that_do_not_go_together_are_refused_as_on_the_command_line(tmp_path: Path) -> None:
    for call in (
        lambda: edgetool.run(),
        lambda: edgetool.run("x.toml", demo=True),
        lambda: edgetool.run("x.toml", port=1),
        lambda: edgetool.simulate(),
        lambda: edgetool.simulate(serial="x", ble=True),
        lambda: edgetool.simulate(serial=tmp_path / "p", fault=["drop"]),
        lambda: edgetool.inspect("pretrained", html="x.html"),  # type: ignore[call-overload]
    ):
        with pytest.raises(edgetool.UsageError):
            call()
    assert issubclass(edgetool.UsageError, EdgetoolError)
