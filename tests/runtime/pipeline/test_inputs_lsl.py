"""A stream as BrainFlow and most makers send it (g, deg/s, another rate, other names) over a real liblsl outlet."""

from __future__ import annotations

import asyncio
import math

import numpy as np

from firmware_bridge.sources import open_source
from firmware_bridge.sources.host import Host
from runtime.pipeline.input_from import Axes, ChannelFrom, InputFrom
from runtime.pipeline.intake import InputRows, Intake
from tests.firmware_bridge.sources.lsl_outlet import RUN, Outlet
from tests.tools import require_package
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.data.channels import GRAVITY
from toolkit.filtering.design import default_filters

pylsl = require_package("pylsl")

RATE_HZ, TURN_HZ = 148.15, 1.5
LABELS = ("Battery", "ACC X", "ACC Y", "ACC Z", "GYRO X", "GYRO Y", "GYRO Z")
UNITS = ("V", "g", "g", "g", "deg/s", "deg/s", "deg/s")


def _contract() -> SensorContract:
    channels = tuple(
        Channel(f"shank_{kind}_{axis}", unit)
        for kind, unit in (("accel", "m/s^2"), ("gyro", "rad/s"))
        for axis in "xyz"
    )
    stream = StreamSpec("imu", 200.0, channels)
    item = ModelInput(stream, default_filters(stream, 100.0, []), Normaliser((0.0,) * 6, (1.0,) * 6))
    return SensorContract((item,), 100.0, 10, (Channel("knee", "Nm/kg"),))


def _values(k: int) -> tuple[float, ...]:
    """Sample ``k``; what stands still has a noise of 1e-4, as real sensors have, but for the battery."""
    phase, noise = 2 * math.pi * TURN_HZ * k / RATE_HZ, 1e-4 * (k % 2)
    return 3.7, math.sin(phase), math.cos(phase), 1.0 + noise, 90.0 * math.sin(phase), noise, 180.0 + noise


async def _rows(intake: Intake, url: str, seconds: float) -> list[InputRows]:
    rows: list[InputRows] = []
    async with asyncio.timeout(60), open_source(url) as source:
        host = Host(source)
        asking = asyncio.create_task(host.ask())
        async for item in source:
            batch = intake.decode(item)
            await host.heard(item)
            assert intake.trouble is None, intake.trouble
            rows += [batch.inputs["imu"]] if batch is not None else []
            if sum(len(each.values) for each in rows) >= seconds * 200.0:
                asking.cancel()
                return rows
    raise AssertionError("the source ended")


def test_a_stream_in_g_and_degrees_at_another_rate_fits_a_contract() -> None:
    """The contract's x is the sensor's -y and its y the sensor's x; at every row's time the value is the truth of that time."""
    inputs = {
        "imu": InputFrom(
            ("imu",),
            axes={"shank": Axes.of(["-y", "x", "z"])},
            channels={
                f"shank_{kind}_{axis}": ChannelFrom(f"{label} {axis.upper()}")
                for kind, label in (("accel", "ACC"), ("gyro", "GYRO"))
                for axis in "xyz"
            },
            resample=True,
        )
    }
    intake = Intake(_contract(), inputs)
    with Outlet(f"{RUN} maker", rate_hz=RATE_HZ, units=UNITS, labels=LABELS, values=_values) as outlet:
        rows = asyncio.run(_rows(intake, f"lsl://{RUN} maker?as=imu", 3.0))
    values, times_s = np.concatenate([r.values for r in rows]), np.concatenate([r.source_s for r in rows])
    findings = np.concatenate([r.findings for r in rows])
    phase = 2 * math.pi * TURN_HZ * (times_s - outlet.sent[0][1])
    truth = np.stack(
        [
            -np.cos(phase) * GRAVITY,
            np.sin(phase) * GRAVITY,
            np.full_like(phase, GRAVITY),
            np.zeros_like(phase),
            np.sin(phase) * math.pi / 2,
            np.full_like(phase, math.pi),
        ],
        axis=1,
    )
    good = (findings == 0) & (np.arange(len(values)) > 20)  # the filter's own beginning
    assert np.count_nonzero(good) > 100
    # What the time may be wrong by, at the steepest slope, and the filter's own 1 %.
    allowed = (2 * math.pi * TURN_HZ * (intake.error_s + 1e-3) + 0.01) * np.array(
        [GRAVITY] * 3 + [math.pi] * 3
    )
    assert (np.abs(values - truth)[good] <= allowed).all()
    # The battery, which never changes, is none of the model's business: nothing is called flat.
    assert [len(watch.descriptor.channels) for *_, watch in intake.streams()] == [6]
