"""A bundle's files: hashes, manifest, determinism, contract in the .tflite, and what damage is told apart."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantization import golden
from quantization.bundle import (
    MANIFEST,
    Bundle,
    new_bundle,
    write_bundle,
)
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import GraphBuilder, Quantization
from quantization.tflite.contract import embed_contract, read_contract
from quantization.tflite.file import write
from quantization.tflite.model import load_model
from toolkit.errors import BundleError, ModelFileError, OutputError
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


def write_example(out: Path, checkpoint: Checkpoint = CHECKPOINT, graph_contract: Any = None) -> Bundle:
    content = embed_contract(small_tflite(), graph_contract or checkpoint.contract)
    vectors = {"imu": np.ones((2, 5, 6), np.float32), "moments.reference": np.zeros((2, 3), np.float32)}
    about = {"scheme": "int8", "converter": {"name": "x", "options": {}}, "data": {"source": "synthetic"}}
    graph = GraphFile("window", "int8", content, {"ranges": "minmax"}, ("a note",))
    with new_bundle(out) as folder:
        write_bundle(folder, checkpoint, [graph], vectors, about=about, extra={"c/model.c": b"int x;\n"})
    return Bundle.load(out)


def test_a_bundle_loads_as_it_was_written(tmp_path: Path) -> None:
    bundle = write_example(tmp_path / "bundle")
    graph = bundle.graph("window", "int8")
    assert graph.notes == ("a note",) and graph.recipe == {"ranges": "minmax"}
    assert read_contract(graph.content) == CHECKPOINT.contract == bundle.contract
    assert bundle.checkpoint.hash == CHECKPOINT.hash
    assert bundle.data_source == "synthetic"
    np.testing.assert_array_equal(bundle.golden["imu"], np.ones((2, 5, 6), np.float32))
    with pytest.raises(BundleError, match=r"no stream graph in int8; it has window int8"):
        bundle.graph("stream", "int8")


def test_manifest_states_operators_sizes_and_true_hashes(tmp_path: Path) -> None:
    write_example(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    assert manifest["schema"] == 1
    assert manifest["contract_hash"] == CHECKPOINT.contract.hash
    assert manifest["graphs"][0]["operators"] == {"FULLY_CONNECTED": 1}
    files = {p.relative_to(tmp_path / "bundle").as_posix() for p in (tmp_path / "bundle").rglob("*.*")}
    assert files - {MANIFEST} == set(manifest["files"])
    for name, entry in manifest["files"].items():
        content = (tmp_path / "bundle" / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_two_runs_give_the_same_bytes_and_no_dates(tmp_path: Path) -> None:
    write_example(tmp_path / "one")
    write_example(tmp_path / "two")
    for file in sorted((tmp_path / "one").rglob("*.*")):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes(), file
    with zipfile.ZipFile(tmp_path / "one" / "golden.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_converter_of_an_older_bundle_is_read_from_its_older_key(tmp_path: Path) -> None:
    write_example(tmp_path / "bundle")
    assert Bundle.load(tmp_path / "bundle").converter == "x"
    file = tmp_path / "bundle" / MANIFEST
    manifest = json.loads(file.read_text())
    del manifest["converter"]
    file.write_text(json.dumps({**manifest, "engine": {"name": "native", "options": {}}}))
    assert Bundle.load(tmp_path / "bundle").converter == "builtin"


@pytest.mark.parametrize(
    "name", ["checkpoint.safetensors", "golden.npz", "models/window.int8.tflite", "c/model.c"]
)
def test_a_file_changed_after_the_manifest_is_named_with_both_hashes(tmp_path: Path, name: str) -> None:
    write_example(tmp_path / "bundle")
    file = tmp_path / "bundle" / name
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        Bundle.load(tmp_path / "bundle")
    message = str(caught.value)
    assert f"{name} was changed after its manifest" in message
    assert before in message and hashlib.sha256(content).hexdigest() in message and "\n" not in message


def change_manifest(folder: Path, key: str, value: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest[key] = value
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 2, "has schema 2; this edgetool reads 1"),
        ("files", {}, "does not list checkpoint.safetensors and golden.npz"),
        ("contract_hash", "0" * 64, "contract in manifest.json has hash"),
        ("graphs", [{"graph": "window", "scheme": "int4", "file": "x"}], "'int4'"),
        ("graphs", [{"graph": "window", "scheme": "int8", "file": "golden.npz"}], "golden.npz"),
        ("graphs", [3], "convert again"),
        ("data", {}, "source"),
        ("data", {"source": 5}, "data.source"),
        ("contract", {}, "not a sensor contract"),
    ],
)
def test_a_changed_manifest_is_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    write_example(tmp_path / "bundle")
    change_manifest(tmp_path / "bundle", key, value)
    with pytest.raises(BundleError) as caught:
        Bundle.load(tmp_path / "bundle")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_manifest_cannot_point_outside_the_bundle(tmp_path: Path) -> None:
    write_example(tmp_path / "bundle")
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    files = json.loads((tmp_path / "bundle" / MANIFEST).read_text())["files"]
    for name in ("../secret", str(secret), "c/../../secret"):
        change_manifest(
            tmp_path / "bundle", "files", {**files, name: {"sha256": hashlib.sha256(b"s").hexdigest()}}
        )
        with pytest.raises(BundleError, match="not a file inside the bundle"):
            Bundle.load(tmp_path / "bundle")


def test_a_graph_of_another_contract_is_refused(tmp_path: Path) -> None:
    other = Checkpoint.random(CHECKPOINT.config, 8).contract
    with pytest.raises(BundleError, match=r"models/window.int8.tflite " + other.hash):
        write_example(tmp_path / "bundle", graph_contract=other)


def test_what_is_no_bundle_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a folder"):
        Bundle.load(tmp_path / "missing")
    with pytest.raises(
        BundleError, match=r"is not a bundle: it has no manifest.json; edgetool convert writes one"
    ):
        Bundle.load(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(
        BundleError,
        match=r"manifest.json is not the manifest of a bundle in JSON .*: Expecting property name",
    ):
        Bundle.load(tmp_path)
    write_example(tmp_path / "bundle")
    (tmp_path / "bundle" / "golden.npz").unlink()
    with pytest.raises(
        BundleError, match=r"cannot read .*golden.npz: no such file; it must be a file of a bundle"
    ):
        Bundle.load(tmp_path / "bundle")


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="so edgetool will not replace it"):
        write_example(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    write_example(tmp_path / "bundle")
    write_example(tmp_path / "bundle")  # a bundle is


def test_golden_vectors_hold_no_pickles() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, bad=np.array([{}], dtype=object))
    with pytest.raises(BundleError, match="not an NPZ of golden vectors"):
        golden.read(buffer.getvalue(), "golden.npz")
    with pytest.raises(BundleError, match="not an NPZ"):
        golden.read(b"PK", "golden.npz")


def test_contract_survives_in_the_metadata_and_is_replaced_not_doubled() -> None:
    once = embed_contract(small_tflite(), CHECKPOINT.contract)
    assert embed_contract(once, CHECKPOINT.contract) == once
    other = Checkpoint.random(CHECKPOINT.config, 8).contract
    assert read_contract(embed_contract(once, other)) == other
    assert read_contract(small_tflite()) is None


def test_buffers_are_aligned_for_reading_in_place() -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = embed_contract(small_tflite(), CHECKPOINT.contract)
    model = schema.Model.GetRootAs(content, 0)
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    arrays = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength())]
    places = [a.__array_interface__["data"][0] - start for a in arrays if isinstance(a, np.ndarray)]
    assert len(places) >= 3 and all(place % 16 == 0 for place in places)


def test_a_changed_contract_in_the_metadata_is_refused() -> None:
    content = embed_contract(small_tflite(), CHECKPOINT.contract)
    changed = content.replace(b'"window":5', b'"window":6')
    assert changed != content
    with pytest.raises(ModelFileError, match="it was changed"):
        read_contract(changed, "m.tflite")


def test_truncation_anywhere_is_refused_or_harmless() -> None:
    """Every prefix either raises ModelFileError or parses; nothing else escapes."""
    content = embed_contract(small_tflite(), CHECKPOINT.contract)
    refused = 0
    for length in range(0, len(content), 7):
        try:
            load_model(content[:length])
        except ModelFileError as error:
            refused += 1
            assert "\n" not in str(error)
    # The root table stands at the front but its children behind it: no prefix of this file is whole.
    assert refused == len(range(0, len(content), 7))
