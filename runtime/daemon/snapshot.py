"""The daemon's parts as one snapshot."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

from firmware_bridge.streams.receiver import NodeKey
from runtime.daemon.calibrator import Calibrator
from runtime.daemon.clock import SourceClock
from runtime.daemon.disks import Disks
from runtime.daemon.outlet import Outlet
from runtime.daemon.reader import Reader
from runtime.daemon.recorder import Recorder
from runtime.daemon.reload import Reloader
from runtime.daemon.source_keeper import SourceKeeper
from runtime.daemon.stand_in import StandIn
from runtime.daemon.supervisor import Supervisor
from runtime.daemon.worker import ModelWorker
from runtime.pipeline.estimate import State
from runtime.pipeline.histogram import Tally
from runtime.pipeline.intake import Intake
from runtime.pipeline.publisher import Publisher
from runtime.settings import Settings
from runtime.status.status import (
    DaemonStatus,
    Finding,
    LinkStatus,
    ModelStatus,
    NodeStatus,
    SensorStatus,
    SinkStatus,
    StreamStatus,
)
from toolkit import __version__
from toolkit.contract import StreamSpec
from toolkit.data.imus import imus
from toolkit.errors import ContractError

#: Samples and estimates must both be newer than this for the daemon to be at work.
ADVANCING_S = 1.0


@dataclass
class Counters:
    """What the daemon itself counts. Times are of the machine's monotonic clock, 0 or None before the first."""

    started_ns: int
    estimate_ns: int = 0
    first_usable_ns: int | None = None
    engine_time: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class Parts:
    """What a daemon is made of, once it runs."""

    settings: Settings
    counters: Counters
    clock: SourceClock
    keeper: SourceKeeper
    reader: Reader
    worker: ModelWorker
    reloader: Reloader
    publisher: Publisher
    outlet: Outlet
    recorder: Recorder | None
    stand_in: StandIn
    disks: Disks
    supervisor: Supervisor
    calibrator: Calibrator

    @property
    def advancing(self) -> bool:
        """Whether samples and estimates both have come within the last second."""
        limit_ns = time.monotonic_ns() - round(ADVANCING_S * 1e9)
        return min(self.reader.sample_ns, self.counters.estimate_ns) >= limit_ns


def snapshot(parts: Parts) -> DaemonStatus:
    """Everything, now."""
    publisher, intake, worker = parts.publisher, parts.reader.intake, parts.worker
    now_ns = parts.clock.now_ns()
    newest = publisher.newest
    error_s = intake.error_s
    return DaemonStatus(
        version=__version__,
        uptime_s=(time.monotonic_ns() - parts.counters.started_ns) * 1e-9,
        state=newest.state if newest is not None else State.STALE,
        reasons=newest.reasons if newest is not None else (),
        in_state_s=publisher.in_state_s(now_ns),
        state_seconds=publisher.seconds(now_ns),
        state_moments=dict(publisher.counts),
        newest=newest,
        advancing=parts.advancing,
        first_moment_s=_first_moment_s(parts),
        age=publisher.age.snapshot(),
        source_age=publisher.source_age.snapshot(),
        engine_time=parts.counters.engine_time.snapshot(),
        deadlines_missed=publisher.deadlines_missed,
        recent_s=publisher.recent_age.span_s,
        recent_age=publisher.recent_age.snapshot(now_ns),
        recent_deadlines_missed=publisher.recent_missed.snapshot(now_ns).count,
        run=publisher.run,
        disks=parts.disks.status,
        rows_decimated=worker.estimator.decimated,
        queue_length=worker.waiting,
        queue_dropped=worker.dropped,
        clock_error_ms=error_s * 1e3 if math.isfinite(error_s) else None,
        undescribed=intake.session.undescribed,
        untimed=intake.session.untimed,
        dropped_bytes=parts.keeper.dropped_bytes,
        contract_trouble=intake.trouble,
        links=_links(parts),
        nodes=_nodes(intake),
        streams=_streams(intake, now_ns),
        sinks=tuple(SinkStatus(s.name, s.published, s.dropped, s.trouble) for s in parts.outlet.sinks),
        model=_model(parts),
        recording=parts.recorder.status() if parts.recorder is not None else None,
        doubts=tuple(doubt.text for doubt in parts.worker.estimator.doubts),
        **_plausibility(parts),
        mass_kg=parts.settings.person.mass_kg,
        calibration=parts.calibrator.status if parts.calibrator.possible else None,
        labels=dict(parts.settings.labels),
        rejected=_rejected(intake),
        parts=parts.supervisor.status(),
    )


def _plausibility(parts: Parts) -> dict[str, Any]:
    """All sensors of a model that can be calibrated, and what is doubted of them; of another those that are doubted."""
    contract, estimator = parts.reloader.model.bundle.contract, parts.worker.estimator
    doubts, watch = estimator.doubts, estimator.watch
    if contract.calibration is None and not doubts:
        return {}
    inertial = {item.stream.name: _segments(item.stream) for item in contract.inputs}
    electric = {
        item.stream.name: item.stream.channel_names
        for item in contract.inputs
        if not inertial[item.stream.name]
    }
    # A kind of sensor that is late as a whole goes by its kind.
    whole = {
        "imu": tuple(name for segments in inertial.values() for name in segments),
        "emg": tuple(name for channels in electric.values() for name in channels),
    }
    findings = tuple(
        Finding(
            doubt.kind,
            whole.get(doubt.sensor) or tuple(filter(None, doubt.sensor.split(", "))),
            doubt.text,
        )
        for doubt in doubts
    )
    kinds: tuple[Literal["imu", "emg"], ...] = ("imu", "emg")
    return {
        "findings": findings,
        "sensors": tuple(
            SensorStatus(name, kind, tuple(f.kind for f in findings if name in f.sensors))
            for kind in kinds
            for name in whole[kind]
            if contract.calibration is not None or any(name in f.sensors for f in findings)
        ),
        "judged": watch is not None and watch.judged,
    }


@lru_cache(maxsize=16)
def _segments(stream: StreamSpec) -> tuple[str, ...]:
    """The IMUs of a stream; none where there are only halves of some."""
    try:
        return tuple(imu.segment for imu in imus(stream))
    except ContractError:
        return ()


def _first_moment_s(parts: Parts) -> float | None:
    first_ns = parts.counters.first_usable_ns
    return (first_ns - parts.counters.started_ns) * 1e-9 if first_ns is not None else None


def _rejected(intake: Intake) -> dict[str, int]:
    decoders = intake.session.receiver.links.values()
    return dict(sum((decoder.rejected for decoder in decoders), Counter()))


def _links(parts: Parts) -> tuple[LinkStatus, ...]:
    result = []
    for link, name in enumerate(parts.keeper.links):
        change = parts.reader.intake.links.get(link)
        result.append(LinkStatus(link, name, change.up if change else True, change.reason if change else ""))
    return tuple(result)


def _nodes(intake: Intake) -> tuple[NodeStatus, ...]:
    receiver = intake.session.receiver
    result = []
    for link, decoder in sorted(receiver.links.items()):
        for node, ledger in sorted(decoder.nodes.items()):
            key = NodeKey(link, node)
            clock, said = intake.session.clock(key), intake.session.status.get(key)
            known = clock is not None and math.isfinite(clock.error_s)
            balance = asdict(ledger.balance())
            battery = said.battery_percent if said is not None and said.battery_percent <= 100 else None
            result.append(
                NodeStatus(
                    link,
                    node,
                    receiver.name(key),
                    {name: count for name, count in balance.items() if name != "reboots"},
                    balance["reboots"],
                    clock.error_s * 1e3 if clock is not None and known else None,
                    clock.synced if clock is not None else False,
                    clock.skew_ppm if clock is not None and known else None,
                    battery,
                    said.samples_dropped if said is not None else None,
                )
            )
    return tuple(result)


def _streams(intake: Intake, now_ns: int) -> tuple[StreamStatus, ...]:
    result = []
    for name, text, key, watch in intake.streams():
        descriptor = watch.descriptor
        heard_ns = watch.heard_ns
        result.append(
            StreamStatus(
                input=name,
                name=text,
                node=intake.session.receiver.name(key),
                nominal_hz=descriptor.rate_hz,
                measured_hz=watch.measured_hz,
                channels=tuple(channel.name for channel in descriptor.channels),
                units=tuple(channel.unit for channel in descriptor.channels),
                last=tuple(watch.last.tolist()) if watch.last is not None else (),
                silent_ms=(now_ns - heard_ns) * 1e-6 if heard_ns is not None else None,
                samples=watch.samples,
                rows=watch.rows,
                rows_in_gaps=watch.rows_in_gaps,
                rows_saturated=watch.rows_saturated,
                rows_not_finite=watch.rows_not_finite,
            )
        )
    return tuple(result)


def _model(parts: Parts) -> ModelStatus:
    reloader, estimator = parts.reloader, parts.worker.estimator
    model = reloader.model
    contract = model.bundle.contract
    return ModelStatus(
        bundle=str(model.settings.bundle),
        hash=model.hash,
        engine=model.engine.name,
        version=model.engine.version,
        scheme=model.settings.scheme,
        graph=estimator.graph,
        every=estimator.decimation.every,
        outputs=tuple(channel.name for channel in contract.outputs),
        grid_rate_hz=contract.grid_rate_hz,
        window=contract.window,
        horizon_ms=contract.horizon_ms,
        reloads=reloader.reloads,
        reloads_refused=reloader.refused,
        reload_trouble=reloader.trouble,
        level=None if estimator.error_bars is None else estimator.error_bars.level,
        level_people=0 if estimator.error_bars is None else estimator.error_bars.people,
    )
