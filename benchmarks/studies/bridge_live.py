"""The load of :mod:`benchmarks.studies.bridge_load` over a real transport: each node on a pseudo-terminal.

The nodes' process writes each frame when it is due and notes when it began to write the last of it. The host is edgetool's
own: eight ``serial://`` sources, one session. Measured: frames lost anywhere, the processor time of decoding, clocks and
alignment and of the whole host process, and for every frame the time from then to the rows it settles, the call that writes
its last byte included. Both use the same monotonic clock. On a
busy machine a kernel worker that passes bytes through the pseudo-terminal waits its turn, whatever our priority is:
``read_p99_ms`` counts from the host's read, and so leaves that out.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.bridge_nodes import Load, Nodes
from firmware_bridge.items import Chunk
from firmware_bridge.simulator.pseudo_terminal import PseudoTerminal
from firmware_bridge.sources import open_source
from firmware_bridge.sources.several import SeveralSources
from firmware_bridge.streams.session import Session
from toolkit.errors import LinkError

#: The nodes' process starts, and makes its bytes this far ahead while it has nothing to send.
_START_S, _AHEAD_S = 5.0, 2.0
#: A node's frames come up to this much later than its step: sooner ones of other nodes must have been made.
_LEAST_AHEAD_S = 0.05
#: It does not begin to make more when a frame is due sooner.
_SPARE_S = 0.004
#: What is still on its way when the last frame was written.
_TAIL_S = 0.5


@dataclass(eq=False)
class _Host:
    """What the host saw: when each chunk's rows were out, by link and bytes so far."""

    session: Session = field(default_factory=Session)
    take_s: float = 0.0
    rows: int = 0
    seen: array[int] = field(default_factory=lambda: array("q"))
    memory_mb: list[float] = field(default_factory=list)

    async def listen(self, sources: SeveralSources) -> None:
        """Until cancelled."""
        bytes_of = dict.fromkeys(range(len(sources.links)), 0)
        async for item in sources:
            began = time.thread_time()
            step = self.session.process(item)
            self.take_s += time.thread_time() - began
            if isinstance(item, Chunk):
                bytes_of[item.link] += len(item.data)
                self.seen.extend((item.link, bytes_of[item.link], time.monotonic_ns(), item.arrival_ns))
            self.rows += sum(len(each.valid) for each in step.rows.values())

    def weigh(self) -> None:
        """Note the resident memory, without what ``seen`` holds."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory_mb.append((pages * os.sysconf("SC_PAGE_SIZE") - 8 * len(self.seen)) * 1e-6)


def measure_live(nodes: int = 8, seconds: float = 60.0) -> Load:
    """Carry the load once, in real time."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = [stack.enter_context(PseudoTerminal(folder / f"node{i}")) for i in range(nodes)]
        log = folder / "log"
        origin_ns = time.monotonic_ns() + round(_START_S * 1e9)
        words = [str(seconds), str(origin_ns), str(log), *(str(port.handle) for port in ports)]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.studies.bridge_live", *words],
            pass_fds=[port.handle for port in ports],
        )
        try:
            host, host_s = asyncio.run(
                _host([f"serial://{port.path}" for port in ports], process, _START_S + seconds / 10)
            )
        finally:
            process.kill()
            process.wait()
        written = np.fromfile(log, np.int64).reshape(-1, 3)
    seen = np.array(host.seen, np.int64).reshape(-1, 4)
    took_ms = _latencies_ms(written, seen)
    p50, p99 = np.percentile(took_ms, [50, 99])
    return Load(
        nodes,
        seconds,
        len(written),
        host.session.receiver.balance().delivered,
        host.rows,
        host.take_s / seconds,
        float(p50),
        float(p99),
        float(took_ms.max()),
        host_s / seconds,
        (host.memory_mb[0], host.memory_mb[-1]),
        float(np.percentile((seen[:, 2] - seen[:, 3]) * 1e-6, 99)),
    )


async def _host(urls: Sequence[str], process: subprocess.Popen[bytes], weigh_s: float) -> tuple[_Host, float]:
    """Listen until the nodes are done; what was seen, and this process's time for it all."""
    host = _Host()
    async with SeveralSources([open_source(url) for url in urls]) as sources:
        began = time.process_time()
        listening = asyncio.create_task(host.listen(sources))
        asyncio.get_running_loop().call_later(weigh_s, host.weigh)
        code = await asyncio.to_thread(process.wait)
        await asyncio.sleep(_TAIL_S)
        host_s = time.process_time() - began
        host.weigh()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
    if code:
        raise LinkError("the nodes' process failed; see above")
    return host, host_s


def _latencies_ms(written: NDArray[np.int64], seen: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each frame written (link, bytes so far, ns): how much later the chunk with its last byte was rows."""
    took: list[NDArray[np.float64]] = []
    for link in np.unique(written[:, 0]):
        frames, chunks = written[written[:, 0] == link], seen[seen[:, 0] == link]
        place = np.searchsorted(chunks[:, 1], frames[:, 1])
        there = place < len(chunks)
        took.append((chunks[place[there], 2] - frames[there, 2]) * 1e-6)
    return np.concatenate(took)


def play(seconds: float, origin_ns: int, log: Path, handles: Sequence[int]) -> None:
    """The nodes' process: write every frame when it is due, then say in ``log`` when each was."""
    nodes = Nodes(len(handles), origin_ns)
    due: list[tuple[int, int, Chunk]] = []
    so_far = [0] * len(handles)
    written = array("q")
    made = 0
    while due or nodes.now_s < seconds:
        now_ns = time.monotonic_ns()
        wait_s = (due[0][0] - now_ns) * 1e-9 if due else 1.0
        ahead_s = nodes.now_s - (now_ns - origin_ns) * 1e-9
        spare = wait_s > _SPARE_S and ahead_s < _AHEAD_S
        if nodes.now_s < seconds and (not due or ahead_s < _LEAST_AHEAD_S or spare):
            for item in nodes.step():
                if isinstance(item, Chunk):
                    heapq.heappush(due, (item.arrival_ns, made, item))
                    made += 1
            continue
        if wait_s > 0:
            time.sleep(wait_s)
        chunk = heapq.heappop(due)[2]
        data = chunk.data
        while data:  # a full port waits, as a UART with flow control
            # Before the call: after it, this process may lose the processor and the host have the bytes before it looks.
            began_ns = time.monotonic_ns()
            with suppress(BlockingIOError):
                data = data[os.write(handles[chunk.link], data) :]
        so_far[chunk.link] += len(chunk.data)
        written.extend((chunk.link, so_far[chunk.link], began_ns))
    with log.open("wb") as file:
        written.tofile(file)


if __name__ == "__main__":
    play(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), [int(text) for text in sys.argv[4:]])
