"""60 drawn networks, imported and proved: ``python -m benchmarks.studies.drawn_imports [FIRST [COUNT]] [--emulate CORE]``.

For docs/IMPORT.md. The networks are those of tests/quantization/importers/drawn_networks.py, a seed each, trained for some
steps to follow a drawn function of smooth random windows (an untrained network hardly answers to its inputs, and an error in
shares of its answer says little). Other windows are for calibration and for the check, half each. A row each: the float
graph and the int8 graph against torch's own outputs, whether T steps of the stream graph equal the window bit for bit (or what
looks ahead), and whether the C's self-test finds all vectors equal, on this machine and with ``--emulate`` on an emulated core.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.c_emitter import emit
from quantization.converters import builtin
from quantization.graph.graph_file import GraphFile, GraphKind, Scheme
from quantization.graph.ir import Graph
from quantization.importers.network import ImportedNetwork
from quantization.importers.torch_export import parse_network
from quantization.quantizer.search import reference_moments
from quantization.reference import Interpreter, float_graph
from quantization.tflite.file import read
from toolkit.contract import Channel, ModelInput, Normaliser, SensorContract, StreamSpec
from toolkit.errors import EdgetoolError
from toolkit.records import Windows

COUNT, WINDOWS = 60, 200
_STEPS, _BATCH = 150, 64
#: The bounds that are asked for: float against torch as a share of the largest output, int8 in % of the outputs' deviation.
FLOAT_BOUND, RECURRENT_PCT, OTHER_PCT = 1e-5, 1.0, 2.0
_HEAD = (
    "| seed | network | float against torch | int8 against torch | ops | .tflite | stream | C here | C emulated |\n"
    "|---|---|---|---|---|---|---|---|---|"
)

Inputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Proof:
    """What was found of one network. ``c``: what the self-tests said, by place."""

    words: str
    is_recurrent: bool
    float_error: float
    int8_pct: float
    ops: int
    size: int
    stream: str
    c: dict[str, str]

    @property
    def misses(self) -> list[str]:
        """The bounds that it does not hold."""
        bound = RECURRENT_PCT if self.is_recurrent else OTHER_PCT
        found = ["float"] if not self.float_error <= FLOAT_BOUND else []
        found += [f"int8 above {bound:.1f} %"] if not self.int8_pct <= bound else []
        found += ["stream"] if self.stream == "differs" else []
        return found + [f"C {place}" for place, said in self.c.items() if said != "equal"]


def smooth(window: int, widths: tuple[int, ...], seed: int, count: int = WINDOWS) -> Inputs:
    """Windows (N, T, C) of unit variance that drift as filtered signals do, one an input."""
    draw = np.random.default_rng(seed)
    inputs = {}
    for name, width in zip("abc", widths):
        noise = draw.normal(size=(count, window + 4, width))
        mean = sum(noise[:, k : k + window] for k in range(5)) / np.sqrt(5)
        inputs[name] = mean.astype(np.float32)
    return inputs


def train(network: Any, window: int, widths: tuple[int, ...], outputs: int, seed: int) -> None:
    """Some steps of Adam towards tanh of a drawn sum of the newest rows of all inputs; the network is in eval mode behind."""
    import torch

    torch.manual_seed(seed)
    weights = [torch.randn(4 * width, outputs) / width**0.5 for width in widths]
    optimiser = torch.optim.Adam(network.train().parameters(), 3e-3)
    for step in range(_STEPS):
        drawn = smooth(window, widths, 1000 * (seed + 1) + step, _BATCH)
        inputs = [torch.from_numpy(rows) for rows in drawn.values()]
        target = torch.tanh(sum(x[:, -4:].flatten(1) @ w for x, w in zip(inputs, weights)) / 2)
        loss = ((network(*inputs) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()


def contract_of(window: int, inputs: Inputs, outputs: int) -> SensorContract:
    """Inputs that arrive filtered and normalised."""
    taken = []
    for name, rows in inputs.items():
        count = rows.shape[2]
        channels = tuple(Channel(f"{name}{i}", "1") for i in range(count))
        normaliser = Normaliser((0.0,) * count, (1.0,) * count)
        taken.append(ModelInput(StreamSpec(name, 100.0, channels), (), normaliser))
    moments = tuple(Channel(f"moment{i}", "Nm/kg") for i in range(outputs))
    return SensorContract(tuple(taken), 100.0, window, moments)


def stepped(stream: Graph, inputs: Inputs) -> NDArray[np.float64]:
    """Moments (N, O) after as many steps from reset as the windows have rows."""
    assert stream.state is not None
    runner = Interpreter(stream)
    stored = {}
    for name, rows in inputs.items():
        affine = stream.tensor(name).quantization
        assert affine is not None
        values = np.rint(rows.astype(np.float64) / affine.scale[0]) + affine.zero_point[0]
        stored[name] = np.clip(values, -128, 127).astype(np.int8)[:, None]
    carried = stream.state.start(WINDOWS // 2)
    outputs: list[NDArray[Any]] = []
    for step in range(next(iter(inputs.values())).shape[1]):
        outputs = runner.run({name: rows[:, :, step : step + 1] for name, rows in stored.items()} | carried)
        carried = {one.input: outputs[one.output_place] for one in stream.state.carried}
    affine = stream.tensors[stream.outputs[0]].quantization
    assert affine is not None
    moments: NDArray[np.float64] = outputs[0].reshape(WINDOWS // 2, -1) * np.float64(affine.scale[0])
    return moments


def prove(seed: int, cores: tuple[str, ...]) -> Proof:
    """Draw, export, import, quantize, stream and compile one network."""
    import torch

    from tests.quantization.importers.drawn_networks import draw, made
    from tests.quantization.importers.networks import exported

    drawn = draw(seed)
    network, inputs = made(drawn), smooth(drawn.window, drawn.widths, seed)
    train(network, drawn.window, drawn.widths, drawn.outputs, seed)
    with torch.no_grad():
        theirs = network(*(torch.from_numpy(rows) for rows in inputs.values())).numpy().astype(np.float64)
    content = exported(network, tuple(torch.from_numpy(rows[:1]) for rows in inputs.values()))
    program = parse_network(content, f"seed-{seed}.pt2")
    contract = contract_of(drawn.window, inputs, drawn.outputs)
    model = ImportedNetwork(program, contract, dict(zip(program.inputs, inputs)))
    half = WINDOWS // 2
    first, last = ({k: rows[part] for k, rows in inputs.items()} for part in (slice(half), slice(half, None)))
    labels = np.zeros((half, drawn.outputs), np.float32)
    windows = Windows(first, labels, np.zeros(half, np.int32), np.arange(half) / 100.0, ())
    files = builtin.build(model, windows, scheme="int8")
    by_kind = {(file.graph, file.scheme): file for file in files}
    window = read(by_kind["window", "int8"].content)
    int8 = reference_moments(window, last)
    floats = read(by_kind["window", "float32"].content)
    ours = float_graph.run(floats, inputs)["moments"].reshape(theirs.shape)
    apart = theirs[half:] - int8
    stream, said = _stream(by_kind, last, int8)
    return Proof(
        drawn.words,
        drawn.is_recurrent,
        float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        float(100 * np.sqrt(np.mean(apart**2)) / np.sqrt(np.mean(theirs[half:].var(axis=0)))),
        len(window.ops),
        len(by_kind["window", "int8"].content),
        said,
        {core: _compiled(window, stream, contract, last, core) for core in ("c99", *cores)},
    )


def _stream(
    files: Mapping[tuple[GraphKind, Scheme], GraphFile], inputs: Inputs, expected: NDArray[np.float64]
) -> tuple[Graph | None, str]:
    """The integer stream graph, and whether a window of its steps equals the window graph; else why there is none."""
    file = files.get(("stream", "int8"))
    if file is None:
        notes = files["window", "int8"].notes
        why = next(n.partition("graph: ")[2] for n in notes if n.startswith("there is no stream"))
        return None, re.sub(r" at .*\)(?= )", "", why)
    graph = read(file.content).carrying(file.state)
    return graph, "equal" if np.array_equal(stepped(graph, inputs), expected) else "differs"


def _compiled(
    window: Graph, stream: Graph | None, contract: SensorContract, inputs: Inputs, core: str
) -> str:
    """What the self-test of the C says: two windows, and steps if there is a stream."""
    from tests.quantization.c_emitter.harness import build_image, emulate, run, write
    from tests.quantization.c_emitter.test_models import SELF_TEST_MAIN

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            write(emit(window, contract, core, stream=stream, golden=inputs), folder)
            if core == "c99":
                return (
                    "equal"
                    if "all vectors equal" in run(["make", "-s", "-C", folder, "check"])
                    else "differs"
                )
            image = build_image(folder, SELF_TEST_MAIN, core, folder / "edgetool_self_test.c")
            return "equal" if emulate(image, core) == (0, "") else "differs"
        except (EdgetoolError, AssertionError) as error:
            return str(error).splitlines()[-1][:80]


def row(seed: int, proof: Proof, cores: tuple[str, ...]) -> str:
    """A line of the table."""
    emulated = ", ".join(proof.c[core] for core in cores) or "-"
    return (
        f"| {seed} | {proof.words} | {proof.float_error:.1e} | {proof.int8_pct:.2f} % | {proof.ops} | "
        f"{proof.size / 1000:.0f} kB | {proof.stream} | {proof.c['c99']} | {emulated} |"
    )


def main() -> int:
    """Print the table, and what does not hold; 1 if something does not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("count", type=int, nargs="?", default=COUNT)
    parser.add_argument("--emulate", action="append", default=[], metavar="CORE")
    given = parser.parse_args()
    cores = tuple(given.emulate)
    print(_HEAD)
    missed, streams = [], 0
    for seed in range(given.first, given.first + given.count):
        try:
            proof = prove(seed, cores)
        except EdgetoolError as error:
            missed.append(f"{seed}: {error}")
            print(f"| {seed} | {error} |", flush=True)
            continue
        print(row(seed, proof, cores), flush=True)
        streams += proof.stream == "equal"
        missed += [f"{seed}: {', '.join(proof.misses)}"] if proof.misses else []
    print(
        f"\n{given.count - len(missed)} of {given.count} hold all bounds; {streams} have a stream, equal bit for bit"
    )
    print("\n".join(missed))
    return bool(missed)


if __name__ == "__main__":
    raise SystemExit(main())
