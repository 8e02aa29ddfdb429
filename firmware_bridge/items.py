"""What flows from a source, or out of a recording, to a decoder: bytes with their arrival times, and what happened to links.

All rooms of the package speak in these; they know nothing of frames, files or radios.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one link as the transport gave them; ``arrival_ns`` is host monotonic time just after they came."""

    link: int
    arrival_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LinkChange:
    """A link went up or down; ``reason`` is one line for people. Bytes of an unfinished frame are void after it."""

    link: int
    arrival_ns: int
    up: bool
    reason: str


Item = Chunk | LinkChange


@dataclass(frozen=True)
class Lost:
    """Between the items before and after it, ``size`` bytes of the recording were lost."""

    size: int


@dataclass(frozen=True)
class NodeDescriptor:
    """The newest descriptor of a node, as it was sent."""

    link: int
    node: int
    boot: int
    payload: bytes


@dataclass(frozen=True)
class Snapshot:
    """What is needed to read the items after it: when the recording began, its links, and what its nodes say they are."""

    started_wall_ns: int
    started_monotonic_ns: int
    links: tuple[str, ...]
    descriptors: tuple[NodeDescriptor, ...] = ()
    #: What the recording is of, in a person's words: person, trial, ...
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that happened at ``arrival_ns`` (host monotonic), in a person's words. No sensor sent it."""

    arrival_ns: int
    text: str


#: What a recording gives, in order.
Recorded = Item | Snapshot | Lost | Marker
