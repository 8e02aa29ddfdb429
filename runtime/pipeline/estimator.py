"""Rows of the model's inputs to estimates with their state: filter chains, pairing, engine, findings over the window.

Given the same batches it gives the same estimates, bit for bit, as long as the engine keeps up; when it does not,
``decimation`` says which rows are left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.engines.interface import Engine
from runtime.pipeline.decimation import Decimation
from runtime.pipeline.estimate import Estimate, State
from runtime.pipeline.hum import HumWatch, hum_watch_of
from runtime.pipeline.intake import Batch
from runtime.pipeline.model_input import Features, FilterOf, InputFeatures
from runtime.pipeline.plausibility import PlausibilityWatch
from runtime.pipeline.states import (
    DECIMATED,
    ENGINE,
    LATE,
    UNCALIBRATED,
    WARM_UP,
    Finding,
    FindingWindow,
    Rules,
    Verdict,
)
from toolkit.calibration import Calibration, require_calibration_fits, stages
from toolkit.contract import SensorContract
from toolkit.errors import EdgetoolError
from toolkit.filtering.chain import Chain
from toolkit.plausibility import Doubt
from toolkit.uncertainty import ErrorBars
from toolkit.uncertainty.error_bars import require_error_bars_fit


@dataclass(frozen=True)
class RowEstimate:
    """What :class:`Estimator` gives, not published yet: row ``row`` of the grid since the last restart."""

    row: int
    source_ns: int
    source_error_ms: float
    arrival_ns: int
    verdict: Verdict
    values: tuple[float, ...]
    model: str = ""
    half_widths: tuple[float, ...] = ()
    level: float = 0.0

    def published(
        self, sequence: int, published_ns: int, rules: Rules, run: str = "", mass_kg: float = 0.0
    ) -> Estimate:
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
            self.source_ns + round(rules.stale_ms * 1e6) if usable else published_ns,
            run,
            self.model,
            self.half_widths if verdict.state is State.OK else (),
            self.level if verdict.state is State.OK else 0.0,
            mass_kg,
        )


#: What is doubted of an electrode because its envelope is larger or flatter: hum does both.
_BY_HUM = ("gain", "electrode")
#: When more waits all the time, a row is asked for after this many times as many rows.
_PATIENCE = 4


class Estimator:
    """One model at work. ``clock`` (s) measures what a call costs; pass one that stands still to rule out decimation.

    ``calibration`` is the session's, for a contract that asks for one: without it every estimate is degraded at best
    (``uncalibrated``). ``watch`` judges the rows: what it doubts makes estimates degraded at best, by the doubt's kind, and so
    does mains hum on raw EMG, which needs no watch.
    ``error_bars`` gives estimates that are ok their half widths. ``filter_of`` is for whoever has filtered many recordings at
    once.
    ContractError for one that was made for another model, or for a model that takes none.
    """

    def __init__(
        self,
        contract: SensorContract,
        engine: Engine,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.perf_counter,
        calibration: Calibration | None = None,
        watch: PlausibilityWatch | None = None,
        model: str = "",
        error_bars: ErrorBars | None = None,
        filter_of: FilterOf = Chain.of,
    ) -> None:
        #: Begins the hash of the model's manifest; every estimate carries it.
        self.model = model
        require_calibration_fits(contract, calibration)
        if error_bars is not None:
            require_error_bars_fit(error_bars, contract)
        self.error_bars = error_bars
        self.calibration = calibration
        self.watch = watch
        self.uncalibrated = contract.calibration is not None and calibration is None
        self.contract = contract
        self.engine = engine
        self.stream = engine.has_stream
        self.rules = rules or Rules()
        self._clock = clock
        self._inputs: dict[str, InputFeatures] = {}
        self._hum: dict[str, HumWatch] = {}
        for item in contract.inputs:
            before = () if calibration is None else stages(calibration, item.stream)
            name, rate_hz = item.stream.name, contract.grid_rate_hz
            self._inputs[name] = InputFeatures(item, rate_hz, before, filter_of)
            hum = hum_watch_of(item, before)
            if hum is not None:
                self._hum[name] = hum
        self._window = FindingWindow(contract.window, self.rules, 1e3 / contract.grid_rate_hz)
        self.decimation = Decimation(1.0 / contract.grid_rate_hz, clock)
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
        return "stream" if self.stream and self.decimation.every == 1 else "window"

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What is doubted of sensors and movement now. What hum explains is not told a second time."""
        hum = [doubt for watch in self._hum.values() for doubt in watch.doubts.values()]
        humming = {doubt.sensor for doubt in hum}
        others = () if self.watch is None else self.watch.doubts
        return (
            *hum,
            *(one for one in others if one.sensor not in humming or one.kind not in _BY_HUM),
        )

    def estimate(self, batch: Batch, behind: int = 0) -> list[RowEstimate]:
        """Estimates of the grid rows that ``batch`` completes, in order. ``behind``: batches that wait already."""
        if batch.restart:
            self._reset()
            self._begun = True
        if (
            not self._begun
        ):  # put in place in mid-stream: which rows of two inputs belong together is not known
            return []
        for name, rows in batch.inputs.items():
            self._inputs[name].filter_rows(rows)
            if name in self._hum:
                self._hum[name].append(rows)
        count = min(len(each.features) for each in self._inputs.values())
        if not count:
            return []
        features = {name: each.features[:count] for name, each in self._inputs.items()}
        findings = np.bitwise_or.reduce([each.findings[:count] for each in self._inputs.values()])
        source_s = np.minimum.reduce([each.source_s[:count] for each in self._inputs.values()])
        for each in self._inputs.values():
            each.drop(count)
        self._reconsider()
        if self.watch is not None:
            self.watch.append(features, (findings & Finding.GAP) != 0)
        result = self._rows(batch, features, findings, source_s, behind)
        self._remember(features)
        return result

    def wait_for_restart(self) -> None:
        """Give nothing until a batch begins the rows anew: some have been lost."""
        self._begun = False

    def continue_from(self, other: Estimator) -> bool:
        """Take over another estimator's filters and window, so that nothing is lost; False if contracts or calibrations differ.

        The engine runs once through the features that the window holds.
        """
        self.decimated, self.refused = other.decimated, other.refused
        if (other.contract.hash, _hash(other.calibration)) != (self.contract.hash, _hash(self.calibration)):
            return False
        self._inputs, self._window, self._rings = other._inputs, other._window, other._rings
        self._hum = other._hum
        self._row, self._begun = other._row, other._begun
        if self.stream:
            self.engine.reset()
            self._replay()
        return True

    def _reset(self) -> None:
        for each in self._inputs.values():
            each.reset()
        for hum in self._hum.values():
            hum.reset()
        if self.watch is not None:
            self.watch.reset()
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
        doubted = self._doubted()
        result = []
        for row in range(len(findings)):
            verdict = self._window.append(int(findings[row]))
            for reason in doubted:
                verdict = verdict.and_also(State.DEGRADED, reason)
            self._row += 1
            if self.decimation.every > 1:
                if not self._due(behind):
                    self.decimated += 1
                    continue
                self._asked = self._row
                verdict = verdict.and_also(State.DEGRADED, DECIMATED)
            values, verdict = self._call(windows, held + row + 1, verdict)
            source_ns = round(float(source_s[row]) * 1e9) if math.isfinite(source_s[row]) else 0
            error_ms = batch.error_s * 1e3
            result.append(
                RowEstimate(
                    self._row - 1,
                    source_ns,
                    error_ms,
                    batch.arrival_ns,
                    verdict,
                    values,
                    self.model,
                    *self._interval(values, verdict),
                )
            )
        return result

    def _interval(self, values: tuple[float, ...], verdict: Verdict) -> tuple[tuple[float, ...], float]:
        """Half widths and their level; none where the state is not ok: what is doubted is beyond what was measured."""
        if self.error_bars is None or verdict.state is not State.OK:
            return (), 0.0
        return tuple(
            self.error_bars.half_widths(np.array(values, np.float32)).tolist()
        ), self.error_bars.level

    def _doubted(self) -> tuple[str, ...]:
        """What holds of every row now, whatever it rests on."""
        known = (UNCALIBRATED,) if self.uncalibrated else ()
        return tuple(dict.fromkeys((*known, *(doubt.kind for doubt in self.doubts))))

    def _due(self, behind: int) -> bool:
        """Decimated: whether this row is asked for. What waits comes first, so that the row is not old when it is done."""
        since = self._row - self._asked
        return since >= (self.decimation.every if not behind else _PATIENCE * self.decimation.every)

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
            return self._begin_anew(verdict)
        cost_s = self._clock() - began
        self.costs_s.append(cost_s)
        self.decimation.took(cost_s)
        values = tuple(moments.tolist())
        if not all(map(math.isfinite, values)):  # and what a stream carries on is not finite either
            return self._begin_anew(verdict)
        return values, verdict

    def _begin_anew(self, verdict: Verdict) -> tuple[tuple[float, ...], Verdict]:
        """The engine gave nothing of use for this row: none is published, and its stream begins with the next."""
        self.refused += 1
        if self.stream:
            self.engine.reset()
        self._window.reset()
        return (), verdict.and_also(State.INVALID, ENGINE)

    def _remember(self, features: Mapping[str, Features]) -> None:
        for name, rows in features.items():
            self._rings[name] = np.concatenate([self._rings[name], rows])[-self.engine.rows :]

    def _reconsider(self) -> None:
        """Between two batches: is the engine too slow for its rows, or fast enough again."""
        full = len(next(iter(self._rings.values()))) == self.engine.rows
        if self.decimation.overloaded and full:
            began = self._clock()
            self.engine.window(self._rings)
            self.decimation.choose(
                max(self._clock() - began, self.decimation.cost_s if self.graph == "window" else 0.0)
            )
        elif self.decimation.may_try and full:
            self._replay_if_fast()

    def _replay_if_fast(self) -> None:
        """Go back to every row if a call is fast enough; a stream begins with the rows that the window holds."""
        began = self._clock()
        if self.stream:
            self.engine.reset()
            self.engine.step({name: rows[0] for name, rows in self._rings.items()})
        else:
            self.engine.window(self._rings)
        if not self.decimation.fits(self._clock() - began):
            self.decimation.wait()
            return
        self.decimation.relax()
        if self.stream:
            self.engine.reset()
            self._replay()

    def _replay(self) -> None:
        for row in range(len(next(iter(self._rings.values())))):
            self.engine.step({name: rows[row] for name, rows in self._rings.items()})


def _hash(calibration: Calibration | None) -> str:
    return "" if calibration is None else calibration.hash
