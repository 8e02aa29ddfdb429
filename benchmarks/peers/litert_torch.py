"""Converts a Cross-LSTM with litert-torch and ai-edge-quantizer. Run by a Python of its own, which has those two.

    python litert_torch.py INPUT.npz FOLDER

INPUT.npz holds the weights by their checkpoint names, ``config`` (JSON text) and calibration windows ``imu`` and ``emg``. The
script writes FOLDER/float32.tflite and FOLDER/int8.tflite. It imports nothing of edgetool, which that Python need not have; the
model is written from docs/ARCHITECTURE.md as any user of litert-torch would write it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def linear(weights: Any, name: str) -> Any:
    """A linear layer with the checkpoint's weights."""
    import torch
    from torch import nn

    weight = torch.tensor(weights[f"{name}.weight"])
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, torch.tensor(weights[f"{name}.bias"])
    return layer


def lstm(weights: Any, config: Any, stream: str) -> Any:
    """The LSTM layers of a stream; the checkpoint has one bias where torch has two."""
    import torch
    from torch import nn

    layers = nn.LSTM(config[f"{stream}_channels"], config["hidden"], config["layers"], batch_first=True)
    for layer in range(config["layers"]):
        prefix = f"{stream}.lstm.{layer}"
        for ours, theirs in (
            ("weight_ih", "weight_ih_l"),
            ("weight_hh", "weight_hh_l"),
            ("bias", "bias_ih_l"),
        ):
            getattr(layers, f"{theirs}{layer}").data = torch.tensor(weights[f"{prefix}.{ours}"])
        getattr(layers, f"bias_hh_l{layer}").data.zero_()
    return layers


def norm(weights: Any, config: Any, stream: str) -> Any:
    """The layer norm after a stream's attention, or nothing where the model has none."""
    import torch
    from torch import nn

    if config["norm"] != "layer":
        return nn.Identity()
    layer = nn.LayerNorm(config["hidden"])
    layer.weight.data = torch.tensor(weights[f"{stream}.norm.weight"])
    layer.bias.data = torch.tensor(weights[f"{stream}.norm.bias"])
    return layer


def model_of(weights: Any, config: Any) -> Any:
    """The network in plain torch."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.ModuleDict()
            self.parts = nn.ModuleDict()
            for stream in ("imu", "emg"):
                self.lstm[stream] = lstm(weights, config, stream)
                for kind in ("query", "key", "value"):
                    self.parts[f"{stream}_{kind}"] = linear(weights, f"{stream}.attention.{kind}")
                self.parts[f"{stream}_norm"] = norm(weights, config, stream)
            self.parts["hidden"] = linear(weights, "head.hidden")
            self.parts["output"] = linear(weights, "head.output")

        def attend(self, stream: str, query: Any, memory: Any) -> Any:
            heads = config["heads"]
            q, k, v = (
                self.parts[f"{stream}_{kind}"](x)
                for kind, x in (("query", query), ("key", memory), ("value", memory))
            )
            size = q.shape[-1] // heads
            contexts = []
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                scores = q[:, :, part] @ k[:, :, part].transpose(1, 2) / size**0.5
                contexts.append(torch.softmax(scores, -1) @ v[:, :, part])
            return torch.cat(contexts, -1)

        def forward(self, imu: Any, emg: Any) -> Any:
            states = {"imu": self.lstm["imu"](imu)[0], "emg": self.lstm["emg"](emg)[0]}
            fused = []
            for stream, other in (("imu", "emg"), ("emg", "imu")):
                query = states[stream][:, -1:]
                fused.append(self.parts[f"{stream}_norm"](query + self.attend(stream, query, states[other])))
            hidden = torch.relu(self.parts["hidden"](torch.cat(fused, -1)))
            return self.parts["output"](hidden)[:, 0]

    return Network().eval()


def main(source: Path, folder: Path) -> None:
    """Convert, quantize statically to int8, write both."""
    import litert_torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    given = np.load(source, allow_pickle=False)
    config = json.loads(str(given["config"]))
    network = model_of(given, config)
    sample = tuple(torch.tensor(given[stream][:1]) for stream in ("imu", "emg"))
    litert_torch.convert(network, sample).export(str(folder / "float32.tflite"))
    maker = quantizer.Quantizer(str(folder / "float32.tflite"))
    maker.load_quantization_recipe(recipe.static_wi8_ai8())
    rows = [
        {f"args_{i}": given[s][n : n + 1] for i, s in enumerate(("imu", "emg"))}
        for n in range(len(given["imu"]))
    ]
    result = maker.quantize(maker.calibrate({"serving_default": rows}))
    (folder / "int8.tflite").write_bytes(bytes(result.quantized_model))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
