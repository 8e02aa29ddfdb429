"""What a person tells a running recording over HTTP: who and what is recorded, and that something happens now.

Both take JSON alone: a page of another site can send a browser a form, but not JSON without asking first, and is not answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from runtime.status.status import Noted
from toolkit.printable import terminal_text

#: Characters of a text, and entries of a description.
LONGEST = 200
MOST = 16
#: What the daemon says itself at the head of a recording.
_RESERVED = ("run", "model")


def routes(noted: Noted) -> list[web.RouteDef]:
    """``POST /api/mark {"text": ...}`` and ``POST /api/session {"person": ..., "trial": ..., ...}``."""

    async def mark(request: web.Request) -> web.Response:
        value = await json_body(request)
        text = value.get("text")
        if set(value) != {"text"} or not isinstance(text, str) or not text.strip():
            raise bad('a marker is {"text": "heel strike"}')
        return _answer(noted.mark, clean(text), "marked")

    async def session(request: web.Request) -> web.Response:
        value = await json_body(request)
        if not 0 < len(value) <= MOST:
            raise bad(f'a session is {{"person": "S01", "trial": "3"}}, of 1 to {MOST} entries')
        for name, text in value.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or name in _RESERVED:
                raise bad(
                    "names are 1 to 32 small letters, digits and _, begin with a letter, and are not run or model"
                )
            if not isinstance(text, str):
                raise bad("the values of a session must be text")
        return _answer(noted.describe, {name: clean(text) for name, text in value.items()}, "described")

    return [web.post("/api/mark", mark), web.post("/api/session", session)]


def _answer(tell: Callable[[Any], bool], what: str | Mapping[str, str], word: str) -> web.Response:
    if not tell(what):
        raise web.HTTPConflict(text="edgetool: nothing is being recorded: the config has no [recording]\n")
    return web.json_response({word: what})


def clean(text: str) -> str:
    """A person's words on one line, of a bounded length."""
    return terminal_text(text.strip())[:LONGEST]


async def json_body(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request from a page of ours, or from no page; the answer that refuses it is raised."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="edgetool: send JSON (Content-Type: application/json)\n")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise web.HTTPForbidden(text="edgetool: not from a page of another site\n")
    try:
        value = json.loads((await request.read()).decode("utf-8"))
    except (ValueError, RecursionError):
        raise bad("this is not JSON") from None
    if not isinstance(value, dict):
        raise bad("send a JSON object")
    return value


def bad(what: str) -> web.HTTPBadRequest:
    """What answers a request that is not as it must be."""
    return web.HTTPBadRequest(text=f"edgetool: {what}\n")
