"""What a CHECKPOINT argument of convert may be: a checkpoint of ours, a foreign state_dict, or a whole exported network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantization.importers.network import ImportedNetwork, load_model
from quantization.importers.program import Program
from quantization.importers.settings import NetworkSettings, imported_network, read_settings
from quantization.importers.torch_export import looks_like_export, parse_network
from toolkit.errors import CheckpointError
from toolkit.model import load_checkpoint, resolve_checkpoint
from toolkit.model.float_model import FloatModel
from toolkit.reading import read_file
from toolkit.records import Recording


@dataclass(frozen=True)
class NetworkFile:
    """A network that was read, and what is known of it but the data that its contract is drawn up from."""

    program: Program
    settings: NetworkSettings
    file: str

    def with_contract(self, recordings: Sequence[Recording]) -> ImportedNetwork:
        """The network with its contract."""
        return imported_network(self.program, self.settings, recordings, self.file)


def open_model(
    given: str | Path | FloatModel, key_map: str | Path | None, data: Any
) -> FloatModel | NetworkFile:
    """The model that ``given`` means. A ``.pt2`` still needs data; its settings are in ``key_map``, or in the dataset TOML
    that ``data`` names.
    """
    if not isinstance(given, (str, Path)):
        return given
    path = resolve_checkpoint(given)
    content = read_file(path, "a checkpoint or a network", CheckpointError)
    if path.suffix == ".pt2" or looks_like_export(content):
        settings = read_settings(None if key_map is None else Path(key_map), data)
        return NetworkFile(parse_network(content, path.name), settings, path.name)
    if key_map is None:
        return load_model(content, str(path))
    return load_checkpoint(given, key_map)
