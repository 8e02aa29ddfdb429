"""Calibrating the session over HTTP: begin, give up; how it goes is in the status. JSON alone, as for markers (``notes``)."""

from __future__ import annotations

from aiohttp import web

from runtime.server.notes import bad, clean, json_body
from runtime.status.status import Observed
from toolkit.errors import EdgetoolError

#: Strides that may be asked for.
STRIDES = (5, 100)
_FORM = '{"person": "Ada", "strides": 10, "stand": true}'


def calibration_routes(observed: Observed) -> list[web.RouteDef]:
    """``POST /api/calibration`` with any of person, strides and stand, and ``POST /api/calibration/cancel {}``."""

    async def begin(request: web.Request) -> web.Response:
        value = await json_body(request)
        person, strides, stand = value.get("person", ""), value.get("strides", 10), value.get("stand", True)
        whole = isinstance(strides, int) and not isinstance(strides, bool)
        if (
            set(value) - {"person", "strides", "stand"}
            or not isinstance(person, str)
            or not isinstance(stand, bool)
        ):
            raise bad(f"a calibration is {_FORM}")
        if not whole or not STRIDES[0] <= strides <= STRIDES[1]:
            raise bad(f"strides are a whole number from {STRIDES[0]} to {STRIDES[1]}")
        try:
            observed.calibrator.start(clean(person), strides, stand)
        except EdgetoolError as error:
            raise web.HTTPConflict(text=f"edgetool: {error}\n") from None
        return web.json_response({"begun": True})

    async def cancel(request: web.Request) -> web.Response:
        if await json_body(request):
            raise bad("send {}")
        if not observed.calibrator.cancel():
            raise web.HTTPConflict(text="edgetool: no calibration goes on\n")
        return web.json_response({"given up": True})

    return [web.post("/api/calibration", begin), web.post("/api/calibration/cancel", cancel)]
