"""``edgetool service``: the daemon as a systemd service; a thin wrapper around :mod:`edgetool.api.service`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgetool.commands.shared import PATH, SETTINGS, json_option

_F = TypeVar("_F", bound=Callable[..., Any])


def _where(function: _F) -> _F:
    """Options of all three: whose service manager, below which folder, and which of several services."""
    prefix = click.option(
        "--prefix", type=PATH, metavar="DIR", help="Write below DIR instead of /; start nothing."
    )
    user = click.option(
        "--user", is_flag=True, help="Your own service: no root needed, but a weaker sandbox."
    )
    name = click.option("--name", metavar="NAME", help="One of several: edgetool@NAME (left, right).")
    return user(prefix(name(function)))


@click.group(
    name="service",
    context_settings=SETTINGS,
    epilog="Example: sudo edgetool service install /etc/edgetool/run.toml",
)
def command() -> None:
    """Install, check or remove the daemon as a systemd service (docs/SERVICE.md)."""


@command.command(context_settings=SETTINGS, epilog="Example: edgetool service install run.toml --dry-run")
@click.argument("config", type=PATH)
@click.option(
    "--watchdog",
    type=click.IntRange(0, 86_400),
    default=60,
    metavar="S",
    help="Restart when no sample or estimate comes for S seconds; 0: never.",
)
@click.option("--replace", is_flag=True, help="Replace a service that runs another config.")
@click.option("--program", type=PATH, help="The edgetool that the unit starts, if not this one.")
@click.option("--dry-run", is_flag=True, help="Show the unit and what would be done; write nothing.")
@_where
def install(config: Path, dry_run: bool, **options: Any) -> None:
    """Check CONFIG, write a unit that runs it, and start it now and with the computer."""
    from edgetool.api.service import install as work
    from toolkit.terminal import say

    done = work(config, dry_run=dry_run, **options)
    if dry_run:
        say(*done.text.removesuffix("\n").split("\n"))
    say(*done.lines, err=dry_run)


@command.command(context_settings=SETTINGS, epilog="Example: edgetool service status --json status.json")
@json_option("Also write it as JSON.")
@_where
def status(**options: Any) -> int:
    """Show whether the service runs and its daemon is well; exit code 1 if not."""
    from edgetool.api.service import status as work
    from runtime.service.manage import describe
    from toolkit.terminal import say

    found = work(**options)
    say(*describe(found))
    return 0 if found.well else 1


@command.command(context_settings=SETTINGS, epilog="Example: sudo edgetool service uninstall")
@_where
def uninstall(**options: Any) -> None:
    """Stop the service and remove its unit. Recordings and config stay."""
    from edgetool.api.service import uninstall as work
    from toolkit.terminal import say

    say(*work(**options))
