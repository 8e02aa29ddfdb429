"""NPZ files: a recording of ours in one file (docs/DATA.md gives the format), or a table of 1-D arrays.

Nothing is ever unpickled: an array of Python objects is refused.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import stream_from_json, stream_to_json
from toolkit.data.readers.table import Table
from toolkit.errors import ContractError, RecordingError
from toolkit.files import write_bytes
from toolkit.reading import FILE_BYTES, parse_json_object, read_file, reading
from toolkit.records import Recording, Signal

FORMAT = "edgetool recording 1"
EXPECTED = "a readable .npz"
#: A deflated byte stands for at most so many (zlib's technical notes, "Maximum Compression Factor").
DEFLATE = 1032


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an .npz by name; RecordingError if it is not one, is cut short, damaged, or holds objects.

    Nothing is allocated that the headers do not agree on: an entry's size must be that of its array, and deflate cannot
    shrink by more than 1032.
    """
    content = read_file(path, EXPECTED, RecordingError)
    arrays: dict[str, NDArray[Any]] = {}
    with reading(path, f"{EXPECTED} (write it again with numpy.savez)", RecordingError):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if total > min(FILE_BYTES, DEFLATE * len(content)):
                raise ValueError(f"its entries claim {total:,} bytes")
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                if name in arrays or name == entry.filename:
                    raise ValueError(f"entry {entry.filename!r} is not an array of its own")
                arrays[name] = _array(archive.read(entry), name)
    return arrays


def _array(content: bytes, name: str) -> NDArray[Any]:
    """The array in the .npy bytes ``content``; ValueError if its header does not fit them."""
    file = io.BytesIO(content)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"array {name!r} has version {version} of the format; 1.0 and 2.0 are read")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    count = math.prod(shape)
    if count < 0 or count * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"array {name!r} claims shape {shape} and has {len(content) - file.tell():,} bytes")
    values = (
        np.frombuffer(content, dtype, count, file.tell())
        if count and dtype.itemsize
        else np.empty(shape, dtype)
    )
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def read_table(path: Path) -> Table:
    """An .npz whose arrays are columns of equal length."""
    arrays = read_arrays(path)
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in "fiu":
            raise RecordingError(
                f"{path}: array {name!r} has shape {array.shape} and type {array.dtype}; a table needs 1-D numbers"
            )
    lengths = {name: len(array) for name, array in arrays.items()}
    if not arrays or len(set(lengths.values())) > 1:
        raise RecordingError(f"{path}: columns must have equal lengths; they have {lengths}")
    values = np.stack([array.astype(np.float64) for array in arrays.values()], axis=1)
    return Table(path, tuple(arrays), values)


def write_recording(path: Path, recording: Recording) -> None:
    """Write ``recording`` whole; :func:`read_recording` inverts it exactly. The bytes depend on it alone."""
    signals = dict(recording.signals)
    if recording.moments is not None:
        signals["moments"] = recording.moments
    head: dict[str, Any] = {
        "format": FORMAT,
        "name": recording.name,
        "person": recording.person,
        "task": recording.task,
        "kind": recording.kind,
        "mass_kg": recording.mass_kg,
        "provenance": dict(recording.provenance),
        "signals": {
            name: {"stream": stream_to_json(s.spec), "start_s": s.start_s} for name, s in signals.items()
        },
    }
    if recording.valid_s is not None:
        head["valid_s"] = [list(span) for span in recording.valid_s]
    if recording.missing:
        head["missing"] = {name: list(channels) for name, channels in recording.missing.items()}
    arrays: dict[str, NDArray[Any]] = {f"signal.{name}": signal.samples for name, signal in signals.items()}
    arrays["heel_strikes_s"] = np.asarray(recording.heel_strikes_s, dtype=np.float64)
    arrays["recording"] = np.array(json.dumps(head, allow_nan=False))
    buffer = io.BytesIO()
    # A zip entry's date is fixed, so that the same recording gives the same bytes.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())
    write_bytes(path, buffer.getvalue())


def read_recording(path: Path) -> Recording:
    """Read what :func:`write_recording` wrote; RecordingError if anything is missing or does not fit."""
    arrays = read_arrays(path)
    if "recording" not in arrays:
        raise RecordingError(
            f"{path} has no array 'recording', so it is not a recording of edgetool's; "
            "describe a table of columns with a dataset TOML instead"
        )
    expected = "a whole recording of edgetool's (export it again)"
    with reading(path, expected, RecordingError):
        head = parse_json_object(str(arrays["recording"]), path, expected, RecordingError)
        if head["format"] != FORMAT:
            raise RecordingError(f"{path} has format {head['format']!r}; this version reads {FORMAT!r}")
        try:
            return _recording(head, arrays)
        except (ContractError, RecordingError) as error:
            raise RecordingError(f"{path}: {error}") from None
    raise AssertionError("reading() returns or raises")


def _recording(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Recording:
    signals = {
        name: Signal(stream_from_json(item["stream"]), float(item["start_s"]), arrays[f"signal.{name}"])
        for name, item in head["signals"].items()
    }
    moments = signals.pop("moments", None)
    spans = head.get("valid_s")
    return Recording(
        name=head["name"],
        person=head["person"],
        task=head["task"],
        kind=head["kind"],
        mass_kg=float(head["mass_kg"]),
        signals=signals,
        moments=moments,
        heel_strikes_s=tuple(float(t) for t in arrays["heel_strikes_s"]),
        provenance={str(key): str(value) for key, value in head["provenance"].items()},
        valid_s=None if spans is None else tuple((float(start), float(stop)) for start, stop in spans),
        missing={str(name): tuple(map(str, channels)) for name, channels in head.get("missing", {}).items()},
    )
