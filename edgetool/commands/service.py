"""``edgetool service``: the daemon as a systemd service; a face of ``runtime.service.manage``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
_F = TypeVar("_F", bound=Callable[..., Any])


def _where(function: _F) -> _F:
    """Options of all three: whose service manager, and below which folder."""
    prefix = click.option(
        "--prefix",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Write below DIR in place of /; start nothing.",
    )
    user = click.option("--user", is_flag=True, help="Your own service: no root, and less of a sandbox.")
    return user(prefix(function))


@click.group(
    name="service",
    context_settings=_SETTINGS,
    epilog="Example: sudo edgetool service install /etc/edgetool/run.toml",
)
def command() -> None:
    """Install, look at or remove the daemon as a systemd service (docs/SERVICE.md)."""


@command.command(context_settings=_SETTINGS, epilog="Example: edgetool service install run.toml --dry-run")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--watchdog",
    type=click.IntRange(0, 86_400),
    default=60,
    show_default=True,
    metavar="S",
    help="Start anew when samples or estimates stand still for S seconds; 0: never.",
)
@click.option("--dry-run", is_flag=True, help="Show the unit and what would be done; write nothing.")
@_where
def install(config: Path, watchdog: int, dry_run: bool, user: bool, prefix: Path | None) -> None:
    """Check CONFIG, write a unit that runs it, and start it now and with the computer."""
    from runtime.service.manage import Place
    from runtime.service.manage import install as run

    done = run(config, Place(user, prefix and prefix.absolute()), watchdog_s=watchdog, dry_run=dry_run)
    if dry_run:
        click.echo(done.text)
    click.echo("\n".join(done.lines), err=dry_run)


@command.command(context_settings=_SETTINGS, epilog="Example: edgetool service status --json status.json")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write it for machines.")
@_where
def status(json: Path | None, user: bool, prefix: Path | None) -> int:
    """Whether the service runs and its daemon is well; exit code 1 if not."""
    from runtime.service.manage import Place, describe
    from runtime.service.manage import status as run
    from toolkit.files import write_json

    found = run(Place(user, prefix and prefix.absolute()))
    click.echo("\n".join(describe(found)))
    if json is not None:
        write_json(json, found.to_json())
    return 0 if found.well else 1


@command.command(context_settings=_SETTINGS, epilog="Example: sudo edgetool service uninstall")
@_where
def uninstall(user: bool, prefix: Path | None) -> None:
    """Stop the service and remove its unit. Recordings and config stay."""
    from runtime.service.manage import Place
    from runtime.service.manage import uninstall as run

    click.echo("\n".join(run(Place(user, prefix and prefix.absolute()))))
