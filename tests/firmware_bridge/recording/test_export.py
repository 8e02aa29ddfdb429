"""Exports in all formats, read back by others' readers and by the toolkit's own, against what the node sent."""

from __future__ import annotations

import builtins
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.cli import edgetool
from firmware_bridge.items import Chunk
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.packets import (
    ChannelDescriptor,
    Data,
    Descriptor,
    StreamDescriptor,
    SyncReply,
)
from firmware_bridge.protocol.table import Format
from firmware_bridge.recording.export import export
from firmware_bridge.recording.file import RecordingWriter
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.streams.receiver import Receiver
from tests.tools import require_package
from toolkit.data import readers
from toolkit.data.dataset import load_dataset
from toolkit.errors import MissingDependencyError, RecordingError, UsageError

IMU = StreamDescriptor(
    0,
    "imu",
    Format.INT16,
    200.0,
    tuple(ChannelDescriptor(f"shank_accel_{axis}", "m/s^2", 9.80665 / 2048, 156.9) for axis in "xyz"),
)
EMG = StreamDescriptor(
    1, "emg", Format.INT24, 1000.0, tuple(ChannelDescriptor(f"emg {i}", "uV", 0.02) for i in (1, 2))
)
SECONDS = 3.0
SKEW, OFFSET_US = 40e-6, 5_000_000


def imu_raw(number: np.ndarray) -> np.ndarray:
    """Its own sample number in the first channel, so that loss and reordering show."""
    return np.stack([number % 30_000, -number % 7_000, 0 * number + 2048], axis=1)


def emg_raw(number: np.ndarray) -> np.ndarray:
    return np.stack([number * 5 - 4_000_000, 8_388_607 - number], axis=1)


def record_node(path: Path, lose: tuple[int, ...] = (), reboot_at_s: float | None = None) -> Path:
    """A node whose clock runs 40 ppm fast and started 5 s before; frames take 2 to 12 ms. ``lose``: beats without data."""
    jitter = random.Random(4)
    start_ns = 777_000_000_000
    writer = RecordingWriter(path, ["test"], 1_700_000_000_000_000_000, start_ns)
    receiver, frames = Receiver(), FrameWriter(3, 1, 244)
    taken: list[tuple[float, bytes]] = []
    born_s = 0.0

    def stamp(true_s: float) -> int:
        return round((true_s - born_s) * (1 + SKEW) * 1e6) + OFFSET_US

    def say(true_s: float, packet: Any, delay_s: float, lost: bool = False) -> None:
        for frame in frames.frames(packet, stamp(true_s)):
            if not lost:
                taken.append((true_s + delay_s, frame))

    say(0.0, Descriptor("left/leg", (IMU, EMG)), 0.002)
    beat0 = 0
    for beat in range(int(SECONDS / 0.02)):
        now = 0.02 * (beat + 1)
        if reboot_at_s is not None and born_s == 0.0 and now > reboot_at_s:
            born_s, frames, beat0 = now - 0.02, FrameWriter(3, 2, 244), beat
            say(now - 0.02, Descriptor("left/leg", (IMU, EMG)), 0.002)
        place = beat - beat0
        delay = 0.002 + 0.010 * jitter.random()
        # The newest sample is taken now: number 0 one period after the start.
        say(
            now,
            Data.of(0, Format.INT16, place * 4, imu_raw(np.arange(place * 4, place * 4 + 4))),
            delay,
            beat in lose,
        )
        say(
            now,
            Data.of(1, Format.INT24, place * 20, emg_raw(np.arange(place * 20, place * 20 + 20))),
            delay,
            beat in lose,
        )
        if beat % 25 == 0:
            request_s = now + 0.001
            token = start_ns + round((request_s - 0.003) * 1e9)
            say(request_s, SyncReply(token, stamp(request_s)), 0.003)
    for arrival_s, frame in sorted(taken):
        item = Chunk(0, start_ns + round(arrival_s * 1e9), frame)
        writer.append(item, item.arrival_ns)
        receiver.decode(item)
    writer.close(receiver.ledger())
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_node(tmp_path_factory.mktemp("export") / "node.etl")


IMU_SENT = imu_raw(np.arange(600)) * float(np.float32(9.80665 / 2048))
EMG_SENT = emg_raw(np.arange(3000)) * float(np.float32(0.02))


def test_progress_goes_through_the_file_and_then_the_tables(recording: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    export(recording, tmp_path / "out", "csv", progress=lambda *words: told.append(words))
    reading = [words for words in told if words[0] == "reading"]
    assert told == [*reading, ("writing", 0, 2), ("writing", 1, 2)] and len(reading) >= 1
    size = recording.stat().st_size
    assert [done for _, done, _ in reading] == sorted(done for _, done, _ in reading)
    assert all(0 <= done <= total == size for _, done, total in reading)


def test_csv(recording: Path, tmp_path: Path) -> None:
    summary = export(recording, tmp_path / "out", "csv")
    assert [f.name for f in summary.files] == ["left_leg-imu.csv", "left_leg-emg.csv"]
    read = readers.read(summary.files[0])
    assert read.names == ("time", "host_time", "shank_accel_x", "shank_accel_y", "shank_accel_z")
    assert np.array_equal(read.values[:, 2:], IMU_SENT)
    assert np.array_equal(readers.read(summary.files[1]).values[:, 2:], EMG_SENT)
    listing = json.loads((tmp_path / "out" / "recording.json").read_text())
    assert [c["unit"] for c in listing["streams"][1]["channels"]] == ["uV", "uV"]
    assert listing["started_wall_ns"] == 1_700_000_000_000_000_000
    assert listing["ledger"]["0/3"]["gap"] == 0


def test_host_times_are_true_within_the_jitter(recording: Path) -> None:
    """Sample k of the EMG was taken at k/1000 + 1 ms - true. The clock fit keeps 2 to 12 ms of jitter out of it: the fastest
    frame took 2 ms, and the sync replies bound it from the other side by 3 ms, so 3 ms is what no mapping can leave."""
    imu, emg = load_tracks(recording).tracks
    assert np.abs(emg.host_s - (np.arange(3000) + 1) / 1000).max() < 0.003
    assert np.abs(imu.host_s - (np.arange(600) + 1) / 200).max() < 0.003
    # The regular axis starts there too and is exactly regular.
    assert np.allclose(np.diff(emg.time_s), 0.001, atol=1e-12)
    assert abs(emg.time_s[0] - 0.001) < 0.003


def test_sto_is_read_by_our_own_reader(recording: Path, tmp_path: Path) -> None:
    summary = export(recording, tmp_path / "out", "sto")
    read = readers.read(summary.files[1])
    assert read.names == ("time", "emg_1", "emg_2")
    assert read.in_degrees is False
    assert np.array_equal(read.values[:, 1:], EMG_SENT)
    assert np.allclose(read.time_axis("time", 1000.0), read.values[0, 0] + np.arange(3000) / 1000, atol=1e-6)


def test_parquet(recording: Path, tmp_path: Path) -> None:
    parquet = require_package("pyarrow.parquet")
    summary = export(recording, tmp_path / "out", "parquet")
    read = parquet.read_table(summary.files[1])
    assert read.column_names == ["time", "host_time", "number", "life", "emg 1", "emg 2"]
    assert np.array_equal(read["emg 2"].to_numpy(), EMG_SENT[:, 1])
    assert read.schema.field("emg 1").metadata == {b"unit": b"uV"}
    assert read.schema.metadata[b"rate_hz"] == b"1000.0"


def test_parquet_without_pyarrow_says_what_to_install(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.startswith("pyarrow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"edgetool\[parquet\]"):
        export(recording, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()


def test_xdf_is_read_by_pyxdf(recording: Path, tmp_path: Path) -> None:
    pyxdf = require_package("pyxdf")
    (file,) = export(recording, tmp_path / "out.xdf", "xdf").files
    streams, header = pyxdf.load_xdf(str(file), dejitter_timestamps=False)
    assert header["info"]["version"] == ["1.0"]
    imu, emg = sorted(streams, key=lambda s: s["info"]["type"], reverse=True)
    assert np.array_equal(imu["time_series"], IMU_SENT)
    assert np.array_equal(emg["time_series"], EMG_SENT)
    assert np.array_equal(emg["time_stamps"], load_tracks(recording).tracks[1].host_s)
    assert emg["info"]["nominal_srate"] == ["1000.0"]
    labels = [c["label"][0] for c in emg["info"]["desc"][0]["channels"][0]["channel"]]
    assert labels == ["emg 1", "emg 2"]
    assert emg["footer"]["info"]["sample_count"] == ["3000"]


def test_the_toolkits_dataset_reads_the_csv(recording: Path, tmp_path: Path) -> None:
    export(recording, tmp_path / "tables", "csv")
    dataset = tmp_path / "data.toml"
    dataset.write_text(
        'format = "edgetool dataset 1"\nkind = "synthetic"\nroot = "tables"\n'
        '[[recording]]\nname = "a"\nperson = "p"\ntask = "level"\nmass_kg = 70.0\n'
        'files = { imu = "left_leg-imu.csv", emg = "left_leg-emg.csv" }\n'
        '[imu]\nfile = "imu"\nrate_hz = 200\nunit = "m/s^2"\n'
        '[imu.channels]\nshank_accel_x = "shank_accel_x"\n'
        '[emg]\nfile = "emg"\nrate_hz = 1000\nunit = "uV"\n[emg.channels]\nsoleus = "emg 1"\n'
    )
    (loaded,) = load_dataset(dataset)
    emg, imu = loaded.signals["emg"], loaded.signals["imu"]
    assert emg.spec.channels[0].unit == "mV"
    # uV become mV; the cut to a common start leaves whole samples of both.
    assert np.allclose(emg.samples[-1, 0], EMG_SENT[len(EMG_SENT) - 1, 0] * 1e-3, rtol=1e-12)
    assert len(imu.samples) >= 598


@pytest.mark.parametrize("fill", ["none", "hold", "interpolate"])
def test_lost_samples(tmp_path: Path, fill: Any) -> None:
    """Beats 10, 11 and 60 are lost: 4 IMU samples each."""
    path = record_node(tmp_path / "loss.etl", lose=(10, 11, 60))
    summary = export(path, tmp_path / "out", "csv", fill)
    assert [s["missing"] for s in summary.streams] == [12, 60]
    read = readers.read(summary.files[0]).values
    gone = np.r_[40:48, 240:244]
    there = np.setdiff1d(np.arange(600), gone)
    if fill == "none":
        assert np.array_equal(read[:, 2:], IMU_SENT[there])
        assert np.allclose(np.diff(read[:, 0])[39], 9 / 200, atol=2e-6)
        return
    assert np.array_equal(read[there, 2:], IMU_SENT[there])
    expected = IMU_SENT[39] if fill == "hold" else IMU_SENT[39] + (IMU_SENT[48] - IMU_SENT[39]) * 3 / 9
    assert np.allclose(read[42, 2:], expected, rtol=1e-12)
    assert np.allclose(np.diff(read[:, 0]), 1 / 200, atol=2e-6)


def test_a_reboot_starts_a_new_life_in_the_right_place(tmp_path: Path) -> None:
    path = record_node(tmp_path / "reboot.etl", reboot_at_s=1.5)
    imu = load_tracks(path).tracks[0]
    assert np.unique(imu.boot_session).tolist() == [0, 1]
    first, second = imu.number[imu.boot_session == 0], imu.number[imu.boot_session == 1]
    assert (first[-1], second[0], second[-1]) == (299, 0, 299)
    assert np.abs(imu.host_s - (np.arange(600) + 1) / 200).max() < 0.003
    assert imu.missing == 0


def test_a_counter_that_jumps_is_not_filled(tmp_path: Path) -> None:
    """Two thousand million samples between two packets that came 20 ms apart: the gap is the node's mistake."""
    path = tmp_path / "jump.etl"
    writer, frames = RecordingWriter(path, ["l"], 0, 0), FrameWriter(3, 1, 244)
    packets = [Descriptor("leg", (IMU,))]
    packets += [Data.of(0, Format.INT16, first, imu_raw(np.arange(4))) for first in (0, 4, 2**31 - 9)]
    for place, packet in enumerate(packets):
        for frame in frames.frames(packet, 20_000 * (place + 1)):
            writer.append(Chunk(0, 20_000_000 * (place + 1), frame), 20_000_000 * (place + 1))
    writer.close({})
    for fill in ("hold", "interpolate"):
        with pytest.raises(RecordingError, match=r"counter jumped.*use --fill none"):
            export(path, tmp_path / fill, "csv", fill)  # type: ignore[arg-type]
    assert export(path, tmp_path / "none", "csv").streams[0]["missing"] == 2**31 - 9 - 8


def test_channels_named_as_our_columns(tmp_path: Path) -> None:
    """Two columns of one name are refused by pyarrow and mixed up by others."""
    names = ("time", "number", "time_", "angle x")
    stream = StreamDescriptor(
        0, "imu", Format.INT16, 200.0, tuple(ChannelDescriptor(n, "deg", 1.0) for n in names)
    )
    path = tmp_path / "names.etl"
    writer, frames = RecordingWriter(path, ["l"], 0, 0), FrameWriter(3, 1, 244)
    for packet in (Descriptor("leg", (stream,)), Data.of(0, Format.INT16, 0, [[1, 2, 3, 4], [5, 6, 7, 8]])):
        for frame in frames.frames(packet, 20_000):
            writer.append(Chunk(0, 20_000_000, frame), 20_000_000)
    writer.close({})
    files = {
        form: export(path, tmp_path / form, form).files[0]  # type: ignore[arg-type]
        for form in ("csv", "parquet", "sto")
    }
    assert files["csv"].read_text().splitlines()[0] == "time,host_time,time__,number,time_,angle x"
    assert files["sto"].read_text().splitlines()[6] == "time\ttime__\tnumber\ttime_\tangle_x"
    table = require_package("pyarrow.parquet").read_table(files["parquet"])
    assert table.column_names == [
        "time",
        "host_time",
        "number",
        "life",
        "time__",
        "number_",
        "time_",
        "angle x",
    ]
    assert table["time__"].to_pylist() == [1.0, 5.0] and table["number_"].to_pylist() == [2.0, 6.0]


def test_what_cannot_be_exported_is_said(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="allowed are csv, parquet, sto, xdf"):
        export(recording, tmp_path / "out", "hdf5")  # type: ignore[arg-type]
    empty = tmp_path / "empty.etl"
    RecordingWriter(empty, ["l"], 0, 0).close({})
    with pytest.raises(RecordingError, match="no samples with a descriptor"):
        export(empty, tmp_path / "out", "csv")


def test_commands(recording: Path, tmp_path: Path) -> None:
    """The command line is a face of the same functions; tables fit 80 columns."""
    run = CliRunner()
    totals, again, mended = tmp_path / "totals.json", tmp_path / "again.etl", tmp_path / "mended.etl"
    calls = [
        ["replay", str(recording), "--json", str(totals)],
        ["record", "--source", f"replay://{recording}?speed=max", "--out", str(again)],
        ["recover", str(again), "--out", str(mended)],
        ["export", str(mended), "--format", "csv", "--out", str(tmp_path / "tables")],
    ]
    for arguments in calls:
        done = run.invoke(edgetool, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        for line in done.output.replace(str(tmp_path), "").replace(str(recording), "").splitlines():
            assert len(line) <= 80, line
    assert "The ledger equals the one recorded" in run.invoke(edgetool, ["replay", str(mended)]).output
    value = json.loads(totals.read_text())
    assert [s["samples"] for s in value["streams"]] == [600, 3000]
    assert value["as_recorded"] is True
    for name in ("record", "replay", "recover", "export"):
        text = run.invoke(edgetool, [name, "--help"]).output
        assert "Example: edgetool " + name in text and max(map(len, text.splitlines())) <= 80
