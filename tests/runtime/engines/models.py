"""Small bundles that every inference engine is tested on, also under another Python or processor."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from quantization import golden
from quantization.bundle import Bundle, new_bundle, write_bundle
from quantization.converters import builtin
from quantization.tflite.contract import embed_contract
from tests.quantization.small_models import SMALL, TWO_HEADS, windows
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.config import STREAMS, ModelConfig

#: Hidden sizes that leave the last vector part empty (8), fill blocks and begin another (70), and two layers with two heads.
MODELS = {
    "small": SMALL,
    "two-heads": TWO_HEADS,
    "wide": ModelConfig(7, 2, window=6, hidden=70, head_hidden=5),
}


def make_bundle(folder: Path, config: ModelConfig) -> Bundle:
    """Random weights, in int8 and float32, window and stream; always the same bytes of a config."""
    with new_bundle(folder) as partial:
        for name, content in _files(config).items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
    return Bundle.load(folder)


@cache
def _files(config: ModelConfig) -> dict[str, bytes]:
    """The files of the bundle, converted once in a process."""
    checkpoint = Checkpoint.random(config, seed=3)
    data = windows(checkpoint, 24)
    built = builtin.build(checkpoint, data, scheme="int8")
    graphs = [replace(g, content=embed_contract(g.content, checkpoint.contract)) for g in built]
    vectors = golden.to_bytes({s: data.inputs[s][:4] for s in STREAMS})
    with TemporaryDirectory() as folder:
        write_bundle(
            Path(folder),
            checkpoint,
            graphs,
            golden.read(vectors, "drawn"),
            about={"data": {"source": "drawn"}},
        )
        return {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()
        }
