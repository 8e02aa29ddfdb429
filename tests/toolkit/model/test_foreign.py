"""Weights of somebody else's PyTorch model, by a key map; files with code in them do not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from toolkit.errors import CheckpointError, ContractError
from toolkit.model import float_reference, load_checkpoint
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig
from toolkit.model.foreign import (
    KeyMap,
    Source,
    import_checkpoint,
    import_state_dict,
)

CONFIG = ModelConfig(
    imu_channels=3, emg_channels=2, window=5, hidden=4, norm="none", head_hidden=6, outputs=("a", "b")
)


class TheirModel(nn.Module):
    """A Cross-LSTM written by somebody else: MultiheadAttention with its output projection, a transposed last
    layer, standardised targets and a parameter that is not needed."""

    def __init__(self) -> None:
        super().__init__()
        self.motion = nn.LSTM(3, 4, batch_first=True)
        self.muscle = nn.LSTM(2, 4, batch_first=True)
        self.ask_muscle = nn.MultiheadAttention(4, 1, batch_first=True)
        self.ask_motion = nn.MultiheadAttention(4, 1, batch_first=True)
        self.mix = nn.Linear(8, 6)
        self.last = nn.Parameter(torch.randn(6, 2))
        self.offset = nn.Parameter(torch.randn(2))
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, imu: Tensor, emg: Tensor) -> Tensor:
        hi, he = self.motion(imu)[0], self.muscle(emg)[0]
        a, e = hi[:, -1:], he[:, -1:]
        r = a + self.ask_muscle(a, he, he)[0]
        s = e + self.ask_motion(e, hi, hi)[0]
        result: Tensor = torch.relu(self.mix(torch.cat([r, s], -1)[:, 0])) @ self.last + self.offset
        return result


def attention(ours: str, theirs: str) -> str:
    """Lines of a key map: stacked projections, and the output projection folded into the value."""
    return "".join(
        f'"{ours}.attention.{part}.{kind}" = {{ key = "{theirs}.in_proj_{kind}", rows = [{4 * i}, {4 * i + 4}]{fold} }}\n'
        for i, part in enumerate(("query", "key", "value"))
        for kind, fold in (
            (
                "weight",
                f', multiply = "{theirs}.out_proj.weight"' if part == "value" else "",
            ),
            (
                "bias",
                f', multiply = "{theirs}.out_proj.weight", add = "{theirs}.out_proj.bias"'
                if part == "value"
                else "",
            ),
        )
    )


KEY_MAP = f"""
contract = "contract.json"
ignore = ["unused"]

[model]
hidden = 4
norm = "none"
head_hidden = 6

[target]
mean = [0.5, -0.25]
std = [2.0, 0.5]

[weights]
"imu.lstm.0.weight_ih" = "motion.weight_ih_l0"
"imu.lstm.0.weight_hh" = "motion.weight_hh_l0"
"imu.lstm.0.bias" = ["motion.bias_ih_l0", "motion.bias_hh_l0"]
emg.lstm.0.weight_ih = "muscle.weight_ih_l0"
emg.lstm.0.weight_hh = "muscle.weight_hh_l0"
emg.lstm.0.bias = ["muscle.bias_ih_l0", "muscle.bias_hh_l0"]
{attention("imu", "ask_muscle")}{attention("emg", "ask_motion")}
"head.hidden.weight" = "mix.weight"
"head.hidden.bias" = "mix.bias"
"head.output.weight" = {{ key = "last", transpose = true }}
"head.output.bias" = "offset"
"""


@pytest.fixture
def theirs() -> TheirModel:
    torch.manual_seed(4)
    return TheirModel().eval()


@pytest.fixture
def folder(tmp_path: Path, theirs: TheirModel) -> Path:
    contract = Checkpoint.random(CONFIG, 0).contract
    (tmp_path / "contract.json").write_text(json.dumps(contract.to_json()))
    (tmp_path / "map.toml").write_text(KEY_MAP)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    return tmp_path


def moments_of_both(theirs: TheirModel, checkpoint: Checkpoint) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    imu, emg = generator.normal(size=(6, 5, 3)), generator.normal(size=(6, 5, 2))
    with torch.no_grad():
        raw = theirs(torch.tensor(imu).float(), torch.tensor(emg).float()).numpy()
    return raw * [2.0, 0.5] + [0.5, -0.25], float_reference.window(checkpoint, {"imu": imu, "emg": emg})


@pytest.mark.parametrize("form", ["new", "old", "safetensors", "nested"])
def test_an_imported_model_gives_their_moments(form: str, folder: Path, theirs: TheirModel) -> None:
    path = folder / "theirs.pt"
    if form == "old":
        torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    elif form == "safetensors":
        path = folder / "theirs.safetensors"
        save_file(theirs.state_dict(), path)
    elif form == "nested":
        torch.save({"epoch": 3, "model": theirs.state_dict()}, path)
        (folder / "map.toml").write_text('inside = "model"\n' + KEY_MAP)
    checkpoint = load_checkpoint(path, key_map=folder / "map.toml")
    assert checkpoint.config == CONFIG
    wanted, ours = moments_of_both(theirs, checkpoint)
    # Their model runs in single precision, ours in double.
    assert np.abs(wanted - ours).max() < 1e-5
    again = Checkpoint.from_bytes(checkpoint.to_bytes())
    assert again.hash == checkpoint.hash and again.provenance["imported"]["file"] == path.name


def refusal(folder: Path, old: str = "", new: str = "", path: str = "theirs.pt") -> str:
    """The message when a text of the key map is replaced."""
    assert old in KEY_MAP
    (folder / "map.toml").write_text(KEY_MAP.replace(old, new) if old else KEY_MAP)
    with pytest.raises((CheckpointError, ContractError)) as caught:
        import_checkpoint(folder / path, folder / "map.toml")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            '"motion.weight_hh_l0"',
            '"motion.weight_hh"',
            "no tensor motion.weight_hh; nearest to the first: motion.weight_hh_l0",
        ),
        (
            '"head.output.bias" = "offset"',
            "",
            "of the key map does not fit the config: missing head.output.bias",
        ),
        ('"head.output.bias"', '"head.output.offset"', "not a weight of this config head.output.offset"),
        ('ignore = ["unused"]', "", "has tensors that the key map does not use: unused"),
        (", transpose = true", "", "has shape [6, 2]; the config needs [2, 6]; set transpose = true for it"),
        ("rows = [0, 4]", "rows = [0, 5]", "has shape [5, 4]; the config needs [4, 4]"),
        ("rows = [8, 12]", "rows = [8, 99]", "shapes do not fit"),
        ("rows = [0, 4]", "rows = [4, 0]", "START below STOP"),
        ('key = "last"', 'key = "last", turn = 1', "must be a key, a list of keys or a table"),
        ("hidden = 4\n", "hidden = 5\n", "the config needs [20, 3]"),
        ("hidden = 4\n", "window = 5\n", "[model] has unknown keys: window"),
        ("std = [2.0, 0.5]", "std = [2.0]", "2 means and 1 deviations; it needs 2 of each"),
        ("[target]", "[aim]", "unknown keys: aim"),
        ("[weights]", "[weights", "is not a key map in TOML"),
        ('contract = "contract.json"', "", "it names no contract"),
        (
            'contract = "contract.json"',
            'contract = "none.json"',
            "none.json: no such file; it must be a sensor contract",
        ),
        ('contract = "contract.json"', 'contract = "none.safetensors"', "does not exist"),
    ],
)
def test_a_map_that_does_not_fit_says_where(folder: Path, old: str, new: str, says: str) -> None:
    assert says in refusal(folder, old, new)


def test_an_entry_that_is_missing_inside_the_file(folder: Path) -> None:
    assert "has no entry 'net'; it has" in refusal(folder, "[model]", 'inside = "net"\n[model]')


def test_an_entry_of_a_file_that_has_none(folder: Path, theirs: TheirModel) -> None:
    save_file(theirs.state_dict(), folder / "theirs.safetensors")
    message = refusal(folder, "[model]", 'inside = "net"\n[model]', "theirs.safetensors")
    assert "the key map has inside = 'net'; remove that line" in message


class Malicious:
    """Unpickling it would create the marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.marker, "w")


@pytest.mark.parametrize("new_form", [True, False])
def test_code_in_a_pickle_does_not_run(new_form: bool, folder: Path, theirs: TheirModel) -> None:
    marker = folder / "it ran"
    state = {**theirs.state_dict(), "unused": Malicious(marker)}
    torch.save(state, folder / "theirs.pt", _use_new_zipfile_serialization=new_form)
    message = refusal(folder)
    assert "holds more than tensors, and was not loaded" in message and "state_dict()" in message
    assert (
        "weights_only" not in message and "options" not in message
    )  # torch's advice to load it all the same
    assert not marker.exists()


def test_a_whole_model_is_not_a_state_dict(folder: Path, theirs: TheirModel) -> None:
    torch.save(theirs, folder / "theirs.pt")
    assert "was not loaded" in refusal(folder)
    torch.save([torch.zeros(2)], folder / "theirs.pt")
    assert "holds a list, not a state_dict" in refusal(folder)
    torch.save({"model": theirs.state_dict()}, folder / "theirs.pt")
    assert 'name its entry with inside = "..."' in refusal(folder)


def test_files_that_are_neither(folder: Path) -> None:
    (folder / "theirs.pt").write_bytes(b"PK\x03\x04 and then nothing")
    assert "is not a PyTorch file that can be read" in refusal(folder)
    (folder / "theirs.pt").write_text("text")
    assert "neither a PyTorch file nor safetensors" in refusal(folder)
    assert "cannot read" in refusal(folder, path="nowhere.pt")


def test_nan_in_their_weights_is_refused(folder: Path, theirs: TheirModel) -> None:
    with torch.no_grad():
        theirs.offset[0] = torch.nan
    torch.save(theirs.state_dict(), folder / "theirs.pt")
    assert "head.output.bias holds 1 values that are NaN" in refusal(folder)


def test_the_function_takes_a_map_made_in_python(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing imu\.lstm\.0\.weight_hh"):
        import_state_dict(
            folder / "theirs.pt",
            KeyMap({"imu.lstm.0.weight_ih": Source(("motion.weight_ih_l0",))}),
            CONFIG,
            Checkpoint.random(CONFIG, 0).contract,
        )
