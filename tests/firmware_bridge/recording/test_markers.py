"""What happened, and what the recording is of: written among the items, read back, and in the exports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from firmware_bridge.items import Chunk, Marker, Snapshot
from firmware_bridge.recording.export import export
from firmware_bridge.recording.file import RecordingReader, RecordingWriter
from firmware_bridge.recording.recover import recover
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.streams.session import Session
from firmware_bridge.tools.record import Marks, record
from firmware_bridge.tools.replay import replay
from tests.firmware_bridge.sources.lsl_outlet import RUN
from tests.firmware_bridge.sources.test_lsl_markers import Sender
from tests.firmware_bridge.sources.test_sources import Scripted
from tests.regression.sensors import BEGUN_NS, Node, data, described
from tests.runtime.sinks.harness import until
from tests.tools import require_package
from toolkit.errors import UsageError

ABOUT = {"person": "S01", "trial": "<stairs & ramp>"}


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    node, path = Node(), tmp_path / "marked.etl"
    writer = RecordingWriter(path, ["port"], 1_700_000_000_000_000_000, BEGUN_NS, ABOUT)
    writer.append(node.chunk(0.0, [described("leg")]), 0)
    for place in range(1, 300):
        writer.append(node.chunk(0.01 * place, [data(place)]), 0)
        if place % 100 == 0:
            writer.append(Marker(BEGUN_NS + place * 10_000_000 + 5, f"strike {place} é\x07"), 0)
    writer.close({})
    return path


def test_markers_are_read_where_they_were_written(marked: Path) -> None:
    reader = RecordingReader.open(marked)
    assert reader.snapshot.about == ABOUT
    items = list(reader.items())
    markers = [item for item in items if isinstance(item, Marker)]
    assert [marker.text for marker in markers] == ["strike 100 é\x07", "strike 200 é\x07"]
    assert isinstance(items[items.index(markers[0]) - 1], Chunk)
    assert all(item.about == ABOUT for item in items if isinstance(item, Snapshot))
    summary = replay(marked)
    assert (summary.markers, summary.chunks, summary.about) == (2, 300, ABOUT)
    session, samples = Session(by_hand=True), 0
    for item in items:
        samples += len(session.process(item).samples)
    assert samples == 299


def test_a_recovered_recording_keeps_them(marked: Path, tmp_path: Path) -> None:
    content = marked.read_bytes()
    damaged = tmp_path / "damaged.etl"
    damaged.write_bytes(content[:-40])
    report = recover(damaged, tmp_path / "whole.etl")
    assert report.chunks == 300
    loaded = load_tracks(tmp_path / "whole.etl")
    assert [text for _, text in loaded.markers] == [
        "strike 100 é\x07",
        "strike 200 é\x07",
    ] and loaded.about == ABOUT


def test_exports(marked: Path, tmp_path: Path) -> None:
    export(marked, tmp_path / "tables", "csv")
    listing = json.loads((tmp_path / "tables" / "recording.json").read_text())
    assert listing["about"] == ABOUT
    assert [entry["time_s"] for entry in listing["markers"]] == [1.0, 2.0]
    pyxdf = require_package("pyxdf")
    export(marked, tmp_path / "marked.xdf", "xdf")
    streams, header = pyxdf.load_xdf(str(tmp_path / "marked.xdf"))
    (markers,) = [stream for stream in streams if stream["info"]["type"] == ["Markers"]]
    assert markers["time_series"] == [["strike 100 é\x07"], ["strike 200 é\x07"]]
    assert markers["time_stamps"].tolist() == [pytest.approx(1.0, abs=1e-6), pytest.approx(2.0, abs=1e-6)]
    entries = header["info"]["about"][0]["entry"]
    assert {entry["name"][0]: entry["value"][0] for entry in entries} == ABOUT


def test_mcap(marked: Path, tmp_path: Path) -> None:
    require_package("mcap")
    from mcap.reader import make_reader

    (file,) = export(marked, tmp_path / "marked.mcap", "mcap").files
    loaded = load_tracks(marked)
    with file.open("rb") as stream:
        reader = make_reader(stream)
        read = list(reader.iter_messages())
        assert [each.metadata for each in reader.iter_metadata() if each.name == "recording"] == [ABOUT]
    assert [message.log_time for _, _, message in read] == sorted(message.log_time for _, _, message in read)
    samples = [(schema, message) for schema, channel, message in read if channel.topic == "/leg/imu"]
    (track,) = loaded.tracks
    rows = [[json.loads(message.data)[name] for name in ("c0", "c1")] for _, message in samples]
    assert rows == track.values.tolist() and [m.sequence for _, m in samples] == track.number.tolist()
    started_ns = 1_700_000_000_000_000_000
    assert [m.log_time - started_ns for _, m in samples] == [round(t * 1e9) for t in track.host_s.tolist()]
    assert json.loads(samples[0][0].data)["properties"]["c0"] == {"type": "number", "description": "m/s^2"}
    texts = [json.loads(message.data)["text"] for _, channel, message in read if channel.topic == "/markers"]
    assert texts == ["strike 100 é\x07", "strike 200 é\x07"]


def test_what_is_said_while_it_records_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        node, marks, stop = Node(), Marks(), asyncio.Event()
        source = Scripted([node.chunk(0.0, [described("leg")])], stays=True)
        recording = asyncio.create_task(
            record(source, tmp_path / "said.etl", stop=stop, marks=marks, about={"person": "S02"})
        )
        while not (tmp_path / "said.etl").exists():
            await asyncio.sleep(0.005)
        await asyncio.to_thread(marks.mark, " go \x1b[2J")
        marks.mark("last")
        stop.set()
        await recording

    asyncio.run(asyncio.wait_for(scenario(), 30))
    reader = RecordingReader.open(tmp_path / "said.etl")
    texts = [item.text for item in reader.items() if isinstance(item, Marker)]
    assert texts == ["go \\x1b[2J", "last"] and reader.snapshot.about == {"person": "S02"}


def test_what_another_program_sends_over_lsl_is_written(tmp_path: Path) -> None:
    name, path, marks = f"{RUN} recorded", tmp_path / "lsl.etl", Marks()
    sender, stop = Sender(name), asyncio.Event()

    async def run() -> None:
        job = asyncio.create_task(
            record(["sim://synthetic"], path, stop=stop, marks=marks, markers=[f"lsl://{name}"] * 2)
        )
        await until(lambda: sender.heard)
        sender.send("heel strike")
        await until(lambda: path.exists() and b"heel strike" in path.read_bytes())
        stop.set()
        await job

    asyncio.run(run())
    assert [item.text for item in RecordingReader.open(path).items() if isinstance(item, Marker)] == [
        "heel strike"
    ]


def test_markers_that_are_no_lsl_stream_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it must be lsl://NAME of a stream of markers"):
        asyncio.run(record(["sim://synthetic"], tmp_path / "x.etl", markers=["serial:///dev/x"]))
    assert not (tmp_path / "x.etl").exists()
