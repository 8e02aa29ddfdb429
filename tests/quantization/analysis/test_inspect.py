"""``describe`` and ``edgetool inspect``: figures a person can verify, and hostile files."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from edgetool.commands.inspect import command
from quantization.analysis.inspect import describe, describe_tflite
from quantization.graph.ir import GraphBuilder, Quantization
from quantization.tflite.contract import embed_contract
from quantization.tflite.file import write
from quantization.tflite.model import dump_model, load_model
from quantization.tflite.operators import multiply_accumulates, operator_counts
from toolkit.errors import CheckpointError, InputError, ModelFileError
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import ModelConfig

CHECKPOINT = Checkpoint.random(
    ModelConfig(imu_channels=6, emg_channels=2, window=5, hidden=4, head_hidden=3), 7
)


def small_tflite() -> bytes:
    """One int8 dense layer, 4 to 3, as a .tflite."""
    builder = GraphBuilder("main")
    x = builder.add("x", (1, 4), np.int8, Quantization.per_tensor(0.5, -3))
    weights = builder.constant("w", np.arange(12, dtype=np.int8).reshape(3, 4), Quantization.per_tensor(0.25))
    bias = builder.constant("b", np.array([1, 2, 3], np.int32), Quantization.per_tensor(0.125))
    y = builder.add("y", (1, 3), np.int8, Quantization.per_tensor(1.0, 4))
    builder.op("FULLY_CONNECTED", (x, weights, bias), (y,), fused_activation_function="NONE")
    return write(builder.build((x,), (y,)))


def test_a_tflite_is_described_to_the_scale() -> None:
    found = describe_tflite(small_tflite(), "m.tflite")
    (graph,) = found["subgraphs"]
    assert found["macs"] == graph["macs"] == 12  # 4 inputs times 3 outputs
    assert [(o["operator"], o["inputs"], o["outputs"]) for o in graph["operators"]] == [
        ("FULLY_CONNECTED", [0, 1, 2], [3])
    ]
    x, weights, bias, _ = graph["tensors"]
    assert (x["name"], x["shape"], x["type"], x["constant"]) == ("x", [1, 4], "int8", False)
    assert x["quantization"] == {"scale": [0.5], "zero_point": [-3], "axis": 0}
    assert (weights["bytes"], bias["bytes"], graph["constant_bytes"]) == (12, 12, 24)
    assert operator_counts(load_model(small_tflite())) == {"FULLY_CONNECTED": 1}
    assert found["contract"] is None


def test_multiply_accumulates_of_the_reference_lstm() -> None:
    """64 steps of 4 gates of 64 units on 24 inputs and 64 states: 64 * 4 * 64 * (24 + 64)."""
    shapes = [(1, 64, 24), *[(64, 24)] * 4, *[(64, 64)] * 4, (), ()]
    assert multiply_accumulates("UNIDIRECTIONAL_SEQUENCE_LSTM", shapes, [(1, 64, 64)]) == 64 * 4 * 64 * 88
    assert multiply_accumulates("BATCH_MATMUL", [(1, 2, 64), (1, 64, 30)], [(1, 2, 30)]) == 2 * 64 * 30
    assert multiply_accumulates("MUL", [(1, 5), (1, 5)], [(1, 5)]) == 5
    assert multiply_accumulates("FULLY_CONNECTED", [(), ()], [()]) == 0  # nonsense of a foreign file


def test_a_checkpoint_is_described(tmp_path: Path) -> None:
    CHECKPOINT.save(tmp_path / "c.safetensors")
    found = describe(tmp_path / "c.safetensors")
    assert found["kind"] == "checkpoint" and found["parameters"] == CHECKPOINT.config.parameter_count
    assert found["sha256"] == CHECKPOINT.hash and found["contract_hash"] == CHECKPOINT.contract.hash
    bias = next(w for w in found["weights"] if w["name"] == "head.output.bias")
    assert bias["maximum"] == pytest.approx(float(CHECKPOINT.weights["head.output.bias"].max()), abs=0)


def test_the_shipped_checkpoint_goes_by_its_name() -> None:
    assert describe("pretrained")["config"]["hidden"] == 64


@pytest.mark.parametrize("length", [0, 7, 8, 40, 300])
def test_a_truncated_tflite_is_refused(tmp_path: Path, length: int) -> None:
    file = tmp_path / "cut.tflite"
    file.write_bytes(small_tflite()[:length])
    with pytest.raises(ModelFileError, match=r"is (truncated or damaged|not a \.tflite)"):
        describe(file)


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("hello, this is no model")
    with pytest.raises(InputError, match="is not one of these"):
        describe(other)
    with pytest.raises(InputError, match=r"does not exist; give a \.tflite, a checkpoint, a bundle"):
        describe(tmp_path / "missing.tflite")
    pickled = tmp_path / "model.safetensors"
    pickled.write_bytes(b"\x80\x04\x95garbage")
    with pytest.raises(CheckpointError):
        describe(pickled)


def test_mangled_bytes_never_crash() -> None:
    """300 copies with 1 to 8 changed bytes: each is described or refused in one line, in short time."""
    seed = 20251
    print(f"seed {seed}")
    generator = random.Random(seed)
    content = embed_contract(small_tflite(), CHECKPOINT.contract)
    refused = 0
    for _ in range(300):
        mangled = bytearray(content)
        for _ in range(generator.randint(1, 8)):
            mangled[generator.randrange(8, 900)] = generator.choice(
                [0, 1, 127, 128, 255, generator.randrange(256)]
            )
        began = time.perf_counter()
        try:
            json.dumps(describe_tflite(bytes(mangled), "m.tflite"), allow_nan=False)
        except ModelFileError as error:
            refused += 1
            assert "\n" not in str(error)
        assert time.perf_counter() - began < 5
    assert 20 < refused < 300  # both outcomes occur, or the test proves nothing


def test_the_command_prints_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    file.write_bytes(embed_contract(small_tflite(), CHECKPOINT.contract))
    done = CliRunner().invoke(command, [str(file), "--json", str(tmp_path / "m.json")])
    assert done.exit_code == 0, done.output
    assert "FULLY_CONNECTED" in done.output and "12 multiply-accumulates" in done.output
    assert CHECKPOINT.contract.hash[:16] in done.output
    *shown, wrote = done.output.splitlines()
    assert wrote == f"Wrote {tmp_path / 'm.json'}" and max(map(len, shown)) <= 80
    assert json.loads((tmp_path / "m.json").read_text())["macs"] == 12


def test_a_foreign_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    x = builder.add("evil\x1b[2J[red]", (1, 4))
    y = builder.add("y", (1, 4))
    builder.op("RELU", (x,), (y,))
    (tmp_path / "m.tflite").write_bytes(write(builder.build((x,), (y,))))
    done = CliRunner().invoke(command, [str(tmp_path / "m.tflite")])
    assert "\x1b" not in done.output and r"evil\x1b[2J[red]" in done.output


def test_a_foreign_model_is_told_which_op_the_integer_reference_lacks(tmp_path: Path) -> None:
    model = load_model(small_tflite())
    model.operator_codes[0].builtin_code = schema.BuiltinOperator.CONV_3D
    (tmp_path / "m.tflite").write_bytes(dump_model(model))
    done = CliRunner().invoke(command, [str(tmp_path / "m.tflite")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "m.tflite: op 0 is CONV_3D, which is not supported; supported: ADD, BATCH_MATMUL," in said
    assert max(len(line) for line in done.output.splitlines()) <= 80


def test_an_int8_graph_is_run_by_the_integer_reference_and_a_float_one_is_not() -> None:
    assert describe_tflite(small_tflite(), "m.tflite")["integer_reference"] is None
    builder = GraphBuilder("main")
    x, y = builder.add("x", (1, 4)), builder.add("y", (1, 4))
    builder.op("RELU", (x,), (y,))
    refused = describe_tflite(write(builder.build((x,), (y,))), "m.tflite")["integer_reference"]
    assert "op 0 is RELU on float32" in refused
