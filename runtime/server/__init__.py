"""The daemon's own page, metrics and health over HTTP (docs/DASHBOARD.md). Needs the extra ``pi``.

server = server_class()(daemon, settings.server)
await server.start()
...
await server.stop()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from runtime.server.app import DashboardServer


def server_class() -> type[DashboardServer]:
    """``DashboardServer``, or MissingDependencyError where its packages are not installed."""
    try:
        from runtime.server.app import DashboardServer
    except ImportError as error:
        raise MissingDependencyError(
            f"[server] needs a package that cannot be imported ({error}): pip install 'edgetool[pi]', or leave out [server]"
        ) from None
    return DashboardServer
