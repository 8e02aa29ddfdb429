"""NPZ files: a recording of ours in one file (docs/DATA.md gives the format), or a table of 1-D arrays.

Nothing is ever unpickled: an array of Python objects is refused.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import StreamSpec, stream_from_json, stream_to_json
from toolkit.data.readers.table import Table
from toolkit.errors import ContractError, RecordingError
from toolkit.files import write_bytes
from toolkit.reading import DOCUMENT_BYTES, FILE_BYTES, is_file, parse_json_object, read_file, reading
from toolkit.records import Recording, Signal

FORMAT = "edgetool recording 1"
EXPECTED = "a readable .npz"
#: A deflated byte stands for at most so many (zlib's technical notes, "Maximum Compression Factor").
DEFLATE = 1032
#: What a small entry may be above that: zip keeps what does not shrink as it is.
_BLOCK = 4096


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


def write_recording(path: Path, recording: Recording, *, compress: bool = True) -> None:
    """Write ``recording`` whole; :func:`read_recording` inverts it exactly. The bytes depend on it and ``compress`` alone."""
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
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = method
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
    return Recording(signals=signals, moments=moments, **_fields(head, arrays["heel_strikes_s"]))


def _fields(head: Mapping[str, Any], strikes: NDArray[Any]) -> dict[str, Any]:
    """A recording's fields but its samples."""
    spans = head.get("valid_s")
    return {
        "name": head["name"],
        "person": head["person"],
        "task": head["task"],
        "kind": head["kind"],
        "mass_kg": float(head["mass_kg"]),
        "heel_strikes_s": tuple(float(t) for t in strikes),
        "provenance": {str(key): str(value) for key, value in head["provenance"].items()},
        "valid_s": None if spans is None else tuple((float(start), float(stop)) for start, stop in spans),
        "missing": {
            str(name): tuple(map(str, channels)) for name, channels in head.get("missing", {}).items()
        },
    }


@dataclass(frozen=True, eq=False)
class StoredHead:
    """What a recording's file says without its samples: ``streams`` name -> (spec, start in s, rows, dtype).

    ``checksums`` lists every part of the file with its size and CRC-32, which change with its content.
    """

    fields: Mapping[str, Any]
    streams: Mapping[str, tuple[StreamSpec, float, int]]
    checksums: str


def read_head(path: Path) -> StoredHead:
    """The head of what :func:`write_recording` wrote; no samples are read. RecordingError as for :func:`read_recording`."""
    expected = "a whole recording of edgetool's (export it again)"
    if not is_file(path):
        raise RecordingError(f"cannot read {path}: no such file, or not a regular one; it must be {expected}")
    with reading(path, expected, RecordingError):
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if "recording.npy" not in entries:
                raise RecordingError(
                    f"{path} has no array 'recording', so it is not a recording of edgetool's"
                )
            text, strikes = (
                _small(archive, entries[f"{name}.npy"]) for name in ("recording", "heel_strikes_s")
            )
            head = parse_json_object(str(text), path, expected, RecordingError)
            if head["format"] != FORMAT:
                raise RecordingError(f"{path} has format {head['format']!r}; this version reads {FORMAT!r}")
            streams = {}
            for name, item in head["signals"].items():
                entry = entries[f"signal.{name}.npy"]
                with archive.open(entry) as file:
                    rows = _rows(io.BytesIO(file.read(4096)), entry)
                streams[name] = (stream_from_json(item["stream"]), float(item["start_s"]), rows)
        checksums = "\n".join(f"{e.filename} {e.file_size} {e.CRC:08x}" for e in entries.values())
        try:
            return StoredHead(_valid_fields(head, strikes, streams), streams, checksums)
        except (ContractError, RecordingError) as error:
            raise RecordingError(f"{path}: {error}") from None
    raise AssertionError("reading() returns or raises")


def _valid_fields(
    head: Mapping[str, Any], strikes: NDArray[Any], streams: Mapping[str, tuple[StreamSpec, float, int]]
) -> dict[str, Any]:
    """The fields of a recording, held to its rules with one row of zeros for each stream."""
    rows = {
        name: Signal(spec, start_s, np.zeros((1, len(spec.channels))))
        for name, (spec, start_s, _) in streams.items()
    }
    moments = rows.pop("moments", None)
    fields = _fields(head, strikes)
    one = Recording(signals=rows, moments=moments, **fields)
    return {name: getattr(one, name) for name in (*fields, "calibration")}


def read_signal(path: Path, head: StoredHead, name: str, missing: tuple[str, ...]) -> Signal:
    """One stream of a file whose head is known; the samples of ``missing`` channels are 0."""
    spec, start_s, _ = head.streams[name]
    with reading(path, EXPECTED, RecordingError):
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"signal.{name}.npy")
            if entry.file_size > min(FILE_BYTES, DEFLATE * entry.compress_size + _BLOCK):
                raise ValueError(f"entry {entry.filename!r} claims {entry.file_size:,} bytes")
            samples = _array(archive.read(entry), name)
    places = [spec.channel_names.index(channel) for channel in missing]
    if places:
        samples = np.array(samples)
        samples[:, places] = 0.0
    return Signal(spec, start_s, samples)


def _small(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    if entry.file_size > min(DOCUMENT_BYTES, DEFLATE * entry.compress_size + _BLOCK):
        raise ValueError(f"entry {entry.filename!r} claims {entry.file_size:,} bytes")
    return _array(archive.read(entry), entry.filename)


def _rows(file: io.BytesIO, entry: zipfile.ZipInfo) -> int:
    """Rows of a stream's array by its header, held to the size of the entry."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"{entry.filename!r} has version {version} of the format; 1.0 and 2.0 are read")
    shape, _, dtype = readers[version](file)
    if len(shape) != 2 or math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
        raise ValueError(f"{entry.filename!r} claims shape {shape} and has {entry.file_size:,} bytes")
    return int(shape[0])
