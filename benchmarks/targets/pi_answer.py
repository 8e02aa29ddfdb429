"""What another computer answers to a bench, taken for hostile: every array's name, type and size is known before it is read.

The answer is an NPZ. Nothing is unpickled, nothing is unpacked beyond the size that the question explains, and the machine's
description holds the stated fields and nothing else.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from toolkit.errors import EdgetoolError, LinkError
from toolkit.reading import parse_json_object, reading

#: Characters of the description, and of one text in it.
ABOUT_CHARACTERS, TEXT_CHARACTERS = 20_000, 1_000
#: Single calls that are timed of one graph at most.
MOST_CALLS = 100_000
#: Bytes of a member's own header.
_HEADER_BYTES = 1_000
_TEXT, _NUMBER = (str,), (int, float)
#: Fields of a machine and what they hold; None is allowed where the system does not tell.
_MACHINE: dict[str, tuple[type, ...]] = {
    "model": _TEXT,
    "architecture": _TEXT,
    "kernel": _TEXT,
    "python": _TEXT,
    "cores": (int,),
    "governor": _TEXT,
    "mhz": _NUMBER,
    "temperature_c": _NUMBER,
    "throttled": (int,),
}


@dataclass(frozen=True)
class Expected:
    """What was asked: engines as ``NAME/SCHEME``, windows, outputs, steps of each recording, and whether calls are timed."""

    engines: tuple[str, ...]
    windows: int
    outputs: int
    steps: tuple[int, ...]
    timed: bool

    @property
    def most_bytes(self) -> int:
        """The largest answer that can be right, unpacked."""
        moments = 4 * self.outputs * (self.windows + sum(self.steps))
        times = 2 * 8 * MOST_CALLS if self.timed else 0
        members = 3 + len(self.steps)
        each = moments + times + members * _HEADER_BYTES
        return len(self.engines) * each + 4 * ABOUT_CHARACTERS + _HEADER_BYTES


@dataclass(frozen=True, eq=False)
class Answer:
    """``arrays`` as :func:`benchmarks.targets.pi_worker.run` names them; engines that ran, with versions, and that did not."""

    arrays: Mapping[str, NDArray[Any]]
    versions: Mapping[str, str]
    refused: Mapping[str, str]
    machine: Mapping[str, Any]
    machine_after: Mapping[str, Any] | None


def read_answer(name: str, content: bytes, expected: Expected) -> Answer:
    """The answer of the computer ``name``; LinkError says what of it is not an answer to what was asked."""
    what = f"{name}: the result"
    with reading(what, "an NPZ as this edgetool asked for", LinkError):
        members = _members(content, expected.most_bytes)
        about = _text(members.pop("about.npy"))
        arrays = {key.removesuffix(".npy"): _array(key, value) for key, value in members.items()}
    found = parse_json_object(about, f"{what}'s description", "JSON", LinkError)
    try:
        answer = Answer(
            arrays,
            _texts(found["versions"], expected.engines),
            _texts(found["refused"], expected.engines),
            _machine(found["machine"]),
            _machine(found["machine_after"]) if expected.timed else None,
        )
        _require_complete(answer, expected)
    except (KeyError, TypeError, ValueError) as error:
        raise LinkError(f"{what} is not an answer to this bench: {error}") from None
    if not answer.versions:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in answer.refused.items())
        raise EdgetoolError(f"{name}: no engine runs there: {reasons}")
    return answer


def _members(content: bytes, limit: int) -> dict[str, bytes]:
    """Files of the archive by name, whatever sizes it states, together at most ``limit`` bytes."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                found[info.filename] = file.read(limit + 1)
            limit -= len(found[info.filename])
            if limit < 0:
                raise ValueError("it is larger than what was asked for")
        if len(found) != len(archive.infolist()):
            raise ValueError("a name is given twice")
    return found


def _array(key: str, content: bytes) -> NDArray[Any]:
    """A plain array of numbers; its header is believed only where the bytes bear it out."""
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = reader(file, max_header_size=_HEADER_BYTES)
    data = content[file.tell() :]
    if dtype.hasobject or dtype.kind not in "fiU" or (fortran and len(shape) > 1):
        raise ValueError(f"{key} is of type {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{key} states shape {shape} and holds {len(data):,} bytes")
    return np.frombuffer(data, dtype).reshape(shape)


def _text(content: bytes) -> str:
    value = _array("about", content)
    if value.dtype.kind != "U" or value.shape != () or value.dtype.itemsize > 4 * ABOUT_CHARACTERS:
        raise ValueError("its description is not one text of reasonable length")
    return str(value)


def _texts(value: Any, keys: Iterable[str]) -> dict[str, str]:
    if not isinstance(value, dict) or not set(value) <= set(keys):
        raise ValueError("it names engines that were not asked for")
    if not all(isinstance(one, str) for one in value.values()):
        raise ValueError("a version or reason is not text")
    return {key: one[:TEXT_CHARACTERS] for key, one in value.items()}


def _machine(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(_MACHINE):
        raise ValueError(f"a machine is described by {', '.join(_MACHINE)}")
    for field, allowed in _MACHINE.items():
        one = value[field]
        if one is not None and (isinstance(one, bool) or not isinstance(one, allowed)):
            raise ValueError(f"the machine's {field} is of another type")
        if isinstance(one, str):
            value[field] = one[:TEXT_CHARACTERS]
    if value["architecture"] is None:
        raise ValueError("the machine's architecture is missing")
    return value


def _require_complete(answer: Answer, expected: Expected) -> None:
    """Every engine either ran, with all its arrays, or says why not; ValueError or KeyError otherwise."""
    if set(answer.versions) | set(answer.refused) != set(expected.engines) or set(answer.versions) & set(
        answer.refused
    ):
        raise ValueError("an engine neither ran nor says why, or both")
    known = set()
    for engine in answer.versions:
        shapes = {f"{engine}/window": (expected.windows, expected.outputs)}
        if f"{engine}/0" in answer.arrays:
            shapes |= {f"{engine}/{r}": (steps, expected.outputs) for r, steps in enumerate(expected.steps)}
        for key, shape in shapes.items():
            moments = answer.arrays[key]
            if moments.shape != shape or moments.dtype != np.float32 or not np.isfinite(moments).all():
                raise ValueError(f"moments {key} are not finite float32 of shape {shape}")
        known |= set(shapes)
        for graph in ("window", "stream") if expected.timed else ():
            key = f"{engine}/time/{graph}"
            times = answer.arrays.get(key)
            if times is None:
                continue
            if (
                times.ndim != 1
                or times.dtype != np.int64
                or not 0 < len(times) <= MOST_CALLS
                or times.min() < 0
            ):
                raise ValueError(f"times {key} are not nanoseconds of calls")
            known.add(key)
    if set(answer.arrays) != known:
        raise ValueError("it holds arrays that were not asked for")
