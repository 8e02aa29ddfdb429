"""The native engine's cache key left out modules that decide the C, and what the stream carries.

A library is compiled once and found again by a hash of all that it was made from. Of our own code that was
``quantization/`` alone: the rows of the cores, the contract and the version that goes into the header are in ``toolkit/``,
so that an update of those kept the old library. And a stream's state, which a manifest describes beside the graph, was not
in it: a bundle with another start value got the library of the first.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.engines import native_build
from tests.quantization.small_models import SMALL
from tests.runtime.engines.models import make_bundle

ROOT = Path(__file__).parents[2]

#: Emits the C of a bundle in a process that has imported nothing else, and says which of our files took part.
EMIT = """
import sys
from pathlib import Path
from quantization.bundle import Bundle
from quantization.c_emitter.bundle_files import emission
bundle = Bundle.load(sys.argv[1])
graphs = [graph for graph in bundle.graphs if graph.scheme == "int8"]
assert emission(graphs, bundle.contract, parts=()).files
root = Path(sys.argv[2])
for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None)
    if file and root in Path(file).parents and ".venv" not in file:
        print(file)
"""


def test_every_module_that_the_emitter_imports_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "bundle", SMALL)
    graphs = [graph for graph in bundle.graphs if graph.scheme == "int8"]
    command = [sys.executable, "-c", EMIT, str(bundle.path), str(ROOT)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    imported = {Path(line).resolve() for line in said.splitlines()}
    assert len(imported) > 40, said  # the emitter, ops, graph, arithmetic, contract
    plain, read = native_build._key(bundle, graphs, "cc"), Path.read_bytes
    for changed in sorted(imported):

        def with_a_comment(path: Path, changed: Path = changed) -> bytes:
            return read(path) + (b"# changed\n" if path.resolve() == changed else b"")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", with_a_comment)
            assert native_build._key(bundle, graphs, "cc") != plain, changed.relative_to(ROOT)


def test_the_state_of_the_stream_is_in_the_key(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", SMALL)
    graphs = [graph for graph in bundle.graphs if graph.scheme == "int8"]
    stream = next(graph for graph in graphs if graph.state is not None and graph.state.carried)
    assert stream.state is not None
    first, *rest = stream.state.carried
    other = replace(stream.state, carried=(replace(first, initial=first.initial + 1), *rest))
    changed = [replace(graph, state=other) if graph is stream else graph for graph in graphs]
    assert native_build._key(bundle, changed, "cc") != native_build._key(bundle, graphs, "cc")
