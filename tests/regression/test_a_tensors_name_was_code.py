"""The name of an output tensor was pasted into the generated C, and ran when the native engine loaded it.

A .tflite may call its tensors anything. The output's name became the name of a parameter, in the source and in the header:
with newlines and preprocessor directives in it, it ended the prototype and began a function with the attribute
``constructor``. Opening the engine ``native`` (the daemon's start, its reload, ``run --check``, ``bench``) compiles the C
and loads the library, so a bundle from a stranger was a program from a stranger. Outputs now have fixed names in C.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantization.bundle import Bundle, new_bundle, write_bundle
from quantization.converters import GraphFile
from quantization.tflite.file import read, write
from runtime.engines import open_engine
from tests.quantization.small_models import SMALL
from tests.runtime.engines.models import make_bundle
from tests.tools import require

#: Valid C wherever the name was written: what is between the directives counts once, in the first prototype.
EXPLOIT = """moments
#ifndef RAN
#define RAN
);
int creat(const char *path, unsigned int mode);
static __attribute__((constructor)) void ran(void) {{ creat("{marker}", 0600); }}
void edgetool_decoy(float *moments
#endif
"""


def renamed(graph: GraphFile, name: str) -> GraphFile:
    """The graph with its first output called ``name``."""
    content = read(graph.content)
    tensors = list(content.tensors)
    place = content.outputs[0]
    tensors[place] = replace(tensors[place], name=name)
    return replace(graph, content=write(replace(content, tensors=tuple(tensors))))


def test_loading_a_bundle_does_not_run_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("cc")
    monkeypatch.setenv("EDGETOOL_CACHE", str(tmp_path / "cache"))
    innocent = make_bundle(tmp_path / "innocent", SMALL)
    marker = tmp_path / "ran"
    graphs = [renamed(graph, EXPLOIT.format(marker=marker)) for graph in innocent.graphs]
    with new_bundle(tmp_path / "hostile") as folder:
        write_bundle(
            folder, innocent.checkpoint, graphs, innocent.golden, about={"data": {"source": "drawn"}}
        )
    engine = open_engine(Bundle.load(tmp_path / "hostile"), "native")
    assert not marker.exists()
    draw = np.random.default_rng(0)
    row = {stream: draw.normal(size=n).astype(np.float32) for stream, n in engine.channels.items()}
    np.testing.assert_array_equal(engine.step(row), open_engine(innocent, "native").step(row))
