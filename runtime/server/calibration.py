"""Calibrating the session over HTTP: begin, give up; how it goes is in the status. JSON alone, as for markers (``notes``)."""

from __future__ import annotations

from aiohttp import web

from runtime.server.notes import bad, clean, json_body
from runtime.status.status import Observed
from toolkit.errors import EdgetoolError

#: Strides that may be asked for.
STRIDES = (5, 100)
_FORM = '{"person": "Ada", "strides": 10, "stand": true, "swing": false, "contraction": false}'
_STEPS = ("stand", "swing", "contraction")


def calibration_routes(observed: Observed) -> list[web.RouteDef]:
    """``POST /api/calibration`` with any of person, strides, stand, swing and contraction, and ``POST /api/calibration/cancel
    {}``."""

    async def begin(request: web.Request) -> web.Response:
        value = await json_body(request)
        person, strides = value.get("person", ""), value.get("strides", 10)
        steps = {step: value.get(step, step == "stand") for step in _STEPS}
        whole = isinstance(strides, int) and not isinstance(strides, bool)
        if (
            set(value) - {"person", "strides", *_STEPS}
            or not isinstance(person, str)
            or not all(isinstance(step, bool) for step in steps.values())
        ):
            raise bad(f"a calibration is {_FORM}")
        if not whole or not STRIDES[0] <= strides <= STRIDES[1]:
            raise bad(f"strides are a whole number from {STRIDES[0]} to {STRIDES[1]}")
        try:
            observed.calibrator.start(clean(person), strides, **steps)
        except EdgetoolError as error:
            raise web.HTTPConflict(text=f"edgetool: {error}\n") from None
        return web.json_response({"begun": True})

    async def cancel(request: web.Request) -> web.Response:
        if await json_body(request):
            raise bad("send {}")
        if not observed.calibrator.cancel():
            raise web.HTTPConflict(text="edgetool: no calibration is in progress\n")
        return web.json_response({"given up": True})

    return [web.post("/api/calibration", begin), web.post("/api/calibration/cancel", cancel)]
