"""The one interface of everything that bytes come from, and what it gives.

A source moves bytes and says when they arrived. It knows nothing of frames: the decoder is the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from firmware_bridge.items import Item
from toolkit.errors import LinkError, UsageError


@dataclass(frozen=True)
class SourceUrl:
    """A source URL in its parts: ``scheme://address?option=value&...``. Options are unquoted, each at most once."""

    text: str
    scheme: str
    address: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    @classmethod
    def parse(cls, text: str) -> SourceUrl:
        """Split ``text``; UsageError if it is no URL or names an option twice. The address keeps its slashes."""
        scheme, separator, rest = text.partition("://")
        unfit = UsageError(
            f"source {text!r} is not a source URL; it must look like replay://session.etl or serial:///dev/ttyUSB0?baud=921600"
        )
        if not separator or not scheme.isidentifier() or not rest:
            raise unfit
        try:
            parts = urlsplit("x://" + rest)
        except ValueError:  # half a bracket
            raise unfit from None
        address = unquote(parts.netloc + parts.path)
        options: dict[str, str] = {}
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            if key in options:
                raise UsageError(f"source {text!r} gives option {key!r} twice; give it once")
            options[key] = value
        return cls(text, scheme.lower(), address, options)

    def allow(self, *names: str) -> None:
        """UsageError for an option that is not one of ``names``."""
        for name in self.options:
            if name not in names:
                allowed = ", ".join(names) or "none"
                raise UsageError(f"source {self.text!r}: option {name!r} is not known; allowed: {allowed}")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Option ``name`` as a number within ``low`` to ``high``, or ``default``; UsageError says the range."""
        text = self.options.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise UsageError(
                f"source {self.text!r}: {name} is {text!r}; it must be a number from {low:g} to {high:g}"
            )
        return value


class Source(ABC):
    """One or more links that bytes come from.

    Use it as ``async with source: async for item in source: ...``. Iteration gives :class:`Chunk` and
    :class:`LinkChange` in order of arrival and ends when the source is at its end (a file) or is closed. A link
    that is lost and may come back is a LinkChange, not an error; LinkError is raised only when nothing will come
    any more, and always from the consumer's own ``await``. A source holds a bounded number of bytes; what it must
    drop it counts in ``dropped_bytes``.
    """

    def __init__(self, url: SourceUrl) -> None:
        self.url = url
        #: Bytes that the source had to drop because its consumer was too slow.
        self.dropped_bytes = 0

    @property
    @abstractmethod
    def links(self) -> tuple[str, ...]:
        """What each link is, to people; ``Chunk.link`` indexes it. Valid once open."""

    @property
    def writable(self) -> bool:
        """Whether :meth:`write` reaches nodes."""
        return False

    @property
    def facts(self) -> Mapping[str, float]:
        """What the transport tells of itself, while open: ``att_mtu`` in bytes. What cannot be read is not there."""
        return {}

    @property
    def origin_ns(self) -> int | None:
        """Where arrival times begin if that is another clock than this machine's now (a replay); valid once open."""
        return None

    @abstractmethod
    async def open(self) -> None:
        """Connect. LinkError says what does not answer and what to do, InputError that a file is wrong."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Item]:
        """Items in order of arrival."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything; may be called twice, and while another task iterates."""

    async def write(self, data: bytes, link: int = 0) -> None:
        """Send wire frames to the nodes of ``link``. LinkError if the link is down, or the source only listens."""
        raise LinkError(f"source {self.url.text!r} is read-only; nothing can be sent to it")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def require_seconds(seconds: float | None) -> None:
    """UsageError unless ``seconds`` is None or above 0: "nan" passes for a number on the command line."""
    if seconds is not None and not seconds > 0:
        raise UsageError(f"seconds is {seconds}; it must be above 0, or left out to run until the end")
