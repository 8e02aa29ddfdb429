"""The HTTP server that a daemon carries: page, events, status, metrics, health."""

from __future__ import annotations

import asyncio
import json
import socket
import traceback
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from runtime.log.journal import Journal
from runtime.server.access import Access
from runtime.server.calibration import calibration_routes
from runtime.server.connections import BACKLOG, Connections, quiet_logger
from runtime.server.feed import Feed, full_status
from runtime.server.guard import HEADERS, Guard, Handler
from runtime.server.health import health
from runtime.server.limits import Limits
from runtime.server.machine import Machine
from runtime.server.notes import routes
from runtime.server.tasks import StartTask, start_task
from runtime.settings import ServerSettings
from runtime.status.metrics import CONTENT_TYPE, Metrics
from runtime.status.status import Observed
from toolkit.errors import LinkError

#: Bytes of a request's body: the form with the token is the only one there is.
_MOST_BODY = 4096
#: Bytes that wait for a viewer in this process, and as many in the system, before it counts as slow.
_WRITE_BUFFER = 65_536
#: The page's files: name in the package to type. What is not listed is not served.
PAGE = {
    "index.html": "text/html",
    "style.css": "text/css",
    "dashboard.js": "text/javascript",
    "figure.js": "text/javascript",
    "calibration.js": "text/javascript",
    "plots.js": "text/javascript",
    "words.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class DashboardServer:
    """Serves one daemon on its event loop. :meth:`start` raises LinkError if the address cannot be had.

    ``environment`` may hold the token (:meth:`Access.of`); ``root`` is where the files of the system lie. ``journal`` is told
    of our own mistakes, without what the visitor sent. ``start`` runs the server's own tasks, and again if they raise.
    """

    def __init__(
        self,
        observed: Observed,
        settings: ServerSettings,
        environment: Mapping[str, str] | None = None,
        root: Path = Path("/"),
        journal: Journal | None = None,
        start: StartTask = start_task,
        limits: Limits | None = None,
    ) -> None:
        self._observed = observed
        self._limits = limits or Limits()
        self._journal = journal
        self.access = Access.of(settings, environment)
        self._machine = Machine(root, start, self._limits.machine_s)
        self.feed = Feed(observed, self._machine.figures, start=start, rate_hz=self._limits.rate_hz)
        self._metrics = Metrics(observed.status, lambda: self._machine.health)
        self._guard = Guard(self.access)
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._connections: Connections | None = None

    @property
    def url(self) -> str:
        """Where a browser finds the page, without the token."""
        assert self._listening is not None, "start() first"
        port = self._listening.sockets[0].getsockname()[1]
        host = self.access.host
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    async def start(self) -> None:
        """Listen."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=quiet_logger(),
            handle_signals=False,
            keepalive_timeout=30,
        )
        await runner.setup()
        assert runner.server is not None
        self._connections = Connections(runner.server, self._limits.first_request_s)
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                self._connections.accept, self.access.host, self.access.port, backlog=BACKLOG
            )
        except OSError as error:
            await runner.cleanup()
            raise LinkError(
                f"the dashboard cannot listen at {self.access.host}:{self.access.port}: {error.strerror or error}; "
                "choose another host or port in [server]"
            ) from None
        self._runner = runner
        await self._machine.start()
        await self.feed.start()

    async def stop(self) -> None:
        """Close all connections, within about a second."""
        if self._runner is None or self._listening is None:
            return
        self._listening.close()
        await self.feed.stop()
        await self._machine.stop()
        assert self._runner.server is not None
        await self._runner.server.shutdown(1.0)
        await self._runner.cleanup()
        self._runner = None

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._heard, self._guard.middleware], client_max_size=_MOST_BODY
        )
        application.add_routes(
            [
                web.get("/", _file("index.html")),
                *(web.get(f"/{name}", _file(name)) for name in PAGE if name != "index.html"),
                web.get("/events", self._events, allow_head=False),
                web.get("/api/status", self._api_status),
                web.get("/metrics", self._scrape),
                web.get("/healthz", self._healthz),
                web.post("/session", self._session),
                *routes(self._observed),
                *calibration_routes(self._observed),
            ]
        )
        return application

    @property
    def _heard(self) -> Middleware:
        """The outermost: notes that a connection asks, and answers 500 where we are wrong, with a line in our own log."""

        @web.middleware
        async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._connections is not None:
                self._connections.asked(request)
            try:
                return await handler(request)
            except (web.HTTPException, ConnectionError):
                raise
            except Exception as error:  # a mistake of ours: aiohttp's own words would repeat what was sent
                if self._journal is not None:
                    at = traceback.extract_tb(error.__traceback__)[-1]
                    place = f"{Path(at.filename).name}:{at.lineno}"
                    self._journal.error("dashboard request failed", reason=type(error).__name__, at=place)
                raise web.HTTPInternalServerError(
                    text="edgetool: the dashboard failed; its log says where\n", headers=HEADERS
                ) from None

        return heard

    async def _events(self, request: web.Request) -> web.StreamResponse:
        viewer = self.feed.join()
        if viewer is None:
            raise web.HTTPServiceUnavailable(
                text="edgetool: the dashboard already has as many viewers as it serves\n",
                headers={"Retry-After": "5"},
            )
        response = web.StreamResponse(
            headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        try:
            await response.prepare(request)
            _bound_buffers(request)
            # A browser tries again a second after the stream was cut.
            await response.write(b"retry: 1000\n\n")
            while (block := await viewer.next()) is not None:
                await asyncio.wait_for(response.write(block), self._limits.stalled_s)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        finally:
            self.feed.leave(viewer)
        return response

    async def _api_status(self, _: web.Request) -> web.Response:
        return _json(200, full_status(self._observed, self._machine.figures()))

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        well, why = health(self._observed.status())
        return _json(200 if well else 503, why)

    async def _session(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPUnsupportedMediaType(text="edgetool: send the token as a form\n")
        if (
            request.charset or "utf-8"
        ).lower() != "utf-8":  # Python knows encodings that are no character sets
            raise web.HTTPBadRequest(text="edgetool: send the form as UTF-8\n")
        try:
            async with asyncio.timeout(self._limits.form_s):
                given = (await request.post()).get("token")
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="edgetool: the form did not arrive\n") from None
        except (ValueError, LookupError):  # no UTF-8, or an encoding that nobody knows
            raise web.HTTPBadRequest(text="edgetool: this is not a form\n") from None
        if not isinstance(given, str) or not self._guard.knows(given.strip()):
            raise web.HTTPUnauthorized(text="edgetool: this is not the dashboard's token\n")
        response = web.Response(status=303, headers={"Location": "/"})
        self._guard.admit(response)
        return response


def _bound_buffers(request: web.Request) -> None:
    """Let a viewer that does not read be noticed soon: the system would take megabytes for it, minutes of old events."""
    if request.transport is None:
        return
    request.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WRITE_BUFFER)


def _file(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    content = (resources.files("runtime.server") / "page" / name).read_bytes()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type=PAGE[name], charset="utf-8")

    return answer


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status, text=json.dumps(value, allow_nan=False) + "\n", content_type="application/json"
    )
