"""What a user writes to name a sink, in its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote

from toolkit.errors import UsageError

Value = str | int | float | bool


@dataclass(frozen=True)
class SinkSettings:
    """``scheme:rest?option=value`` in its parts, and the options of the table it stood in.

    ``text`` is what a person wrote, without a password; ``rest`` is the address, unquoted, without slashes before it for
    ``scheme://`` (``unix:///run/x`` has rest ``/run/x``).
    """

    text: str
    scheme: str
    rest: str
    options: Mapping[str, Value]

    @classmethod
    def of(cls, where: str | Mapping[str, Any]) -> SinkSettings:
        """Read a URL, or a table with ``url``; UsageError if it is neither or an option is given twice."""
        if isinstance(where, str):
            return cls._parse(where, {})
        table = dict(where)
        url = table.pop("url", None)
        if not isinstance(url, str):
            raise UsageError(
                f'sink with {", ".join(table) or "no key"}: a sink needs url, such as url = "udp://192.168.1.20:9000"'
            )
        for key, value in table.items():
            if not isinstance(value, str | int | float | bool):
                raise UsageError(f"sink {url!r}: {key} must be a text, a number or true/false")
        return cls._parse(url, table)

    @classmethod
    def _parse(cls, url: str, table: Mapping[str, Value]) -> SinkSettings:
        found = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?([^?]*)(?:\?(.*))?", url, re.DOTALL)
        shown = without_password(url)
        if found is None or not found[3]:
            raise UsageError(
                f"sink {shown!r} is not a sink; it must look like ndjson:-, ndjson:moments.ndjson or udp://192.168.1.20:9000"
            )
        options = dict(table)
        for key, value in parse_qsl(found[4] or "", keep_blank_values=True):
            if key in options:
                raise UsageError(f"sink {shown!r} gives option {key!r} twice; give it once")
            options[key] = value
        rest = unquote(found[3]) if found[2] else found[3]
        return cls(shown, found[1].lower(), rest, MappingProxyType(options))

    def allow(self, *names: str) -> None:
        """UsageError for an option that is not one of ``names``."""
        for name in self.options:
            if name not in names:
                allowed = ", ".join(names) or "none"
                raise UsageError(f"sink {self.text!r}: option {name!r} is not known; allowed: {allowed}")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Option ``name`` within ``low`` to ``high``, or ``default``; UsageError says the range."""
        given = self.options.get(name, default)
        try:
            value = float("nan") if isinstance(given, bool) else float(given)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise UsageError(
                f"sink {self.text!r}: {name} is {given!r}; it must be a number from {low:g} to {high:g}"
            )
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Option ``name``, one of ``allowed``; the first is the default."""
        given = self.options.get(name, allowed[0])
        if str(given) not in allowed:
            raise UsageError(f"sink {self.text!r}: {name} is {given!r}; allowed: {', '.join(allowed)}")
        return str(given)

    def words(self, name: str) -> str | None:
        """Option ``name`` as text, None if it is not given."""
        given = self.options.get(name)
        if given is None:
            return None
        if not isinstance(given, str) or not given:
            raise UsageError(f"sink {self.text!r}: {name} is {given!r}; it must be a text")
        return given

    def host_and_port(self, address: str, default_port: int | None) -> tuple[str, int]:
        """``HOST:PORT`` or ``[IPv6]:PORT``; UsageError if it is neither."""
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:/\s]+))(?::(\d{1,5}))?", address)
        port = int(found[3]) if found is not None and found[3] else default_port
        if found is None or port is None or not 1 <= port <= 65_535:
            raise UsageError(
                f"sink {self.text!r}: {address!r} is not an address; it must be HOST:PORT with a port from 1 to 65535"
            )
        return found[1] or found[2], port


def without_password(url: str) -> str:
    """``url`` with ``user:password@`` as ``user:***@``: what may stand in errors and logs.

    ``HOST:PORT/TOPIC`` with an ``@`` in the topic is not touched, unless a slash comes after it: that looks the same as a
    password that begins with digits and a slash, and is taken for one.
    """
    port_and_topic = r"(?!\d{1,5}/[^?]*@[^/@?]*(?:\?.*)?$)"
    return re.sub(rf"(//[^/@:\[]*):{port_and_topic}.*@", r"\1:***@", url, flags=re.DOTALL)
