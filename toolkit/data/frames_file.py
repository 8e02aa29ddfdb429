"""The parts of a dataset TOML that C3D files need: segment frames, force plates, and names that stand for both sides.

In names, ``{S}`` stands for L or R, ``{Side}`` for Left or Right, ``{side}`` for left or right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from toolkit.data.frames import UPRIGHT, Frame
from toolkit.data.toml_section import Section, vector_of
from toolkit.errors import RecordingError

Side = Literal["left", "right"]
#: Metres in the unit of points.
LENGTHS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}


@dataclass(frozen=True)
class FramesUse:
    """The stream "imu" computed from the points of C3D file ``file``."""

    file: str
    rate_hz: float
    unit: str
    up: str
    low_pass_hz: float | None
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class PlatesUse:
    """Moments count where the points ``foot`` stand alone on a force plate of ``file``."""

    file: str
    unit: str
    up: str
    foot: tuple[str, ...]


@dataclass(frozen=True)
class EventsUse:
    """Heel strikes are the events ``label`` of ``context`` in C3D file ``file``."""

    file: str
    label: str
    context: str


def for_side(text: str, side: Side | None) -> str:
    """``text`` with its placeholders filled in; unchanged without a side."""
    if side is None:
        return text
    filled = text.replace("{S}", side[0].upper()).replace("{Side}", side.capitalize())
    return filled.replace("{side}", side)


def other_side(side: Side) -> Side:
    """The other leg."""
    return "left" if side == "right" else "right"


def frame_for_side(frame: Frame, side: Side | None) -> Frame:
    """``frame`` with the points of that side."""

    def pair(names: tuple[str, str]) -> tuple[str, str]:
        return for_side(names[0], side), for_side(names[1], side)

    return replace(frame, origin=for_side(frame.origin, side), x=pair(frame.x), y=pair(frame.y))


def sides_of(section: Section) -> tuple[Side, ...]:
    """The key ``sides`` of a recording: each leg becomes a recording of its own."""
    values = section.take("sides", list, [])
    if len(set(map(str, values))) < len(values) or not all(value in get_args(Side) for value in values):
        raise RecordingError(f'{section.where}: sides is {values!r}; it must be ["left"], ["right"] or both')
    return tuple(values)


def read_frames(path: Path, table: dict[str, Any]) -> FramesUse:
    """[virtual_imu] with a list of ``frame``; RecordingError names the fault."""
    section = Section(f"{path}, [virtual_imu]", table)
    file = section.take("file", str)
    rate_hz = section.positive("rate_hz")
    unit, up = _unit_and_up(section)
    low_pass_hz = section.positive("low_pass_hz", None)
    tables = section.take("frame", list)
    section.done()
    frames: list[Frame] = []
    for number, one in enumerate(tables, 1):
        if not isinstance(one, dict):
            raise RecordingError(f"{section.where}: frame {number} must be a table")
        frame = _frame(f"{section.where} frame {number}", one)
        if frame.name in [known.name for known in frames]:
            raise RecordingError(f"{section.where}: frame {frame.name!r} is defined twice")
        frames.append(frame)
    if not [frame for frame in frames if frame.sensor is not None]:
        raise RecordingError(f"{section.where}: it needs at least one frame with a sensor")
    return FramesUse(file, rate_hz, unit, up, low_pass_hz, tuple(frames))


def read_plates(path: Path, table: dict[str, Any]) -> PlatesUse:
    """[force_plates]; RecordingError names the fault."""
    section = Section(f"{path}, [force_plates]", table)
    file = section.take("file", str)
    unit, up = _unit_and_up(section)
    foot = section.take("foot", list)
    section.done()
    if not foot or not all(isinstance(name, str) for name in foot):
        raise RecordingError(
            f'{section.where}: foot must name points of the foot, as ["{{S}}HEE", "{{S}}TOE"]'
        )
    if all(for_side(name, "left") == for_side(name, "right") for name in foot):
        raise RecordingError(
            f"{section.where}: foot names the same points for both legs; write {{S}} for L or R"
        )
    return PlatesUse(file, unit, up, tuple(foot))


def read_events(path: Path, table: dict[str, Any]) -> EventsUse:
    """[events]; RecordingError names the fault."""
    section = Section(f"{path}, [events]", table)
    use = EventsUse(
        section.take("file", str), section.take("heel_strike", str), section.take("context", str, "{Side}")
    )
    section.done()
    return use


def _unit_and_up(section: Section) -> tuple[str, str]:
    unit, up = section.take("unit", str), section.take("up", str)
    if unit not in LENGTHS:
        raise RecordingError(f"{section.where}: unit is {unit!r}; allowed: {', '.join(LENGTHS)}")
    if up not in UPRIGHT:
        raise RecordingError(f"{section.where}: up is {up!r}; allowed: {', '.join(UPRIGHT)}")
    return unit, up


def _frame(where: str, table: dict[str, Any]) -> Frame:
    section = Section(where, table)
    name, origin = section.take("name", str), section.take("origin", str)
    x, y = (_pair(section, key) for key in ("x", "y"))
    sensor = section.take("sensor", list, None)
    section.done()
    return Frame(name, origin, x, y, None if sensor is None else vector_of(sensor, f"{where}: sensor"))


def _pair(section: Section, key: str) -> tuple[str, str]:
    names = section.take(key, list)
    if len(names) != 2 or not all(isinstance(name, str) for name in names) or names[0] == names[1]:
        raise RecordingError(f"{section.where}: {key} must name two points, from and to, not {names!r}")
    return names[0], names[1]
