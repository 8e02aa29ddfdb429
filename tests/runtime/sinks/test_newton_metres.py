"""Moments in Nm beside Nm/kg, where the wearer's body mass is known, and no trace of them where it is not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import replace

import pytest

from runtime.pipeline.estimate import State
from runtime.pipeline.estimator import RowEstimate
from runtime.pipeline.publisher import Publisher
from runtime.pipeline.states import Rules, Verdict
from runtime.sinks import open_sink
from runtime.sinks.frame import EstimateFrame, layout_of
from runtime.sinks.json_lines import estimate_line, estimate_of
from tests.runtime.sinks.harness import OUTPUTS, estimate
from tests.tools import require_package
from toolkit.contract import Channel
from toolkit.errors import UsageError

HEAVY = replace(estimate(3), values=(0.5, -1.25), mass_kg=80.0)


def test_a_line_has_both_and_reads_back() -> None:
    value = json.loads(estimate_line(HEAVY, OUTPUTS))
    names = [channel.name for channel in OUTPUTS]
    assert value["moments"] == dict(zip(names, (0.5, -1.25))) and value["unit"] == "Nm/kg"
    assert value["moments_nm"] == dict(zip(names, (40.0, -100.0))) and value["mass_kg"] == 80.0
    assert estimate_of(estimate_line(HEAVY, OUTPUTS)) == HEAVY
    assert json.loads(estimate_line(replace(HEAVY, values=()), OUTPUTS))["moments_nm"] is None
    assert "moments_nm" not in json.loads(estimate_line(replace(HEAVY, mass_kg=0.0), OUTPUTS))


def test_a_datagram_in_newton_metres_has_a_layout_of_its_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(20)
        port = listener.getsockname()[1]

        async def send(url: str) -> EstimateFrame:
            sink = open_sink(url, OUTPUTS)
            sink.mass_kg = 80.0
            await sink.open()
            sink.publish(replace(HEAVY, half_widths=(0.1, 0.2)))
            data = await asyncio.to_thread(listener.recv, 2048)
            await sink.close()
            return EstimateFrame.from_bytes(data)

        frame = asyncio.run(send(f"udp://127.0.0.1:{port}?unit=Nm"))
        assert frame.values == (40.0, -100.0) and frame.half_widths == (8.0, 16.0)
        assert frame.layout == layout_of([Channel(c.name, "Nm") for c in OUTPUTS])
        both = asyncio.run(send(f"udp://127.0.0.1:{port}?unit=both"))
        assert (both.values, both.newton_metres, both.mass_kg) == ((0.5, -1.25), (40.0, -100.0), 80.0)
        assert both.layout == layout_of(OUTPUTS) and both.half_widths == pytest.approx((0.1, 0.2))
        plain = asyncio.run(send(f"udp://127.0.0.1:{port}"))
        assert plain.values == (0.5, -1.25) and plain.layout == layout_of(OUTPUTS) != frame.layout


@pytest.mark.parametrize("url", ["udp://127.0.0.1:9?unit=Nm", "unix:///tmp/x.sock?format=frames&unit=both"])
def test_newton_metres_without_a_body_mass_are_refused(url: str) -> None:
    sink = open_sink(url, OUTPUTS)
    with pytest.raises(
        UsageError, match=r"unit=(Nm|both) needs the wearer's body mass: mass_kg under \[person\]"
    ):
        sink.check()
    with pytest.raises(UsageError, match="unit is 'N'; allowed: Nm/kg, Nm, both"):
        open_sink(f"{url.rsplit('=', 1)[0]}=N", OUTPUTS)


def test_the_publisher_says_the_mass() -> None:
    given: list[object] = []
    publisher = Publisher(Rules(), 10.0, 0, given.append, "run", 72.5)
    publisher.publish([RowEstimate(0, 10, 0.1, 20, Verdict(State.OK, ()), (1.0,))], 30)
    (found,) = given
    assert found.mass_kg == 72.5 and found.newton_metres == (72.5,)  # type: ignore[attr-defined]


def test_an_lsl_outlet_has_a_channel_in_newton_metres_for_each_joint() -> None:
    pylsl = require_package("pylsl")
    name = f"nm{os.getpid()}"

    async def channels(mass_kg: float) -> list[str]:
        sink = open_sink(f"lsl://{name}{mass_kg:g}", OUTPUTS)
        sink.mass_kg = mass_kg
        await sink.open()
        try:
            (found,) = await asyncio.to_thread(pylsl.resolve_byprop, "name", f"{name}{mass_kg:g}", 1, 20.0)
            info = await asyncio.to_thread(pylsl.StreamInlet(found).info)
            sink.publish(HEAVY)
            assert sink.published == 1
            return list(info.get_channel_labels())
        finally:
            await sink.close()

    with_mass, without = asyncio.run(channels(80.0)), asyncio.run(channels(0.0))
    assert with_mass[: len(without)] == without
    assert with_mass[len(without) :] == [f"{channel.name}_nm" for channel in OUTPUTS]
