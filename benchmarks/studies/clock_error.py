"""How well host times hold for an hour: ``python -m benchmarks.studies.clock_error``.

A node whose crystal is 50 ppm off, behind a link whose frames take 0.5 ms and an exponential 10 ms more, each way; 45
frames a second and sync exchanges as often as
``firmware_bridge.sources.host`` asks for them. Everything is simulated and seeded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from firmware_bridge.sources.host import SYNC_S
from firmware_bridge.streams.clock import ClockMap
from toolkit.files import write_json

_FRAMES_HZ, _BASE_S, _TURNAROUND_S = 45, 0.0005, 0.0003
#: From here on the mapping is judged.
SETTLED_S = 60.0


@dataclass(frozen=True)
class ClockHour:
    """Errors of the mapping after the first minute, in ms, and the share of them within their error bars."""

    seed: int
    hours: float
    worst_ms: float
    p99_ms: float
    median_bar_ms: float
    inside: float


def clock_hour(seed: int, hours: float = 1.0, drift_ppm: float = 50.0, jitter_ms: float = 10.0) -> ClockHour:
    """Simulate one node and judge its clock twice a second."""
    random = np.random.default_rng(seed)
    rate = 1.0 + drift_ppm * 1e-6
    clock = ClockMap()
    errors, bars = [], []
    next_sync_s = 0.0

    def delay_s() -> float:
        return _BASE_S + float(random.exponential(jitter_ms * 1e-3))

    for frame in range(round(hours * 3600 * _FRAMES_HZ)):
        now_s = frame / _FRAMES_HZ
        ticks = int(now_s * rate * 1e6)
        clock.arrival(ticks, now_s + delay_s())
        if now_s >= next_sync_s:
            next_sync_s += float(random.uniform(*SYNC_S))
            heard_s = now_s + delay_s()
            told_s = heard_s + _TURNAROUND_S
            clock.sync(now_s, int(heard_s * rate * 1e6), int(told_s * rate * 1e6), told_s + delay_s())
        if frame % 22 == 21 and now_s >= SETTLED_S:
            mapped = clock.map(ticks)
            errors.append(abs(mapped.time_s - ticks * 1e-6 / rate))
            bars.append(mapped.error_s)
    error, bar = np.array(errors), np.array(bars)
    return ClockHour(
        seed,
        hours,
        float(error.max() * 1e3),
        float(np.percentile(error, 99) * 1e3),
        float(np.median(bar) * 1e3),
        float(np.mean(error <= bar)),
    )


@click.command()
@click.option("--seeds", default=5, show_default=True)
@click.option("--hours", default=1.0, show_default=True, help="Simulated time of each.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures.")
def main(seeds: int, hours: float, json: Path | None) -> None:
    """Measure the clock mapping: 50 ppm drift, 10 ms jitter each way (simulated)."""
    results = []
    click.echo(f"{'seed':<6}{'worst error':>13}{'p99':>11}{'median bar':>13}{'within the bar':>17}")
    for seed in range(seeds):
        found = clock_hour(seed, hours)
        results.append(found)
        click.echo(
            f"{seed:<6}{found.worst_ms:>10.3f} ms{found.p99_ms:>8.3f} ms{found.median_bar_ms:>10.3f} ms{found.inside:>16.2%}"
        )
    if json is not None:
        write_json(json, [asdict(found) for found in results])


if __name__ == "__main__":
    main()
