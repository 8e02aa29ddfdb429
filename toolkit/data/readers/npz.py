"""NPZ files: a recording of ours in one file (docs/DATA.md gives the format), or a table of 1-D arrays.

Nothing is ever unpickled: an array of Python objects is refused.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import stream_from_json, stream_to_json
from toolkit.data.readers.table import Table
from toolkit.errors import ContractError, RecordingError
from toolkit.files import write_bytes
from toolkit.records import Recording, Signal

FORMAT = "edgetool recording 1"


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an .npz by name; RecordingError if it is not one, is cut short or holds objects."""
    try:
        # Opened here: numpy leaves a file that it opened itself open when its zip directory is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise RecordingError(f"cannot read {path}: no such file") from None
    except (OSError, EOFError, ValueError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "allow_pickle" in detail:
            detail = "it holds Python objects, which are never loaded"
        raise RecordingError(
            f"{path} is not a readable .npz ({detail}); write it anew with numpy.savez"
        ) from None


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
        raise RecordingError(f"{path}: columns must be of one length; they have {lengths}")
    values = np.stack([array.astype(np.float64) for array in arrays.values()], axis=1)
    return Table(path, tuple(arrays), values)


def write_recording(path: Path, recording: Recording) -> None:
    """Write ``recording`` whole; :func:`read_recording` inverts it exactly. The bytes depend on it alone."""
    signals = dict(recording.signals)
    if recording.moments is not None:
        signals["moments"] = recording.moments
    head = {
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
            f"{path} has no array 'recording' and is no recording of edgetool's; "
            "describe a table of columns with a dataset TOML instead"
        )
    try:
        head = json.loads(str(arrays["recording"]))
        if head["format"] != FORMAT:
            raise RecordingError(f"{path} has format {head['format']!r}; this version reads {FORMAT!r}")
        signals = {
            name: Signal(stream_from_json(item["stream"]), float(item["start_s"]), arrays[f"signal.{name}"])
            for name, item in head["signals"].items()
        }
        moments = signals.pop("moments", None)
        return Recording(
            name=head["name"],
            person=head["person"],
            task=head["task"],
            kind=head["kind"],
            mass_kg=float(head["mass_kg"]),
            signals=signals,
            moments=moments,
            heel_strikes_s=tuple(float(t) for t in arrays["heel_strikes_s"]),
            provenance=head["provenance"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, ContractError) as error:
        raise RecordingError(
            f"{path} is not a whole recording of edgetool's: {type(error).__name__} at {error}; export it anew"
        ) from None
