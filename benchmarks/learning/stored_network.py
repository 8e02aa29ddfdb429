"""A trained network as bytes that convert: ours as a checkpoint, a baseline by way of torch.export. Needs torch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from quantization.importers.network import ImportedNetwork
from quantization.importers.torch_export import parse_network
from toolkit.contract import SensorContract
from toolkit.model.checkpoint import Checkpoint
from toolkit.model.network import CrossLSTM


def network_bytes(
    network: nn.Module, contract: SensorContract, split: Mapping[str, Any], provenance: Mapping[str, Any]
) -> bytes:
    """What ``quantization.importers.network.load_model`` reads. A baseline takes the contract's streams, in its order."""
    if isinstance(network, CrossLSTM):
        return Checkpoint(network.config, contract, network.to_weights(), split, provenance).to_bytes()
    program = parse_network(_exported(network, contract), type(network).__name__)
    streams = dict(zip(program.inputs, (item.stream.name for item in contract.inputs), strict=True))
    return ImportedNetwork(program, contract, streams, None, split, provenance).to_bytes()


def _exported(network: nn.Module, contract: SensorContract) -> bytes:
    """As ``torch.export.save`` writes it, for one window."""
    shapes = [(1, contract.window, len(item.stream.channels)) for item in contract.inputs]
    with warnings.catch_warnings():  # PyTorch's own LSTM and GRU set attributes when they are traced
        warnings.filterwarnings("ignore", message=r"The tensor attributes? self\.", category=UserWarning)
        program = torch.export.export(network.eval(), tuple(torch.zeros(shape) for shape in shapes))
    sink = io.BytesIO()
    torch.export.save(program, sink)
    return sink.getvalue()
