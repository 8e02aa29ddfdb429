"""A training run on disk between two epochs, so that it can go on with the same bits. safetensors, never a pickle.

The file lies beside the checkpoint that the run writes and goes when the run has ended. Its ``key`` says all that the run
depends on; a run with another key does not go on from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import CheckpointError, UsageError
from toolkit.files import write_bytes
from toolkit.reading import is_file, parse_json_object, read_file

if TYPE_CHECKING:
    from toolkit.learning.loop import Loop

_ENTRY = "edgetool-run"
FORMAT = 1


def run_file(checkpoint: Path) -> Path:
    """Where the run that writes ``checkpoint`` keeps itself: ``model.safetensors.run``."""
    return checkpoint.with_name(f"{checkpoint.name}.run")


def save(path: Path, loop: Loop, key: Mapping[str, Any]) -> None:
    """Write the run whole or not at all; OutputError if it cannot be written."""
    from safetensors.torch import save as packed

    document = {"format": FORMAT, "key": key, "numbers": loop.numbers()}
    # Copies: safetensors refuses tensors that share memory, and a file knows no device.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in loop.tensors().items()}
    write_bytes(path, packed(tensors, metadata={_ENTRY: json.dumps(document)}))


def restore(path: Path, loop: Loop, key: Mapping[str, Any]) -> None:
    """Let ``loop`` stand where the run in ``path`` stood.

    UsageError if there is none or it was another run, naming what differs; CheckpointError if the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not is_file(path):
        raise UsageError(
            f"there is no interrupted training to resume: {path} does not exist; leave out --resume to begin"
        )
    content = read_file(path, "an interrupted training", CheckpointError)
    damaged = f"{path} is damaged and cannot be resumed; delete it and train from the start"
    try:
        length = int.from_bytes(content[:8], "little")
        header = parse_json_object(content[8 : 8 + length], str(path), "a saved run", CheckpointError)
        document = json.loads(header["__metadata__"][_ENTRY])
        if document["format"] != FORMAT:
            raise CheckpointError(f"{path} was written by another version of edgetool; train from the start")
        _require_same(document["key"], json.loads(json.dumps(key)), path)
        loop.restore(load(content), document["numbers"])
    except (SafetensorError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
        raise CheckpointError(damaged) from None
    except RuntimeError:  # torch: names or shapes that the network does not have
        raise CheckpointError(damaged) from None


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise UsageError(
                f"{path} is of a training with another {name.replace('_', ' ')} "
                f"({_short(before.get(name))} then, {_short(now.get(name))} now); resume with the options it began with, "
                "or leave out --resume"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
