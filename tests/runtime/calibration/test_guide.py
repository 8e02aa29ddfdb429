"""A guided calibration with virtual nodes: each step judged as it is done, and the estimator's core with its result."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import numpy as np
import pytest

from firmware_bridge.items import Item
from firmware_bridge.simulator.faults import Faults
from firmware_bridge.simulator.virtual_link import VirtualLink
from firmware_bridge.simulator.virtual_node import Programme, VirtualNode
from firmware_bridge.sources.base import Source, SourceUrl
from runtime.calibration.guide import Guide, Progress, Wanted
from runtime.calibration.live import calibrate_sources
from runtime.pipeline.estimate import State
from runtime.pipeline.estimator import Estimator
from runtime.pipeline.intake import Batch, InputRows, Intake
from runtime.pipeline.pipeline import Pipeline, still
from tests.runtime.pipeline.harness import SumEngine
from toolkit.calibration import Calibration, fit_reference
from toolkit.contract import SensorContract
from toolkit.data import load
from toolkit.data.channels import SEGMENTS
from toolkit.data.worn import after_a_stand, amplified, random_rotation, turned
from toolkit.errors import ContractError, RecordingError
from toolkit.model import load_checkpoint
from toolkit.records import Recording

STEP_S = 0.005


class Played(Source):
    """One virtual node that plays a recording as fast as it is read."""

    def __init__(self, recording: Recording, faults: Faults | None = None) -> None:
        super().__init__(SourceUrl.parse("sim://played"))
        self._node = VirtualNode(Programme.of(recording, "wearer"), 0, faults or Faults(), 0)
        first = next(iter(recording.signals.values()))
        self._seconds = first.duration_s

    @property
    def links(self) -> tuple[str, ...]:
        return ("played",)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aiter__(self) -> AsyncIterator[Item]:
        link = VirtualLink(self._node, 0)
        for step in range(round(self._seconds / STEP_S)):
            for item in link.advance(step * STEP_S):
                yield item


@pytest.fixture(scope="module")
def contract() -> SensorContract:
    """The shipped model's, asking for a calibration on people of the same kind."""
    reference = fit_reference(load("synthetic:people=5,seed=5,tasks=level"))
    return dataclasses.replace(load_checkpoint("pretrained").contract, calibration=reference.to_json())


@pytest.fixture(scope="module")
def walk() -> Recording:
    """Somebody whom the reference does not know."""
    return load("synthetic:people=7,seed=5,tasks=level,seconds=15")[-1]


def session(walk: Recording, seed: int) -> Recording:
    """A stand and a walk with sensors put on anyhow."""
    rng = np.random.default_rng(seed)
    emg = walk.signals["emg"].spec.channel_names
    worn = turned(walk, {segment: random_rotation(rng) for segment in SEGMENTS})
    worn = amplified(worn, {name: float(rng.uniform(0.3, 3.0)) for name in emg})
    return after_a_stand(worn, 5.0, rng)


def calibrated(
    contract: SensorContract, played: Recording, wanted: Wanted | None = None
) -> tuple[Calibration, list[Progress]]:
    told: list[Progress] = []
    found = asyncio.run(
        calibrate_sources(contract, Played(played), person="p7", wanted=wanted, show=told.append)
    )
    return found, told


def estimates(contract: SensorContract, played: Recording, calibration: Calibration | None) -> np.ndarray:
    """Sums of the features of every row (the engine's joint moment), from the stand on."""
    pipeline = Pipeline(Intake(contract), Estimator(contract, SumEngine(contract), None, still, calibration))

    async def run() -> list[float]:
        rows = []
        async for item in Played(played):
            rows += [one for one in pipeline.process(item) if one.values]
        for one in rows:
            states.add((one.verdict.state, one.verdict.reasons))
        return [one.values[0] for one in rows]

    states: set[object] = set()
    values = np.array(asyncio.run(run()))
    calibration_said = any("uncalibrated" in reasons for _, reasons in states)  # type: ignore[misc]
    assert calibration_said == (calibration is None)
    if calibration is None:
        assert all(state is not State.OK for state, _ in states)  # type: ignore[misc]
    return values


def test_a_stand_and_a_walk_are_asked_for_and_found(contract: SensorContract, walk: Recording) -> None:
    found, told = calibrated(contract, session(walk, 1))
    assert told[0].step == "stand" and {one.step for one in told} == {"stand", "walk", "done"}
    assert told[-1] == Progress("done", 1.0)
    assert found.verdict in ("good", "doubtful") and found.strides >= 10 and found.person == "p7"
    assert found.nodes == {"imu/imu": "wearer", "emg/emg": "wearer"}
    for imu in found.imus:
        # The stand has noise of 0.005 rad/s and no bias: the mean of 3 s at 200 Hz is within 0.002.
        np.testing.assert_allclose(imu.bias, 0.0, atol=0.002)
        assert imu.gravity_residual == pytest.approx(0.0, abs=0.01)


def test_what_the_model_sees_does_not_depend_on_how_sensors_are_worn(
    contract: SensorContract, walk: Recording
) -> None:
    """Two sessions of one walk, sensors put on anyhow in each: once calibrated, the features are the same."""
    seen = []
    for seed in (2, 3):
        played = session(walk, seed)
        seen.append(estimates(contract, played, calibrated(contract, played)[0]))
    rows = min(map(len, seen))
    walking = slice(600, rows)
    difference = np.abs(seen[0][walking] - seen[1][walking])
    # int16 of the sensors' ranges: 33 features, each within a few thousandths of its deviation; their sum within 0.5 of
    # its own deviation of about 10.
    assert np.std(seen[0][walking]) > 4
    assert np.percentile(difference, 99) < 0.5


def test_without_a_calibration_nothing_is_ok(contract: SensorContract, walk: Recording) -> None:
    assert len(estimates(contract, walk, None)) > 1000


def test_a_calibration_for_another_model_is_refused(contract: SensorContract, walk: Recording) -> None:
    found, _ = calibrated(contract, session(walk, 4))
    other = dataclasses.replace(
        contract, calibration=fit_reference(load("synthetic:people=3,seed=9,tasks=level")).to_json()
    )
    with pytest.raises(ContractError, match="was made for another model"):
        Estimator(other, SumEngine(other), None, still, found)
    plain = dataclasses.replace(contract, calibration=None)
    with pytest.raises(ContractError, match="takes sensors as they are worn"):
        Estimator(plain, SumEngine(plain), None, still, found)


def test_who_does_not_stand_still_is_told_so_until_the_time_is_up(
    contract: SensorContract, walk: Recording
) -> None:
    told: list[Progress] = []
    with pytest.raises(
        RecordingError, match=r"step stand: not done after 6 s \(the \w+ moved while standing"
    ):
        asyncio.run(calibrate_sources(contract, Played(walk), wanted=Wanted(limit_s=6.0), show=told.append))
    assert all(one.step == "stand" for one in told)
    assert any("moved while standing" in one.trouble for one in told)


def test_a_sensor_that_does_not_read_1_g_is_told_of_at_once(
    contract: SensorContract, walk: Recording
) -> None:
    played = after_a_stand(walk, 5.0, np.random.default_rng(0))
    imu = played.signals["imu"]
    samples = np.array(imu.samples)
    samples[:, 6:9] *= 1.1  # the shank's scale is wrong by a tenth
    spoilt = dataclasses.replace(
        played, signals={**played.signals, "imu": dataclasses.replace(imu, samples=samples)}
    )
    told: list[Progress] = []
    with pytest.raises(RecordingError, match="step stand: not done after 5 s"):
        asyncio.run(calibrate_sources(contract, Played(spoilt), wanted=Wanted(limit_s=5.0), show=told.append))
    assert any(one.trouble.startswith("shank IMU: at rest its accelerometer reads +0.9") for one in told)


def test_other_nodes_than_those_calibrated_are_not_taken(contract: SensorContract, walk: Recording) -> None:
    """Where another node sits is not known: one line that names both, and no rows."""
    for nodes, message in (
        ({"imu/imu": "wearer", "emg/emg": "wearer"}, None),
        (
            {"imu/imu": "Ada's", "emg/emg": "wearer"},
            "input imu comes from node 'wearer' and was calibrated with node \"Ada's\": use that node, or calibrate again",
        ),
    ):
        intake = Intake(contract, calibrated=lambda nodes=nodes: nodes)  # type: ignore[misc]
        batches = 0

        async def run(intake: Intake = intake) -> int:
            found = 0
            async for item in Played(walk):
                found += intake.decode(item) is not None
                if found or intake.trouble:
                    break
            return found

        batches = asyncio.run(run())
        assert (batches > 0) == (message is None)
        assert intake.trouble is None if message is None else message in str(intake.trouble)


def test_a_calibration_that_is_loaded_later_says_which_nodes_are_taken(
    contract: SensorContract, walk: Recording
) -> None:
    """Nodes describe themselves as before: what was refused is looked at again, and so is what was taken."""
    nodes = {"imu/imu": "Ada's"}
    intake = Intake(contract, calibrated=lambda: nodes)
    batches: list[int] = []

    async def run() -> None:
        async for item in Played(walk):
            batch = intake.decode(item)
            if intake.trouble is not None and not batches:
                nodes["imu/imu"] = "wearer"
                intake.choose_streams_again()
                assert intake.trouble is None
            if batch is not None:
                batches.append(batch.inputs["imu"].first if "imu" in batch.inputs else 0)
            if len(batches) == 20:
                break

    asyncio.run(run())
    assert len(batches) == 20 and batches[0] == 0
    nodes["imu/imu"] = "Ada's"
    intake.choose_streams_again()
    assert 'was calibrated with node "Ada\'s"' in str(intake.trouble) and intake.streams() == []


def test_who_does_not_walk_is_told_so(contract: SensorContract, walk: Recording) -> None:
    still_standing = after_a_stand(walk, 25.0, np.random.default_rng(0))
    signals = {
        name: dataclasses.replace(signal, samples=signal.samples[: round(25 * signal.spec.rate_hz)])
        for name, signal in still_standing.signals.items()
    }
    told: list[Progress] = []
    with pytest.raises(RecordingError, match="step walk: not done after 10 s"):
        asyncio.run(
            calibrate_sources(
                contract,
                Played(dataclasses.replace(still_standing, signals=signals)),
                wanted=Wanted(limit_s=10.0),
                show=told.append,
            )
        )
    assert "no regular strides yet: walk straight ahead at a steady pace" in {one.trouble for one in told}


def test_samples_that_are_missing_are_walked_again(contract: SensorContract, walk: Recording) -> None:
    told: list[Progress] = []
    with pytest.raises(RecordingError, match="the sources ended too early"):
        asyncio.run(
            calibrate_sources(
                contract,
                Played(session(walk, 5), Faults.parse({"drop": "0.1"})),
                show=told.append,
            )
        )
    assert any("of the samples were missing: walk again" in one.trouble for one in told)


def test_a_model_that_takes_sensors_as_they_are_worn_says_so(walk: Recording) -> None:
    plain = load_checkpoint("pretrained").contract
    with pytest.raises(ContractError, match="it was trained without calibration"):
        asyncio.run(calibrate_sources(plain, Played(walk)))


def test_who_goes_on_standing_before_the_walk_has_the_gains_of_the_walk(
    contract: SensorContract, walk: Recording
) -> None:
    """The same walk after 4 s and after 14 s of standing: 3 s are taken for the stand, the rest belongs to no walk."""
    gains = []
    for stand_s in (4.0, 14.0):
        played = after_a_stand(walk, stand_s, np.random.default_rng(7))
        found, _ = calibrated(contract, played)
        assert not found.refused
        gains.append([one.gain for one in found.channels])
    # Which of the first steps are strides may differ by one of ten.
    np.testing.assert_allclose(gains[1], gains[0], rtol=0.05)


def test_the_walk_has_all_streams_from_one_moment(contract: SensorContract, walk: Recording) -> None:
    """The stand ends with a packet of one stream; of the other some rows of that time are still to come. Signals that count
    their own rows say afterwards what was taken at the same time."""
    guide = Guide(contract, Wanted(strides=5))
    rate = {item.stream.name: item.stream.rate_hz for item in contract.inputs}
    counted = after_a_stand(walk, 5.0, np.random.default_rng(1))
    row = dict.fromkeys(rate, 0)
    for step in range(1, 900):
        for name, lag_s in (("imu", 0.0), ("emg", 0.017)):
            stop = max(round((step * 0.02 - lag_s) * rate[name]), row[name])
            values = np.asarray(counted.signals[name].samples[row[name] : stop], np.float32)
            if not len(values):
                continue
            if name == "emg":
                values[:, 0] = np.arange(row[name], stop) / rate[name]
            else:
                values[:, -1] = (
                    np.arange(row[name], stop) / rate[name] * 1e-6
                )  # small: nobody turns because of it
            rows = InputRows(row[name], values, np.zeros(len(values), np.uint8), np.zeros(len(values)))
            row[name] = stop
            guide.take(Batch(0, step == 1 and name == "imu", {name: rows}, 0.0))
        if guide.step == "done":
            break
    signals = guide._walked()
    begins_s = [signals["imu"].samples[0, -1] * 1e6, signals["emg"].samples[0, 0]]
    assert begins_s[1] == pytest.approx(begins_s[0], abs=0.5 / rate["imu"] + 1e-3)
    assert begins_s[0] > 4.0
