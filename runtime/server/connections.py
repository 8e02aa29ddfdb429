"""Which connections the dashboard keeps: a bounded number, and none that never asks for anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiohttp import web

#: Open connections; more are closed at once, so that no visitor can use up the daemon's files.
MOST_CONNECTIONS = 64
#: Connections that one pass of the event loop accepts; so many may be above the bound.
BACKLOG = 16


def quiet_logger() -> logging.Logger:
    """For aiohttp: it would log requests that it cannot parse word for word, and so tokens, as often as a visitor likes."""
    logger = logging.Logger("edgetool.dashboard")
    logger.addHandler(logging.NullHandler())
    return logger


class Connections:
    """``accept`` makes the protocol of each new connection; ``asked`` is told of every request."""

    def __init__(self, server: web.Server, first_request_s: float) -> None:
        self._server, self._first_request_s = server, first_request_s
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def accept(self) -> asyncio.Protocol:
        """A connection that aiohttp serves, or one that ends at once because there are too many."""
        if len(self._server.connections) >= MOST_CONNECTIONS:
            return _Refuse()
        protocol = self._server()
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(self._first_request_s, self._give_up, protocol)
        return protocol

    def asked(self, request: web.BaseRequest) -> None:
        """This request's connection has something to ask."""
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, protocol: web.RequestHandler) -> None:
        self._silent.pop(protocol, None)
        protocol.force_close()


class _Refuse(asyncio.Protocol):
    """Takes the place of a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            transport.close()
