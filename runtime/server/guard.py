"""Who may see the dashboard, and the headers that keep its page its own."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from runtime.server.access import Access

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "edgetool_dashboard"
#: Seconds a browser stays known: 30 days.
_COOKIE_S = 30 * 24 * 3600
#: Seen without a token: the form that asks for it and its style, no data.
_OPEN_PATHS = frozenset({"/session", "/style.css"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Middleware: 421 for a strange Host, 401 without the token, and the headers on whatever is answered.

    Without a token only names of this machine are answered, or else a page elsewhere could point a name of its own at this
    machine and read along (DNS rebinding).

    The cookie is no token: it is an HMAC of it, so that a stolen cookie does not tell the token, and a new token ends all
    cookies.
    """

    def __init__(self, access: Access) -> None:
        self._hosts = {"localhost", "127.0.0.1", "::1", access.host.lower()}
        self._digest = _digest(access.token) if access.token is not None else None
        key = access.token or ""
        self._cookie = hmac.new(key.encode(), b"edgetool dashboard cookie", hashlib.sha256).hexdigest()

    @property
    def middleware(self) -> Middleware:
        """What an aiohttp application takes."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = await self._answer(request, handler)
            except web.HTTPException as error:
                error.headers.update(HEADERS)
                raise
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guard

    def knows(self, token: str) -> bool:
        """Whether ``token`` is the one, in a time that tells nothing of it."""
        return self._digest is not None and hmac.compare_digest(_digest(token), self._digest)

    def admit(self, response: web.StreamResponse) -> None:
        """Let the browser that gets ``response`` in from now on."""
        response.set_cookie(COOKIE, self._cookie, max_age=_COOKIE_S, httponly=True, samesite="Lax", path="/")

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._digest is None:
            if _host_of(request) not in self._hosts:
                raise web.HTTPMisdirectedRequest(
                    text="edgetool: reach the dashboard as 127.0.0.1 or localhost, or give it a token (docs/DASHBOARD.md)\n"
                )
            return await handler(request)
        given = request.query.get("token")
        if given is not None and self.knows(given):
            # Away with the token from the address line, history and whatever copies addresses.
            # Only to a page of ours: a path such as //elsewhere would lead away.
            path = request.path if request.match_info.http_exception is None else "/"
            response = web.Response(status=303, headers={"Location": path})
            self.admit(response)
            return response
        if request.path in _OPEN_PATHS or self._is_known(request):
            return await handler(request)
        if request.method == "GET" and request.path == "/":
            return web.Response(status=401, text=SIGN_IN, content_type="text/html")
        raise web.HTTPUnauthorized(
            text="edgetool: the dashboard needs its token (Authorization: Bearer TOKEN)\n",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _is_known(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.knows(given.strip())
        return hmac.compare_digest(_digest(request.cookies.get(COOKIE, "")), _digest(self._cookie))


def _digest(text: str) -> bytes:
    # Comparing digests of one length leaves nothing to be learnt from the time, not even the length.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _host_of(request: web.Request) -> str:
    host = request.headers.get("Host", "").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


SIGN_IN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>edgetool: token</title>
<link rel="stylesheet" href="/style.css">
</head>
<body class="sign-in">
<main>
<h1>edgetool</h1>
<form method="post" action="/session">
<label for="token">Token of this dashboard</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Show the dashboard</button>
</form>
<p>The token is what <code>token_file</code> of the section <code>[server]</code> names.</p>
</main>
</body>
</html>
"""
