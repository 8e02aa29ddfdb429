"""A bundle with its engine, ready to run, and what may be exchanged for what while the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from quantization.bundle import MANIFEST, Bundle
from quantization.bundle_folder import SIGNATURE
from quantization.signing import read_trusted_key
from runtime.engines import open_engine
from runtime.engines.interface import Engine
from runtime.pipeline.plausibility import PlausibilityWatch, watch_of
from runtime.settings import ModelSettings
from toolkit.calibration import Calibration, load_calibration, require_calibration_fits
from toolkit.contract import SensorContract, require_same_stream
from toolkit.errors import ContractError
from toolkit.reading import exists


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """``hash`` is the SHA-256 of the bundle's manifest, which holds the hashes of all its files;
    ``calibration`` is the session's."""

    settings: ModelSettings
    bundle: Bundle
    engine: Engine
    hash: str
    calibration: Calibration | None = None

    def words(self) -> dict[str, str]:
        """What a log says of it."""
        return (
            {
                "bundle": str(self.settings.bundle),
                "model": self.hash[:12],
                "engine": f"{self.engine.name} {self.engine.version}",
                "scheme": self.settings.scheme,
            }
            | ({} if self.bundle.signer is None else {"signer": str(self.bundle.signer)})
            | ({} if self.calibration is None else {"calibration": self.calibration.hash[:12]})
        )

    @property
    def nodes(self) -> Mapping[str, str]:
        """Which node the session was calibrated with, by input and stream; none for a session without a calibration."""
        return {} if self.calibration is None else self.calibration.nodes or {}

    def watch(self) -> PlausibilityWatch | None:
        """What judges its sensors: for a model that knows its training people's strides, and a session that is calibrated."""
        return watch_of(self.bundle.checkpoint, self.calibration)

    def stamp(self) -> tuple[int, ...] | None:
        """Sizes and times of manifest and signature on the disk; None if there is no manifest now."""
        try:
            found = [(self.settings.bundle / MANIFEST).stat()]
            with suppress(FileNotFoundError):
                found.append((self.settings.bundle / SIGNATURE).stat())
        except OSError:
            return None
        return tuple(part for one in found for part in (one.st_size, one.st_mtime_ns))

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
    keys = [read_trusted_key(path) for path in settings.trusted_keys]
    bundle = Bundle.load(settings.bundle, trusted=keys or None)
    calibration = _calibration(settings, bundle.contract)
    engine = open_engine(bundle, settings.engine, settings.scheme)
    return LoadedModel(settings, bundle, engine, bundle.hash, calibration)


def _calibration(settings: ModelSettings, contract: SensorContract) -> Calibration | None:
    """The session's, read whole and checked before anything runs. ContractError where the model needs one and there is none."""
    path = settings.calibration
    if path is not None and settings.uncalibrated == "degraded" and not exists(path):
        path = None  # the first calibration is still to be made, with this daemon
    found = None if path is None else load_calibration(path)
    require_calibration_fits(contract, found)
    if contract.calibration is not None and found is None and settings.uncalibrated == "refuse":
        raise ContractError(
            f"bundle {settings.bundle} needs calibrated sensors: run edgetool calibrate and give its file as "
            'model.calibration, or set model.uncalibrated = "degraded" to see estimates that must not be relied on'
        )
    return found
