"""Import of somebody else's trained weights: a PyTorch ``.pt`` state_dict or a safetensors file, by a key map.

A ``.pt`` file is a pickle. It is read with ``torch.load(weights_only=True)``, which builds tensors and plain
containers and refuses everything else, so that no code in it runs. Which of their tensors is which of our
weights is never guessed: the key map says so, and every tensor is either used or listed as ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract import SensorContract
from toolkit.errors import CheckpointError, ContractError
from toolkit.model.argument import SHIPPED, resolve_checkpoint
from toolkit.model.checkpoint import Checkpoint, looks_like_pickle
from toolkit.model.config import ModelConfig, weight_shapes
from toolkit.printable import terminal_text
from toolkit.reading import read_file, read_json_object, read_toml

Tensors = dict[str, NDArray[Any]]

_SOURCE_FIELDS = ("key", "keys", "rows", "transpose", "multiply", "add")
_MAP_FIELDS = ("weights", "model", "contract", "inside", "ignore", "target")
_SIZES = ("hidden", "layers", "heads", "norm", "head_hidden")


@dataclass(frozen=True)
class Source:
    """How one of our weights is made of their tensors, in this order.

    ``keys``: their tensors, summed (PyTorch's LSTM has two biases). ``rows``: keep rows start to stop (one
    of three projections stacked in one). ``transpose``: turn [in, out] into [out, in]. ``multiply``: their
    matrix that multiplies from the left, ``add``: their tensor that is added then (an output projection after
    single-head attention folds into the value so).
    """

    keys: tuple[str, ...]
    rows: tuple[int, int] | None = None
    transpose: bool = False
    multiply: str | None = None
    add: str | None = None

    @property
    def used(self) -> tuple[str, ...]:
        """Every one of their tensors that this takes."""
        return (*self.keys, *(name for name in (self.multiply, self.add) if name is not None))


@dataclass(frozen=True)
class KeyMap:
    """Our weight names to their sources. ``ignore`` are their tensors that are not needed; ``inside`` is where in the file
    the state_dict lies (None: at the top); ``target_mean`` and ``target_std``, per output in Nm/kg, undo
    a standardisation of the targets that their model was trained with.
    """

    weights: Mapping[str, Source]
    ignore: tuple[str, ...] = ()
    inside: str | None = None
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    sizes: Mapping[str, Any] = field(default_factory=dict)
    contract: str | None = None


def import_checkpoint(path: str | Path, key_map_file: str | Path) -> Checkpoint:
    """A checkpoint from foreign weights and a key-map file that also names sizes and contract (docs/MODEL.md).

    Raises CheckpointError for a file or map that does not fit, ContractError for a contract that is none.
    """
    key_map = read_key_map(key_map_file)
    if key_map.contract is None:
        raise CheckpointError(
            f'{key_map_file}: it names no contract; add contract = "FILE.json" (a sensor contract) or a checkpoint '
            "whose contract the model shares"
        )
    contract = _contract(key_map.contract, Path(key_map_file).parent)
    return import_state_dict(path, key_map, _config(contract, key_map.sizes, key_map_file), contract)


def import_state_dict(
    path: str | Path, key_map: KeyMap, config: ModelConfig, contract: SensorContract
) -> Checkpoint:
    """A checkpoint from a foreign state_dict file.

    Raises CheckpointError naming missing and surplus keys of the map and the file, wrong shapes, and a
    file that holds anything but tensors.
    """
    path = Path(path)
    _require_one_head(key_map, config)
    tensors = read_tensors(path, key_map.inside)
    _require_complete(path, key_map, config, tensors)
    weights: Tensors = {}
    for name, shape in weight_shapes(config).items():
        source = key_map.weights[name]
        value = _combine(name, source, tensors)
        if value.shape != shape:
            turned = value.shape[::-1] == shape and len(shape) == 2
            raise CheckpointError(
                f"weight {name} from {' + '.join(source.keys)} has shape {list(value.shape)}; the config needs "
                f"{list(shape)}" + ("; set transpose = true for it" if turned else "")
            )
        weights[name] = value
    _unstandardise(weights, key_map, config)
    imported: dict[str, Any] = {"file": terminal_text(path.name), "tensors": len(tensors)}
    if key_map.target_mean:  # what a comparison with the network's own outputs must undo as well
        imported["target"] = {"mean": list(key_map.target_mean), "std": list(key_map.target_std)}
    provenance = {"imported": imported}
    single = {name: value.astype(np.float32) for name, value in weights.items()}
    return Checkpoint(config, contract, single, None, provenance)


def read_tensors(path: Path, inside: str | None = None) -> Tensors:
    """Every tensor of a ``.pt`` or safetensors file as float64; CheckpointError if it holds anything else."""
    content = read_file(path, "a PyTorch file or safetensors", CheckpointError)
    if looks_like_pickle(content):
        return _read_torch(path, inside)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        loaded = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is neither a PyTorch file nor safetensors: {error}") from None
    if inside is not None:
        raise CheckpointError(
            f"{path} is safetensors, which has no nested entries, but the key map has inside = {inside!r}; "
            "remove that line"
        )
    return {name: np.asarray(value, dtype=np.float64) for name, value in loaded.items()}


def _read_torch(path: Path, inside: str | None) -> Tensors:
    import pickle  # only for the name of an exception

    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path} is a PyTorch file and torch is not installed; install edgetool[deploy] or save it as safetensors"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says of damaged bytes what only its authors can use
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own text says how to load it all the same: not to be passed on
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, and was not loaded, because that could run code; save it "
            "again with torch.save(model.state_dict(), FILE)"
        ) from None
    except Exception as error:  # torch's readers raise what they like at damaged bytes
        reason = str(error).split("\n")[0]
        raise CheckpointError(f"{path} is not a PyTorch file that can be read: {reason[:120]}") from None
    if inside is not None:
        if not isinstance(loaded, Mapping) or inside not in loaded:
            keys = ", ".join(map(str, loaded)) if isinstance(loaded, Mapping) else type(loaded).__name__
            raise CheckpointError(f"{path} has no entry {inside!r}; it has {keys[:200]}")
        loaded = loaded[inside]
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not a state_dict of named tensors")
    others = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(
            f"{path}: not a tensor: {', '.join(others[:3])}; if the state_dict lies deeper, name its entry with "
            'inside = "..." in the key map'
        )
    return {str(name): value.detach().double().numpy() for name, value in loaded.items()}


def read_key_map(path: str | Path) -> KeyMap:
    """Read a key-map TOML; CheckpointError names the entry that is wrong."""
    path = Path(path)
    table, _ = read_toml(path, "a key map in TOML (docs/MODEL.md shows one)", CheckpointError)
    unknown = sorted(set(table) - set(_MAP_FIELDS))
    if unknown or not isinstance(table.get("weights"), dict):
        raise CheckpointError(
            f"key map {path}: {'unknown keys: ' + ', '.join(unknown) if unknown else 'it has no table [weights]'}; allowed: "
            f"{', '.join(_MAP_FIELDS)}"
        )
    target = table.get("target", {})
    try:
        return KeyMap(
            {name: _source(path, name, value) for name, value in _flatten(table["weights"]).items()},
            tuple(str(name) for name in table.get("ignore", ())),
            table.get("inside"),
            tuple(float(v) for v in target.get("mean", ())),
            tuple(float(v) for v in target.get("std", ())),
            table.get("model", {}),
            table.get("contract"),
        )
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"key map {path} is not as docs/MODEL.md says: {error}") from None


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names of a TOML table, whether its keys were quoted or not; a table of source fields is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and not ("key" in value or "keys" in value):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _source(path: Path, name: str, value: Any) -> Source:
    """A source from its TOML value: a key, a list of keys to sum, or a table."""
    where = f"key map {path}: {name}"
    if isinstance(value, str):
        return Source((value,))
    if isinstance(value, list):
        value = {"keys": value}
    if (
        not isinstance(value, dict)
        or set(value) - set(_SOURCE_FIELDS)
        or ("key" in value) == ("keys" in value)
    ):
        raise CheckpointError(
            f"{where} is {value!r}; it must be a key, a list of keys or a table with key or keys, and any of "
            "rows, transpose, multiply, add"
        )
    keys = value["keys"] if "keys" in value else [value["key"]]
    rows = value.get("rows")
    good_rows = rows is None or (
        len(rows) == 2 and all(type(v) is int for v in rows) and 0 <= rows[0] < rows[1]
    )
    if not keys or not all(isinstance(key, str) for key in keys) or not good_rows:
        raise CheckpointError(
            f"{where} is {value!r}; keys must be text, and rows [START, STOP] with START below STOP"
        )
    return Source(
        tuple(keys),
        (rows[0], rows[1]) if rows is not None else None,
        value.get("transpose", False) is True,
        value.get("multiply"),
        value.get("add"),
    )


def _require_complete(path: Path, key_map: KeyMap, config: ModelConfig, tensors: Tensors) -> None:
    """Every weight of ours has a source, every source exists, and every tensor of theirs is spoken for."""
    names = weight_shapes(config)
    missing = [name for name in names if name not in key_map.weights]
    surplus = [name for name in key_map.weights if name not in names]
    if missing or surplus:
        wrong = [f"missing {_some(missing)}"] if missing else []
        wrong += [f"not a weight of this config {_some(surplus)}"] if surplus else []
        raise CheckpointError(f"[weights] of the key map does not fit the config: {'; '.join(wrong)}")
    used = {key for source in key_map.weights.values() for key in source.used}
    absent = sorted(used - set(tensors))
    if absent:
        near = difflib.get_close_matches(absent[0], tensors, n=2) or sorted(tensors)[:3]
        raise CheckpointError(
            f"{path} has no tensor {_some(absent)}; nearest to the first: {', '.join(near)}"
        )
    left = sorted(set(tensors) - used - set(key_map.ignore))
    if left:
        raise CheckpointError(
            f"{path} has tensors that the key map does not use: {_some(left)}; a model that needs them is not a "
            "Cross-LSTM of this kind: map them, or list them under ignore if they do not matter"
        )


def _require_one_head(key_map: KeyMap, config: ModelConfig) -> None:
    """An output projection mixes the heads, and only that of a single head folds into its value."""
    folded = [name for name, source in key_map.weights.items() if source.multiply is not None]
    if config.heads > 1 and folded:
        raise CheckpointError(
            f"the key map folds a matrix into {_some(folded)} (multiply), which is exact with one head only, and the model has "
            f"{config.heads}: export the network with torch.export.save and convert that .pt2 (docs/IMPORT.md)"
        )


def _combine(name: str, source: Source, tensors: Tensors) -> NDArray[np.float64]:
    try:
        value = np.asarray(sum(tensors[key] for key in source.keys), dtype=np.float64)
        if source.rows is not None:
            if source.rows[1] > len(value):
                raise ValueError(f"rows {list(source.rows)} of {len(value)}")
            value = value[slice(*source.rows)]
        if source.transpose:
            value = value.T
        if source.multiply is not None:
            value = tensors[source.multiply] @ value
        if source.add is not None:
            value = value + tensors[source.add]
    except ValueError as error:
        raise CheckpointError(
            f"weight {name} from {', '.join(source.used)}: shapes do not fit: {error}"
        ) from None
    return value


def _unstandardise(weights: Tensors, key_map: KeyMap, config: ModelConfig) -> None:
    """Fold (moment - mean) / std of their targets into the last layer."""
    mean, std = key_map.target_mean, key_map.target_std
    if not mean and not std:
        return
    outputs = len(config.outputs)
    if len(mean) != outputs or len(std) != outputs or not all(s > 0 for s in std):
        raise CheckpointError(
            f"key map's target has {len(mean)} means and {len(std)} deviations; it needs {outputs} of each, in Nm/kg, "
            "deviations above 0"
        )
    scale = np.array(std)
    weights["head.output.weight"] = weights["head.output.weight"] * scale[:, None]
    weights["head.output.bias"] = weights["head.output.bias"] * scale + np.array(mean)


def _contract(name: str, folder: Path) -> SensorContract:
    """The contract in a JSON file beside the key map, or of another checkpoint."""
    if not name.endswith(".json"):
        return Checkpoint.load(resolve_checkpoint(name if name in SHIPPED else folder / name)).contract
    document = read_json_object(folder / name, "a sensor contract in JSON", ContractError)
    return SensorContract.from_json(document)


def _config(contract: SensorContract, sizes: Mapping[str, Any], where: str | Path) -> ModelConfig:
    """Sizes of the key map's [model] table, the rest from the contract."""
    unknown = sorted(set(sizes) - set(_SIZES))
    if unknown:
        raise CheckpointError(
            f"{where}: [model] has unknown keys: {', '.join(unknown)}; allowed: {', '.join(_SIZES)}; channels, window, rate, "
            "outputs and horizon come from the contract"
        )
    channels = {item.stream.name: len(item.stream.channels) for item in contract.inputs}
    base = ModelConfig(
        imu_channels=channels.get("imu", 1),
        emg_channels=channels.get("emg", 1),
        window=contract.window,
        rate_hz=contract.grid_rate_hz,
        outputs=tuple(channel.name for channel in contract.outputs),
        horizon_ms=contract.horizon_ms,
    )
    return dataclasses.replace(base, **sizes)


def _some(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:4])} and {len(names) - 4} more"
    return ", ".join(names) or "nothing"
