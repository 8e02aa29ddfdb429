"""An LSL outlet that plays numbers in a thread, as a sensor's own program would."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

#: What names of outlets begin with: liblsl finds the outlets of every process on the network, so of tests side by side too.
RUN = f"edge{os.getpid()}"
#: Sample k of channel c, unless a test says otherwise: a value that names its sample.
Values = Callable[[int], Sequence[float]]


class Outlet:
    """``with Outlet(NAME)``: two channels at 100 Hz. ``stamp(k, due)`` is sample k's stamp, None: it is not sent."""

    def __init__(
        self,
        name: str,
        *,
        rate_hz: float = 100.0,
        form: str = "float32",
        units: Sequence[str] = ("m/s^2", "m/s^2"),
        labels: Sequence[str] = (),
        source_id: str = "test",
        values: Values = lambda k: (k, -k),
        stamp: Callable[[int, float], float | None] = lambda k, due_s: due_s,
    ) -> None:
        import pylsl

        from firmware_bridge.sources.lsl import load_pylsl

        load_pylsl()  # quiet
        self._pylsl = pylsl
        info = pylsl.StreamInfo(name, "IMU", len(units), rate_hz, form, source_id)
        info.set_channel_labels(list(labels or [f"c{index}" for index in range(len(units))]))
        info.set_channel_units(list(units))
        self._outlet: Any = pylsl.StreamOutlet(info)
        self._rate_hz, self._values, self._stamp = rate_hz, values, stamp
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        #: (number, stamp) of all samples that were sent.
        self.sent: list[tuple[int, float]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._outlet = None  # destroyed: its readers lose it

    def _play(self) -> None:
        begun_s = self._pylsl.local_clock()
        for k in itertools.count():
            due_s = begun_s + k / (self._rate_hz or 100.0)
            if self._stop.wait(max(0.0, due_s - self._pylsl.local_clock())):
                return
            stamp_s = self._stamp(k, due_s)
            if stamp_s is not None:
                self.sent.append((k, stamp_s))
                self._outlet.push_sample(list(self._values(k)), stamp_s)
