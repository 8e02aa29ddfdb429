"""``serial:/dev/ttyACM0``: a board that runs this bundle's firmware. Cycles and times are measured on it."""

from __future__ import annotations

from benchmarks.records import Judged
from benchmarks.targets.device import Board, judge_link
from benchmarks.targets.device_data import int8_graphs
from benchmarks.targets.job import Job
from firmware_bridge.target.link import TargetLink, open_port
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import emission
from toolkit import __version__
from toolkit.errors import UsageError

HOW = "generated C in the firmware image on the board itself; cycles by its own counter, windows sent over its UART"


def require(target: str) -> None:
    """UsageError if no port is named, LinkError if it cannot be opened."""
    open_port(port_of(target)).close()


def port_of(target: str) -> str:
    """The port that a target names; UsageError if there is none."""
    port = target.partition(":")[2]
    if not port:
        raise UsageError(f"target {target!r} names no port; say for instance serial:/dev/ttyACM0")
    return port


def judge(job: Job, target: str) -> Judged:
    """Ask the board who it is, feed it, compare. ContractError if it does not run this bundle's model."""
    graphs = int8_graphs(job.bundle)
    wanted, contract_hash = model_hash(job.bundle), job.bundle.contract.hash
    with TargetLink(open_port(port_of(target)), target) as link:
        link.require(
            link.identify(), wanted, contract_hash
        )  # before the reference is computed, which takes its time
        board = Board(
            target=target,
            label="measured",
            how=HOW,
            version=f"edgetool {__version__}",
            model_bytes={kind: len(graph.content) for kind, graph in graphs.items()},
            model_hash=wanted,
            contract_hash=contract_hash,
        )
        return Judged(tuple(judge_link(job, board, link)))


def model_hash(bundle: Bundle) -> str:
    """The hash that the generated C of a bundle carries, whatever the core."""
    return emission(bundle.graphs, bundle.contract, parts=()).model_hash
