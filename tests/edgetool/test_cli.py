"""The command line's face: light to start, every command explains itself within 80 columns, mistakes are one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgetool.cli import COMMANDS, edgetool, one_blas_thread

NAMES = [name for group in COMMANDS.values() for name in group]
HEAVY = ("torch", "tensorflow", "tf_keras", "scipy", "matplotlib", "ai_edge_litert")


def test_help_loads_nothing_heavy_and_lists_every_command() -> None:
    """How long it takes is for a benchmark; what makes it slow is what it imports."""
    code = (
        "import sys, edgetool.cli\n"
        "try: edgetool.cli.main(['--help'])\n"
        f"except SystemExit as end: print('exit', end.code, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "exit 0 []" in done.stdout
    for name in NAMES:
        assert f"  {name}" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(edgetool, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().splitlines()[-1].startswith("  Example: "), (
        "an example must be one line, to copy"
    )
    assert max(map(len, result.output.splitlines())) <= 80


def test_an_unknown_command_names_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from edgetool.cli import main; main(['convrt'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "No such command 'convrt'" in done.stderr
    assert all(name in done.stderr for name in NAMES)
    assert "Traceback" not in done.stderr


def test_a_users_mistake_is_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from edgetool.cli import main; main(['inspect', 'no-such-file'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("edgetool: error: ")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "threads"),
    [({}, "1"), ({"OPENBLAS_NUM_THREADS": "4"}, "4"), ({"OMP_NUM_THREADS": "3"}, None)],
)
def test_matrix_products_take_one_thread_unless_the_shell_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], threads: str | None
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    one_blas_thread()
    assert os.environ.get("OPENBLAS_NUM_THREADS") == threads


@pytest.mark.parametrize(
    "options",
    [
        ("explain",),
        ("reduce", "--out", "reduced"),
        ("finetune", "--strides", "1", "--out", "own.safetensors"),
    ],
    ids=lambda options: options[0],
)
def test_the_word_pretrained_is_a_checkpoint_wherever_one_is_taken(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *more = options
    # One person who trained the shipped checkpoint: what is refused is that, and not the word.
    data = "synthetic:people=1,seconds=3,tasks=level,speeds=1"
    result = CliRunner().invoke(edgetool, ["--quiet", name, "pretrained", "--data", data, *more])
    assert result.exit_code != 0
    said = f"{result.output}{result.exception}"
    assert "training" in said and "does not exist" not in said
