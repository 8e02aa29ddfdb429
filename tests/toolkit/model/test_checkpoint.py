"""The checkpoint file: what it holds, that it is the same every time, and every file that is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from toolkit.errors import CheckpointError, OutputError
from toolkit.model import load_checkpoint, pretrained, resolve_checkpoint
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

SMALL = ModelConfig(imu_channels=2, emg_channels=1, window=4, hidden=2, head_hidden=3, outputs=("knee",))


@pytest.fixture
def small() -> Checkpoint:
    return Checkpoint.random(SMALL, 7)


def test_a_saved_file_reads_back_the_same(small: Checkpoint, tmp_path: Path) -> None:
    whole = dataclasses.replace(small, split={"kind": "chronological"}, provenance={"seed": 3, "who": "é"})
    whole.save(tmp_path / "model.safetensors")
    read = Checkpoint.load(tmp_path / "model.safetensors")
    assert read.config == SMALL
    assert read.contract == small.contract
    assert read.split == {"kind": "chronological"} and read.provenance == {"seed": 3, "who": "é"}
    for name, value in small.weights.items():
        assert read.weights[name].dtype == np.float32
        assert np.array_equal(read.weights[name], value)
    assert read.hash == whole.hash != small.hash


def test_bytes_are_the_same_in_another_process(small: Checkpoint) -> None:
    # safetensors keeps metadata in a map of random order; several entries would come out differently each time.
    code = (
        "from toolkit.model.checkpoint import Checkpoint; from toolkit.model.config import ModelConfig;"
        f"print(Checkpoint.random(ModelConfig.from_json({SMALL.to_json()!r}), 7).hash)"
    )
    hashes = {subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(2)}
    assert hashes == {small.hash}


def test_loading_imports_no_torch(small: Checkpoint, tmp_path: Path) -> None:
    small.save(tmp_path / "m.safetensors")
    code = (
        "import sys; from toolkit.model import load_checkpoint, float_reference;"
        f"load_checkpoint({str(tmp_path / 'm.safetensors')!r}); print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False False"


def test_float16_values_are_stored_in_half_the_space_and_lose_nothing(small: Checkpoint) -> None:
    rounded = {n: w.astype(np.float16).astype(np.float32) for n, w in small.weights.items()}
    half = dataclasses.replace(small, weights=rounded)
    assert len(small.to_bytes()) - len(half.to_bytes()) >= 2 * SMALL.parameter_count
    read = Checkpoint.from_bytes(half.to_bytes())
    assert all(np.array_equal(read.weights[n], rounded[n]) for n in rounded)


def test_weights_cannot_be_changed(small: Checkpoint) -> None:
    with pytest.raises(ValueError, match="read-only"):
        small.weights["head.output.bias"][0] = 1
    with pytest.raises(TypeError):
        small.weights["x"] = np.zeros(1)  # type: ignore[index]


def test_pickles_of_our_own_record_survive_worker_processes(small: Checkpoint) -> None:
    assert pickle.loads(pickle.dumps(small)).hash == small.hash  # noqa: S301 - our own object, as multiprocessing does


def weights_with(checkpoint: Checkpoint, name: str, value: Any) -> dict[str, Any]:
    return {**checkpoint.weights, name: value}


def test_wrong_weights_are_refused(small: Checkpoint) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (
            weights_with(small, "head.output.bias", np.zeros(2)),
            "head.output.bias has shape [2]; the config needs [1]",
        ),
        (weights_with(small, "head.output.bias", np.array([1])), "is int64; weights must be floating point"),
        (weights_with(small, "head.output.bias", np.array([np.nan])), "1 values that are NaN or infinite"),
        (weights_with(small, "head.output.bias", np.array([np.inf])), "NaN or infinite"),
        (weights_with(small, "tail", np.zeros(1)), "missing nothing, not expected tail"),
        (
            {n: w for n, w in small.weights.items() if ".norm." not in n},
            "missing imu.norm.weight, imu.norm.bias",
        ),
    ]
    for weights, says in cases:
        with pytest.raises(CheckpointError) as caught:
            dataclasses.replace(small, weights=weights)
        assert says in str(caught.value)


def test_a_contract_of_another_model_is_refused(small: Checkpoint) -> None:
    other = Checkpoint.random(dataclasses.replace(SMALL, emg_channels=3), 0)
    with pytest.raises(CheckpointError, match="emg_channels is 3 in the contract and 1 in the config"):
        dataclasses.replace(small, contract=other.contract)


def test_provenance_must_be_plain_json(small: Checkpoint) -> None:
    with pytest.raises(OutputError, match="not plain JSON"):
        dataclasses.replace(small, provenance={"x": float("nan")}).to_bytes()


class Malicious:
    """Its pickle would create a file when opened carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_and_never_run(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Malicious(marker), protocol=protocol))
    with pytest.raises(CheckpointError, match=r"looks like a PyTorch pickle.*not opened.*--key-map FILE"):
        Checkpoint.load(tmp_path / "model.pt")
    assert not marker.exists()


def edited(checkpoint: Checkpoint, change: dict[str, Any]) -> bytes:
    """The file with some keys of its JSON replaced (None removes one)."""
    document = {
        "format": 1,
        "config": checkpoint.config.to_json(),
        "contract": checkpoint.contract.to_json(),
        "split": None,
        "provenance": {},
        **change,
    }
    document = {key: value for key, value in document.items() if value != "removed"}
    return bytes(save(dict(checkpoint.weights), metadata={"edgetool": json.dumps(document)}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "has checkpoint format 2; this version reads format 1"),
        ({"config": "removed"}, "its metadata has no 'config'"),
        ({"config": []}, "model config is list"),
        ({"contract": {}}, "not a sensor contract"),
        ({"provenance": 5}, "its metadata is damaged"),
    ],
)
def test_damaged_metadata_is_refused(small: Checkpoint, change: dict[str, Any], says: str) -> None:
    assert Checkpoint.from_bytes(edited(small, {})).hash == small_without_provenance(small)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.from_bytes(edited(small, change), "model.safetensors")
    assert says in str(caught.value) and str(caught.value).startswith("model.safetensors")


def small_without_provenance(checkpoint: Checkpoint) -> str:
    return dataclasses.replace(checkpoint, provenance={}).hash


def test_files_of_other_kinds_are_named(small: Checkpoint, tmp_path: Path) -> None:
    content = small.to_bytes()
    cases = {
        b"": "is not an edgetool checkpoint",
        b"hello, world, this is text": "is not an edgetool checkpoint",
        content[:200]: "is not an edgetool checkpoint",
        content[:-1]: "may be truncated",
        b"\x1c\0\0\0TFL3" + bytes(64): "is a .tflite model",
        b"PK\x03\x04" + bytes(64): "looks like a PyTorch pickle",
        bytes(save({"a": np.zeros(2, np.float32)})): "without edgetool's metadata",
        bytes(save({"count": np.zeros(1, np.int64)})): "edgetool convert --key-map FILE",
        bytes(
            save({"a": np.zeros(2)}, metadata={"edgetool": "{}"})
        ): "stored as F64; a checkpoint holds F32 or F16",
        bytes(save({"a": np.zeros(2, np.float32)}, metadata={"edgetool": "{"})): "metadata is not JSON",
    }
    for wrong, says in cases.items():
        path = tmp_path / "file"
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError) as caught:
            Checkpoint.load(path)
        assert says in str(caught.value) and str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_flipped_byte_never_escapes_as_another_error(small: Checkpoint) -> None:
    content = small.to_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= int(generator.integers(1, 256))
        try:
            Checkpoint.from_bytes(bytes(damaged))
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_resolving_a_checkpoint_argument(tmp_path: Path) -> None:
    assert resolve_checkpoint("pretrained") == pretrained()
    for wrong in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError, match="checkpoint"):
            resolve_checkpoint(wrong)


def test_the_shipped_checkpoint_is_small_and_says_how_good_it_is() -> None:
    assert pretrained().stat().st_size < 300_000
    shipped = load_checkpoint("pretrained")
    assert shipped.config == ModelConfig()
    assert shipped.provenance["data"]["kinds"] == ["synthetic"]
    assert shipped.split is not None and shipped.split["kind"] == "by-subject"
    # Cell states must stay within what int8 LSTM kernels hold in Q3.12.
    assert shipped.provenance["largest_cell"] < 8
    for scores in shipped.provenance["metrics"]["test"]["per_joint"].values():
        assert scores["r2"] > 0.8
