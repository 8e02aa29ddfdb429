"""A recording played again by virtual nodes: the same numbers, in step, missing samples held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.items import Chunk
from firmware_bridge.protocol.packets import ChannelDescriptor, Descriptor, StreamDescriptor
from firmware_bridge.protocol.table import Format
from firmware_bridge.recording.file import RecordingWriter
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.simulator.recorded import is_recording, programmes_of
from firmware_bridge.simulator.source import programmes
from firmware_bridge.simulator.virtual_node import Programme, Sent, VirtualNode
from toolkit.errors import RecordingError

IMU = StreamDescriptor(0, "imu", Format.INT16, 100.0, (ChannelDescriptor("a", "m/s^2", 0.01),))
EMG = StreamDescriptor(1, "emg", Format.INT24, 1000.0, (ChannelDescriptor("b", "V", 1e-9),))
TORQUE = StreamDescriptor(2, "torque", Format.FLOAT32, 50.0, (ChannelDescriptor("c", "Nm", 1.0),))
#: Row k of a stream tells its time: k.
FOOT = Programme(
    Descriptor("foot", (IMU, EMG, TORQUE), b"contract", "board"),
    {
        0: np.arange(1000, dtype=np.int32)[:, None],
        1: 1000 * np.arange(8000, dtype=np.int32)[:, None],
        2: np.arange(500, dtype=np.float32)[:, None] / 3,
    },
)
SHANK = Programme(
    Descriptor("shank", (IMU,), hardware="other"), {0: -np.arange(1000, dtype=np.int32)[:, None]}
)


def kept(each: Sent) -> bool:
    """All but what node 0 sent between 1.0 and 1.1 s."""
    return not 1.0 <= each.time_s < 1.1


def record(path: Path, nodes: list[VirtualNode], seconds: float, lossy: bool = False) -> None:
    writer = RecordingWriter(path, [f"link {node.node}" for node in nodes], 0, 0)
    sent = [(each, node.node) for node in nodes for each in node.advance(seconds)]
    for each, link in sorted(sent, key=lambda pair: pair[0].time_s):
        arrival_ns = round(each.time_s * 1e9) + 1_000_000
        for frame in each.frames if link or not lossy or kept(each) else ():
            writer.append(Chunk(link, arrival_ns, frame), arrival_ns)
    writer.close({})


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.etl"
    record(path, [VirtualNode(FOOT, 0), VirtualNode(SHANK, 1)], 3.0)
    return path


def test_each_node_plays_what_it_sent_in_every_format(recording: Path) -> None:
    foot, shank = programmes_of(recording)
    assert (foot.descriptor, shank.descriptor) == (FOOT.descriptor, SHANK.descriptor)
    for programme, original in ((foot, FOOT), (shank, SHANK)):
        for number, table in programme.tables.items():
            rows = len(table)
            assert rows >= {0: 290, 1: 2900, 2: 140}[number]
            np.testing.assert_array_equal(table, original.tables[number][:rows])


def test_streams_stay_in_step_when_one_came_late(tmp_path: Path) -> None:
    path = tmp_path / "late.etl"
    late = VirtualNode(SHANK, 1)
    late.advance(0.5)  # before the recording began; its sample 50 is the first
    record(path, [VirtualNode(FOOT, 0), late], 5.5)  # its descriptor comes every 5 s
    foot, shank = programmes_of(path)
    first = int(-shank.tables[0][0, 0])
    assert first >= 50
    # 10 ms of arrival times and rounding are one sample of the IMU.
    assert abs(int(foot.tables[0][0, 0]) - first) <= 1
    assert abs(int(foot.tables[1][0, 0]) // 1000 - 10 * first) <= 10


def test_a_missing_sample_repeats_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "gap.etl"
    record(path, [VirtualNode(FOOT, 0)], 3.0, lossy=True)
    (foot,) = programmes_of(path)
    # Packets of two samples are sent with the newer, at 0.99 s 98 and 99, at 1.11 s 110 and 111.
    assert foot.tables[0][97:113, 0].tolist() == [97, 98, *[99] * 11, 110, 111, 112]


def test_played_and_recorded_again_it_is_the_same(recording: Path, tmp_path: Path) -> None:
    again = tmp_path / "b.etl"
    record(again, [VirtualNode(each, place) for place, each in enumerate(programmes_of(recording))], 2.0)
    for one, other in zip(load_tracks(recording).tracks, load_tracks(again).tracks):
        np.testing.assert_array_equal(one.values[: len(other.values)], other.values)


def test_more_nodes_than_were_recorded_have_names_of_their_own(recording: Path) -> None:
    names = [each.descriptor.name for each in programmes(str(recording), 5)]
    assert names == ["foot", "shank", "foot 2", "shank 2", "foot 3"]


def test_what_cannot_be_played_is_told(tmp_path: Path) -> None:
    text = tmp_path / "a.toml"
    text.write_text("[x]")
    assert not is_recording(text) and not is_recording(tmp_path) and not is_recording(tmp_path / "absent")
    empty = tmp_path / "empty.etl"
    record(empty, [VirtualNode(FOOT, 0, streaming=False)], 1.0)
    assert is_recording(empty)
    with pytest.raises(RecordingError, match="holds no samples with a descriptor; there is nothing to play"):
        programmes_of(empty)
