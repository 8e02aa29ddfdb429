"""The LSL outlet, read back by an inlet of liblsl."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from dataclasses import replace

import pytest

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks import open_sink
from tests.runtime.sinks.harness import (
    OUTPUTS,
    estimate,
    run_sink,
    until,
)
from tests.tools import require_package
from toolkit.errors import UsageError


def test_an_inlet_reads_the_moments() -> None:
    pylsl = require_package("pylsl")
    name = f"edgetool-test-{os.getpid()}"
    sink = open_sink(f"lsl://{name}", OUTPUTS)
    sink.identify("6f1d0c2a9b3e", "37fde1fa99f5")

    async def given() -> None:
        found = await asyncio.to_thread(pylsl.resolve_byprop, "name", name, 1, 20.0)
        if not found:
            pytest.skip("liblsl finds no stream here (no multicast): the LSL outlet is NOT tested")
        inlet = pylsl.StreamInlet(found[0])
        try:
            await asyncio.to_thread(inlet.open_stream, 20.0)
            info = await asyncio.to_thread(inlet.info, 20.0)
            assert (info.type(), info.channel_count()) == ("JointMoments", 6)
            named = ["hip_flexion", "knee_extension", "age_ms", "state"]
            assert info.get_channel_labels() == [
                *named,
                "hip_flexion_half_width",
                "knee_extension_half_width",
            ]
            desc = info.desc()
            assert (desc.child_value("run"), desc.child_value("model")) == ("6f1d0c2a9b3e", "37fde1fa99f5")
            assert info.get_channel_units()[:3] == ["Nm/kg", "Nm/kg", "ms"]
            await until(lambda: sink._outlet.have_consumers())  # type: ignore[attr-defined]
            before = pylsl.local_clock()
            sink.publish(replace(estimate(3), half_widths=(0.25, 0.5), level=0.9))
            after = pylsl.local_clock()
            sink.publish(Estimate(4, 0, 0.0, 0, 0, State.INVALID, ("gap",), ()))
            values, stamp = await asyncio.to_thread(inlet.pull_sample, 20.0)
            assert values == pytest.approx([1.0, -0.1, 2.5, 0.0, 0.25, 0.5], rel=1e-6)  # float32
            # Taken 6.5 ms before it was published; the clocks of both ends are one.
            assert before - 0.0065 <= stamp <= after - 0.0065
            values, _ = await asyncio.to_thread(inlet.pull_sample, 20.0)
            assert math.isnan(values[0]) and math.isnan(values[1]) and values[2:4] == [0.0, 3.0]
            assert math.isnan(values[4]) and math.isnan(values[5])
        finally:
            inlet.close_stream()

    run_sink(sink, lambda _: given())
    assert (sink.published, sink.dropped) == (2, 0)


def test_another_model_is_another_outlet_that_the_same_inlet_finds() -> None:
    pylsl = require_package("pylsl")
    name = f"edgetool-test-model-{os.getpid()}"
    sink = open_sink(f"lsl://{name}", OUTPUTS)
    sink.identify("run1", "old")

    async def given() -> None:
        found = await asyncio.to_thread(pylsl.resolve_byprop, "name", name, 1, 20.0)
        if not found:
            pytest.skip("liblsl finds no stream here (no multicast): the LSL outlet is NOT tested")
        inlet = pylsl.StreamInlet(found[0])
        await asyncio.to_thread(inlet.open_stream, 20.0)
        first = sink._outlet  # type: ignore[attr-defined]
        sink.identify("run1", "old")
        assert sink._outlet is first  # type: ignore[attr-defined]
        del first
        sink.identify("run1", "new")
        await until(lambda: sink._outlet.have_consumers())  # type: ignore[attr-defined]
        sink.publish(estimate(3))
        values, _ = await asyncio.to_thread(inlet.pull_sample, 20.0)
        assert values[0] == pytest.approx(1.0)
        said: set[tuple[str, str]] = set()
        while ("run1", "new") not in said:  # the old one may be heard for a moment
            for each in await asyncio.to_thread(pylsl.resolve_byprop, "name", name, 1, 20.0):
                with contextlib.suppress(pylsl.util.TimeoutError, pylsl.util.LostError):
                    info = await asyncio.to_thread(pylsl.StreamInlet(each).info, 5.0)
                    said.add((info.desc().child_value("run"), info.desc().child_value("model")))
        assert said <= {("run1", "new"), ("run1", "old")}

    run_sink(sink, lambda _: given())


@pytest.mark.parametrize("where", ["lsl://a/b", "lsl:// ", "lsl://x?y=1"])
def test_names_that_are_none(where: str) -> None:
    with pytest.raises(UsageError, match=r"is not a stream name|not known"):
        open_sink(where, OUTPUTS)
