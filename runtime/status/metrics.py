"""A daemon's status as Prometheus metrics. Names and meanings are in docs/DASHBOARD.md.

Everything is made from one snapshot when it is asked for; nothing is counted here. What is not known has no sample, never a 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runtime.pipeline.estimate import State
from runtime.pipeline.histogram import Histogram
from runtime.status.pi_health import PiHealth
from runtime.status.status import DaemonStatus, NodeStatus
from toolkit.printable import terminal_lines

#: Of the text that :meth:`Metrics.text` gives.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Terms of the ledger beside ``sent`` (docs/BRIDGE.md).
LEDGER_TERMS = ("delivered", "crc_failed", "gap", "duplicate", "reordered", "dropped_in_host")


#: Kind of metric, its name and help, and its value of a node.
_PerNode = tuple[
    type[CounterMetricFamily] | type[GaugeMetricFamily], str, str, Callable[[NodeStatus], float | None]
]


class Metrics(Collector):
    """``text()`` is what a scrape gets."""

    def __init__(self, status: Callable[[], DaemonStatus], health: Callable[[], PiHealth]) -> None:
        self._status = status
        self._health = health
        self._registry = CollectorRegistry(auto_describe=False)
        # Memory, CPU time and open files of this process, by the names that all Prometheus clients use.
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format 0.0.4."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are not asked for before the first scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Metric families of the status as it is now."""
        status = self._status()
        yield from _moments(status)
        yield from _times(status)
        yield from _model(status)
        yield from _queues(status)
        yield from _links(status)
        yield from _streams(status)
        yield from _sensors(status)
        yield from _sinks(status)
        yield from _parts(status)
        yield from _machine(self._health())


def _gauge(name: str, help_text: str, value: float | None) -> Iterable[Metric]:
    if value is not None:
        yield GaugeMetricFamily(f"edgetool_{name}", help_text, value=value)


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(f"edgetool_{name}", help_text, value=value)


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily, rows: Iterable[tuple[tuple[str, ...], float | None]]
) -> Iterable[Metric]:
    """The family with those rows that have a value; nothing if none has.

    Two sinks may have one name. A scrape with two samples of the same labels would be refused as a whole, so the second is
    ``name#2``.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    for labels, value in rows:
        seen[labels] += 1
        if value is not None:
            again = seen[labels]
            texts = [terminal_lines(label) for label in labels]
            family.add_metric([*texts[:-1], f"{texts[-1]}#{again}" if again > 1 else texts[-1]], value)
    if family.samples:
        yield family


def _moments(status: DaemonStatus) -> Iterable[Metric]:
    yield from _labelled(
        CounterMetricFamily("edgetool_moments", "Estimates published, by state", labels=["state"]),
        [((state.value,), status.state_moments.get(state, 0)) for state in State],
    )
    yield from _labelled(
        CounterMetricFamily("edgetool_state_seconds", "Seconds spent in each state", labels=["state"]),
        [((state.value,), status.state_seconds.get(state, 0.0)) for state in State],
    )
    yield from _labelled(
        GaugeMetricFamily(
            "edgetool_state", "1 for the state of the newest estimate, 0 for the others", labels=["state"]
        ),
        [((state.value,), float(state is status.state)) for state in State],
    )
    reasons = GaugeMetricFamily(
        "edgetool_state_reason", "1 for each reason of the newest state", labels=["reason"]
    )
    yield from _labelled(reasons, [((reason,), 1.0) for reason in status.reasons])
    yield from _gauge(
        "advancing", "1 if samples and estimates both came within the last second", float(status.advancing)
    )
    yield from _gauge("uptime_seconds", "Time since the daemon started", status.uptime_s)
    yield from _gauge(
        "first_moment_seconds", "Start to the first estimate that may be used", status.first_moment_s
    )


def _times(status: DaemonStatus) -> Iterable[Metric]:
    yield _histogram("age_seconds", "Last byte in to estimate out", status.age)
    yield _histogram("source_age_seconds", "Sample taken to estimate out", status.source_age)
    yield _histogram("engine_seconds", "One call of the inference engine", status.engine_time)
    span = f"of the last {status.recent_s:.0f} s"
    quantiles = GaugeMetricFamily(
        "edgetool_recent_age_seconds", f"Bounds of the age's quantiles {span}", labels=["quantile"]
    )
    rows = [((str(share),), _seconds(status.recent_age.quantile_ms(share))) for share in (0.5, 0.99)]
    yield from _labelled(quantiles, rows)
    recent = status.recent_deadlines_missed
    yield from _gauge("recent_deadlines_missed", f"Estimates {span} whose age was above one period", recent)
    missed = "Estimates whose age was above one period of the grid"
    yield _counter("deadlines_missed", missed, status.deadlines_missed)


def _histogram(name: str, help_text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(f"edgetool_{name}", help_text)
    total, buckets = 0, []
    for bound_ms, count in zip(histogram.bounds_ms, histogram.counts):
        total += count
        buckets.append((repr(bound_ms / 1e3), float(total)))
    buckets.append(("+Inf", float(histogram.count)))
    family.add_metric([], buckets, sum_value=histogram.sum_ms / 1e3)
    return family


def _model(status: DaemonStatus) -> Iterable[Metric]:
    model = status.model
    words = {
        "bundle": model.bundle,
        "hash": model.hash,
        "engine": model.engine,
        "engine_version": model.version,
        "scheme": model.scheme,
        "graph": model.graph,
        "version": status.version,
    }
    texts = {name: terminal_lines(word) for name, word in words.items()}
    yield InfoMetricFamily("edgetool_model", "What runs", value=texts)
    yield from _gauge("grid_hertz", "Rows of the model's grid per second", model.grid_rate_hz)
    yield from _gauge("decimation", "Every n-th row of the grid is estimated", model.every)
    yield _counter(
        "rows_decimated", "Rows not estimated because of a declared decimation", status.rows_decimated
    )
    yield _counter("reloads", "Models loaded anew", model.reloads)
    yield _counter("reloads_refused", "Models that were refused and not loaded", model.reloads_refused)


def _queues(status: DaemonStatus) -> Iterable[Metric]:
    yield from _gauge("queue_length", "Batches waiting for the model", status.queue_length)
    yield _counter(
        "queue_dropped", "Batches dropped because the queue to the model was full", status.queue_dropped
    )
    yield _counter("packets_undescribed", "Packets of streams that no descriptor fits", status.undescribed)
    yield _counter("packets_untimed", "Packets without a time", status.untimed)
    yield _counter("bytes_dropped", "Bytes that belong to no frame", status.dropped_bytes)
    rejected = CounterMetricFamily("edgetool_rejected", "Frames and packets not handed on", labels=["reason"])
    yield from _labelled(rejected, [((reason,), number) for reason, number in status.rejected.items()])
    mismatch = float(status.contract_trouble is not None)
    yield from _gauge("contract_mismatch", "1 if the sensors do not fit the model's contract", mismatch)
    if status.recording is not None:
        yield _counter("recording_bytes", "Bytes recorded", status.recording.bytes)
        yield from _gauge(
            "recording_up", "0 if the recording has a problem", float(status.recording.trouble is None)
        )


def _links(status: DaemonStatus) -> Iterable[Metric]:
    names = ["link", "name"]
    up = GaugeMetricFamily("edgetool_link_up", "1 if bytes can come in over it", labels=names)
    yield from _labelled(up, [((str(each.link), each.name), float(each.up)) for each in status.links])
    nodes = status.nodes
    yield from _labelled(
        CounterMetricFamily(
            "edgetool_frames_sent",
            "Frames a node sent, by its sequence numbers",
            labels=["link", "node", "name"],
        ),
        [(_place(node), node.ledger["sent"]) for node in nodes],
    )
    ledger = CounterMetricFamily(
        "edgetool_frames",
        "Outcomes of a node's frames; they add up to those sent",
        labels=["link", "node", "name", "outcome"],
    )
    rows = [((*_place(node), term), node.ledger[term]) for node in nodes for term in LEDGER_TERMS]
    yield from _labelled(ledger, rows)
    for kind, name, help_text, value in _PER_NODE:
        yield from _labelled(
            kind(f"edgetool_{name}", help_text, labels=["link", "node", "name"]),
            [(_place(node), value(node)) for node in nodes],
        )
    yield from _gauge(
        "clock_error_seconds",
        "Largest error bar of the clocks that the estimates rest on",
        _seconds(status.clock_error_ms),
    )


def _place(node: NodeStatus) -> tuple[str, str, str]:
    return str(node.link), str(node.node), node.name


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1e3


_PER_NODE: tuple[_PerNode, ...] = (
    (CounterMetricFamily, "node_reboots", "Reboots of a node", lambda n: n.reboots),
    (
        CounterMetricFamily,
        "node_samples_dropped",
        "Samples that the node reports as dropped",
        lambda n: n.samples_dropped,
    ),
    (
        GaugeMetricFamily,
        "node_clock_error_seconds",
        "Error bar of its sample times",
        lambda n: _seconds(n.clock_error_ms),
    ),
    (
        GaugeMetricFamily,
        "node_clock_synced",
        "1 if that error bar is rigorous",
        lambda n: float(n.clock_synced),
    ),
    (
        GaugeMetricFamily,
        "node_clock_skew_ppm",
        "Its crystal against this computer's clock",
        lambda n: n.clock_skew_ppm,
    ),
    (
        GaugeMetricFamily,
        "node_battery_percent",
        "Battery level that the node reports",
        lambda n: n.battery_percent,
    ),
)


def _streams(status: DaemonStatus) -> Iterable[Metric]:
    labels = ["input", "node", "stream"]
    places = [((each.input, each.node, each.name), each) for each in status.streams]
    gauges = (
        (
            "stream_hertz",
            "Samples a second over the last two seconds",
            [(p, s.measured_hz) for p, s in places],
        ),
        (
            "stream_nominal_hertz",
            "Samples a second that the contract wants",
            [(p, s.nominal_hz) for p, s in places],
        ),
        (
            "stream_silent_seconds",
            "Time since its last packet",
            [(p, _seconds(s.silent_ms)) for p, s in places],
        ),
    )
    for name, help_text, rows in gauges:
        yield from _labelled(GaugeMetricFamily(f"edgetool_{name}", help_text, labels=labels), rows)
    counters = (
        ("stream_samples", "Samples that came", [(p, s.samples) for p, s in places]),
        ("stream_rows", "Rows of its regular axis", [(p, s.rows) for p, s in places]),
        ("stream_rows_in_gaps", "Rows that fill a gap", [(p, s.rows_in_gaps) for p, s in places]),
        ("stream_rows_saturated", "Rows at full scale", [(p, s.rows_saturated) for p, s in places]),
        ("stream_rows_not_finite", "Rows with NaN or infinity", [(p, s.rows_not_finite) for p, s in places]),
    )
    for name, help_text, totals in counters:
        yield from _labelled(CounterMetricFamily(f"edgetool_{name}", help_text, labels=labels), totals)


def _sensors(status: DaemonStatus) -> Iterable[Metric]:
    judged = "1 if the sensors are compared with the wearer's own walk"
    if status.sensors:
        yield from _gauge("sensors_judged", judged, float(status.judged))
    doubted = GaugeMetricFamily(
        "edgetool_sensor_doubted", "1 for each kind of doubt about a sensor now", labels=["kind", "sensor"]
    )
    rows = [((kind, each.name), 1.0) for each in status.sensors for kind in each.doubts]
    # What is doubted of no sensor of its own is of the movement.
    rows += [((each.kind, ""), 1.0) for each in status.findings if not each.sensors]
    yield from _labelled(doubted, rows)
    gauge = GaugeMetricFamily("edgetool_sensors_doubted", "Sensors in doubt now")
    if status.judged or status.findings:
        gauge.add_metric([], float(sum(bool(each.doubts) for each in status.sensors)))
        yield gauge


def _sinks(status: DaemonStatus) -> Iterable[Metric]:
    sinks = status.sinks
    published = CounterMetricFamily(
        "edgetool_sink_published", "Estimates that a sink accepted", labels=["sink"]
    )
    yield from _labelled(published, [((each.name,), each.published) for each in sinks])
    dropped = CounterMetricFamily(
        "edgetool_sink_dropped", "Estimates that a sink could not deliver", labels=["sink"]
    )
    yield from _labelled(dropped, [((each.name,), each.dropped) for each in sinks])
    up = GaugeMetricFamily("edgetool_sink_up", "0 if a sink has a problem", labels=["sink"])
    yield from _labelled(up, [((each.name,), float(each.trouble is None)) for each in sinks])


def _parts(status: DaemonStatus) -> Iterable[Metric]:
    parts = status.parts
    failures = CounterMetricFamily(
        "edgetool_part_failures",
        "Exceptions that a part of the daemon raised; there should be none",
        labels=["part"],
    )
    yield from _labelled(failures, [((each.name,), each.failures) for each in parts])
    up = GaugeMetricFamily("edgetool_part_up", "0 if a part has failed lately, or is paused", labels=["part"])
    yield from _labelled(up, [((each.name,), float(each.trouble is None)) for each in parts])
    free = GaugeMetricFamily(
        "edgetool_disk_free_bytes", "Free space on the disk of a folder", labels=["folder"]
    )
    yield from _labelled(free, [((each.folder,), each.free_bytes) for each in status.disks])


def _machine(health: PiHealth) -> Iterable[Metric]:
    temperature = GaugeMetricFamily(
        "edgetool_temperature_celsius", "Temperature of the computer, by zone", labels=["zone"]
    )
    yield from _labelled(temperature, [((zone,), value) for zone, value in health.temperatures_c.items()])
    now = GaugeMetricFamily(
        "edgetool_pi_throttled", "1 if the Pi's firmware holds it back now, by cause", labels=["cause"]
    )
    yield from _labelled(now, [((name,), float(on)) for name, on in health.now().items()])
    since = GaugeMetricFamily(
        "edgetool_pi_throttled_since_start",
        "1 if it has since it was switched on, by cause",
        labels=["cause"],
    )
    yield from _labelled(since, [((name,), float(on)) for name, on in health.since_start().items()])
