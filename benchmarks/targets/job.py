"""What a target is asked to judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from benchmarks.evaluation.windows import Evaluation
from benchmarks.peers import Peer
from benchmarks.targets.device_data import DeviceData, device_data
from quantization.bundle import Bundle
from toolkit.progress import Progress


@dataclass(frozen=True, eq=False)
class Job:
    """A loaded bundle, and the graphs of peers, on the evaluation windows."""

    bundle: Bundle
    data: Evaluation
    threads: int
    seed: int
    progress: Progress
    peers: tuple[Peer, ...] = ()

    @cached_property
    def device_data(self) -> DeviceData:
        """What devices are fed and must answer, computed once for all of them; UsageError for a bundle without int8 graphs.

        It takes its time, so that no board should wait for it.
        """
        return device_data(self.bundle, self.data, self.progress)
