"""The daemon as a systemd service (docs/SERVICE.md): install, status, uninstall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.files import write_json

if TYPE_CHECKING:
    from runtime.service.manage import Installation, Place, ServiceStatus


def install(
    config: str | Path,
    *,
    watchdog: int = 60,
    dry_run: bool = False,
    replace: bool = False,
    program: str | Path | None = None,
    user: bool = False,
    prefix: str | Path | None = None,
    name: str | None = None,
) -> Installation:
    """Check ``config``, write a unit that runs it, and start it now and at every start of the computer.

    ``watchdog``: restart when no sample or estimate comes for so many seconds; 0: never. ``dry_run`` writes
    nothing; ``user`` is your own service, without root; ``prefix`` writes below that folder and starts nothing. ``name`` makes
    it one of several (``edgetool@left``); ``replace`` allows it to take the place of one that runs another config; ``program``
    is the ``edgetool`` that is started, if not this one. ``lines`` of the result say what was done.

    Raises the errors of the config, UsageError if the service's user cannot read what it needs or this is not root,
    MissingDependencyError without systemd.
    """
    from runtime.service.manage import install as work

    return work(
        Path(config),
        _place(user, prefix, name),
        watchdog_s=watchdog,
        dry_run=dry_run,
        replace=replace,
        program=None if program is None else Path(program),
    )


def status(
    *,
    json: str | Path | None = None,
    user: bool = False,
    prefix: str | Path | None = None,
    name: str | None = None,
) -> ServiceStatus:
    """Whether the service runs and its daemon is well (``well``). ``json`` also writes it. UsageError if there is none."""
    from runtime.service.manage import status as work

    found = work(_place(user, prefix, name))
    if json is not None:
        write_json(Path(json), found.to_json())
    return found


def uninstall(
    *, user: bool = False, prefix: str | Path | None = None, name: str | None = None
) -> tuple[str, ...]:
    """Stop the service and remove its unit; recordings and config stay. Returns what was done, line by line."""
    from runtime.service.manage import uninstall as work

    return work(_place(user, prefix, name))


def _place(user: bool, prefix: str | Path | None, name: str | None) -> Place:
    from runtime.service.manage import Place

    return Place(user, None if prefix is None else Path(prefix).absolute(), name=name)
