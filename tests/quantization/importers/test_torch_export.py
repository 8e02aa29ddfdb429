"""The reader of .pt2 files, and the numpy evaluation against torch."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quantization.importers.evaluate import run
from quantization.importers.program import Program
from quantization.importers.torch_export import looks_like_export, parse_network
from tests.quantization.importers.networks import NETWORKS, Sizes, exported, exported_by_name, made
from toolkit.errors import CheckpointError


@pytest.mark.parametrize("name", NETWORKS)
def test_numpy_gives_what_torch_gives(name: str) -> None:
    count = NETWORKS[name][1]
    sizes = Sizes((5, 3)[:count])
    network = made(name, sizes)
    random = np.random.default_rng(1)
    inputs = [random.normal(size=(6, sizes.window, c)).astype(np.float32) for c in sizes.streams]
    program = parse_network(exported_by_name(name, sizes), f"{name}.pt2")
    with torch.no_grad():
        theirs = network(*map(torch.from_numpy, inputs)).numpy()
    assert [shape[1:] for shape in program.inputs.values()] == [(12, c) for c in sizes.streams]
    ours = run(program, dict(zip(program.inputs, inputs)))
    assert ours.shape == theirs.shape == (6, 3)
    # Single precision there, double here; eight units and twelve steps make it 1e-7.
    assert np.abs(ours - theirs).max() < 2e-6 * np.abs(theirs).max() + 1e-7


def lstm() -> bytes:
    return exported_by_name("lstm", Sizes((5,)))


def refusal(content: bytes) -> str:
    with pytest.raises(CheckpointError) as caught:
        parse_network(content, "her.pt2")
    message = str(caught.value)
    assert "\n" not in message
    return message


def changed(content: bytes, entry: str, change: Callable[[Any], None]) -> bytes:
    """The archive with one JSON entry changed in place."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            inner = old.read(info)
            if info.filename.endswith(entry):
                document = json.loads(inner)
                change(document)
                inner = json.dumps(document).encode()
            new.writestr(info.filename, inner)
    return buffer.getvalue()


def test_the_program_is_the_same_from_its_own_json() -> None:
    program = parse_network(lstm(), "her.pt2")
    again = Program.from_json(json.loads(json.dumps(program.to_json())), program.weights)
    assert again.to_json() == program.to_json()
    x = {"x": np.random.default_rng(0).normal(size=(2, 12, 5))}
    np.testing.assert_array_equal(run(again, x), run(program, x))


class Strange(nn.Module):
    """Ops that nobody needs here, on lines of their own."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cumsum(x, 1)
        z = torch.fft.rfft(y, dim=1).real
        return z[:, -1]


def test_all_problems_are_told_at_once_with_the_authors_lines() -> None:
    message = refusal(exported(Strange().eval(), (torch.zeros(1, 4, 3),)))
    assert message.startswith(
        "her.pt2 cannot be imported: op cumsum.default at networks.py".replace(
            "networks", "test_torch_export"
        )
    )
    assert "(y = torch.cumsum(x, 1)); op fft_rfft.default at test_torch_export.py:" in message
    assert "(z = torch.fft.rfft(y, dim=1).real)" in message


def test_training_mode_batch_and_dynamic_shapes_are_refused() -> None:
    network = made("gru", Sizes((5,)))
    training = refusal(exported(network.train(), (torch.zeros(2, 12, 5),)))
    assert "op gru.input in training mode at networks.py:" in training
    assert "op dropout.default in training mode" in training
    assert "input x has a batch of 2: export with a batch of 1" in training
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            made("tcn", Sizes((5,))),
            (torch.zeros(1, 12, 5),),
            dynamic_shapes={"x": {1: torch.export.Dim("time", min=8, max=64)}},
        )
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    assert "has a dynamic shape: export without dynamic_shapes" in refusal(buffer.getvalue())


class AllSteps(nn.Module):
    """Moments of every step, and of the attention beside."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x


def test_outputs_that_are_not_the_newest_moments_are_refused() -> None:
    assert "it has 2 outputs: return the moments alone" in refusal(
        exported(AllSteps(), (torch.zeros(1, 4, 3),))
    )
    steps = refusal(exported(nn.Linear(3, 2), (torch.zeros(1, 4, 3),)))
    assert "its output has shape [1, 4, 2]; it must be the newest moments alone" in steps


class Bomb:
    """Unpickling it would raise."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


def test_the_pickle_of_sample_inputs_is_never_opened() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(lstm())) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            bomb = "sample_inputs" in info.filename
            new.writestr(info.filename, pickle.dumps(Bomb()) if bomb else old.read(info))
    assert parse_network(buffer.getvalue(), "her.pt2").inputs == {"x": (1, 12, 5)}


def test_pickled_weights_are_refused() -> None:
    def pickled(document: Any) -> None:
        document["config"]["rnn.weight_ih_l0"]["use_pickle"] = True

    assert "weight rnn.weight_ih_l0 is a pickle, which is never read" in refusal(
        changed(lstm(), "model_weights_config.json", pickled)
    )


def test_another_schema_is_refused() -> None:
    message = refusal(changed(lstm(), "model.json", lambda d: d["schema_version"].update(major=9)))
    assert "has schema version 9.20" in message and "reads 8" in message


@pytest.mark.parametrize(
    ("entry", "change", "says"),
    [
        ("model_weights_config.json", lambda d: d["config"].clear(), "weight 'rnn.weight_ih_l0' is not in it"),
        (
            "model_weights_config.json",
            lambda d: d["config"]["rnn.weight_ih_l0"].update(path_name="../weight_1"),
            "lies at '../weight_1'",
        ),
        (
            "model_weights_config.json",
            lambda d: d["config"]["rnn.weight_ih_l0"]["tensor_meta"].update(storage_offset={"as_int": 9}),
            "reaches element 168 of 160",
        ),
        (
            "model.json",
            lambda d: d["graph_module"]["graph"]["tensor_values"]["linear"]["sizes"].append({"as_int": 1 << 40}),
            "elements are allowed",
        ),
        (
            "model.json",
            lambda d: d["graph_module"]["graph"]["nodes"].pop(0),
            "node lstm.input reads 'zeros', which nothing before it gives",
        ),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(
    entry: str, change: Callable[[Any], None], says: str
) -> None:
    assert says in refusal(changed(lstm(), entry, change))


def test_zips_that_claim_too_much_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/models/model.json", b" " * 1_000_000)
    assert "an entry is compressed" in refusal(buffer.getvalue())
    assert "is not a network as torch.export.save writes it" in refusal(b"PK\x03\x04")
    assert looks_like_export(lstm()) and not looks_like_export(b"PK\x03\x04")
