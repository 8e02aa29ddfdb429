"""Twenty seeds of sets whose truth is known: does each method rank the channel that carries all first, and noise nowhere?

python -m benchmarks.studies.explain_truth
"""

from __future__ import annotations

import numpy as np

from benchmarks.learning.explain import METHODS, explain_person, thinned, whole
from toolkit.contract import Channel, StreamSpec
from toolkit.learning.importance import sensors
from toolkit.learning.settings import Settings
from toolkit.learning.train import train
from toolkit.records import Recording, Signal

SEEDS = 20
RATE_HZ = 50.0
#: What carries all of the moment; of "imu_b" noise is drawn, and of the stream that does not carry it nothing depends.
CARRIERS = ("imu_a", "emg_a")


def person(name: str, seed: int, carrier: str) -> Recording:
    """12 s of three channels, of which one is noise and one the moment."""
    generator = np.random.default_rng(seed)
    time = np.arange(600) / RATE_HZ
    phase = generator.uniform(0, 2 * np.pi, 2)
    channels = {
        "imu_a": np.sin(5 * time + phase[0]),
        "imu_b": generator.standard_normal(len(time)),
        "emg_a": 0.5 + 0.5 * np.sin(3 * time + phase[1]),
    }
    imu = StreamSpec("imu", RATE_HZ, (Channel("imu_a", "rad/s"), Channel("imu_b", "rad/s")))
    emg = StreamSpec("emg", RATE_HZ, (Channel("emg_a", "1"),))
    moments = StreamSpec("moments", RATE_HZ, (Channel("moment", "Nm/kg"),))
    return Recording(
        name=name,
        person=name,
        task="level",
        kind="synthetic",
        mass_kg=70,
        signals={
            "imu": Signal(imu, 0.0, np.stack([channels["imu_a"], channels["imu_b"]], axis=1)),
            "emg": Signal(emg, 0.0, channels["emg_a"][:, None]),
        },
        moments=Signal(moments, 0.0, channels[carrier][:, None]),
    )


def ranked_right(carrier: str, seed: int) -> dict[str, bool]:
    """By each method: is the carrier first, and above all others by a factor of two?"""
    people = [person(f"p{i}", 100 * seed + i, carrier) for i in range(4)]
    settings = Settings(
        seed=seed, hidden=6, head_hidden=6, window=8, rate_hz=RATE_HZ, batch=32, stride=1, epochs=6
    )
    model = train(people, None, settings).checkpoint
    assert model.split is not None
    names = [group.name for group in sensors(model.contract)]
    (tested,) = model.split["people"]["test"]
    found = explain_person(tested, model, thinned(whole(people, tested, model)), seed)
    result = {}
    for method in METHODS:
        shares = found.shares[method].mean(axis=1)
        others = np.delete(shares, names.index(carrier))
        result[method] = bool(shares[names.index(carrier)] > 2 * others.max())
    return result


def main() -> None:
    """Print how many of the seeds each method gets right."""
    for carrier in CARRIERS:
        found = [ranked_right(carrier, seed) for seed in range(SEEDS)]
        told = ", ".join(f"{method} {sum(one[method] for one in found)} of {SEEDS}" for method in METHODS)
        print(f"{carrier} carries all, imu_b is noise: {told}")


if __name__ == "__main__":
    main()
