"""An exported network and data in, a bundle out: contract drawn up, compared, and run by what runs ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.engines.torch_float import NumpyFloat
from benchmarks.engines.torch_float import load as baseline
from edgetool.commands.convert import command
from quantization.analysis.inspect import describe
from quantization.bundle import Bundle
from quantization.convert import convert
from quantization.importers.network import ImportedNetwork, load_model
from quantization.network_check import NOT_COMPARED
from quantization.quantizer.search import reference_moments
from quantization.tflite.file import read
from tests.quantization.importers.networks import Sizes, exported_by_name, made
from tests.tools import require
from toolkit.data import load
from toolkit.data.export import export
from toolkit.data.windows import features
from toolkit.errors import CheckpointError, ContractError, UsageError

DATA = "synthetic:people=2,seconds=5,tasks=level"
SINGLE = '[model]\ninputs = { x = "imu" }\n'


def network_file(folder: Path, name: str = "lstm", window: int = 20) -> Path:
    channels = (24, 9) if name.startswith("her") else (24,)
    path = folder / f"{name}.pt2"
    path.write_bytes(exported_by_name(name, Sizes(channels, window=window)))
    return path


def settings(folder: Path, text: str) -> Path:
    (folder / "net.toml").write_text(text)
    return folder / "net.toml"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A single LSTM on the IMU alone, with a check that torch wrote."""
    folder = tmp_path_factory.mktemp("import")
    path, settings_file = network_file(folder), settings(folder, SINGLE)
    first = convert(path, DATA, folder / "unchecked", key_map=settings_file)
    assert first.manifest["check"] == {"compared": False, "note": NOT_COMPARED}
    windows = first.golden["imu"]
    with torch.no_grad():
        outputs = made("lstm", Sizes((24,), window=20))(torch.from_numpy(windows)).numpy()
    np.savez(folder / "check.npz", x=windows, outputs=outputs)  # by the network's own name of the input
    options = ["--data", DATA, "--key-map", str(settings_file), "--check", str(folder / "check.npz")]
    done = CliRunner().invoke(
        command, [str(path), *options, "--out", str(folder / "bundle")], catch_exceptions=False
    )
    assert done.exit_code == 0 and "Compared with the network's own outputs" in done.output
    return Bundle.load(folder / "bundle")


def test_the_contract_is_drawn_up_from_the_data(bundle: Bundle) -> None:
    contract = bundle.contract
    recordings = load(DATA)
    assert [item.stream for item in contract.inputs] == [recordings[0].signals["imu"].spec]
    assert (contract.window, contract.grid_rate_hz, contract.horizon_ms) == (20, 100.0, 0.0)
    assert [c.name for c in contract.outputs] == list(recordings[0].moments.spec.channel_names)  # type: ignore[union-attr]
    # Fitted on the first 60 % of each recording: about 0 and 1 over all of it, and not by chance on any one.
    rows = np.concatenate([one["imu"] for one in features(recordings, contract.inputs, 100.0)])
    assert np.abs(rows.mean(axis=0)).max() < 0.5 and 0.5 < rows.std(axis=0).min() < rows.std(axis=0).max() < 2


def test_the_figures_of_the_check_are_against_torch(bundle: Bundle) -> None:
    check = bundle.manifest["check"]
    assert check["compared"] and 0 < check["float_error"] < 2e-6
    golden = bundle.golden
    int8 = reference_moments(
        read(bundle.graph("window", "int8").content), {"imu": golden["imu"].astype(np.float32)}
    )
    with torch.no_grad():
        theirs = made("lstm", Sizes((24,), window=20))(torch.from_numpy(golden["imu"])).double().numpy()
    error = 100 * np.sqrt(np.mean((int8 - theirs) ** 2)) / np.sqrt(np.mean(theirs.var(axis=0)))
    assert check["int8_error_pct"] == pytest.approx(float(error), rel=1e-9)


def test_a_bundle_keeps_the_network_and_reads_it_again(bundle: Bundle) -> None:
    model = bundle.checkpoint
    assert isinstance(model, ImportedNetwork) and model.streams == {"x": "imu"}
    assert load_model(model.to_bytes(), "again").hash == model.hash
    assert [graph.graph for graph in bundle.graphs] == ["window", "stream", "window", "stream"]
    described = describe(bundle.path)
    assert described["parameters"] == model.config.parameter_count == 4 * 8 * (24 + 8) + 64 + 8 * 9 + 3 * 9


def test_bench_compares_with_the_network_in_numpy(bundle: Bundle) -> None:
    assert isinstance(baseline(bundle, None, 1), NumpyFloat)


def test_the_native_engine_runs_a_single_stream(bundle: Bundle) -> None:
    require("gcc")
    from runtime.engines import open_engine

    engine = open_engine(bundle, "native", "int8")
    windows = bundle.golden["imu"].astype(np.float32)
    expected = reference_moments(read(bundle.graph("window", "int8").content), {"imu": windows})
    given = np.stack([engine.window({"imu": window}) for window in windows])
    np.testing.assert_allclose(given, expected, rtol=1e-6)


def test_the_target_of_training_is_undone(tmp_path: Path) -> None:
    text = SINGLE + "[target]\nmean = [1.0, 2.0, 3.0]\nstd = [0.5, 2.0, 4.0]\n"
    made_of = convert(
        network_file(tmp_path), DATA, tmp_path / "b", key_map=settings(tmp_path, text), scheme="float32"
    )
    windows = made_of.golden["imu"]
    with torch.no_grad():
        raw = made("lstm", Sizes((24,), window=20))(torch.from_numpy(windows)).numpy()
    wanted = raw * [0.5, 2.0, 4.0] + [1.0, 2.0, 3.0]
    np.testing.assert_allclose(made_of.golden["moments.reference"], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[model]\n", 'input x of the network has no stream: there is no .x. among emg, imu; say which with .*x = "STREAM"'),
        ('[model]\ninputs = { y = "imu" }\n', "inputs names y; the network takes x"),
        ('[model]\ninputs = { x = "emg" }\n', r"input x of the network has shape \[1, 20, 24\] and stream 'emg'"),
        (SINGLE + 'outputs = ["hip_flexion_moment"]\n', "gives 3 outputs and the contract names 1 moments"),
        (SINGLE + 'filters = "some"\n', "filters is 'some'; allowed: default, none"),
        (SINGLE + 'filters = "none"\n', "without filters they must be equal"),
        (SINGLE + "rate = 3\n", "rate, which is not a known key"),
        (SINGLE + "[target]\nmean = [1.0]\nstd = [0.0]\n", "all of these above 0"),
        (SINGLE + 'normaliser = "maybe"\n', "normaliser is 'maybe'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_say_what_would(tmp_path: Path, text: str, says: str) -> None:
    path = network_file(tmp_path)
    with pytest.raises((CheckpointError, ContractError), match=says):
        convert(path, DATA, tmp_path / "b", key_map=settings(tmp_path, text))
    assert not (tmp_path / "b").exists()


def test_names_that_are_the_streams_need_no_settings(tmp_path: Path) -> None:
    made_of = convert(network_file(tmp_path, "her-cross-lstm"), DATA, tmp_path / "b", scheme="float32")
    assert [item.stream.name for item in made_of.contract.inputs] == ["imu", "emg"]


def test_a_dataset_toml_may_say_what_the_network_needs(tmp_path: Path) -> None:
    export(load(DATA), tmp_path / "data", "csv")
    dataset = tmp_path / "data" / "dataset.toml"
    dataset.write_text(dataset.read_text() + "\n" + SINGLE)
    made_of = convert(network_file(tmp_path), str(dataset), tmp_path / "b", scheme="float32")
    assert [item.stream.name for item in made_of.contract.inputs] == ["imu"]


def test_the_tensorflow_converter_says_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tensorflow converter takes Cross-LSTM checkpoints"):
        convert(network_file(tmp_path, "her-cross-lstm"), DATA, tmp_path / "b", converter="tensorflow")
