"""C3D files (c3d.org): points, analog channels, events, force plates and parameters of one trial, read with ezc3d.

Times count from the first frame of the capture, as the events' do: the first frame in the file lies at its number over the
rate. A point that the cameras did not see is NaN.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.readers.table import Table
from toolkit.errors import MissingDependencyError, RecordingError
from toolkit.reading import FILE_BYTES, read_file, reading

Float = NDArray[np.float64]

_BLOCK = 512
_MAGIC = 0x50
_BIG_ENDIAN = 86  # processor type "MIPS"; 84 is Intel, 85 DEC
_DEC = 85
#: Axes of a point, as the ending of a column's name.
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Event:
    """One event of the file: ``label`` ("Foot Strike"), ``context`` ("Left"), in s from the first frame of the capture."""

    label: str
    context: str
    time_s: float


@dataclass(frozen=True, eq=False)
class ForcePlate:
    """Four ``corners`` (4, 3) in the points' unit; ``force`` (rows, 3) in N at the analog rate, in the laboratory's axes."""

    corners: Float
    force: Float


@dataclass(frozen=True, eq=False)
class C3d:
    """One trial. ``points[label]`` is (frames, 3) in ``point_unit``, ``analogs[label]`` (rows,) in its unit.

    ``plates_fault`` says why force plates could not be read, empty if they could.
    """

    path: Path
    first_s: float
    point_rate_hz: float
    point_unit: str
    points: Mapping[str, Float]
    analog_rate_hz: float
    analogs: Mapping[str, Float]
    analog_units: Mapping[str, str]
    events: tuple[Event, ...]
    plates: tuple[ForcePlate, ...]
    parameters: Mapping[str, Any]
    plates_fault: str = ""

    def point(self, label: str) -> Float:
        """A point (frames, 3); RecordingError names those that exist."""
        if label not in self.points:
            raise RecordingError(f"{self.path} has no point {label!r}; it has {_some(self.points)}")
        return self.points[label]

    def number(self, name: str) -> float:
        """The parameter ``GROUP:NAME``; RecordingError if it is not there or not one number."""
        if name not in self.parameters:
            group = name.partition(":")[0] + ":"
            near = [known for known in self.parameters if known.startswith(group)]
            raise RecordingError(
                f"{self.path} has no parameter {name!r}; "
                + (f"{group[:-1]} has {_some(near)}" if near else f"it has {_some(self._groups())}")
            )
        values = np.asarray(self.parameters[name]).reshape(-1)
        if len(values) != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values[0]):
            raise RecordingError(
                f"{self.path}: parameter {name!r} is {self.parameters[name]!r}; it must be one number"
            )
        return float(values[0])

    def table(self, columns: Sequence[str]) -> Table:
        """Columns beside a column "time": ``LABEL.x``, ``LABEL.y``, ``LABEL.z`` of points, or analog channels by label.

        RecordingError for a column that is not there, or where both kinds are asked for: they have two rates.
        """
        of_points = [name for name in columns if name not in self.analogs and name[-2:] in (".x", ".y", ".z")]
        if not of_points:
            for name in columns:
                if name not in self.analogs:
                    raise RecordingError(
                        f"{self.path} has no analog channel {name!r}; it has {_some(self.analogs)}. A point's axis is written "
                        "LABEL.x, LABEL.y or LABEL.z"
                    )
            chosen, rate = [self.analogs[name] for name in columns], self.analog_rate_hz
        elif len(of_points) < len(columns):
            other = next(name for name in columns if name not in of_points)
            raise RecordingError(
                f"{self.path}: {of_points[0]!r} is a point's and {other!r} is an analog channel or unknown; one stream cannot "
                "have both, for they have two rates"
            )
        else:
            chosen = [self.point(name[:-2])[:, _AXES.index(name[-1])] for name in columns]
            rate = self.point_rate_hz
        rows = len(chosen[0]) if chosen else 0
        time = self.first_s + np.arange(rows) / rate
        return Table(self.path, ("time", *columns), np.column_stack([time, *chosen]))

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(name.partition(":")[0] for name in self.parameters))


def read_c3d(path: Path) -> C3d:
    """Read one file whole; RecordingError if it is not a C3D file, is cut short or damaged."""
    try:
        import ezc3d
    except ImportError:
        raise MissingDependencyError(
            f"{path}: C3D files need ezc3d; install it: pip install 'edgetool[learn]'"
        ) from None
    expected = "a C3D file that can be read"
    _require_whole(path, read_file(path, expected, RecordingError))
    with reading(path, expected, RecordingError):
        try:
            content = ezc3d.c3d(str(path), extract_forceplat_data=True)
            fault = ""
        except (RuntimeError, ValueError, IndexError) as error:
            # Plates of a type that ezc3d cannot compute, or without calibration, leave the rest readable.
            content, fault = ezc3d.c3d(str(path)), str(error)
        return _trial(path, content, fault)
    raise AssertionError("reading() returns or raises")


def _require_whole(path: Path, content: bytes) -> None:
    """ezc3d fills what is missing with zeros, and asks for as much memory as the header says: so the header is held to the
    file's size first."""
    if len(content) < 2 * _BLOCK or content[1] != _MAGIC:
        raise RecordingError(
            f"{path} is not a C3D file: its second byte must be 0x50, and it must have a header"
        )
    parameters = (content[0] - 1) * _BLOCK
    processor = content[parameters + 3] if 0 < parameters < len(content) - 4 else 0
    order = ">" if processor == _BIG_ENDIAN else "<"
    points, analogs, first, last = struct.unpack_from(f"{order}4H", content, 2)
    (scale,) = struct.unpack_from(f"{order}f", content, 12)
    (start,) = struct.unpack_from(f"{order}H", content, 16)
    size = 4 if scale < 0 and processor != _DEC else 2
    need = (start - 1) * _BLOCK + max(0, last - first + 1) * (4 * points + analogs) * size
    if need > len(content) or need > FILE_BYTES:
        raise RecordingError(
            f"{path}: its header tells of {last - first + 1:,} frames, which take {need:,} bytes, and it has {len(content):,}; "
            "the file is cut short or damaged"
        )


def _trial(path: Path, content: Any, plates_fault: str) -> C3d:
    parameters = {
        f"{group}:{name}": entry["value"]
        for group, entries in content["parameters"].items()
        for name, entry in entries.items()
        if name != "__METADATA__"
    }
    labels = _texts(parameters, "POINT:LABELS")
    points = np.asarray(content["data"]["points"], np.float64)[:3]
    if len(labels) < points.shape[1]:
        raise RecordingError(f"{path} has {points.shape[1]} points and {len(labels)} labels; it is damaged")
    analogs = np.asarray(content["data"]["analogs"], np.float64)[0]
    names = _texts(parameters, "ANALOG:LABELS")[: len(analogs)]
    units = _texts(parameters, "ANALOG:UNITS")
    header = content["header"]
    rate = float(header["points"]["frame_rate"])
    if not (np.isfinite(rate) and rate > 0):
        raise RecordingError(f"{path}: its frame rate is {rate:g} Hz; it must be above 0")
    return C3d(
        path=path,
        first_s=int(header["points"]["first_frame"]) / rate,
        point_rate_hz=rate,
        point_unit=next(iter(_texts(parameters, "POINT:UNITS")), ""),
        points=_by_label(labels, np.moveaxis(points, 1, 0)),
        analog_rate_hz=float(header["analogs"]["frame_rate"]),
        analogs={name: analogs[place] for name, place in _first_places(names).items()},
        analog_units=dict(zip(names, units)),
        events=_events(path, parameters),
        plates=_plates(content["data"].get("platform", [])),
        parameters=parameters,
        plates_fault=plates_fault,
    )


def _by_label(labels: Sequence[str], points: Float) -> dict[str, Float]:
    return {
        name: np.ascontiguousarray(points[place].T)
        for name, place in _first_places(labels[: len(points)]).items()
    }


def _first_places(names: Sequence[str]) -> dict[str, int]:
    """Where each name stands first: a second channel of one name cannot be told from it, and is left out."""
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        found.setdefault(name, place)
    return found


def _texts(parameters: Mapping[str, Any], name: str) -> list[str]:
    """A list of text, with what continues it in NAME2, NAME3, ... (255 fit into one)."""
    found: list[str] = []
    number = 1
    while (key := name if number == 1 else f"{name}{number}") in parameters:
        found += [str(text).strip() for text in parameters[key]]
        number += 1
    return found


def _events(path: Path, parameters: Mapping[str, Any]) -> tuple[Event, ...]:
    labels, contexts = _texts(parameters, "EVENT:LABELS"), _texts(parameters, "EVENT:CONTEXTS")
    times = np.asarray(parameters.get("EVENT:TIMES", np.zeros((2, 0))), np.float64)
    if not labels:
        return ()
    if times.shape != (2, len(labels)) or len(contexts) != len(labels):
        raise RecordingError(
            f"{path}: its events have {len(labels)} labels and times of shape {times.shape}; it is damaged"
        )
    seconds = 60.0 * times[0] + times[1]
    # A C3D file holds float32: 1.8 s is 1.79999995, which would fall before its frame.
    found = (
        Event(label, context, round(float(t), 4)) for label, context, t in zip(labels, contexts, seconds)
    )
    return tuple(sorted(found, key=lambda event: event.time_s))


def _plates(platforms: Iterable[Mapping[str, Any]]) -> tuple[ForcePlate, ...]:
    return tuple(
        ForcePlate(np.asarray(plate["corners"], np.float64).T, np.asarray(plate["force"], np.float64).T)
        for plate in platforms
    )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return (", ".join(listed[:40]) or "none") + (", ..." if len(listed) > 40 else "")
