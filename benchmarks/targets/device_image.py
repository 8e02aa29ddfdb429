"""The firmware image of a bundle: its C, generated for a board's core, and what can be said of the build afterwards."""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchmarks.records import Build
from firmware_bridge.target.boards import require_board
from firmware_bridge.target.build import Image, build
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import FOLDER, source_files


def build_image(bundle: Bundle, board: str, folder: Path, prefer: str | None = None) -> Image:
    """The image of ``board`` for a bundle, with C generated for its core; ``prefer`` as the bundle's C was, else speed.

    ``folder`` then holds the C, in ``c``, and the ELF file.
    """
    facts = require_board(board)
    write_c(bundle, facts.core, folder, prefer)
    return build(folder / FOLDER, facts, folder / f"{board}.elf")


def write_c(bundle: Bundle, core: str, folder: Path, prefer: str | None = None) -> None:
    """The folder ``c`` of a bundle for ``core``, into ``folder``."""
    if prefer is None:
        prefer = str((bundle.manifest.get("c") or {}).get("prefer", "speed"))
    golden = {item.stream.name: bundle.golden[item.stream.name] for item in bundle.contract.inputs}
    files, _ = source_files(bundle.graphs, bundle.contract, golden, core, prefer)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def describe_build(image: Image, folder: Path, emulator: str) -> Build:
    """How ``image`` came about; ``folder`` is what :func:`build_image` filled."""
    sources = sorted(path for path in (folder / FOLDER).rglob("*") if path.is_file())
    return Build(
        board=image.board.name,
        emulator=emulator,
        compiler=image.compiler,
        flags=image.flags,
        image_sha256=_sha256(image.elf),
        model_hash=image.model_hash,
        contract_hash=image.contract_hash,
        sources={path.relative_to(folder).as_posix(): _sha256(path) for path in sources},
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
