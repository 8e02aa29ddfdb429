"""One LSL channel never brought a number, and the daemon ended, though its model did not use that stream.

The source raised an InputError, and of several sources the first such error ended all. A label with a space behind it,
which amplifiers send, was refused as well.
"""

from __future__ import annotations

import asyncio
import math

from firmware_bridge.items import Chunk, LinkChange
from firmware_bridge.sources import open_source
from firmware_bridge.sources.sample_node import SampleClock
from firmware_bridge.sources.several import SeveralSources
from firmware_bridge.streams.session import Session
from tests.firmware_bridge.sources.lsl_outlet import RUN, Outlet
from tests.tools import require_package


async def heard(name: str) -> tuple[list[LinkChange], int]:
    """The first changes of the dead stream's link, and how many packets the other one has brought by then."""
    session, changes = Session(), list[LinkChange]()
    urls = [f"lsl://{name} dead?resolve_s=5", f"lsl://{name} alive?resolve_s=5"]
    async with SeveralSources([open_source(url) for url in urls]) as source:
        async for item in source:
            session.process(item)
            if isinstance(item, LinkChange):
                changes.append(item)
            alive = session.receiver.links.get(1)
            if len(changes) >= 2 and alive is not None and alive.balance().delivered > 50:
                return changes, alive.balance().delivered
    raise AssertionError("the sources ended")


def test_it_is_a_lost_link_that_is_tried_again_and_the_other_goes_on() -> None:
    require_package("pylsl")
    name = f"{RUN} one"
    with (
        Outlet(f"{name} dead", rate_hz=1000.0, values=lambda k: (math.nan, 1.0), source_id="dead"),
        Outlet(f"{name} alive", source_id="alive"),
    ):
        changes, delivered = asyncio.run(asyncio.wait_for(heard(name), 60))
    assert [change.up for change in changes[:2]] == [False, True]
    assert "no number in channel c0" in changes[0].reason and "\n" not in changes[0].reason
    assert {change.link for change in changes} == {0} and delivered > 50


def test_labels_with_spaces_at_their_ends_and_the_same_twice() -> None:
    pylsl = require_package("pylsl")
    from firmware_bridge.sources.lsl import _channels

    info = pylsl.StreamInfo("labels", "EMG", 5, 100.0, "float32", "labels")
    info.set_channel_labels(["biceps ", " biceps", "channel 4", "", "a\tb\x1b[31m"])
    assert _channels(info)[0] == ["biceps", "channel 2", "channel 4", "channel 4'", "a b [31m"]


async def with_label(name: str, query: str) -> str:
    async with open_source(f"lsl://{name}{query}") as source:
        session = Session()
        async for item in source:
            if isinstance(item, Chunk):
                session.process(item)
            for descriptor in session.receiver.descriptors.values():
                return descriptor.streams[0].channels[0].name
    raise AssertionError("the source ended")


def test_such_a_stream_is_opened_and_its_channel_named_as_it_is_shown() -> None:
    require_package("pylsl")
    name = f"{RUN} label"
    with Outlet(name, labels=["biceps ", "triceps"]):
        for query in ("", "?channels=biceps", "?channels=biceps%20"):
            assert asyncio.run(asyncio.wait_for(with_label(name, query), 60)) == "biceps"


def test_stamps_far_apart_say_nothing_about_missing_samples() -> None:
    import numpy as np

    clock = SampleClock(1e30)
    numbers, _ = clock.number_samples(np.array([0.0, 1e11, -1e11, 1e11]))
    assert (np.diff(numbers) > 0).all() and numbers.max() < 1 << 40
