"""No text of a model file or a contract gets into the generated C, Makefile or CMake but as a quoted string.

A model whose every name is hostile gives the same files as the innocent one, to the byte, but for the strings that hold the
channels' names and the hash of the names; compiled, it has the same symbols and passes the same self-test.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from quantization import tflm_emitter
from quantization.c_emitter import emit
from quantization.c_emitter.bundle_files import source_files
from quantization.c_fragments.text import (
    decimal_literal,
    float_literal,
    identifier,
    string_literal,
)
from quantization.convert import golden_vectors
from quantization.converters import builtin
from quantization.graph.graph_file import GraphFile
from quantization.graph.ir import Graph
from quantization.tflite.file import read, write
from quantization.tflite.run import has_tflm
from tests.hostile import MARK, encodable, few_or_all, hostile_strings, unsafe_on_a_terminal
from tests.quantization.c_emitter.harness import STRICT, run, unchecked
from tests.quantization.c_emitter.harness import write as write_files
from tests.quantization.c_emitter.test_models import drawn_windows
from tests.quantization.small_models import SMALL
from tests.tools import require
from toolkit.contract import SensorContract
from toolkit.errors import ContractError, ModelFileError, UsageError
from toolkit.model.checkpoint import Checkpoint

COUNT = 1000
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_HASH = re.compile(r'(#define EDGETOOL_(?:FILTERS_)?(?:MODEL|CONTRACT)_HASH) "[0-9a-f]{64}"')


@lru_cache(maxsize=1)
def built() -> tuple[Checkpoint, list[GraphFile]]:
    """A small model and its int8 graphs."""
    checkpoint = Checkpoint.random(SMALL, seed=3)
    return checkpoint, builtin.build(checkpoint, drawn_windows(SMALL, 8, 0), scheme="int8")


def graphs() -> tuple[Graph, Graph]:
    _, files = built()
    found = {f.graph: read(f.content).carrying(f.state) for f in files if f.scheme == "int8"}
    return found["window"], found["stream"]


def renamed(graph: Graph, names: Iterator[str]) -> Graph:
    """``graph`` with hostile names for itself and all of its tensors but the contract's streams; its state goes with them."""
    streams = {"imu", "emg"}
    tensors = [
        t if t.name in streams else replace(t, name=f"{next(names)}{place}")
        for place, t in enumerate(graph.tensors)
    ]
    return replace(graph, name=next(names), tensors=tuple(tensors)).with_same_state(graph)


def renamed_contract(contract: SensorContract, names: Iterator[str]) -> SensorContract:
    """``contract`` with hostile names for all channels, none of which begins or ends with a space, as contracts demand."""

    def channels(of: tuple) -> tuple:  # type: ignore[type-arg]
        return tuple(replace(c, name=f"[{next(names)}{place}]") for place, c in enumerate(of))

    inputs = tuple(
        replace(item, stream=replace(item.stream, channels=channels(item.stream.channels)))
        for item in contract.inputs
    )
    return unchecked(contract, inputs=inputs, outputs=channels(contract.outputs))


def bare(content: bytes) -> str:
    """A file without what may differ: its strings' content and the hashes."""
    text = _HASH.sub(r"\1", content.decode("ascii"))
    return "\n".join(
        _STRING.sub('""', line) if line.startswith("#define EDGETOOL_") else line for line in text.split("\n")
    )


def assert_same(made: Mapping[str, bytes], innocent: Mapping[str, bytes]) -> None:
    assert made.keys() == innocent.keys()
    for name, content in made.items():
        assert bare(content) == bare(innocent[name]), name
        assert MARK not in bare(content), name


def symbols(folder: Path) -> list[str]:
    """What the library and the self-test define and want: kind and name."""
    run(["make", "-s", "-C", folder, "check", "CFLAGS=-O0"])
    listing = run(["nm", folder / "libedgetool_model.a", folder / "edgetool_self_test.o"])
    return sorted(
        line[17:] for line in listing.splitlines() if not line.startswith(str(folder)) and line[16:17] == " "
    )


def test_a_thousand_names_change_nothing_but_strings(tmp_path: Path) -> None:
    require("gcc", "make", "nm")
    checkpoint, _ = built()
    window, stream = graphs()
    innocent = emit(window, checkpoint.contract, stream=stream)
    drawn = hostile_strings(COUNT, 16)
    names, used = cycle(drawn), 0
    places = len(window.tensors) + len(stream.tensors)
    while used < COUNT:
        contract = renamed_contract(checkpoint.contract, names)
        made = emit(renamed(window, names), contract, stream=renamed(stream, names))
        assert_same(made.files, innocent.files)
        used += places
    expected = symbols(write_files(innocent, tmp_path / "innocent"))
    assert expected and symbols(write_files(made, tmp_path / "hostile")) == expected


def test_names_that_a_file_can_hold_come_through_a_file(tmp_path: Path) -> None:
    """Written and read as .tflite, as a bundle's C is made: converters' notes with such names are one line each."""
    checkpoint, files = built()
    names = cycle(encodable(name) for name in few_or_all(300, 7))
    golden = drawn_windows(SMALL, 4, 1).inputs
    int8 = [f for f in files if f.scheme == "int8"]
    hostile = []
    for file in int8:
        graph = renamed(read(file.content).carrying(file.state), names)
        hostile.append(replace(file, content=write(graph), state=graph.state))
    for core in ("c99", "cortex-m4", "cortex-m55"):
        made, about = source_files(hostile, checkpoint.contract, golden, core)
        innocent, _ = source_files(int8, checkpoint.contract, golden, core)
        assert_same(made, innocent)
        assert not any(unsafe_on_a_terminal(note) or "\n" in note for note in about["notes"])


def test_strings_are_read_back_as_they_were(tmp_path: Path) -> None:
    require("gcc")
    drawn = hostile_strings(COUNT, 3)
    literals = ",\n    ".join(f"{{sizeof {text} - 1, {text}}}" for text in map(string_literal, drawn))
    (tmp_path / "say.c").write_text(
        "#include <stdio.h>\n"
        f"static const struct {{ unsigned long size; const char *text; }} all[] = {{\n    {literals},\n}};\n"
        "int main(void) {\n    for (unsigned i = 0; i < sizeof all / sizeof *all; ++i) {\n"
        "        (void)fwrite(all[i].text, 1, all[i].size + 1, stdout);\n    }\n    return 0;\n}\n"
    )
    run(["gcc", *STRICT, "-Wtrigraphs", tmp_path / "say.c", "-o", tmp_path / "say"])
    said = subprocess.run([tmp_path / "say"], capture_output=True, check=True).stdout
    assert said == b"".join(text.encode("utf-8", "surrogatepass") + b"\0" for text in drawn)


#: Names that look like names, and are C's or the generated code's own.
TAKEN = (
    "int",
    "asm",
    "class",
    "state",
    "moments",
    "memcpy",
    "range",
    "worst",
    "et_add_s8",
    "edgetool_reset",
    "uint8_t",
    "lstm_0",
)


@pytest.mark.parametrize("name", [*hostile_strings(120, 5), *TAKEN, "Imu", "_x", "__asm__", "9a", "a" * 32])
def test_a_stream_must_have_a_name_in_c(name: str) -> None:
    checkpoint, _ = built()
    window, stream = graphs()
    imu, emg = checkpoint.contract.inputs
    with pytest.raises(ModelFileError) as refused:
        identifier(name, "a stream")
    assert not unsafe_on_a_terminal(str(refused.value))

    def called(graph: Graph) -> Graph:
        place = graph.index("imu")
        tensors = [replace(t, name=name) if i == place else t for i, t in enumerate(graph.tensors)]
        return replace(graph, tensors=tuple(tensors)).with_same_state(graph)

    contract = unchecked(
        checkpoint.contract, inputs=(replace(imu, stream=replace(imu.stream, name=name)), emg)
    )
    with pytest.raises((ModelFileError, ContractError)) as refused:
        emit(called(window), contract, stream=called(stream))
    assert not unsafe_on_a_terminal(str(refused.value))


def test_a_name_that_the_generated_source_uses_is_refused() -> None:
    """A parameter called as a constant would hide it: the code would compile and compute another thing."""
    checkpoint, _ = built()
    window, _ = graphs()
    imu, emg = checkpoint.contract.inputs
    place = window.index("imu")
    tensors = [replace(t, name="lines") if i == place else t for i, t in enumerate(window.tensors)]
    contract = replace(
        checkpoint.contract, inputs=(replace(imu, stream=replace(imu.stream, name="lines")), emg)
    )
    emit(replace(window, tensors=tuple(tensors)), contract)  # a name like any other
    tensors[place] = replace(tensors[place], name="softmax")
    contract = replace(
        checkpoint.contract, inputs=(replace(imu, stream=replace(imu.stream, name="softmax")), emg)
    )
    with pytest.raises(ModelFileError, match="an input is called 'softmax', which the generated code uses"):
        emit(replace(window, tensors=tuple(tensors)), contract)


@pytest.mark.parametrize("prefix", [name for name in hostile_strings(100, 11) if name != "e\u0301"])
def test_a_prefix_must_begin_names_in_c(prefix: str) -> None:
    checkpoint, _ = built()
    window, _ = graphs()
    with pytest.raises(UsageError) as refused:
        emit(window, checkpoint.contract, prefix=prefix)
    assert not unsafe_on_a_terminal(str(refused.value))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("literal", [float_literal, decimal_literal])
def test_a_number_that_is_none_is_refused(literal: Callable[[float], str], value: float) -> None:
    """``inff`` would be a name."""
    with pytest.raises(ModelFileError, match="must be finite as float32"):
        literal(value)


def test_a_contract_whose_numbers_do_not_fit_is_refused() -> None:
    checkpoint, _ = built()
    imu, emg = checkpoint.contract.inputs
    tiny = replace(imu.normaliser, std=(1e-300, *imu.normaliser.std[1:]))
    contract = replace(checkpoint.contract, inputs=(replace(imu, normaliser=tiny), emg))
    with np.errstate(over="ignore"), pytest.raises(ModelFileError, match="must be finite as float32"):
        emit(graphs()[0], contract)


@pytest.mark.skipif(not has_tflm(), reason="NOT TESTED: tflite-micro is not installed (x86-64 Linux only)")
def test_the_files_for_tflm_hold_no_names() -> None:
    """All but the array of the model, whose bytes are the names too, and its hash and sizes."""
    checkpoint, files = built()
    windows = drawn_windows(SMALL, 8, 0)
    vectors, made = golden_vectors(checkpoint, files, windows)
    window = next(g for g in made if (g.graph, g.scheme) == ("window", "int8"))
    names = cycle(encodable(name) for name in few_or_all(200, 9))
    hostile = replace(window, content=write(renamed(read(window.content), names)))
    texts = [
        {
            name: re.sub(r"SHA-256 [0-9a-f]{64}|Bytes = \d+", "", content.decode("ascii"))
            for name, content in tflm_emitter.tflm_files(graph, vectors)[0].items()
            if not name.endswith("model.cc")
        }
        for graph in (window, hostile)
    ]
    assert len(texts[0]) == 4 and texts[0] == texts[1]


def test_a_prefix_changes_no_string() -> None:
    checkpoint, _ = built()
    outputs = tuple(replace(c, name=f"edgetool_{c.name}") for c in checkpoint.contract.outputs)
    made = emit(graphs()[0], replace(checkpoint.contract, outputs=outputs), prefix="left")
    header = made.files["left_model.h"].decode()
    assert [f'"edgetool\\137{c.name}"' in header for c in checkpoint.contract.outputs] == [True] * len(
        outputs
    )
