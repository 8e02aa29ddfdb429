"""``lsl://NAME``: an outlet of the Lab Streaming Layer, for LabRecorder, OpenViBE and whatever else reads it.

One float32 channel an output, then ``age_ms`` and ``state`` (0 ok to 3 invalid), then a half width an output; what cannot be
shown is NaN. Time stamps are the source times, on LSL's clock. The description says of which run and model they are.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import threading
import time
from typing import Any

from firmware_bridge.sources.lsl import load_pylsl
from runtime.pipeline.estimate import Estimate
from runtime.sinks.delivery import DirectSink
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import UsageError

#: What liblsl keeps for a reader that is slow, in its unit for streams without a rate: hundreds of samples.
_BUFFER = 10


class LslSink(DirectSink):
    """No options. liblsl sends from threads of its own; giving it a sample only copies it."""

    def __init__(self, settings: SinkSettings, outputs: tuple[Channel, ...]) -> None:
        settings.allow()
        super().__init__(settings.text)
        if not re.fullmatch(r"[^/\s](?:[^/]*[^/\s])?", settings.rest):
            raise UsageError(
                f"sink {self.name!r}: {settings.rest!r} is not a stream name: write lsl://NAME, without /"
            )
        self._stream, self._outputs = settings.rest, outputs
        self._outlet: Any = None
        self._clock: Any = None
        self._identity = ("", "")
        #: LSL's clock less that of the estimates, in s: one number for the whole run, so that stamps keep the distances, and
        #: the order, of the source times. None before the first estimate.
        self._ahead_s: float | None = None

    def check(self) -> None:
        """See Sink. MissingDependencyError without pylsl or its library."""
        load_pylsl()

    def identify(self, run: str, model: str) -> None:
        """See Sink. A description is fixed, so another model is another outlet; its readers find it by themselves."""
        if (run, model) == self._identity:
            return
        self._identity = run, model
        if self._outlet is not None:
            old = [self._outlet]
            self._outlet = self._make()
            # Letting go waits for liblsl's threads, 25 ms.
            threading.Thread(target=old.clear, name="lsl outlet", daemon=True).start()

    async def open(self) -> None:
        """See Sink. MissingDependencyError without pylsl or its library."""
        self._outlet = await asyncio.to_thread(self._make)

    def send(self, estimate: Estimate) -> bool:
        """Give liblsl one sample. Readers or none, it takes it."""
        if self._outlet is None:
            return False
        nothing = (math.nan,) * len(self._outputs)
        values, half_widths = estimate.values or nothing, estimate.half_widths or nothing
        if self._ahead_s is None:
            self._ahead_s = self._measure(estimate)
        taken_s = estimate.source_ns * 1e-9 + self._ahead_s
        sample = [*values, estimate.age_ms, float(estimate.state.rank), *half_widths]
        if self.mass_kg:
            sample += estimate.newton_metres or nothing
        self._outlet.push_sample(sample, taken_s)
        return True

    def _measure(self, estimate: Estimate) -> float:
        if (
            abs(time.monotonic_ns() - estimate.published_ns) > 1_000_000_000
        ):  # a replay has a clock of its own
            return float(self._clock()) - estimate.published_ns * 1e-9
        # Of several looks the one that took least: what lies between the two clocks' reads is the error.
        looks = []
        for _ in range(10):
            before_ns = time.monotonic_ns()
            here_s = float(self._clock())
            after_ns = time.monotonic_ns()
            looks.append((after_ns - before_ns, here_s - (before_ns + after_ns) * 0.5e-9))
        return min(looks)[1]

    def publish_from_thread(self, estimate: Estimate) -> None:
        """See Sink. liblsl takes samples from any thread."""
        self.publish(estimate)

    async def close(self) -> None:
        """See Sink."""
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            end = time.monotonic() + 0.2
            while outlet.have_consumers() and time.monotonic() < end:
                await asyncio.sleep(0.05)  # liblsl has no flush: its threads send what they hold meanwhile

    def _make(self) -> Any:
        pylsl = load_pylsl()
        channels = [*((c.name, c.unit, "Moment") for c in self._outputs)]
        channels += [("age_ms", "ms", "Age"), ("state", "0 ok to 3 invalid", "State")]
        channels += [(f"{c.name}_half_width", c.unit, "HalfWidth") for c in self._outputs]
        if self.mass_kg:
            channels += [(f"{c.name}_nm", "Nm", "Moment") for c in self._outputs]
        identity = f"edgetool-{socket.gethostname()}-{self._stream}"
        info = pylsl.StreamInfo(
            self._stream, "JointMoments", len(channels), pylsl.IRREGULAR_RATE, "float32", identity
        )
        for key, value in zip(("run", "model"), self._identity):
            info.desc().append_child_value(key, value)
        described = info.desc().append_child("channels")
        for label, unit, kind in channels:
            channel = described.append_child("channel")
            for key, value in (("label", label), ("unit", unit), ("type", kind)):
                channel.append_child_value(key, value)
        self._clock = pylsl.local_clock
        return pylsl.StreamOutlet(info, chunk_size=1, max_buffered=_BUFFER)
