"""The moments that a model estimates of recordings, as a table: with a bundle those of the int8 graph that would run live."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.arithmetic.storage import decode
from quantization.bundle import Bundle
from quantization.graph.graph_file import GraphFile
from quantization.importers.network import float_moments, load_model
from quantization.tflite.run import open_interpreter, run_litert, run_litert_stream, tensor_format
from toolkit.calibration import for_model
from toolkit.contract import SensorContract
from toolkit.data.windows import features, require_calibration
from toolkit.errors import CheckpointError, MissingDependencyError, RecordingError, UsageError
from toolkit.files import write_bytes
from toolkit.model.argument import resolve_checkpoint
from toolkit.model.float_model import FloatModel
from toolkit.printable import file_name_text, spreadsheet_text, terminal_text
from toolkit.progress import Progress, silent
from toolkit.reading import is_folder, read_file
from toolkit.records import Recording

FORMATS = (".csv", ".parquet", ".sto")


@dataclass(frozen=True, eq=False)
class Prediction:
    """Moments (rows, outputs) in Nm/kg of one recording at ``time_s`` (rows,), which is when they are of: horizon included."""

    recording: Recording
    time_s: NDArray[np.float64]
    moments: NDArray[np.float64]


@dataclass(frozen=True)
class Predicted:
    """What was predicted, by which graph (``model``, in words), and the files that hold it."""

    contract: SensorContract
    model: str
    predictions: tuple[Prediction, ...]
    files: tuple[Path, ...]


def predict(
    model: str | Path | Bundle,
    recordings: Sequence[Recording],
    out: Path,
    *,
    progress: Progress | None = None,
) -> Predicted:
    """Estimate the moments of ``recordings`` and write them to ``out``: .csv, .parquet, or .sto (a file a recording).

    A bundle's int8 stream graph runs over each recording as it would live, its window graph where it has no stream; a
    checkpoint's float model runs on windows. The first moment of a recording is that of its first whole window. Labels are
    not needed. Raises UsageError for another suffix, ContractError or RecordingError for data that do not fit.
    """
    if out.suffix not in FORMATS:
        raise UsageError(f"{out} has suffix {out.suffix or 'none'!r}; allowed: {', '.join(FORMATS)}")
    found = _opened(model)
    contract = found.contract
    known = for_model(recordings, contract)
    for recording in known:
        require_calibration(recording, contract)
    rows = features(known, contract.inputs, contract.grid_rate_hz)
    tell = progress or silent
    predictions = []
    for place, (recording, inputs) in enumerate(zip(known, rows)):
        tell("estimating moments", place, len(known))
        predictions.append(_predicted(found, recording, inputs))
    words = "float model, windows" if not isinstance(found, Bundle) else f"{_graph(found).file}, LiteRT"
    return Predicted(contract, words, tuple(predictions), _written(predictions, contract, out))


def _opened(model: str | Path | Bundle) -> Bundle | FloatModel:
    if isinstance(model, Bundle):
        return model
    if is_folder(Path(model)):
        return Bundle.load(model)
    path = resolve_checkpoint(model)
    return load_model(read_file(path, "a bundle or a checkpoint", CheckpointError), str(path))


def _graph(bundle: Bundle) -> GraphFile:
    """The graph that would run live: int8 before float, stream before window."""
    order = {("stream", "int8"): 0, ("window", "int8"): 1, ("stream", "float32"): 2, ("window", "float32"): 3}
    return min(bundle.graphs, key=lambda graph: order[graph.graph, graph.scheme])


def _predicted(
    model: Bundle | FloatModel, recording: Recording, inputs: Mapping[str, NDArray[np.float32]]
) -> Prediction:
    contract = model.contract
    count = len(next(iter(inputs.values())))
    if count < contract.window:
        raise RecordingError(
            f"recording {recording.name!r} has {count} rows on the {contract.grid_rate_hz:g} Hz grid; the first moment needs "
            f"{contract.window}"
        )
    newest = np.arange(contract.window - 1, count)
    start_s = recording.span_s[0]
    time_s = start_s + newest / contract.grid_rate_hz + contract.horizon_ms / 1000.0
    return Prediction(recording, time_s, _moments(model, inputs, contract.window))


def _moments(
    model: Bundle | FloatModel, inputs: Mapping[str, NDArray[np.float32]], window: int
) -> NDArray[np.float64]:
    """Moments (rows - window + 1, outputs) of the rows of one recording."""
    if isinstance(model, Bundle) and _graph(model).graph == "stream":
        return run_litert_stream(_graph(model), inputs)[window - 1 :].astype(np.float64)
    windows = {
        name: np.moveaxis(np.lib.stride_tricks.sliding_window_view(rows, window, axis=0), -1, 1)
        for name, rows in inputs.items()
    }
    if not isinstance(model, Bundle):
        return np.asarray(float_moments(model, windows), np.float64)
    content = _graph(model).content
    raw, _ = run_litert(content, windows)
    form = tensor_format(open_interpreter(content).get_output_details()[0])
    return np.asarray(decode(raw, form), np.float64)


# -- files ------------------------------------------------------------------------------------------------------------


def _written(predictions: Sequence[Prediction], contract: SensorContract, out: Path) -> tuple[Path, ...]:
    names = [channel.name for channel in contract.outputs]
    if out.suffix == ".sto":
        return _storages(predictions, names, out)
    write_bytes(out, _csv(predictions, names) if out.suffix == ".csv" else _parquet(predictions, names))
    return (out,)


def _csv(predictions: Sequence[Prediction], names: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recording", "time", *(f"{spreadsheet_text(name)} (Nm/kg)" for name in names)])
    for one in predictions:
        label = spreadsheet_text(one.recording.name)
        for time_s, row in zip(one.time_s.tolist(), one.moments.tolist()):
            writer.writerow([label, f"{time_s:.6f}", *(f"{value:.7g}" for value in row)])
    return text.getvalue().encode()


def _parquet(predictions: Sequence[Prediction], names: Sequence[str]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError(
            "Parquet needs pyarrow, which is not installed; run: pip install 'edgetool[parquet]', or write a .csv"
        ) from None
    labels = [one.recording.name for one in predictions for _ in one.time_s]
    columns: dict[str, Any] = {
        "recording": pyarrow.array(labels, pyarrow.string()),
        "time": pyarrow.array(np.concatenate([one.time_s for one in predictions])),
    }
    moments = np.concatenate([one.moments for one in predictions])
    fields = [pyarrow.field("recording", pyarrow.string()), _field("time", "s")]
    for place, name in enumerate(names):
        columns[name] = pyarrow.array(np.ascontiguousarray(moments[:, place]))
        fields.append(_field(name, "Nm/kg"))
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table(list(columns.values()), schema=pyarrow.schema(fields))
    pyarrow.parquet.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def _field(name: str, unit: str) -> Any:
    import pyarrow

    return pyarrow.field(name, pyarrow.float64(), metadata={"unit": unit})


def _storages(predictions: Sequence[Prediction], names: Sequence[str], out: Path) -> tuple[Path, ...]:
    """OpenSim tables: ``out`` for one recording, else one each with the recording's name before the suffix."""
    paths = [out.with_name(f"{out.stem}.{file_name_text(one.recording.name)}.sto") for one in predictions]
    paths = [out] if len(predictions) == 1 else paths
    if len(set(paths)) < len(paths):
        raise UsageError("two recordings have the same name; rename one, or write a .csv")
    columns = [re.sub(r"\s+", "_", terminal_text(name)) for name in names]
    for path, one in zip(paths, predictions):
        lines = [
            terminal_text(f"{one.recording.name}: joint moments in Nm/kg, estimated"),
            "version=1",
            f"nRows={len(one.time_s)}",
            f"nColumns={len(columns) + 1}",
            "inDegrees=no",
            "endheader",
            "\t".join(["time", *columns]),
        ]
        for time_s, row in zip(one.time_s.tolist(), one.moments.tolist()):
            lines.append("\t".join([f"{time_s:.6f}", *(f"{value:.7g}" for value in row)]))
        write_bytes(path, ("\n".join(lines) + "\n").encode())
    return tuple(paths)
