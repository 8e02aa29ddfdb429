"""All that is deployed, in one folder with a manifest that names and hashes every file (docs/BUNDLE.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from quantization import golden
from quantization.bundle_folder import (
    MANIFEST as MANIFEST,
)
from quantization.bundle_folder import (
    SCHEMA,
    read_files,
    read_manifest,
)
from quantization.graph.graph_file import SCHEMES, GraphFile, GraphKind
from quantization.graph.state import StreamState
from quantization.importers.network import load_model
from quantization.signing import Signer, TrustedKey, require_signed
from quantization.tflite.contract import contract_of
from quantization.tflite.model import model_of
from quantization.tflite.operators import operator_counts
from toolkit import __version__
from toolkit.contract import SensorContract
from toolkit.errors import (
    BundleError,
    CheckpointError,
    ContractError,
    ModelFileError,
)
from toolkit.files import new_folder, write_bytes, write_json
from toolkit.model.float_model import FloatModel
from toolkit.sbom import bundle_sbom
from toolkit.uncertainty import ErrorBars
from toolkit.uncertainty.error_bars import require_error_bars_fit

CHECKPOINT = "checkpoint.safetensors"
GOLDEN = "golden.npz"
SBOM = "sbom.cdx.json"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose files all have the hashes that its manifest gives.

    ``graphs`` in the manifest's order; ``manifest`` is its JSON, described in docs/BUNDLE.md. ``files`` are all that it lists,
    as they were when their hashes were verified: the folder is not read again. ``manifest_content`` are the manifest's
    bytes as they were read, and ``signer`` is who signed them, None if nobody did.
    """

    path: Path
    manifest: Mapping[str, Any]
    checkpoint: FloatModel
    graphs: tuple[GraphFile, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    manifest_content: bytes = b""
    signer: Signer | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the manifest, and so of all that it lists."""
        return _sha256(self.manifest_content)

    @property
    def contract(self) -> SensorContract:
        """Channels, units, rates, filters and normalisers of the model's inputs, and its outputs."""
        return self.checkpoint.contract

    @property
    def data_source(self) -> str:
        """The ``--data`` that calibrated it: ``synthetic...`` as given, else the name of the file or folder."""
        return str(self.manifest["data"]["source"])

    @property
    def converter(self) -> str:
        """Name of the converter that wrote it; bundles of before that word have it under ``engine``, as ``native``."""
        stated = self.manifest.get("converter") or self.manifest.get("engine") or {}
        name = str(stated.get("name", "unknown")) if isinstance(stated, Mapping) else "unknown"
        return "builtin" if name == "native" else name

    @property
    def error_bars(self) -> ErrorBars | None:
        """How far its estimates may be off; None for one that does not know, which bundles of before do not."""
        stated = self.manifest.get("error_bars")
        return None if stated is None else ErrorBars.from_json(stated)

    @cached_property
    def golden(self) -> golden.Golden:
        """Windows and the outputs that each graph gave for them."""
        return golden.read(self.files[GOLDEN], str(self.path / GOLDEN))

    def graph(self, graph: GraphKind, scheme: str) -> GraphFile:
        """The one graph of a kind and scheme; BundleError names those there are."""
        for item in self.graphs:
            if (item.graph, item.scheme) == (graph, scheme):
                return item
        have = ", ".join(f"{item.graph} {item.scheme}" for item in self.graphs)
        raise BundleError(f"bundle {self.path} has no {graph} graph in {scheme}; it has {have}")

    @classmethod
    def load(cls, path: str | Path, *, trusted: Sequence[TrustedKey] | None = None) -> Bundle:
        """Read a folder and verify the hash of every file in its manifest; BundleError names what differs.

        With ``trusted`` keys, the manifest must be signed by one of them, and that is verified before anything else of the
        folder is read; without, a signature that is there must still be one of this manifest. SignatureError if not.
        """
        path = Path(path)
        read = read_manifest(path)
        signer = require_signed(read, trusted)
        manifest, contents = read.values, read_files(read)
        if CHECKPOINT not in contents or GOLDEN not in contents:
            raise BundleError(
                f"bundle {path}: {MANIFEST} does not list {CHECKPOINT} and {GOLDEN} under files; convert again"
            )
        try:
            checkpoint = load_model(contents[CHECKPOINT], str(path / CHECKPOINT))
            graphs = tuple(_graph(entry, contents) for entry in manifest["graphs"])
            contract = SensorContract.from_json(manifest["contract"])
            stated = manifest["contract_hash"]
            source = manifest["data"]["source"]
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"bundle {path}: its {MANIFEST} lacks {error}, or it is not as it must be; convert again"
            ) from None
        except (CheckpointError, ContractError) as error:
            raise BundleError(f"bundle {path}: {error}") from None
        if not isinstance(source, str):
            raise BundleError(f"bundle {path}: data.source in {MANIFEST} is {source!r}; it must be text")
        _require_error_bars(path, manifest.get("error_bars"), contract)
        _require_one_contract(path, stated, contract, checkpoint, graphs)
        return cls(path, manifest, checkpoint, graphs, contents, read.content, signer)


def write_bundle(
    folder: Path,
    checkpoint: FloatModel,
    graphs: Sequence[GraphFile],
    vectors: golden.Golden,
    *,
    about: Mapping[str, Any],
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Fill the empty ``folder``, which :func:`new_bundle` yields, with a bundle's files and their manifest.

    ``about`` holds the manifest's entries that only the conversion knows: scheme, converter, data, tools. ``extra``
    are more files by their path in the bundle. Each graph must carry ``checkpoint``'s contract in its metadata.
    """
    contents = {
        CHECKPOINT: checkpoint.to_bytes(),
        GOLDEN: golden.to_bytes(vectors),
        **{graph.file: graph.content for graph in graphs},
        **(extra or {}),
    }
    hashes = {name: _sha256(content) for name, content in contents.items()}
    contents[SBOM] = bundle_sbom(hashes, __version__, about.get("tools", {}))
    manifest = {
        "schema": SCHEMA,
        "edgetool": __version__,
        "contract_hash": checkpoint.contract.hash,
        "contract": checkpoint.contract.to_json(),
        "config": checkpoint.config.to_json(),
        **about,
        "graphs": [_entry(graph) for graph in graphs],
        "files": {
            name: {"sha256": _sha256(content), "bytes": len(content)}
            for name, content in sorted(contents.items())
        },
    }
    for name, content in contents.items():
        write_bytes(folder / name, content)
    write_json(folder / MANIFEST, manifest)


@contextmanager
def new_bundle(out: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the bundle ``out`` when the block ends without error.

    A bundle or empty folder at ``out`` is replaced; OutputError at once if ``out`` is anything else or cannot
    be written, so that nobody waits for a conversion in vain.
    """
    with new_folder(Path(out), replace_if=MANIFEST) as folder:
        yield folder


def _entry(graph: GraphFile) -> dict[str, Any]:
    """A graph as the manifest lists it."""
    return {
        "graph": graph.graph,
        "scheme": graph.scheme,
        "file": graph.file,
        "sha256": _sha256(graph.content),
        "bytes": len(graph.content),
        "operators": operator_counts(model_of(graph)),
        "recipe": graph.recipe,
        "notes": list(graph.notes),
        "state": None if graph.state is None else graph.state.to_json(),
    }


def _graph(entry: Mapping[str, Any], contents: Mapping[str, bytes]) -> GraphFile:
    """The graph of a manifest's entry; KeyError or TypeError if the entry is not one."""
    kind, scheme = entry["graph"], entry["scheme"]
    if kind not in get_args(GraphKind) or scheme not in SCHEMES:
        raise KeyError(f"graph {kind!r} in {scheme!r}")
    graph = GraphFile(
        kind,
        scheme,
        contents[entry["file"]],
        entry.get("recipe"),
        tuple(entry.get("notes", ())),
        None if entry.get("state") is None else StreamState.from_json(entry["state"]),
    )
    if entry["file"] != graph.file:
        raise KeyError(f"file of the {kind} graph in {scheme}: {entry['file']!r} is not {graph.file!r}")
    return graph


def _require_error_bars(path: Path, stated: Any, contract: SensorContract) -> None:
    """BundleError for error bars that are none, or of other joint moments."""
    if stated is None:
        return
    try:
        require_error_bars_fit(ErrorBars.from_json(stated), contract)
    except ContractError as error:
        raise BundleError(f"bundle {path}: {error}") from None


def _require_one_contract(
    path: Path, stated: Any, contract: SensorContract, checkpoint: FloatModel, graphs: Sequence[GraphFile]
) -> None:
    """Manifest, checkpoint and each graph must say the same contract."""
    hashes = {"its hash in manifest.json": stated, CHECKPOINT: checkpoint.contract.hash}
    for graph in graphs:
        try:
            inside = contract_of(model_of(graph), graph.file)
        except ModelFileError as error:
            raise BundleError(f"bundle {path}: {error}") from None
        hashes[graph.file] = inside.hash if inside is not None else "missing"
    for place, found in hashes.items():
        if found != contract.hash:
            raise BundleError(
                f"bundle {path}: contract in {MANIFEST} has hash {contract.hash} and {place} {found}; convert again"
            )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
