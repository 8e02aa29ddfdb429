"""What commands share: settings of click, options that mean the same everywhere, progress, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.progress import Shown

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 80,
    "show_default": True,
}
PATH = click.Path(path_type=Path)
SOURCE = "synthetic[:OPTIONS], a dataset TOML, an NPZ or a folder"
F = TypeVar("F", bound=Callable[..., Any])


def json_option(help: str) -> Callable[[F], F]:
    """``--json FILE``: the result for machines."""
    return click.option("--json", type=PATH, metavar="FILE", help=help)


def html_option(help: str) -> Callable[[F], F]:
    """``--html FILE``: the result for people."""
    return click.option("--html", type=PATH, metavar="FILE", help=help)


def folds_option(function: F) -> F:
    """``--split NAME``: who trains and who is tested, where several models are trained."""
    return click.option(
        "--split",
        type=click.Choice(["leave-one-person-out", "four-folds", "by-subject", "chronological"]),
        help="Default: leave-one-person-out for three people or more, else chronological.",
    )(function)


def pool_options(of: str = "") -> Callable[[F], F]:
    """``--workers N`` and ``--scheduler ADDRESS``: who does the trainings."""

    def decorate(function: F) -> F:
        scheduler = click.option(
            "--scheduler", metavar="ADDRESS", help="Work on a Dask cluster instead, such as tcp://host:8786."
        )
        workers = click.option(
            "--workers", type=int, metavar="N", help=f"Local processes{of}. Default: one per core."
        )
        return workers(scheduler(function))

    return decorate


def seconds_option(function: F) -> F:
    """``--seconds N``: how long to run; without it until Ctrl-C."""
    positive = click.FloatRange(min=0, min_open=True)
    return click.option("--seconds", type=positive, metavar="N", help="Stop after N seconds.")(function)


def config_option(function: F) -> F:
    """``--config FILE``: the daemon's configuration, for commands that look at sensors as the daemon does."""
    return click.option(
        "--config",
        type=PATH,
        metavar="FILE",
        help="The daemon's TOML file: its [inputs], and its model and sources if none are given.",
    )(function)


def on_option(function: F) -> F:
    """``--on TARGET``, several times: where a bundle runs."""
    return click.option(
        "--on", multiple=True, default=("host",), metavar="TARGET", help="Where to run; may be repeated."
    )(function)


def progress() -> AbstractContextManager[Shown]:
    """Progress on standard error, unless ``edgetool --quiet`` was asked for."""
    from toolkit.progress import shown

    return shown(quiet=bool(click.get_current_context().find_root().params.get("quiet")))


#: ``--json -``: the JSON goes to standard output, and all else to standard error.
STDOUT = Path("-")


def file_of(json: Path | None) -> Path | None:
    """The file that ``--json`` names; None if there is none, or for standard output."""
    return None if json == STDOUT else json


def print_json(json: Path | None, value: Callable[[], Any]) -> None:
    """Write ``value()`` to standard output if that is what ``--json`` asks for."""
    if json == STDOUT:
        import sys
        from json import dumps

        sys.stdout.write(dumps(value(), indent=2, allow_nan=False) + "\n")
        sys.stdout.flush()


def tables(json: Path | None) -> Console:
    """Where tables are shown: standard output, unless ``--json`` has taken it."""
    import sys

    from toolkit.terminal import console

    return console(file=sys.stderr if json == STDOUT else None)


def tell(json: Path | None, *lines: str) -> None:
    """Say ``lines`` beside the tables."""
    from toolkit.terminal import say

    say(*lines, err=json == STDOUT)


def wrote(*paths: Path | None) -> None:
    """Say which files were written."""
    from toolkit.terminal import say

    say(
        *(f"Wrote {path}" for path in paths if path is not None and path != STDOUT),
        err=STDOUT in paths,
    )


def count(number: int, one: str, several: str) -> str:
    """``number`` with its noun."""
    return f"{number} {one if number == 1 else several}"


def show_table(
    console: Console, title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """A table; columns whose name begins with ``>`` are numbers and stand on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    whole = (
        None if title is None else Text(title, overflow="ignore")
    )  # a str would be broken at the table's width
    table = Table(title=whole, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)
