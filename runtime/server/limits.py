"""What visitors of the dashboard may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """In s: ``form_s`` until a form must be whole, ``first_request_s`` until a connection's first request must be (a few that
    say nothing would keep everybody out; between later requests the keep-alive timeout is the bound), ``stalled_s`` after which
    a viewer that takes nothing is let go, ``machine_s`` between two looks at the computer's health. ``rate_hz``: messages a
    second to each viewer."""

    form_s: float = 10.0
    first_request_s: float = 10.0
    stalled_s: float = 10.0
    machine_s: float = 5.0
    rate_hz: float = 20.0
