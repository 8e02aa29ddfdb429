"""A small report whose figures are known: two tasks, two joints, sines as moments, engines off by a set amount."""

from __future__ import annotations

import numpy as np

from benchmarks.budgets import check
from benchmarks.evaluation.accuracy import Reference, judge
from benchmarks.evaluation.gait_cycles import group
from benchmarks.evaluation.latency import summarise
from benchmarks.evaluation.windows import Evaluation
from benchmarks.records import (
    Measured,
    Report,
    Run,
    Size,
    Skipped,
)
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.records import Recording, Signal, Windows

SPEC = StreamSpec("imu", 100.0, (Channel("shank_gyro_x", "rad/s"),))
CONTRACT = SensorContract(
    (ModelInput(SPEC, (), Normaliser((0.0,), (1.0,))),),
    100.0,
    4,
    (Channel("hip_flexion_moment", "Nm/kg"), Channel("knee_extension_moment", "Nm/kg")),
)
TASKS = ("level", "stairs-up")


def small_report(
    *, int8_off: float = 0.02, max_rmse_increase: float | None = None, max_p99_us: float | None = None
) -> Report:
    """Float is off by 0.1 Nm/kg, with the sign turning every window; int8 by ``int8_off`` more."""
    data = _evaluation()
    count = len(data.windows)
    sign = np.where(np.arange(count) % 2, 1.0, -1.0)[:, None]
    truth = data.windows.targets.astype(np.float64)
    rows = [
        _measured("torch", "float32", truth + 0.1 * sign, 1000),
        _measured("litert", "float32", truth + 0.1 * sign, 500),
        _measured("litert", "int8", truth + (0.1 + int8_off) * sign, 2000),
        _measured("tflm", "int8", truth + (0.1 + int8_off) * sign, 9000),
    ]
    reference = Reference(
        data.joints, truth, rows[0].estimates.astype(np.float64), data.task, data.units, seed=0
    )
    runs = tuple(Run(row, judge(reference, row.estimates)) for row in rows)
    return Report(
        bundle={
            "name": "<bundle>",
            "checkpoint_hash": "0" * 64,
            "contract_hash": CONTRACT.hash,
            "graphs": [],
        },
        data=data,
        runs=runs,
        skipped=(Skipped("host", "tflm", "window", "float32", "only int8 graphs are run"),),
        budgets=check(runs, max_rmse_increase, max_p99_us),
        machine={"processor": "none", "architecture": "none", "cores": 1, "system": "none", "python": "3"},
        threads=1,
        seed=0,
        command="edgetool bench bundle --data synthetic",
    )


def _evaluation() -> Evaluation:
    time_s = np.arange(500) / 100.0
    strikes = tuple(float(v) for v in range(6))
    recordings = tuple(
        Recording(
            task,
            "one",
            task,
            "synthetic",
            70.0,
            {"imu": Signal(SPEC, 0.0, np.zeros((500, 1)))},
            heel_strikes_s=strikes,
        )
        for task in TASKS
    )
    moments = np.stack([np.sin(2 * np.pi * time_s), 2 * np.cos(2 * np.pi * time_s)], axis=1)
    windows = Windows(
        {"imu": np.zeros((1000, 4, 1), np.float32)},
        np.concatenate([moments, moments]).astype(np.float32),
        np.repeat(np.arange(2, dtype=np.int32), 500),
        np.concatenate([time_s, time_s]),
        recordings,
    )
    return Evaluation(CONTRACT, (), windows, group(windows), 1000, "test", "synthetic")


def _measured(engine: str, scheme: str, moments: np.ndarray, base_us: int) -> Measured:
    times = [1000 * (base_us + i) for i in range(100)]
    return Measured(
        "host",
        engine,
        "window",
        scheme,
        "1.0",
        "made up for a test",
        moments.astype(np.float32),
        summarise(times, 100.0),
        Size(100_000, 40_000 if engine == "tflm" else None),
        judged_latency=engine != "tflm",
    )
