"""``lsl://`` against real liblsl outlets in this process: values, times, loss, description, refusals."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.items import LinkChange
from firmware_bridge.protocol.packets import Data
from firmware_bridge.protocol.table import Format
from firmware_bridge.recording.tracks import load_tracks
from firmware_bridge.sources import open_source
from firmware_bridge.streams.session import Session, TimedSamples
from firmware_bridge.tools.record import record
from firmware_bridge.tools.scan import lsl_streams
from tests.firmware_bridge.sources.lsl_outlet import RUN, Outlet
from tests.tools import require_package
from toolkit.errors import LinkError, UsageError

pylsl = require_package("pylsl")


async def gather(url: str, session: Session, goal: int, seconds: float = 15) -> list[TimedSamples]:
    """Samples until ``goal`` have come."""
    got: list[TimedSamples] = []
    async with asyncio.timeout(seconds), open_source(url) as source:
        async for item in source:
            got += session.process(item).samples
            if sum(len(each.values) for each in got) >= goal:
                return got
    raise AssertionError("the source ended")


def joined(got: list[TimedSamples]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, sample numbers and host times of all samples."""
    numbers = np.concatenate([g.data.first + np.arange(g.data.samples) for g in got])
    return np.concatenate([g.values for g in got]), numbers, np.concatenate([g.times_s for g in got])


def test_values_are_those_sent_and_times_lie_within_the_bar() -> None:
    session = Session()
    with Outlet(f"{RUN} values") as outlet:
        got = asyncio.run(gather(f"lsl://{RUN} values?as=imu", session, 250))
    values, numbers, times_s = joined(got)
    first = int(values[0, 0])
    k = np.arange(first, first + len(values))
    assert np.array_equal(values, np.stack([k, -k], axis=1))
    assert np.array_equal(numbers - numbers[0], k - first)
    # liblsl's clock and Python's monotonic clock are the same one on Linux (CLOCK_MONOTONIC).
    true = np.array([dict(outlet.sent)[number] for number in k])
    error_s = np.repeat([g.error_s for g in got], [len(g.values) for g in got])
    assert (np.abs(times_s - true) <= error_s + 2e-6).all()
    (key,) = session.receiver.descriptors
    clock = session.clock(key)
    assert clock is not None and clock.synced
    balance = session.receiver.balance()
    assert balance.balances and balance.delivered == balance.sent
    (stream,) = session.receiver.descriptors[key].streams
    assert (stream.name, stream.rate_hz, stream.format) == ("imu", 100.0, Format.FLOAT32)
    assert [(c.name, c.unit) for c in stream.channels] == [("c0", "m/s^2"), ("c1", "m/s^2")]


def test_stamps_with_jitter_stay_within_a_few_ms_of_the_truth() -> None:
    random = np.random.default_rng(2)
    truth: dict[int, float] = {}

    def stamp(k: int, due_s: float) -> float:
        truth[k] = due_s
        return due_s - 0.02 + float(random.normal(0, 0.003))

    with Outlet(f"{RUN} jitter", stamp=stamp):
        values, _, times_s = joined(asyncio.run(gather(f"lsl://{RUN} jitter", Session(), 400)))
    error_s = times_s - np.array([truth[int(k)] - 0.02 for k in values[:, 0]])
    # Sigma 3 ms in; least squares over the last samples leaves sigma x sqrt(4 / n): 0.5 ms after 150 of them.
    assert np.abs(error_s[150:]).max() < 0.003


def test_samples_that_were_not_sent_are_missing_numbers_and_nan_is_not_sent(tmp_path: Path) -> None:
    with Outlet(
        f"{RUN} holes",
        values=lambda k: (k, math.nan if k % 100 == 7 else 1.0),
        stamp=lambda k, due_s: None if k % 100 in (50, 51, 52, 53) else due_s,
    ):
        asyncio.run(record([f"lsl://{RUN} holes"], tmp_path / "a.etl", 4.0))
    (track,) = load_tracks(tmp_path / "a.etl").tracks
    k = track.values[:, 0].astype(int)
    assert len(k) > 200 and np.array_equal(track.number - track.number[0], k - k[0])
    gone = sorted(set(range(k[0], k[-1])) - set(k.tolist()))
    assert {number % 100 for number in gone} == {7, 50, 51, 52, 53}
    assert track.missing == len(gone)


def test_an_outlet_that_ends_and_one_that_begins_is_a_second_life() -> None:
    session, changes = Session(), list[bool]()

    async def scenario() -> None:
        async with asyncio.timeout(20), open_source(f"lsl://{RUN} again?resolve_s=1") as source:
            outlet: Outlet | None = first
            async for item in source:
                session.process(item)
                if isinstance(item, LinkChange):
                    changes.append(item.up)
                    if not item.up:
                        outlet = Outlet(f"{RUN} again")
                        outlet.__enter__()
                delivered = session.receiver.balance().delivered
                if delivered > 50 and not changes and outlet is first:
                    await asyncio.to_thread(first.__exit__)
                    outlet = None
                if changes == [False, True] and delivered > before[-1] + 50:
                    assert outlet is not None
                    await asyncio.to_thread(outlet.__exit__)
                    return
                if changes != [False, True]:
                    before.append(delivered)

    before = [0]
    first = Outlet(f"{RUN} again")
    first.__enter__()
    asyncio.run(scenario())
    balance = session.receiver.balance()
    assert changes == [False, True]
    assert balance.balances and balance.reboots == 1 and balance.gap == 0


@pytest.mark.parametrize("form", ["int16", "int32", "double64"])
def test_number_formats(form: str) -> None:
    with Outlet(f"{RUN} {form}", form=form, units=["µV", ""], values=lambda k: (k - 300, 3)):
        session = Session()
        got = asyncio.run(gather(f"lsl://{RUN} {form}?channels=c0", session, 30))
    values, _, _ = joined(got)
    assert values.shape[1] == 1 and (np.diff(values[:, 0]) == 1).all()
    data: Data = got[0].data
    assert data.format is (Format.INT16 if form == "int16" else Format.FLOAT32)
    assert got[0].stream.channels[0].unit == "uV"


REFUSED = {
    "text": ({"form": "string", "values": lambda k: ("a", "b")}, "", LinkError, "holds texts"),
    "irregular": ({"rate_hz": 0.0}, "", LinkError, "no regular rate"),
    "unit": ({"units": ["furlong", "uV"]}, "", LinkError, "'c0' states the unit 'furlong'"),
    "channel": ({}, "&channels=c0,c9", LinkError, "names 'c9'"),
    "type": ({}, "&type=EEG", LinkError, "there are 1 with another type"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_streamed_is_one_line(name: str) -> None:
    options, query, kind, text = REFUSED[name]
    with Outlet(f"{RUN} refused {name}", **options):  # type: ignore[arg-type]
        with pytest.raises(kind, match=text) as caught:
            asyncio.run(gather(f"lsl://{RUN} refused {name}?resolve_s=2{query}", Session(), 10_000))
    assert "\n" not in str(caught.value)


def test_two_of_a_name_and_a_wrong_unit() -> None:
    with (
        Outlet(f"{RUN} twin", source_id="left"),
        Outlet(f"{RUN} twin", source_id="right", values=lambda k: (5, 5)),
    ):
        with pytest.raises(
            LinkError, match=r"2 LSL streams .*source_id=(left|right); type=IMU&source_id=(left|right)"
        ):
            asyncio.run(gather(f"lsl://{RUN} twin?resolve_s=2", Session(), 1))
        got = asyncio.run(gather(f"lsl://{RUN} twin?source_id=right", Session(), 5))
    assert (got[0].values == 5).all()
    with pytest.raises(UsageError, match="unit 'furlong'; allowed: m/s"):
        open_source("lsl://x?unit=furlong")


def test_scan_lists_streams_with_the_url_that_opens_them() -> None:
    with (
        Outlet(f"{RUN} scan"),
        Outlet(f"{RUN} markers", form="string", rate_hz=0.0, values=lambda k: ("a", "b")),
    ):
        found = {each.url: each.what for each in lsl_streams(1.0)}
    assert found[f"lsl://{RUN} scan"] == "IMU, 2 channels at 100 Hz"
    assert found[f"lsl://{RUN} markers"] == "IMU, not samples"
