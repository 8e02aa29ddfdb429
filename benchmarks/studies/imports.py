"""Which PyTorch networks import, and what becomes of them: ``python -m benchmarks.studies.imports [NAME ...]``.

For docs/IMPORT.md. Eight networks of the family (tests/quantization/importers/networks.py) with 32 units and windows of 64,
trained for a few hundred steps on synthetic gait, exported by torch, converted with a check of 200 later windows of the same
people, and run on an emulated Cortex-M4. A row each: the float graph and the int8 graph against torch, and the C against the
integer reference.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import toolkit.data
from benchmarks.bench import bench
from quantization.convert import convert
from toolkit.data.splits import Split, select
from toolkit.data.windows import cut
from toolkit.errors import EdgetoolError
from toolkit.model import load_checkpoint
from toolkit.records import Windows

DATA = "synthetic:people=5,seconds=10,tasks=level"
TARGET = "qemu:cortex-m4"
_STEPS, _BATCH, _CHECKED = 300, 64, 200
_HEAD = (
    "| network | float against torch | int8 against torch | ops | .tflite | M4: differing | instructions | flash | RAM | "
    "TFLM |\n|---|---|---|---|---|---|---|---|---|---|"
)


def windows() -> tuple[Windows, Windows]:
    """Windows to train on, and those of the last fifth of each recording; normalised as the shipped checkpoint's contract."""
    contract = load_checkpoint("pretrained").contract
    recordings = toolkit.data.load(DATA)
    split = Split("chronological")
    return (
        cut(select(recordings, split, "train"), contract, 4),
        cut(select(recordings, split, "test"), contract, 4),
    )


def trained(name: str, train: Windows) -> tuple[Any, list[str]]:
    """The network in eval mode after some steps of Adam on standardised moments, and the streams that it takes."""
    import torch

    from tests.quantization.importers.networks import NETWORKS, Sizes, made

    streams = ["imu", "emg"][: NETWORKS[name][1]]
    widths = tuple(train.inputs[stream].shape[2] for stream in streams)
    network = made(name, Sizes(widths, window=64, hidden=32, outputs=train.targets.shape[1])).train()
    inputs = [torch.from_numpy(np.ascontiguousarray(train.inputs[stream])) for stream in streams]
    targets = torch.from_numpy((train.targets - train.targets.mean(0)) / train.targets.std(0))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        rows = torch.randint(len(targets), (_BATCH,), generator=generator)
        loss = ((network(*(x[rows] for x in inputs)) - targets[rows]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval(), streams


def row(name: str, train: Windows, test: Windows, folder: Path) -> str:
    """A line of the table."""
    import torch

    from tests.quantization.importers.networks import exported

    network, streams = trained(name, train)
    chosen = np.linspace(0, len(test) - 1, _CHECKED).astype(int)
    inputs = [torch.from_numpy(np.ascontiguousarray(test.inputs[stream][chosen])) for stream in streams]
    with torch.no_grad():
        outputs = network(*inputs).numpy()
    names = ["x"] if len(streams) == 1 else streams
    (folder / "net.pt2").write_bytes(exported(network, tuple(x[:1] for x in inputs)))
    arrays = {"outputs": outputs} | {n: x.numpy() for n, x in zip(names, inputs)}
    np.savez(folder / "check.npz", **arrays)
    settings = folder / "net.toml"
    settings.write_text(_settings(names, streams))
    bundle = convert(
        folder / "net.pt2",
        DATA,
        folder / "bundle",
        key_map=settings,
        check=folder / "check.npz",
        core="cortex-m4",
    )
    check = bundle.manifest["check"]
    graph = next(g for g in bundle.manifest["graphs"] if (g["graph"], g["scheme"]) == ("window", "int8"))
    figures = bench(bundle, DATA, on=(TARGET,), windows=40).devices[0].measured.figures
    exact = figures["bit_exact"]
    tflm = "yes" if "moments.window.int8.tflm" in bundle.golden else "no"
    return (
        f"| {name} | {check['float_error']:.1e} | {check['int8_error_pct']:.2f} % | {sum(graph['operators'].values())} | "
        f"{graph['bytes'] / 1000:.0f} kB | {exact['differing']} of {exact['compared']} | "
        f"{figures['instructions']['median'] / 1e6:.2f} M | {figures['flash_bytes']['library'] / 1000:.0f} kB | "
        f"{figures['ram_bytes']['library'] / 1000:.1f} kB | {tflm} |"
    )


def _settings(names: Sequence[str], streams: Sequence[str]) -> str:
    """Inputs by their streams, and the normaliser that the windows have."""
    contract = load_checkpoint("pretrained").contract
    lines = ["[model]", "inputs = {" + ", ".join(f'{n} = "{s}"' for n, s in zip(names, streams)) + "}"]
    for item in contract.inputs:
        if item.stream.name in streams:
            lines += [
                f"[model.normaliser.{item.stream.name}]",
                f"mean = {list(item.normaliser.mean)}",
                f"std = {list(item.normaliser.std)}",
            ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    from tests.quantization.importers.networks import NETWORKS

    train, test = windows()
    print(
        f"{len(train)} windows to train on, {_CHECKED} to check with; {TARGET}, emulated; RAM without stack\n{_HEAD}"
    )
    for name in arguments or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            print(row(name, train, test, Path(folder)), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except EdgetoolError as error:
        sys.exit(f"error: {error}")
