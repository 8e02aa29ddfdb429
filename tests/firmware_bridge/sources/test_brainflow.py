"""``brainflow://`` without hardware: BrainFlow's playback of a file of known rows, its synthetic board, its refusals."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.items import LinkChange
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.sources import open_source
from firmware_bridge.streams.session import Session, TimedSamples
from firmware_bridge.tools.record import record
from tests.firmware_bridge.sources.test_contract import need_brainflow
from toolkit.errors import EdgetoolError, LinkError, UsageError

pytestmark = pytest.mark.usefixtures("brainflow")


@pytest.fixture(scope="module")
def brainflow() -> None:
    need_brainflow()


async def gather(url: str, goal: int) -> tuple[Session, list[TimedSamples]]:
    session, got = Session(), list[TimedSamples]()
    async with asyncio.timeout(10), open_source(url) as source:
        async for item in source:
            got += session.process(item).samples
            if sum(len(each.values) for each in got) >= goal:
                break
    return session, got


def cyton_file(path: Path, numbers: np.ndarray) -> None:
    """Rows of a Cyton (BrainFlow's file: tab between): package counter of u8, 8 EMG, 3 acceleration, time stamp in row 22."""
    rows = np.zeros((len(numbers), 24))
    rows[:, 0] = numbers % 256
    rows[:, 1:9] = numbers[:, None] * 0.5 + np.arange(8)
    rows[:, 9:12] = [0.25, -0.5, 1.0]
    rows[:, 22] = 1_700_000_000 + numbers / 250
    path.write_text("".join("\t".join(f"{value:.6f}" for value in row) + "\n" for row in rows))


def test_a_played_file_gives_its_values_and_the_counter_says_what_is_missing(tmp_path: Path) -> None:
    # Of 900 samples a single one, ten, and 300 (more than the counter's turn of 256) are missing.
    numbers = np.concatenate(
        [np.arange(0, 100), np.arange(101, 200), np.arange(210, 500), np.arange(800, 900)]
    )
    cyton_file(tmp_path / "cyton.txt", numbers)
    url = f"brainflow://playback_file?file={tmp_path}/cyton.txt&master_board=cyton&silence_s=1.6"
    summary = asyncio.run(record([url], tmp_path / "a.etl"))  # ends with the file
    assert summary.ledger["0/0"]["delivered"] == summary.ledger["0/0"]["sent"]
    imu, emg = load_tracks(tmp_path / "a.etl").tracks
    assert [(t.stream.name, len(t.stream.channels), t.stream.rate_hz) for t in (imu, emg)] == [
        ("imu", 3, 250.0),
        ("emg", 8, 250.0),
    ]
    k = numbers[: len(emg.values)]  # the player stops short of the last row
    assert len(k) >= len(numbers) - 2
    assert np.array_equal(emg.values, (k[:, None] * 0.5 + np.arange(8)).astype(np.float32))
    assert (imu.values == [0.25, -0.5, 1.0]).all()
    # The player keeps the pace of the file's stamps, so the stamps say that the counter went round once in 300.
    assert np.array_equal(emg.number, k) and imu.missing == emg.missing == 1 + 10 + 300


def test_the_synthetic_board_streams_in_order_and_in_time() -> None:
    begun_s = time.monotonic()
    session, got = asyncio.run(gather("brainflow://synthetic?streams=emg,gyro", 1000))
    emg = [each for each in got if each.stream.name == "emg"]
    assert {each.stream.name for each in got} == {"emg", "gyro"}
    assert [c.unit for c in emg[0].stream.channels] == ["uV"] * 16
    times_s = np.concatenate([each.times_s for each in emg])
    assert emg[0].stream.rate_hz == 250.0
    assert begun_s - emg[0].error_s <= times_s[0] <= times_s[-1] <= time.monotonic() + emg[-1].error_s
    numbers = np.concatenate([each.data.first + np.arange(each.data.samples) for each in emg])
    assert (np.diff(numbers) == 1).all()
    assert session.receiver.balance().balances


def test_a_board_that_falls_silent_is_opened_again_as_another_life(tmp_path: Path) -> None:
    session, changes = Session(), list[bool]()

    async def scenario() -> None:
        async with asyncio.timeout(10), open_source("brainflow://synthetic?silence_s=1") as source:
            stopped_at = 0
            async for item in source:
                session.process(item)
                delivered = session.receiver.balance().delivered
                if isinstance(item, LinkChange):
                    changes.append(item.up)
                elif not stopped_at and delivered > 20:
                    stopped_at = delivered
                    source._board.stop_stream()  # type: ignore[attr-defined]
                if changes == [False, True] and delivered > stopped_at + 40:
                    return

    asyncio.run(scenario())
    balance = session.receiver.balance()
    assert changes == [False, True] and balance.balances and balance.reboots == 1 and balance.gap == 0


@pytest.mark.parametrize(
    ("url", "kind", "text"),
    [
        ("cytn", UsageError, "near it: cyton, "),
        ("cyton", LinkError, "needs more options"),
        ("cyton?serial_port=/nowhere", LinkError, "is the dongle plugged in"),
        ("muse_2", LinkError, "no imu and no emg in this preset; choose with .streams= from: eeg"),
        ("synthetic?streams=emg,heart", UsageError, "stream 'heart'; allowed: imu, emg"),
        ("synthetic?preset=best", UsageError, "allowed: default, auxiliary, ancillary"),
        ("playback_file", UsageError, "they need it"),
        ("playback_file?master_board=cyton&file=/nowhere", LinkError, "INVALID_ARGUMENTS"),
    ],
)
def test_what_cannot_be_opened_is_one_line(url: str, kind: type[EdgetoolError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        asyncio.run(gather(f"brainflow://{url}", 1))
    assert "\n" not in str(caught.value)
