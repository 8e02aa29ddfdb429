"""Rows of the model's inputs to estimates with their state: filter chains, pairing, engine, findings over the window.

Given the same batches it gives the same estimates, bit for bit, as long as the engine keeps up; when it does not,
:class:`Pace` says which rows are left out.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from runtime.engines.interface import Engine
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.intake import Batch, InputRows
from runtime.pipeline.states import (
    DECIMATED,
    ENGINE,
    LARGEST,
    LATE,
    WARM_UP,
    FindingWindow,
    Rules,
    Verdict,
)
from toolkit.contract import ModelInput, SensorContract
from toolkit.errors import EdgetoolError
from toolkit.filtering.chain import Chain
from toolkit.filtering.stages import rational

Features = NDArray[np.float32]


@dataclass(frozen=True)
class RowEstimate:
    """What :class:`Estimator` gives, not published yet: row ``row`` of the grid since the last restart."""

    row: int
    source_ns: int
    source_error_ms: float
    arrival_ns: int
    verdict: Verdict
    values: tuple[float, ...]

    def published(self, sequence: int, published_ns: int, rules: Rules) -> Estimate:
        """The estimate as it is published now. What has become too old on the way is stale."""
        verdict = self.verdict
        if (published_ns - self.source_ns) * 1e-6 > rules.stale_ms:
            verdict = verdict.and_also(State.STALE, LATE)
        usable = verdict.state.rank < State.STALE.rank
        return Estimate(
            sequence,
            self.source_ns,
            self.source_error_ms,
            self.arrival_ns,
            published_ns,
            verdict.state,
            verdict.reasons,
            self.values if usable else (),
        )


#: When more waits all the time, a row is asked for after this many times as many rows.
_PATIENCE = 4


class Pace:
    """Which rows an engine is asked for. ``every`` is 1 until it needs longer than the grid's period for a row.

    Then it runs the window graph on every n-th row, so that each estimate is a whole and true window; the queue does not grow.
    Ten seconds later, and every ten seconds, it is asked again whether it can do every row.
    """

    #: Costs are averaged over about this many calls, and judged after as many.
    _CALLS = 16
    _ROOM = 0.8
    _AGAIN_S = 10.0

    def __init__(self, period_s: float, clock: Callable[[], float]) -> None:
        self.every = 1
        self._period_s = period_s
        self._clock = clock
        self._cost_s = 0.0
        self._calls = 0
        self._since_s = 0.0

    def took(self, cost_s: float) -> None:
        """One call of the engine."""
        self._calls += 1
        self._cost_s += (cost_s - self._cost_s) / min(self._calls, self._CALLS)

    @property
    def cost_s(self) -> float:
        """What a call takes, on average."""
        return self._cost_s

    @property
    def overloaded(self) -> bool:
        """Whether the engine needs more time than it has."""
        return self._calls >= self._CALLS and self._cost_s > self.every * self._period_s

    @property
    def may_try(self) -> bool:
        """Whether it is time to ask whether every row can be done."""
        return self.every > 1 and self._clock() - self._since_s >= self._AGAIN_S

    def choose(self, window_cost_s: float) -> None:
        """From now on every n-th row, so that a window of ``window_cost_s`` leaves some room."""
        self.every = max(2, math.ceil(window_cost_s / (self._ROOM * self._period_s)))
        self._restart(window_cost_s)

    def rule_out(self) -> None:
        """Nothing is ever too slow: the source waits for the engine."""
        self._period_s = math.inf

    def relax(self) -> None:
        """Every row again."""
        self.every = 1
        self._restart(0.0)

    def wait(self) -> None:
        """Not yet: ask again later."""
        self._since_s = self._clock()

    def fits(self, cost_s: float) -> bool:
        """Whether a call of ``cost_s`` leaves room at every row."""
        return cost_s <= self._ROOM * self._period_s

    def _restart(self, cost_s: float) -> None:
        self._cost_s, self._calls, self._since_s = cost_s, 0, self._clock()


class _Input:
    """One input of the model: its chain, its features that wait for the other inputs, and where each grid row comes from."""

    def __init__(self, item: ModelInput, grid_rate_hz: float) -> None:
        self._item, self._grid_rate_hz = item, grid_rate_hz
        self._step: Fraction = rational(item.stream.rate_hz) / rational(grid_rate_hz)
        self.reset()

    def reset(self) -> None:
        """The next row is row 0."""
        self._chain = Chain.of(self._item, self._grid_rate_hz)
        self._good: NDArray[np.float32] = np.zeros(len(self._item.stream.channels), np.float32)
        self.features: Features = np.empty((0, len(self._good)), np.float32)
        self.findings: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.source_s: NDArray[np.float64] = np.empty(0, np.float64)
        self._row = 0  # of the grid, the next to come out of the chain
        self._raw_findings = np.empty(0, np.uint8)
        self._raw_source_s = np.empty(0, np.float64)
        self._raw_first = 0

    def push(self, rows: InputRows) -> None:
        """Filter rows; what comes out waits in ``features``."""
        values = self._finite(rows.values)
        features = self._chain.push(values)
        self._raw_findings = np.concatenate([self._raw_findings, rows.findings])
        self._raw_source_s = np.concatenate([self._raw_source_s, rows.source_s])
        if not len(features):
            return
        findings, source_s = self._on_grid(len(features))
        self.features = np.concatenate([self.features, features]) if len(self.features) else features
        self.findings = np.concatenate([self.findings, findings])
        self.source_s = np.concatenate([self.source_s, source_s])

    def drop(self, count: int) -> None:
        """``count`` rows of the grid were paired."""
        self.features, self.findings = self.features[count:], self.findings[count:]
        self.source_s = self.source_s[count:]

    def _on_grid(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Findings of the raw rows that the next ``count`` grid rows took in, and the time of the newest of them."""
        number = self._row + np.arange(-1, count)
        last = -(
            (-number * self._step.numerator) // self._step.denominator
        )  # the later neighbour, rounded up
        self._row += count
        ends = last - self._raw_first
        flags = [
            int(np.bitwise_or.reduce(self._raw_findings[max(low + 1, 0) : high + 1], initial=0))
            for low, high in itertools.pairwise(ends)
        ]
        source_s = self._raw_source_s[ends[1:]]
        # Rows behind the newest grid row belong to the next; that row itself may be a neighbour once more.
        keep = int(ends[-1])
        self._raw_findings, self._raw_source_s = self._raw_findings[keep:], self._raw_source_s[keep:]
        self._raw_first += keep
        return np.array(flags, np.uint8), source_s

    def _finite(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Hold the last good value of a channel where one is not finite, or no measurement: a filter would keep it for ever."""
        good = np.abs(values) <= LARGEST
        if not good.all():
            values = values.copy()
            for row in range(len(values)):
                values[row] = np.where(good[row], values[row], self._good)
                self._good = values[row]
        self._good = values[-1]
        return values


class Estimator:
    """One model at work. ``clock`` (s) measures what a call costs; pass one that stands still to rule out decimation."""

    def __init__(
        self,
        contract: SensorContract,
        engine: Engine,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.contract = contract
        self.engine = engine
        self.stream = engine.has_stream
        self.rules = rules or Rules()
        self._clock = clock
        self._inputs = {item.stream.name: _Input(item, contract.grid_rate_hz) for item in contract.inputs}
        self._window = FindingWindow(contract.window, self.rules, 1e3 / contract.grid_rate_hz)
        self.pace = Pace(1.0 / contract.grid_rate_hz, clock)
        #: Rows of the grid that decimation left out, and calls that the engine refused.
        self.decimated = 0
        self.refused = 0
        #: How long each call since the last look took, in s.
        self.costs_s: list[float] = []
        self._rings: dict[str, Features] = {}
        self._row = 0
        self._asked = 0
        self._begun = False
        self._reset()

    @property
    def graph(self) -> str:
        """What runs now: ``stream`` or ``window``."""
        return "stream" if self.stream and self.pace.every == 1 else "window"

    def take(self, batch: Batch, behind: int = 0) -> list[RowEstimate]:
        """Estimates of the grid rows that ``batch`` completes, in order. ``behind``: batches that wait already."""
        if batch.restart:
            self._reset()
            self._begun = True
        if (
            not self._begun
        ):  # put in place in mid-stream: which rows of two inputs belong together is not known
            return []
        for name, rows in batch.inputs.items():
            self._inputs[name].push(rows)
        count = min(len(each.features) for each in self._inputs.values())
        if not count:
            return []
        features = {name: each.features[:count] for name, each in self._inputs.items()}
        findings = np.bitwise_or.reduce([each.findings[:count] for each in self._inputs.values()])
        source_s = np.minimum.reduce([each.source_s[:count] for each in self._inputs.values()])
        for each in self._inputs.values():
            each.drop(count)
        self._reconsider()
        result = self._rows(batch, features, findings, source_s, behind)
        self._remember(features)
        return result

    def continue_from(self, other: Estimator) -> bool:
        """Take over another estimator's filters and window, so that nothing is lost; False if the contracts differ.

        The engine runs once through the features that the window holds.
        """
        self.decimated, self.refused = other.decimated, other.refused
        if other.contract.hash != self.contract.hash:
            return False
        self._inputs, self._window, self._rings = other._inputs, other._window, other._rings
        self._row, self._begun = other._row, other._begun
        if self.stream:
            self.engine.reset()
            self._replay()
        return True

    def _reset(self) -> None:
        for each in self._inputs.values():
            each.reset()
        self._window.reset()
        self._rings = {name: np.empty((0, n), np.float32) for name, n in self.engine.channels.items()}
        self._row = self._asked = 0
        if self.stream:
            self.engine.reset()

    def _rows(
        self,
        batch: Batch,
        features: Mapping[str, Features],
        findings: NDArray[np.uint8],
        source_s: NDArray[np.float64],
        behind: int,
    ) -> list[RowEstimate]:
        windows = {name: np.concatenate([self._rings[name], rows]) for name, rows in features.items()}
        held = len(next(iter(self._rings.values())))
        result = []
        for row in range(len(findings)):
            verdict = self._window.push(int(findings[row]))
            self._row += 1
            if self.pace.every > 1:
                if not self._due(behind):
                    self.decimated += 1
                    continue
                self._asked = self._row
                verdict = verdict.and_also(State.DEGRADED, DECIMATED)
            values, verdict = self._call(windows, held + row + 1, verdict)
            source_ns = round(float(source_s[row]) * 1e9) if math.isfinite(source_s[row]) else 0
            error_ms = batch.error_s * 1e3
            result.append(RowEstimate(self._row - 1, source_ns, error_ms, batch.arrival_ns, verdict, values))
        return result

    def _due(self, behind: int) -> bool:
        """Decimated: whether this row is asked for. What waits comes first, so that the row is not old when it is done."""
        since = self._row - self._asked
        return since >= (self.pace.every if not behind else _PATIENCE * self.pace.every)

    def _call(
        self, windows: Mapping[str, Features], stop: int, verdict: Verdict
    ) -> tuple[tuple[float, ...], Verdict]:
        """Ask the engine for the row before ``stop``. A refusal makes the estimate invalid and begins a new stream."""
        began = self._clock()
        try:
            if self.graph == "stream":
                moments = self.engine.step({name: rows[stop - 1] for name, rows in windows.items()})
            elif stop < self.engine.rows:
                return (), verdict.and_also(State.INVALID, WARM_UP)
            else:
                begin = stop - self.engine.rows
                moments = self.engine.window({name: rows[begin:stop] for name, rows in windows.items()})
        except EdgetoolError:
            self.refused += 1
            if self.stream:
                self.engine.reset()
            self._window.reset()
            return (), verdict.and_also(State.INVALID, ENGINE)
        cost_s = self._clock() - began
        self.costs_s.append(cost_s)
        self.pace.took(cost_s)
        values = tuple(moments.tolist())
        if not all(map(math.isfinite, values)):
            return (), verdict.and_also(State.INVALID, ENGINE)
        return values, verdict

    def _remember(self, features: Mapping[str, Features]) -> None:
        for name, rows in features.items():
            self._rings[name] = np.concatenate([self._rings[name], rows])[-self.engine.rows :]

    def _reconsider(self) -> None:
        """Between two batches: is the engine too slow for its rows, or fast enough again."""
        full = len(next(iter(self._rings.values()))) == self.engine.rows
        if self.pace.overloaded and full:
            began = self._clock()
            self.engine.window(self._rings)
            self.pace.choose(max(self._clock() - began, self.pace.cost_s if self.graph == "window" else 0.0))
        elif self.pace.may_try and full:
            self._replay_if_fast()

    def _replay_if_fast(self) -> None:
        """Go back to every row if a call is fast enough; a stream begins with the rows that the window holds."""
        began = self._clock()
        if self.stream:
            self.engine.reset()
            self.engine.step({name: rows[0] for name, rows in self._rings.items()})
        else:
            self.engine.window(self._rings)
        if not self.pace.fits(self._clock() - began):
            self.pace.wait()
            return
        self.pace.relax()
        if self.stream:
            self.engine.reset()
            self._replay()

    def _replay(self) -> None:
        for row in range(len(next(iter(self._rings.values())))):
            self.engine.step({name: rows[row] for name, rows in self._rings.items()})
