"""Do sensors give what a model takes, and what is doubted of them: the daemon's own run flow without its sinks and its service.

For ``edgetool monitor`` and ``edgetool replay``, which look at sensors and recordings with the configuration of the daemon.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from firmware_bridge.items import Recorded
from runtime.daemon.model import load_model
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.intake import Intake
from runtime.pipeline.pipeline import Pipeline, still
from runtime.settings import Settings


class SensorCheck:
    """Takes the items of sources or of a recording; :meth:`to_json` is what is known now. Raises what the daemon would at its
    start: for a bundle that is none, a calibration that does not fit, inputs that the model does not have."""

    def __init__(self, settings: Settings) -> None:
        model = load_model(settings.model)
        contract = model.bundle.contract
        self._hash = model.hash
        self._intake = Intake(
            contract, settings.inputs, settings.alignment, settings.rules, lambda: model.nodes
        )
        estimator = Estimator(
            contract, model.engine, settings.rules, still, model.calibration, model.watch(), model.hash[:12]
        )
        self._pipeline = Pipeline(self._intake, estimator)
        self._state: tuple[str, tuple[str, ...]] = ("", ())
        self._states: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._ever: dict[tuple[str, str], str] = {}

    def observe(self, item: Recorded) -> None:
        """One more item."""
        for estimate in self._pipeline.process(item):
            verdict = estimate.verdict
            self._state = (verdict.state.value, verdict.reasons)
            self._states[verdict.state.value] += 1
            self._reasons.update(verdict.reasons)
        for doubt in self._pipeline.estimator.doubts:
            self._ever[doubt.kind, doubt.sensor] = doubt.text

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: ``state`` and ``reasons`` of the newest estimate (empty before the first), ``trouble`` (why the sensors
        do not fit the model, or None), ``missing`` streams, ``findings`` now and ``found`` ever since, and how many estimates
        had each state and reason."""
        now = self._pipeline.estimator.doubts
        return {
            "model": self._hash[:12],
            "state": self._state[0],
            "reasons": list(self._state[1]),
            "trouble": self._intake.trouble,
            "missing": list(self._intake.missing),
            "findings": [_finding(d.kind, d.sensor, d.text) for d in now],
            "found": [_finding(*key, text) for key, text in self._ever.items()],
            "states": dict(self._states),
            "estimates_by_reason": dict(self._reasons),
        }


def _finding(kind: str, sensor: str, text: str) -> dict[str, str]:
    return {"kind": kind, "sensor": sensor, "text": text}
