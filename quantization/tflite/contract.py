"""The sensor contract inside a .tflite: one named entry of its metadata, which runtimes ignore.

It is JSON with the contract and its hash (:data:`CONTRACT_ENTRY`; docs/BUNDLE.md).
"""

from __future__ import annotations

import json

from quantization.tflite.model import dump_model, get_entry, load_model, set_entry
from quantization.tflite.schema import Table
from toolkit.contract import SensorContract
from toolkit.errors import ContractError, ModelFileError
from toolkit.reading import parse_json_object

CONTRACT_ENTRY = "edgetool.contract"


def contract_entry(contract: SensorContract) -> dict[str, bytes]:
    """The metadata that :meth:`quantization.graph.ir.Graph.with_metadata` takes."""
    value = {"contract": contract.to_json(), "hash": contract.hash}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {CONTRACT_ENTRY: text.encode()}


def embed_contract(content: bytes, contract: SensorContract) -> bytes:
    """A foreign .tflite with the contract in its metadata; a contract that is there is replaced."""
    model = load_model(content)
    for name, value in contract_entry(contract).items():
        set_entry(model, name, value)
    return dump_model(model)


def read_contract(content: bytes, where: str = "model") -> SensorContract | None:
    """The contract in a .tflite's metadata, None if it has none; ModelFileError if it is damaged."""
    return contract_of(load_model(content, where), where)


def contract_of(model: Table, where: str) -> SensorContract | None:
    """The same of a model that has been read."""
    value = get_entry(model, CONTRACT_ENTRY)
    return None if value is None else parse_contract(value, where)


def parse_contract(value: bytes, where: str) -> SensorContract:
    """The contract of a metadata entry; ModelFileError if it is no contract or differs from its own hash."""
    document = parse_json_object(value, f"{where}: its metadata {CONTRACT_ENTRY}", "JSON", ModelFileError)
    try:
        contract = SensorContract.from_json(document["contract"])
        stored = document["hash"]
    except (ValueError, KeyError, TypeError, ContractError) as error:
        raise ModelFileError(
            f"{where}: its metadata {CONTRACT_ENTRY} is damaged ({type(error).__name__}: {error}); convert again"
        ) from None
    if stored != contract.hash:
        raise ModelFileError(
            f"{where}: the contract in its metadata has hash {contract.hash} and says {stored}; it was changed: convert again"
        )
    return contract
