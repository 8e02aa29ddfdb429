"""Mains hum in the run flow: named by electrode and size, counted by what it does to the model, gone with a notch."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from runtime.pipeline.hum import MATTERS, HumWatch, hum_watch_of
from runtime.pipeline.input_from import InputFrom, require_inputs_fit
from runtime.pipeline.intake import InputRows
from runtime.pipeline.states import Finding
from runtime.status.metrics import Metrics
from runtime.status.pi_health import PiHealth
from tests.runtime.daemon.harness import Running, settings
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.errors import ContractError, UsageError
from toolkit.filtering.design import default_filters
from toolkit.filtering.mains import notch

RATE_HZ = 1000.0


def _item(unit: str = "mV", rate_hz: float = RATE_HZ) -> ModelInput:
    """Two electrodes whose features have a standard deviation of 0.05 mV of rectified EMG."""
    stream = StreamSpec("emg", rate_hz, (Channel("soleus", unit), Channel("tib_ant", unit)))
    filters = default_filters(stream, 100.0, [])
    return ModelInput(stream, filters, Normaliser((0.0, 0.0), (0.05, 0.05)))


def _emg(seconds: int, hum: float, noise: float = 0.1) -> np.ndarray:
    """Bursts of noise twice a second on both, of ``noise`` mV, and a line of 50 Hz of amplitude ``hum`` on the second."""
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    rng = np.random.default_rng(0)
    burst = noise * (0.2 + 1.0 * (np.sin(2 * np.pi * 2 * times_s) > 0.5))
    samples = rng.normal(size=(len(times_s), 2)) * burst[:, None]
    samples[:, 1] += hum * np.sin(2 * np.pi * 50.0 * times_s)
    return samples.astype(np.float32)


def _seen(watch: HumWatch, samples: np.ndarray, findings: int = 0) -> None:
    for first in range(0, len(samples), 130):
        part = samples[first : first + 130]
        flags = np.full(len(part), findings, np.uint8)
        watch.append(InputRows(first, part, flags, np.zeros(len(part))))


def _watch(item: ModelInput | None = None) -> HumWatch:
    watch = hum_watch_of(item or _item())
    assert watch is not None
    return watch


def test_it_names_the_electrode_the_size_and_what_to_do() -> None:
    """0.1 mV on one electrode, for 6 s; then it is gone, and so is the doubt."""
    watch = _watch()
    _seen(watch, _emg(6, 0.0))
    assert not watch.doubts
    _seen(watch, _emg(6, 0.1))
    (doubt,) = watch.doubts.values()
    assert (doubt.kind, doubt.sensor) == ("hum", "tib_ant")
    assert doubt.size == pytest.approx(0.1, rel=0.1)
    assert doubt.text == (
        f"electrode tib_ant: mains hum of {doubt.size:.2g} mV at 50 Hz: check its contact and cable, or set notch_hz = 50 in "
        "[inputs.emg]"
    )
    watch.reset()
    assert watch.doubts  # rows that begin anew say nothing of an electrode
    _seen(watch, _emg(6, 0.0))
    assert not watch.doubts


def test_it_counts_by_what_it_does_to_the_model() -> None:
    """A line of amplitude a is a / 0.05 * 2 / pi of a feature's deviation: doubted above 0.3 of it, kept down to 0.15."""
    limit = MATTERS * 0.05 * np.pi / 2
    for size, doubted in ((0.8 * limit, False), (1.3 * limit, True)):
        watch = _watch()
        _seen(watch, _emg(6, size, 0.02))
        assert bool(watch.doubts) is doubted, size
    _seen(watch, _emg(6, 0.8 * limit, 0.02))
    assert watch.doubts
    _seen(watch, _emg(6, 0.3 * limit, 0.02))
    assert not watch.doubts


def test_a_model_with_a_notch_is_not_troubled() -> None:
    """The line is there, and nothing of it reaches the model."""
    item = _item()
    watch = _watch(replace(item, filters=(notch(50, RATE_HZ), *item.filters)))
    _seen(watch, _emg(6, 0.2))
    assert not watch.doubts


def test_rows_that_were_not_measured_say_nothing() -> None:
    """A spectrum of filled gaps is none; NaN and overflow do not spoil what comes after."""
    watch = _watch()
    _seen(watch, _emg(6, 0.1), int(Finding.GAP))
    assert not watch.doubts
    _seen(watch, np.full((3000, 2), np.nan, np.float32))
    _seen(watch, _emg(8, 0.1))
    assert list(watch.doubts) == ["tib_ant"]


def test_only_raw_emg_is_watched() -> None:
    """Not an envelope, not an IMU, and not what is sampled too slowly."""
    assert hum_watch_of(_item("1")) is None
    assert hum_watch_of(_item("rad/s")) is None
    slow = StreamSpec("emg", 100.0, (Channel("soleus", "mV"),))
    assert hum_watch_of(ModelInput(slow, (), Normaliser((0.0,), (1.0,)))) is None


def test_a_notch_that_cannot_be_is_refused_in_one_line() -> None:
    """Another frequency, an input that is no raw EMG, a rate that is too low."""
    with pytest.raises(UsageError, match="notch_hz is 55; it must be the mains' frequency, 50 or 60"):
        InputFrom(("emg",), notch_hz=55)

    def refused(item: ModelInput, message: str) -> None:
        contract = SensorContract((item,), 100.0, 10, (Channel("knee", "Nm/kg"),))
        with pytest.raises(ContractError, match=message):
            require_inputs_fit(contract, {"emg": InputFrom(("emg",), notch_hz=50)})

    refused(_item("1"), r"inputs.emg.notch_hz is for raw EMG, in V, mV, uV; the model's emg is in 1")
    slow = StreamSpec("emg", 100.0, (Channel("soleus", "mV"),))
    refused(ModelInput(slow, (), Normaliser((0.0,), (1.0,))), "inputs.emg: a notch at 50 Hz needs a rate")


def _run(url: str, **more: InputFrom) -> Running:
    running = Running(settings(url, inputs=more))
    asyncio.run(running.daemon.run())
    return running


def test_the_daemon_says_so_and_a_notch_mends_it() -> None:
    """0.2 mV from 6 s on, on all nine electrodes, with the shipped model: degraded within 5 s, ok again with a notch."""
    url = "sim://synthetic?speed=max&seconds=14&hum_mv=0.2&hum_s=6"
    running = _run(url)
    first_s = next(e.source_ns * 1e-9 for e in running.estimates if "hum" in e.reasons)
    assert 6.0 < first_s < 11.0
    after = [e for e in running.estimates if e.source_ns * 1e-9 > 11.0]
    assert all(e.state.value == "degraded" and e.reasons == ("hum",) for e in after) and len(after) > 250
    status = running.daemon.status()
    assert [finding.kind for finding in status.findings] == ["hum"] * 9
    assert [sensor.name for sensor in status.sensors] == [f.sensors[0] for f in status.findings]
    assert "mains hum of 0.2" in status.findings[0].text
    metrics = Metrics(lambda: status, lambda: PiHealth({}, None)).text().decode()
    assert 'edgetool_sensor_doubted{kind="hum",sensor="soleus"} 1.0' in metrics
    mended = _run(url, emg=InputFrom(("emg",), notch_hz=50))
    late = [e for e in mended.estimates if e.source_ns * 1e-9 > 8.0]
    assert {e.state.value for e in late} == {"ok"} and not mended.daemon.status().findings
