"""Model configs: what is allowed, JSON both ways, the weights that follow."""

from __future__ import annotations

import math
from typing import Any

import pytest

from toolkit.errors import CheckpointError, ContractError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig, require_contract_fits, weight_shapes


def test_reference_sizes_have_the_parameter_count_of_their_equations() -> None:
    # LSTM: 4H(in + H) + 4H for 24 and for 9 inputs; attention: 6 projections; 2 norms; two dense layers.
    imu = 256 * (24 + 64) + 256
    emg = 256 * (9 + 64) + 256
    rest = 6 * (64 * 64 + 64) + 2 * 128 + (64 * 128 + 64) + (3 * 64 + 3)
    assert ModelConfig().parameter_count == imu + emg + rest == 75395


def test_shapes_of_a_small_model_in_order() -> None:
    config = ModelConfig(
        imu_channels=2, emg_channels=1, hidden=3, layers=2, norm="none", head_hidden=5, outputs=("a",)
    )
    shapes = weight_shapes(config)
    assert shapes["imu.lstm.0.weight_ih"] == (12, 2)
    assert shapes["emg.lstm.0.weight_ih"] == (12, 1)
    assert shapes["emg.lstm.1.weight_ih"] == (12, 3)
    assert shapes["imu.attention.key.weight"] == (3, 3)
    assert shapes["head.hidden.weight"] == (5, 6)
    assert shapes["head.output.weight"] == (1, 5)
    assert not any("norm" in name for name in shapes)
    assert list(shapes)[:3] == ["imu.lstm.0.weight_ih", "imu.lstm.0.weight_hh", "imu.lstm.0.bias"]


def test_a_model_without_one_stream_asks_itself() -> None:
    config = ModelConfig(imu_channels=24, emg_channels=0)
    assert config.streams == ("imu",) and config.asked_by("imu") == "imu"
    assert ModelConfig().asked_by("imu") == "emg" and ModelConfig().asked_by("emg") == "imu"
    # One LSTM, three projections, one norm, a head over 64 features.
    rest = 3 * (64 * 64 + 64) + 128 + (64 * 64 + 64) + (3 * 64 + 3)
    assert config.parameter_count == 256 * (24 + 64) + 256 + rest
    assert not any(name.startswith("emg") for name in weight_shapes(config))
    checkpoint = Checkpoint.random(config, 0)
    assert [item.stream.name for item in checkpoint.contract.inputs] == ["imu"]
    assert Checkpoint.from_bytes(checkpoint.to_bytes()).hash == checkpoint.hash
    with pytest.raises(ContractError, match="imu_channels is 0 in the contract and 2 in the config"):
        two = ModelConfig(imu_channels=2, emg_channels=1)
        require_contract_fits(two, Checkpoint.random(ModelConfig(imu_channels=0, emg_channels=1), 0).contract)


def test_json_both_ways() -> None:
    config = ModelConfig(hidden=12, heads=3, norm="none", outputs=("knee",), horizon_ms=50)
    assert ModelConfig.from_json(config.to_json()) == config
    assert config.to_json()["outputs"] == ["knee"]
    assert config.horizon_ms == 50.0 and config.head_size == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden": 0}, "hidden is 0; allowed: a whole number, 1 to 1024"),
        ({"hidden": 64.0}, "hidden is 64.0"),
        ({"imu_channels": 0, "emg_channels": 0}, "a model needs a stream"),
        ({"imu_channels": -1}, "imu_channels is -1; allowed: a whole number, 0 to 1024"),
        ({"layers": True}, "layers is True"),
        ({"window": 5000}, "window is 5000"),
        ({"heads": 5}, "5 heads do not divide 64 hidden units"),
        ({"hidden": 1}, "layer norm over 1 hidden unit is a constant"),
        ({"norm": "batch"}, "norm is 'batch'; allowed: layer, none"),
        ({"rate_hz": 0}, "rate must be above 0"),
        ({"rate_hz": math.nan}, "rate_hz is nan"),
        ({"rate_hz": "100"}, "rate_hz is '100'"),
        ({"horizon_ms": -1}, "horizon at least 0"),
        ({"outputs": ()}, "at least one moment"),
        ({"outputs": ("a", "a")}, "twice: a, a"),
    ],
)
def test_what_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ModelConfig(**change)
    assert says in str(caught.value)


def test_json_names_missing_and_unknown_fields() -> None:
    document = ModelConfig().to_json()
    document["colour"] = document.pop("hidden")
    with pytest.raises(CheckpointError, match="missing hidden, unknown colour"):
        ModelConfig.from_json(document)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": 5}, "window is 4 in the contract and 5 in the config"),
        ({"imu_channels": 3}, "imu_channels is 2 in the contract and 3"),
        ({"rate_hz": 50.0}, "rate_hz is 100.0 in the contract and 50.0"),
        ({"horizon_ms": 20.0}, "horizon_ms"),
        ({"outputs": ("x", "y", "z")}, "outputs"),
    ],
)
def test_a_contract_of_another_model_is_refused(change: dict[str, Any], says: str) -> None:
    sizes: dict[str, Any] = {"imu_channels": 2, "emg_channels": 1, "window": 4, "hidden": 2}
    contract = Checkpoint.random(ModelConfig(**sizes), 0).contract
    require_contract_fits(ModelConfig(**sizes), contract)
    with pytest.raises(ContractError) as caught:
        require_contract_fits(ModelConfig(**{**sizes, **change}), contract)
    assert says in str(caught.value)
