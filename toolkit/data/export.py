"""Recordings as a folder that ``toolkit.data.load`` reads back: NPZ, or CSV with its dataset TOML."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from toolkit.data.dataset_file import FORMAT
from toolkit.data.describe import describe
from toolkit.data.readers.npz import write_recording
from toolkit.errors import UsageError
from toolkit.files import new_folder, write_bytes, write_json
from toolkit.printable import file_name_text, spreadsheet_text
from toolkit.records import Recording, Signal
from toolkit.toml_lines import toml_key, toml_text

#: Marks a folder as ours to replace.
INDEX = "recordings.json"


def export(recordings: Sequence[Recording], out: Path, kind: Literal["npz", "csv"]) -> None:
    """Write ``recordings`` into folder ``out``. NPZ keeps every bit; CSV has ten significant digits.

    Raises UsageError if two recordings would have one file name, or CSV is asked for recordings whose
    streams differ, OutputError if the folder cannot be written.
    """
    names = [file_name_text(recording.name) for recording in recordings]
    if len(set(names)) < len(names):
        raise UsageError("two recordings have the same name; rename one before exporting them")
    with new_folder(out, replace_if=INDEX) as folder:
        write_json(folder / INDEX, describe(recordings))
        if kind == "npz":
            for name, recording in zip(names, recordings):
                write_recording(folder / f"{name}.npz", recording)
        else:
            write_bytes(folder / "dataset.toml", _toml(names, recordings).encode())
            for name, recording in zip(names, recordings):
                for stream, signal in _signals(recording).items():
                    write_bytes(folder / f"{name}.{file_name_text(stream)}.csv", _csv(signal))


def _signals(recording: Recording) -> dict[str, Signal]:
    moments = {} if recording.moments is None else {"moments": recording.moments}
    return {**recording.signals, **moments}


def _csv(signal: Signal) -> bytes:
    text = io.StringIO()
    names = ["time", *map(spreadsheet_text, signal.spec.channel_names)]
    other = any(
        delimiter in name for name in names for delimiter in ";\t"
    )  # a reader must not take it for its own
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if other else csv.QUOTE_MINIMAL)
    writer.writerow(names)
    rows = np.column_stack([signal.times_s, signal.samples])
    np.savetxt(text, rows, delimiter=",", fmt="%.10g")
    return text.getvalue().encode()


def _toml(names: Sequence[str], recordings: Sequence[Recording]) -> str:
    first = recordings[0]
    for recording in recordings:
        same = {n: s.spec for n, s in _signals(recording).items()} == {
            n: s.spec for n, s in _signals(first).items()
        }
        if not same or recording.kind != first.kind:
            raise UsageError(
                f"recordings {first.name!r} and {recording.name!r} differ in kind or streams, so one dataset "
                "TOML cannot hold both; export them separately or as npz"
            )
    lines = [
        f"format = {toml_text(FORMAT)}",
        f"kind = {toml_text(first.kind)}",
        f"source = {toml_text(first.provenance.get('source', 'exported by edgetool'))}",
    ]
    for name, recording in zip(names, recordings):
        files = ", ".join(
            f"{toml_text(s)} = {toml_text(f'{name}.{file_name_text(s)}.csv')}" for s in _signals(recording)
        )
        lines += [
            "",
            "[[recording]]",
            f"name = {toml_text(recording.name)}",
            f"person = {toml_text(recording.person)}",
            f"task = {toml_text(recording.task)}",
            f"mass_kg = {recording.mass_kg!r}",
            f"files = {{ {files} }}",
            f"heel_strikes_s = {list(recording.heel_strikes_s)!r}",
        ]
        if recording.valid_s is not None:
            lines.append(f"valid_s = {[list(span) for span in recording.valid_s]!r}")
        if recording.missing:
            lists = (
                f"{toml_key(stream)} = [{', '.join(map(toml_text, channels))}]"
                for stream, channels in recording.missing.items()
            )
            lines.append(f"missing = {{ {', '.join(lists)} }}")
    for stream, signal in _signals(first).items():
        lines += [
            "",
            f"[{toml_key(stream)}]",
            f"file = {toml_text(stream)}",
            f"rate_hz = {signal.spec.rate_hz!r}",
        ]
        lines += ["", f"[{toml_key(stream)}.channels]"]
        for channel in signal.spec.channels:
            column = f"{{ column = {toml_text(spreadsheet_text(channel.name))}, unit = {toml_text(channel.unit)} }}"
            lines.append(f"{toml_text(channel.name)} = {column}")
    return "\n".join(lines) + "\n"
