"""``edgetool predict``: moments in a file are those of the model, at the times that they are of."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgetool.commands.predict import command
from quantization.convert import convert
from quantization.predict import predict
from quantization.tflite.run import run_litert_stream
from toolkit.data import load
from toolkit.data.readers.opensim import read_storage
from toolkit.data.windows import features
from toolkit.errors import RecordingError, UsageError
from toolkit.model import float_reference, pretrained
from toolkit.model.checkpoint import Checkpoint
from toolkit.records import Recording

DATA = "synthetic:people=2,seconds=2,tasks=level"


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return load(DATA)


def rows_of(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="") as file:
        head, *rows = list(csv.reader(file))
    return head, rows


def test_a_checkpoint_gives_the_float_moments_at_the_newest_sample_of_each_window(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command, ["pretrained", "--data", DATA, "--out", str(tmp_path / "m.csv")], catch_exceptions=False
    )
    assert done.exit_code == 0 and "estimates for 4 recordings by float model, windows" in done.output
    head, rows = rows_of(tmp_path / "m.csv")
    assert head[:3] == ["recording", "time", "hip_flexion_moment (Nm/kg)"]
    checkpoint = Checkpoint.load(pretrained())
    first = load(DATA)[0]
    (inputs,) = features([first], checkpoint.contract.inputs, 100.0)
    window = {name: values[None, :64] for name, values in inputs.items()}
    expected = float_reference.window(checkpoint, window)[0]
    # The first window of 64 rows at 100 Hz ends at row 63.
    assert (rows[0][0], float(rows[0][1])) == (first.name, pytest.approx(0.63, abs=1e-6))
    np.testing.assert_allclose([float(v) for v in rows[0][2:]], expected, rtol=1e-6)
    assert len(rows) == 4 * (len(next(iter(inputs.values()))) - 63)


def test_a_bundle_gives_its_int8_stream_and_needs_no_labels(
    tmp_path: Path, recordings: list[Recording]
) -> None:
    bundle = convert("pretrained", DATA, tmp_path / "bundle")

    bare = [dataclasses.replace(one, moments=None) for one in recordings]
    found = predict(bundle, bare, tmp_path / "m.sto")
    assert found.model == "models/stream.int8.tflite, LiteRT"
    assert [path.name for path in found.files[:2]] == [
        "m.synthetic-01_level_0.9.sto",
        "m.synthetic-01_level_1.3.sto",
    ]
    (inputs,) = features(bare[:1], bundle.contract.inputs, 100.0)
    expected = run_litert_stream(bundle.graph("stream", "int8"), inputs)[63:]
    np.testing.assert_array_equal(found.predictions[0].moments, expected.astype(np.float64))
    table = read_storage(found.files[0])
    assert table.names[:2] == ("time", "hip_flexion_moment") and len(table.values) == len(expected)
    np.testing.assert_allclose(table.values[:, 1:], expected, rtol=1e-6)


def test_parquet_has_a_unit_for_each_moment(tmp_path: Path, recordings: list[Recording]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    found = predict("pretrained", recordings[:1], tmp_path / "m.parquet")
    table = parquet.read_table(tmp_path / "m.parquet")
    assert table.schema.field("knee_extension_moment").metadata == {b"unit": b"Nm/kg"}
    np.testing.assert_array_equal(
        table.column("knee_extension_moment").to_numpy(), found.predictions[0].moments[:, 1]
    )


def test_what_cannot_be_written_or_read_is_said(tmp_path: Path, recordings: list[Recording]) -> None:
    with pytest.raises(UsageError, match=r"suffix '\.xlsx'; allowed: \.csv, \.parquet, \.sto"):
        predict("pretrained", recordings, tmp_path / "m.xlsx")
    short = load("synthetic:people=1,seconds=2,tasks=level")[0]

    cut = {
        name: dataclasses.replace(signal, samples=signal.samples[: int(0.3 * signal.spec.rate_hz)])
        for name, signal in short.signals.items()
    }
    with pytest.raises(RecordingError, match="rows on the 100 Hz grid; the first moment needs 64"):
        predict("pretrained", [dataclasses.replace(short, signals=cut, moments=None)], tmp_path / "m.csv")
