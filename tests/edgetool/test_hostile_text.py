"""Hostile names in every field of every file that a command reads: what is shown steers no terminal, and files keep their form.

Each field gets every drawn string by itself; a reader may refuse it (in one line) or take it, and then every output is looked
at: the terminal, JSON by the letter, CSV as a spreadsheet reads it, the dataset TOML read back, lines of NDJSON. The suite
draws 12 strings for each field, ``python -m tests.fuzz.fuzz_text`` 1,000.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.cli import edgetool
from edgetool.commands.monitor_tables import tables
from firmware_bridge.items import Chunk
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import ChannelDescriptor, Data, Descriptor, StreamDescriptor
from firmware_bridge.protocol.table import Format
from firmware_bridge.recording.file import RecordingWriter
from quantization.tflite.contract import embed_contract
from quantization.tflite.flatbuffer import pack
from quantization.tflite.model import load_model
from quantization.tflite.schema import Table
from runtime.pipeline.estimate import Estimate, State
from runtime.sinks.json_lines import estimate_line, estimate_of
from tests.hostile import encodable, few_or_all, strict_json, unsafe_on_a_terminal
from tests.quantization.analysis.test_inspect import small_tflite
from tests.quantization.test_bundle import write_example
from toolkit.contract import Channel
from toolkit.data import load
from toolkit.data.readers.npz import write_recording
from toolkit.errors import EdgetoolError, LinkError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig
from toolkit.records import Recording
from toolkit.terminal import console
from toolkit.toml_lines import toml_text

STRINGS = few_or_all(12, 20)
SMALL = ModelConfig(imu_channels=2, emg_channels=2, window=8, hidden=4, head_hidden=4)


def shown(*arguments: str) -> tuple[str, bool]:
    """What the command writes to the terminal, and whether it took the file. Any exception that is no user's error escapes."""
    runner = CliRunner()
    try:
        result = runner.invoke(edgetool, ["--quiet", *arguments], catch_exceptions=False)
    except EdgetoolError as error:
        return str(error), False
    except click.ClickException as error:
        return error.format_message(), False
    return result.output, result.exit_code == 0


def require_safe(said: str) -> None:
    assert unsafe_on_a_terminal(said) == "", said


def put(value: Any, path: tuple[str | int, ...], text: object) -> Any:
    """``value`` with ``text`` at ``path``; the last step of a path that ends in ``key`` renames instead."""
    copy = json.loads(json.dumps(value))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = text
    return copy


CHECKPOINT = Checkpoint.random(SMALL, 1)
CHECKPOINT_FIELDS: dict[str, tuple[str | int, ...]] = {
    "stream": ("contract", "inputs", 0, "stream", "name"),
    "channel": ("contract", "inputs", 0, "stream", "channels", 0, "name"),
    "unit": ("contract", "inputs", 0, "stream", "channels", 0, "unit"),
    "output": ("contract", "outputs", 0, "name"),
    "output of the config": ("config", "outputs", 0),
    "norm": ("config", "norm"),
    "filter": ("contract", "inputs", 0, "filters"),
    "window": ("contract", "window"),
    "kinds of the data": ("provenance", "data"),
    "metrics": ("provenance", "metrics"),
    "split": ("split",),
    "anything": ("provenance", "note"),
}


@pytest.mark.parametrize("field", CHECKPOINT_FIELDS)
def test_checkpoint(field: str, tmp_path: Path) -> None:
    whole = CHECKPOINT.to_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    document = json.loads(header["__metadata__"]["edgetool"])
    path = tmp_path / "x.safetensors"
    for text in STRINGS:
        value: object = text
        if field == "filter":
            value = [{"kind": text, "parameters": {text: text}}]
        elif field == "kinds of the data":
            value = {"kinds": [text], "source": text}
        elif field == "metrics":
            value = {text: {"rmse": text}}
        elif field == "split":
            value = {"kind": text, "people": {"train": [text], "validation": [], "test": []}}
        changed = put(document, CHECKPOINT_FIELDS[field], value)
        if field == "output":
            changed = put(changed, ("config", "outputs", 0), value)
        header["__metadata__"]["edgetool"] = json.dumps(changed)
        encoded = json.dumps(header).encode()
        encoded += b" " * (-len(encoded) % 8)
        path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + whole[8 + length :])
        said, taken = shown("inspect", str(path), "--json", str(tmp_path / "x.json"))
        require_safe(said)
        if taken:
            strict_json((tmp_path / "x.json").read_text())


BUNDLE_FIELDS: dict[str, tuple[str | int, ...]] = {
    "scheme": ("scheme",),
    "converter": ("converter", "name"),
    "source": ("data", "source"),
    "kinds": ("data", "kinds"),
    "note of a graph": ("graphs", 0, "notes"),
    "file of a graph": ("graphs", 0, "file"),
    "graph": ("graphs", 0, "graph"),
    "file": ("files",),
    "contract": ("contract", "outputs", 0, "name"),
    "stream of the contract": ("contract", "inputs", 0, "stream", "name"),
    "channel of the contract": ("contract", "inputs", 0, "stream", "channels", 0, "name"),
    "unit of the contract": ("contract", "inputs", 0, "stream", "channels", 0, "unit"),
    "hash": ("contract_hash",),
    "schema": ("schema",),
}


@pytest.mark.parametrize("field", BUNDLE_FIELDS)
def test_bundle(field: str, tmp_path: Path) -> None:
    bundle = write_example(tmp_path / "bundle")
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    manifest["data"] |= {"calibration_windows": 1, "kinds": ["synthetic"], "notes": []}
    for text in STRINGS:
        value: object = [text] if field in ("kinds", "note of a graph") else text
        if field == "file":
            value = {**manifest["files"], text: {"sha256": text, "bytes": 1}}
        (bundle.path / "manifest.json").write_text(json.dumps(put(manifest, BUNDLE_FIELDS[field], value)))
        require_safe(shown("inspect", str(bundle.path))[0])


def _graph_fields(model: Any, text: bytes) -> dict[str, Callable[[], None]]:
    """What puts ``text`` into a field of a .tflite's tables."""
    graph = model.subgraphs[0]
    signature = Table("SignatureDef")
    signature.signature_key, signature.subgraph_index = text, 0
    return {
        "tensor": lambda: setattr(graph.tensors[0], "name", text),
        "output": lambda: setattr(graph.tensors[graph.outputs[0]], "name", text),
        "graph": lambda: setattr(graph, "name", text),
        "description": lambda: setattr(model, "description", text),
        "metadata": lambda: setattr(model.metadata[0], "name", text),
        "custom operator": lambda: setattr(model.operator_codes[0], "custom_code", text),
        "contract": lambda: setattr(
            model.buffers[model.metadata[0].buffer], "data", np.frombuffer(text or b" ", np.uint8)
        ),
        "signature": lambda: setattr(model, "signature_defs", [signature]),
    }


GRAPH_FIELDS = (
    "tensor",
    "output",
    "graph",
    "description",
    "metadata",
    "custom operator",
    "contract",
    "signature",
)


@pytest.mark.parametrize("field", GRAPH_FIELDS)
def test_tflite(field: str, tmp_path: Path) -> None:
    """Its texts are bytes, of which half a character may be one."""
    whole = embed_contract(small_tflite(), CHECKPOINT.contract)
    taken = 0
    for text in STRINGS:
        model = load_model(whole)
        _graph_fields(model, text.encode("utf-8", "surrogatepass"))[field]()
        (tmp_path / "x.tflite").write_bytes(pack(model))
        said, done = shown("inspect", str(tmp_path / "x.tflite"), "--json", str(tmp_path / "x.json"))
        require_safe(said)
        taken += done
        if done:
            strict_json((tmp_path / "x.json").read_text())
    assert taken or field in ("custom operator", "contract")


DATASET = """format = "edgetool dataset 1"
kind = "measured"
source = {source}
[[recording]]
name = {name}
person = {person}
task = {task}
mass_kg = 70
files = {{ {file} = "t.csv" }}
heel_strikes_s = []
[imu]
file = {file}
rate_hz = 100
unit = {unit}
[imu.channels]
{channel} = {column}
"""
PLAIN = {
    "source": "s", "name": "n", "person": "p", "task": "level", "file": "t", "unit": "rad/s", "channel": "x", "column": "a",
}  # fmt: skip


@pytest.mark.parametrize("field", PLAIN)
def test_dataset_and_its_exports(field: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    out = tmp_path / "out"
    for text in map(encodable, STRINGS):
        values = {**PLAIN, field: text}
        path.write_text(DATASET.format(**{key: toml_text(value) for key, value in values.items()}))
        with (tmp_path / "t.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", values["column"]])
            writer.writerows([[f"{i / 100:.2f}", i % 7] for i in range(120)])
        for kind in ("csv", "npz"):
            arguments = ["--out", str(out), "--format", kind, "--json", str(tmp_path / "x.json")]
            said, taken = shown("data", str(path), *arguments)
            require_safe(said)
            if not taken:
                continue
            strict_json((tmp_path / "x.json").read_text())
            strict_json((out / "recordings.json").read_text())
            (again,) = load(str(out))
            (first,) = load(str(path))
            assert (again.name, again.person, again.task) == (first.name, first.person, first.task)
            assert again.signals["imu"].spec == first.signals["imu"].spec
            for table in out.glob("*.csv"):
                rows = list(csv.reader(io.StringIO(table.read_text())))
                assert len(rows) == 121 and all(len(row) == 2 for row in rows)
                assert not rows[0][1].startswith(("=", "+", "-", "@", "\t", "\r"))
                require_safe(rows[0][1])


NPZ_FIELDS = ("name", "person", "task", "source")


@pytest.mark.parametrize("field", NPZ_FIELDS)
def test_npz(field: str, tmp_path: Path) -> None:
    whole = load("synthetic:people=1,seconds=1,tasks=level")[0]
    for text in map(encodable, STRINGS):
        names = {"name": "n", "person": "p", "task": "t", field: text}
        provenance = {text: text} if field == "source" else {}
        write_recording(
            tmp_path / "x.npz",
            Recording(
                names["name"],
                names["person"],
                names["task"],
                "synthetic",
                70.0,
                whole.signals,
                provenance=provenance,
            ),
        )
        said, taken = shown("data", str(tmp_path / "x.npz"), "--json", str(tmp_path / "x.json"))
        assert taken
        require_safe(said)
        strict_json((tmp_path / "x.json").read_text())


CONFIG = """[model]
bundle = {bundle}
engine = {engine}
[sources]
urls = [{url}]
[[sinks]]
url = {sink}
[recording]
folder = {folder}
prefix = {prefix}
[labels]
{label} = {value}
"""
SETTINGS = {
    "bundle": "bundle", "engine": "litert", "url": "sim://synthetic", "sink": "ndjson:-", "folder": "recordings",
    "prefix": "session", "label": "place", "value": "here",
}  # fmt: skip


@pytest.mark.parametrize("field", SETTINGS)
def test_config(field: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    write_example(tmp_path / "bundle")
    for text in map(encodable, STRINGS):
        values = {**SETTINGS, field: text}
        path.write_text(CONFIG.format(**{key: toml_text(value) for key, value in values.items()}))
        require_safe(shown("run", str(path), "--check")[0])


def _descriptor(node: str, stream: str, channel: str) -> Descriptor:
    """Of printable text alone: the protocol refuses the rest, which is tested here too."""
    channels = (ChannelDescriptor(channel, "rad/s", 0.001), ChannelDescriptor("other", "rad/s", 0.001))
    return Descriptor(node, (StreamDescriptor(0, stream, Format.INT16, 100.0, channels),))


def test_descriptor_in_a_recording_and_its_exports(tmp_path: Path) -> None:
    taken = 0
    for number, text in enumerate(map(encodable, STRINGS)):
        for names in ((text, "imu", "x"), ("node", text, "x"), ("node", "imu", text)):
            with contextlib.suppress(LinkError):
                descriptor = _descriptor(*names)
                taken += 1
                path = tmp_path / f"{number}.etl"
                path.unlink(missing_ok=True)
                _record(path, descriptor)
                said, replayed = shown("replay", str(path))
                assert replayed
                require_safe(said)
                for kind in ("csv", "sto"):
                    said, _ = shown("export", str(path), "--format", kind, "--out", str(tmp_path / kind))
                    require_safe(said)
                (table,) = (tmp_path / "csv").glob("*.csv")
                rows = list(csv.reader(io.StringIO(table.read_text())))
                assert {len(row) for row in rows} == {4}
                assert not any(name.startswith(("=", "+", "-", "@")) for name in rows[0])
    assert taken > len(STRINGS) / 2


def _record(path: Path, descriptor: Descriptor) -> None:
    writer = RecordingWriter(path, ["sim://x"], 0, 0)
    frames = FrameWriter(1, 1)
    for data in (
        *frames.frames(descriptor, 0),
        *frames.frames(Data(0, Format.INT16, 2, 0, bytes(range(80))), 200_000),
    ):
        writer.append(Chunk(0, 1_000_000_000, data), 1_000_000_000)
    writer.close({})


@pytest.mark.parametrize("colour", [False, True])
def test_monitor(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
    terms = dict.fromkeys(
        ("sent", "delivered", "crc_failed", "gap", "duplicate", "reordered", "dropped_in_host"), 1
    )
    for text in STRINGS:
        node = {
            "name": text,
            "error_ms": 1.0,
            "synced": False,
            "skew_ppm": 1.0,
            "samples_dropped": 1,
            "battery_percent": 3,
        }
        state = {
            "ledger": {"0/1": terms}, "nodes": {"0/1": node}, "links": {"0": text}, "undescribed_packets": 1,
            "streams": [{
                "node": text, "stream": text, "channels": 1, "nominal_hz": 1.0, "measured_hz": 1.0, "samples": 1, "rows": 2,
                "rows_in_gaps": 1,
            }],
        }  # fmt: skip
        for height in (None, 5):
            buffer = io.StringIO()
            console(file=buffer, markup=True).print(tables(state, height))
            assert unsafe_on_a_terminal(buffer.getvalue(), styled=colour) == ""


def test_lines_of_estimates() -> None:
    for text in STRINGS:
        estimate = Estimate(1, 2, 3.0, 4, 5, State.OK, (text,), (0.5,))
        with contextlib.suppress(EdgetoolError):
            line = estimate_line(estimate, [Channel(text, "Nm/kg")])
            assert line.count(b"\n") == 1 and line.isascii()
            if text.isprintable():
                strict_json(line.decode())
                assert estimate_of(line).reasons == (text,)


@pytest.mark.parametrize(
    "command",
    [
        lambda t: ["inspect", t], lambda t: ["data", t], lambda t: ["data", f"synthetic:{t}"], lambda t: ["bench", t],
        lambda t: ["bench", "x", "--on", t], lambda t: ["validate", t], lambda t: ["convert", t, "--out", "y"],
        lambda t: ["convert", "pretrained", "--out", t, "--data", t], lambda t: ["train", "--data", t, "--out", "y"],
        lambda t: ["replay", t], lambda t: ["recover", t, "--out", "y"], lambda t: ["run", t], lambda t: ["doctor", t],
        lambda t: ["monitor", t, "--seconds", "1"], lambda t: ["record", "--source", t, "--out", "y"],
        lambda t: ["simulate", "--serial", "p", "--fault", t], lambda t: ["service", "install", t, "--dry-run"],
        lambda t: ["export", t, "--format", "csv", "--out", "y"], lambda t: [t],
    ],
)  # fmt: skip
def test_arguments(
    command: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile file's name is an argument where a shell expands ``*``.

    URLs of sources that would be opened are left out, and what no program can be given: an argument is bytes without a NUL,
    and those that are no text become U+DC80 to U+DCFF and no other half of a character.
    """
    monkeypatch.chdir(tmp_path)
    for text in STRINGS:
        if "\0" in text or text.startswith("-") or "://" in text or not _is_an_argument(text):
            continue
        said, _ = shown(*command(text))
        assert unsafe_on_a_terminal(said.replace("\t", " ")) == "", said


def _is_an_argument(text: str) -> bool:
    try:
        return os.fsdecode(os.fsencode(text)) == text
    except UnicodeEncodeError:
        return False


def test_a_manifest_without_what_is_shown_is_told_in_one_line(tmp_path: Path) -> None:
    """Its hashes hold and its form is a manifest's, so it loads; what a table shows of it may still not be there."""
    said, taken = shown("inspect", str(write_example(tmp_path / "bundle").path))
    assert taken and "Traceback" not in said and "calibration_windows" not in said
