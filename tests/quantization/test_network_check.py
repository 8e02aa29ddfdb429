"""An imported network is compared with its author's own outputs, and an import that computes something else is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from edgetool.commands.convert import command
from quantization.bundle import Bundle
from quantization.calibration_windows import draw
from quantization.convert import convert
from quantization.network_check import NOT_COMPARED, read_check
from tests.toolkit.model.test_foreign import attention
from toolkit.data import load
from toolkit.errors import CheckpointError, ConversionError, InputError
from toolkit.model import load_checkpoint, pretrained
from toolkit.model.checkpoint import Checkpoint

DATA = "synthetic:people=2,seconds=6,tasks=level"
MEAN, STD = [0.5, -0.25, 0.1], [2.0, 0.5, 1.5]


class Network(nn.Module):
    """A Cross-LSTM of somebody else's; the last step asks, or all steps ask and their mean is taken."""

    def __init__(self, heads: int = 1, *, all_queries: bool = False) -> None:
        super().__init__()
        self.all_queries = all_queries
        self.motion = nn.LSTM(24, 4, batch_first=True)
        self.muscle = nn.LSTM(9, 4, batch_first=True)
        self.ask_muscle = nn.MultiheadAttention(4, heads, batch_first=True)
        self.ask_motion = nn.MultiheadAttention(4, heads, batch_first=True)
        self.mix, self.last = nn.Linear(8, 6), nn.Linear(6, 3)
        for name, value in self.named_parameters():
            if "out_proj.bias" in name or "in_proj_bias" in name:  # torch begins with zeros
                nn.init.normal_(value, std=0.3)

    def forward(self, imu: Tensor, emg: Tensor) -> Tensor:
        hi, he = self.motion(imu)[0], self.muscle(emg)[0]
        a, e = (hi, he) if self.all_queries else (hi[:, -1:], he[:, -1:])
        r = a + self.ask_muscle(a, he, he)[0]
        s = e + self.ask_motion(e, hi, hi)[0]
        result: Tensor = self.last(torch.relu(self.mix(torch.cat([r, s], -1).mean(1))))
        return result


def key_map(heads: int) -> str:
    lines = "".join(
        f'"{ours}.lstm.0.{part}" = "{theirs}.{part}_l0"\n'
        for ours, theirs in (("imu", "motion"), ("emg", "muscle"))
        for part in ("weight_ih", "weight_hh")
    )
    return (
        f'contract = "pretrained"\n[model]\nhidden = 4\nheads = {heads}\nnorm = "none"\nhead_hidden = 6\n'
        f"[target]\nmean = {MEAN}\nstd = {STD}\n[weights]\n{lines}"
        '"imu.lstm.0.bias" = ["motion.bias_ih_l0", "motion.bias_hh_l0"]\n'
        '"emg.lstm.0.bias" = ["muscle.bias_ih_l0", "muscle.bias_hh_l0"]\n'
        + attention("imu", "ask_muscle")
        + attention("emg", "ask_motion")
        + '"head.hidden.weight" = "mix.weight"\n"head.hidden.bias" = "mix.bias"\n'
        '"head.output.weight" = "last.weight"\n"head.output.bias" = "last.bias"\n'
    )


def written(folder: Path, network: Network, heads: int = 1) -> Path:
    """Weights, key map and check in a folder, as whoever trained the network writes them."""
    windows = draw(Checkpoint.load(pretrained()), load(DATA), 20, 5).calibration
    imu, emg = windows.inputs["imu"], windows.inputs["emg"]
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(imu), torch.from_numpy(emg)).numpy()
    np.savez(folder / "check.npz", imu=imu, emg=emg, outputs=outputs)
    torch.save(network.state_dict(), folder / "theirs.pt")
    (folder / "map.toml").write_text(key_map(heads))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    return written(tmp_path, Network())


def test_a_true_import_is_proved_against_the_authors_outputs(folder: Path) -> None:
    arguments = ["theirs.pt", "--key-map", "map.toml", "--check", "check.npz", "--out", "bundle"]
    paths = [str(folder / a) if "." in a or a == "bundle" else a for a in arguments]
    done = CliRunner().invoke(command, [*paths, "--data", DATA], catch_exceptions=False)
    assert done.exit_code == 0
    check = Bundle.load(folder / "bundle").manifest["check"]
    assert (check["compared"], check["file"], check["windows"]) == (True, "check.npz", 20)
    # Single precision there, double here: not 0, and far below the bound.
    assert 0 < check["float_error"] < 2e-6 and check["float_error_bound"] == 1e-5
    assert 0 < check["int8_error_pct"] < 3
    shown = re.sub(r"\s+", " ", done.output)
    assert "Compared with the network's own outputs (check.npz, 20 windows): float within" in shown
    assert f"int8 within {check['int8_error_pct']:.2f} % of their deviation" in shown


def test_queries_over_all_steps_are_not_this_model_and_are_refused_with_the_figure(tmp_path: Path) -> None:
    torch.manual_seed(3)
    folder = written(tmp_path, Network(all_queries=True))
    with pytest.raises(
        ConversionError, match=r"check\.npz, window \d+, output \d is .* there and .* here, .* %"
    ):
        convert(
            folder / "theirs.pt",
            DATA,
            folder / "bundle",
            key_map=folder / "map.toml",
            check=folder / "check.npz",
        )
    assert not (folder / "bundle").exists()


def test_four_heads_with_an_output_projection_are_refused_at_once(tmp_path: Path) -> None:
    torch.manual_seed(3)
    folder = written(tmp_path, Network(heads=4), heads=4)
    with pytest.raises(CheckpointError, match=r"multiply.* with one head only, and the model has 4: export"):
        load_checkpoint(folder / "theirs.pt", key_map=folder / "map.toml")


def test_four_heads_called_one_are_caught_by_the_check(tmp_path: Path) -> None:
    torch.manual_seed(3)
    folder = written(tmp_path, Network(heads=4))
    with pytest.raises(ConversionError, match="does not compute what the author's does"):
        convert(
            folder / "theirs.pt",
            DATA,
            folder / "bundle",
            key_map=folder / "map.toml",
            check=folder / "check.npz",
        )


def test_without_a_check_it_is_said_that_nothing_was_compared(folder: Path) -> None:
    options = ["--key-map", str(folder / "map.toml"), "--out", str(folder / "bundle"), "--data", DATA]
    done = CliRunner().invoke(command, [str(folder / "theirs.pt"), *options], catch_exceptions=False)
    assert f"WARNING: {NOT_COMPARED}" in re.sub(r"\s+", " ", done.output)
    bundle = Bundle.load(folder / "bundle")
    assert bundle.manifest["check"] == {"compared": False, "note": NOT_COMPARED}


def test_a_model_of_ours_needs_no_check(tmp_path: Path) -> None:
    assert "check" not in convert("pretrained", DATA, tmp_path / "bundle", scheme="float32").manifest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"imu": None}, "has arrays emg, outputs; a check needs imu, emg, outputs"),
        ({"more": np.zeros(3)}, "has arrays emg, imu, more, outputs; a check needs"),
        ({"outputs": np.zeros((20, 2))}, "array 'outputs' is float64 [20, 2]; it must be numbers of shape [N, 3]"),
        ({"imu": np.zeros((20, 63, 24))}, "array 'imu' is float64 [20, 63, 24]"),
        ({"emg": np.zeros((19, 64, 9))}, "array 'emg' is float64 [19, 64, 9]"),
        ({"outputs": np.full((20, 3), np.nan)}, "array 'outputs' holds a value that is not finite"),
        ({"outputs": np.array("text")}, "array 'outputs' is"),
    ],
)  # fmt: skip
def test_a_check_that_does_not_fit_is_named(
    folder: Path, change: dict[str, np.ndarray | None], says: str
) -> None:
    arrays = {**np.load(folder / "check.npz"), **change}
    np.savez(folder / "other.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(InputError) as caught:
        read_check(folder / "other.npz", Checkpoint.load(pretrained()).contract)
    assert says in str(caught.value)


def test_inputs_may_have_the_networks_own_names(folder: Path) -> None:
    arrays = dict(np.load(folder / "check.npz"))
    np.savez(folder / "other.npz", x=arrays["imu"], y=arrays["emg"], outputs=arrays["outputs"])
    check = read_check(folder / "other.npz", Checkpoint.load(pretrained()).contract, {"imu": "x", "emg": "y"})
    np.testing.assert_array_equal(check.inputs["imu"], arrays["imu"])
    np.testing.assert_array_equal(check.inputs["emg"], arrays["emg"])
