"""What an imported network needs beside its file: which input is which stream, and the contract, drawn up from data.

A TOML in the place of the key map, or the ``[model]`` table of the dataset's own TOML:

    [model]
    inputs = { x = "imu" }       # the network's input -> the stream; left out where the names are equal
    rate_hz = 100                # of the grid, which windows are cut on
    filters = "default"          # or "none": streams arrive filtered, at the grid's rate
    normaliser = "fitted"        # on the train part; or "none", or { imu = { mean = [...], std = [...] } }
    outputs = ["knee_extension"] # in the order of the network's; left out: all moments of the data
    horizon_ms = 0

    [target]                     # if the author standardised the moments
    mean = [0.1]
    std = [0.4]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quantization.importers.network import ImportedNetwork
from quantization.importers.program import Program
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract
from toolkit.data.splits import Segment, Split, select
from toolkit.data.windows import fit_normaliser
from toolkit.errors import CheckpointError, ContractError
from toolkit.learning.prepare import fit_input
from toolkit.printable import terminal_text
from toolkit.reading import read_json_object, read_toml, reading
from toolkit.records import Recording

EXPECTED = "settings of an imported network (docs/IMPORT.md)"
_KEYS = ("inputs", "rate_hz", "filters", "normaliser", "outputs", "horizon_ms", "contract")


@dataclass(frozen=True)
class NetworkSettings:
    """The tables ``[model]`` and ``[target]``, checked; ``contract`` is a JSON file that is taken instead of data."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    rate_hz: float = 100.0
    filters: str = "default"
    normaliser: str | Mapping[str, Any] = "fitted"
    outputs: tuple[str, ...] | None = None
    horizon_ms: float = 0.0
    contract: Path | None = None
    target: Mapping[str, list[float]] | None = None


def read_settings(path: Path | None, data: Any = None) -> NetworkSettings:
    """The settings in ``path``, else in the dataset TOML that ``data`` names, else the defaults; CheckpointError if wrong."""
    if path is None:
        name = data.partition(":root=")[0] if isinstance(data, str) else ""
        if not name.endswith(".toml"):
            return NetworkSettings()
        path = Path(name)
    table, _ = read_toml(path, EXPECTED, CheckpointError)
    with reading(path, EXPECTED, CheckpointError):
        return _settings(path, dict(table.get("model", {})), table.get("target"))


def _settings(path: Path, model: dict[str, Any], target: Mapping[str, Any] | None) -> NetworkSettings:
    unknown = sorted(set(model) - set(_KEYS))
    if unknown:
        raise CheckpointError(
            f"{path}: [model] has {terminal_text(unknown[0])}, which is not a known key; allowed: {', '.join(_KEYS)}"
        )
    inputs = {str(key): str(value) for key, value in model.get("inputs", {}).items()}
    if model.get("filters", "default") not in ("default", "none"):
        raise CheckpointError(f"{path}: filters is {model['filters']!r}; allowed: default, none")
    normaliser = model.get("normaliser", "fitted")
    if not isinstance(normaliser, dict) and normaliser not in ("fitted", "none"):
        raise CheckpointError(
            f"{path}: normaliser is {normaliser!r}; allowed: fitted, none, or a table of mean and std for each stream"
        )
    undone = None
    if target is not None:
        undone = {key: [float(v) for v in target[key]] for key in ("mean", "std")}
        if not undone["std"] or len(undone["mean"]) != len(undone["std"]) or min(undone["std"]) <= 0:
            raise CheckpointError(f"{path}: [target] needs as many means as deviations, all of these above 0")
    return NetworkSettings(
        inputs,
        float(model.get("rate_hz", 100.0)),
        model.get("filters", "default"),
        normaliser,
        tuple(map(str, model["outputs"])) if "outputs" in model else None,
        float(model.get("horizon_ms", 0.0)),
        path.parent / str(model["contract"]) if "contract" in model else None,
        undone,
    )


def imported_network(
    program: Program, settings: NetworkSettings, recordings: Sequence[Recording], file: str
) -> ImportedNetwork:
    """The program with its contract: the one that ``settings`` name, or one drawn up from ``recordings``.

    Raises CheckpointError or ContractError, which say what of the two does not fit and which key mends it.
    """
    if settings.contract is not None:
        document = read_json_object(settings.contract, "a sensor contract in JSON", ContractError)
        contract = SensorContract.from_json(document)
        names = [item.stream.name for item in contract.inputs]
    else:
        names = sorted({name for recording in recordings for name in recording.signals})
        contract = None
    streams = _streams(program, settings, names)
    if contract is None:
        contract = _drawn_up(program, settings, recordings, streams)
    imported: dict[str, Any] = {"file": terminal_text(file), "nodes": len(program.nodes)}
    if settings.target is not None:
        imported["target"] = dict(settings.target)
    return ImportedNetwork(program, contract, streams, settings.target, None, {"imported": imported})


def _streams(program: Program, settings: NetworkSettings, names: Sequence[str]) -> dict[str, str]:
    """The stream of each input: as said, else of its own name, else the only one there is for the only one there is."""
    streams = {name: settings.inputs.get(name, name) for name in program.inputs}
    strange = [name for name in settings.inputs if name not in program.inputs]
    if strange:
        raise CheckpointError(
            f"[model] inputs names {terminal_text(strange[0])}; the network takes {', '.join(program.inputs)}"
        )
    if len(streams) == len(names) == 1 and not settings.inputs:
        return dict.fromkeys(streams, names[0])
    for name, stream in streams.items():
        if stream not in names:
            raise CheckpointError(
                f"input {name} of the network has no stream: there is no {stream!r} among {', '.join(names) or 'none'}; say "
                f'which with [model] inputs = {{{name} = "STREAM"}}'
            )
    if len(set(streams.values())) != len(streams):
        raise CheckpointError(f"two inputs of the network take one stream: {streams}")
    return streams


def _drawn_up(
    program: Program, settings: NetworkSettings, recordings: Sequence[Recording], streams: Mapping[str, str]
) -> SensorContract:
    """The contract by what the recordings hold; filters and normaliser by their train part."""
    segments = select(recordings, Split("chronological"), "train")
    inputs = tuple(_input(stream, settings, segments) for stream in streams.values())
    windows = {shape[1] for shape in program.inputs.values()}
    if len(windows) != 1:
        raise CheckpointError(f"the network's inputs have {sorted(windows)} steps; they must have the same")
    moments = {recording.moments.spec.channel_names if recording.moments else () for recording in recordings}
    if settings.outputs is None and (len(moments) != 1 or moments == {()}):
        raise CheckpointError(
            "the recordings do not all have the same moments: name them with [model] outputs"
        )
    outputs = settings.outputs or next(iter(moments))
    return SensorContract(
        inputs,
        settings.rate_hz,
        windows.pop(),
        tuple(Channel(name, "Nm/kg") for name in outputs),
        settings.horizon_ms,
    )


def _input(stream: str, settings: NetworkSettings, segments: Sequence[Segment]) -> ModelInput:
    found = fit_input(stream, segments, settings.rate_hz)
    if settings.filters == "none":
        if found.stream.rate_hz != settings.rate_hz:
            raise ContractError(
                f"stream {stream!r} has {found.stream.rate_hz:g} Hz and the grid {settings.rate_hz:g} Hz: without filters they "
                'must be equal; set rate_hz, or filters = "default"'
            )
        bare = replace(found, filters=())
        found = replace(bare, normaliser=fit_normaliser(segments, bare, settings.rate_hz))
    given = settings.normaliser
    if given == "fitted":
        return found
    count = len(found.stream.channels)
    if given == "none":
        return replace(found, normaliser=Normaliser((0.0,) * count, (1.0,) * count))
    if not isinstance(given, Mapping) or stream not in given:
        raise CheckpointError(f"normaliser has no entry for stream {stream!r}")
    mean, std = (tuple(float(v) for v in given[stream][key]) for key in ("mean", "std"))
    return replace(found, normaliser=Normaliser(mean, std))
