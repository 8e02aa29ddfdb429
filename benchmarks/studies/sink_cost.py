"""What giving an estimate to a sink costs the daemon's event loop: ``python -m benchmarks.studies.sink_cost``.

Processor time of the calling thread in ``publish`` alone; what a sink's own thread or the system does later is not in it. One
reader on the Unix socket, nobody at the UDP port's other end but the system, no broker at the MQTT address, no inlet.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.pipeline.estimate import Estimate, State
from runtime.sinks import open_sink
from toolkit.contract import Channel
from toolkit.errors import MissingDependencyError

_OUTPUTS = tuple(Channel(f"{joint}_moment", "Nm/kg") for joint in ("hip", "knee", "ankle"))
#: As many a second as a model's grid has at most.
_RATE_HZ = 200.0


@dataclass(frozen=True)
class SinkCost:
    """Microseconds an estimate, median and 99th percentile; what of the estimates came through."""

    url: str
    p50_us: float
    p99_us: float
    published: int
    dropped: int


async def sink_cost(url: str, estimates: int = 1000) -> SinkCost:
    """Publish at 200 Hz and time each call."""
    sink = open_sink(url, _OUTPUTS)
    await sink.open()
    path = Path(url.removeprefix("unix://").partition("?")[0])
    writer = None
    if url.startswith("unix:"):
        _, writer = await asyncio.open_unix_connection(str(path), limit=1 << 26)
    took = np.empty(estimates)
    for number in range(estimates):
        now_ns = time.monotonic_ns()
        estimate = Estimate(number, now_ns, 0.5, now_ns, now_ns, State.OK, (), (number * 0.1, -0.3, 1 / 3))
        began = time.thread_time()
        sink.publish(estimate)
        took[number] = time.thread_time() - began
        await asyncio.sleep(1 / _RATE_HZ)
    await sink.close()
    if writer is not None:
        writer.close()
    p50, p99 = np.percentile(took, [50, 99]) * 1e6
    return SinkCost(url, float(p50), float(p99), sink.published, sink.dropped)


def main() -> None:
    """Print the table."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        urls = (
            f"ndjson:{folder}/moments.ndjson",
            f"udp://127.0.0.1:{port}",
            f"unix://{folder}/lines.sock",
            f"unix://{folder}/frames.sock?format=frames",
            "mqtt://127.0.0.1:9/moments",
            "lsl://edgetool-cost",
            f"recording:{folder}",
        )
        print(f"{'sink':<16}{'median':>10}{'p99':>10}{'published':>12}{'dropped':>10}")
        for url in urls:
            name = url.partition(":")[0] + (" frames" if "frames" in url else "")
            try:
                cost = asyncio.run(sink_cost(url))
            except MissingDependencyError as error:
                print(f"{name:<16}{error}")
                continue
            print(
                f"{name:<16}{cost.p50_us:>7.1f} us{cost.p99_us:>7.1f} us{cost.published:>12}{cost.dropped:>10}"
            )


if __name__ == "__main__":
    main()
