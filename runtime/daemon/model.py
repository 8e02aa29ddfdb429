"""A bundle with its engine, ready to run, and what may be exchanged for what while the daemon runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from quantization.bundle import MANIFEST, Bundle
from runtime.engines import open_engine
from runtime.engines.interface import Engine
from runtime.settings import ModelSettings
from toolkit.contract import require_same_stream
from toolkit.errors import ContractError


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """``hash`` is the SHA-256 of the bundle's manifest, which holds the hashes of all its files."""

    settings: ModelSettings
    bundle: Bundle
    engine: Engine
    hash: str

    def words(self) -> dict[str, str]:
        """What a log says of it."""
        return {
            "bundle": str(self.settings.bundle),
            "model": self.hash[:12],
            "engine": f"{self.engine.name} {self.engine.version}",
            "scheme": self.settings.scheme,
        }

    def stamp(self) -> tuple[int, int] | None:
        """Size and time of the manifest on the disk; None if there is none now."""
        try:
            found = (self.settings.bundle / MANIFEST).stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def require_same_sensors(self, other: LoadedModel) -> None:
        """ContractError unless this one takes the same streams and gives the same outputs as ``other``, which runs."""
        mine, theirs = self.bundle.contract, other.bundle.contract
        names = [[item.stream.name for item in contract.inputs] for contract in (theirs, mine)]
        if names[0] != names[1]:
            raise ContractError(
                f"bundle {self.bundle.path} has inputs {names[1]} and the running model {names[0]}; restart to change them"
            )
        for old, new in zip(theirs.inputs, mine.inputs):
            require_same_stream(
                old.stream, new.stream, f"bundle {self.bundle.path}, restart to change sensors"
            )
        if (mine.outputs, mine.grid_rate_hz) != (theirs.outputs, theirs.grid_rate_hz):
            raise ContractError(
                f"bundle {self.bundle.path} gives {[c.name for c in mine.outputs]} at {mine.grid_rate_hz:g} Hz and the running "
                f"model {[c.name for c in theirs.outputs]} at {theirs.grid_rate_hz:g} Hz; restart to change outputs"
            )


def opened_again(model: LoadedModel) -> LoadedModel:
    """The same graphs on a fresh engine, for when the old one is beyond its own reset."""
    engine = open_engine(model.bundle, model.settings.engine, model.settings.scheme)
    return replace(model, engine=engine)


def load_model(settings: ModelSettings) -> LoadedModel:
    """Read and verify the bundle and open its engine (which proves that it carries state). Raises their errors."""
    bundle = Bundle.load(settings.bundle)
    engine = open_engine(bundle, settings.engine, settings.scheme)
    digest = hashlib.sha256((settings.bundle / MANIFEST).read_bytes()).hexdigest()
    return LoadedModel(settings, bundle, engine, digest)
