"""The Cross-LSTM: config, network, checkpoint file, float reference.

Importing this package is light; torch is imported only by ``network`` and the part of
``foreign`` that reads a ``.pt`` file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.model.argument import PRETRAINED as PRETRAINED
from toolkit.model.argument import SHIPPED as SHIPPED
from toolkit.model.argument import pretrained as pretrained
from toolkit.model.argument import resolve_checkpoint as resolve_checkpoint

if TYPE_CHECKING:
    from toolkit.model.checkpoint import Checkpoint


def load_checkpoint(text: str | Path, key_map: str | Path | None = None) -> Checkpoint:
    """The checkpoint that ``text`` means: a file, or the word ``pretrained``.

    With the TOML file ``key_map`` it is a foreign one: a PyTorch state_dict or plain safetensors (docs/MODEL.md). Raises
    CheckpointError or ContractError.
    """
    from toolkit.model.checkpoint import Checkpoint
    from toolkit.model.foreign import import_checkpoint

    path = resolve_checkpoint(text)
    return Checkpoint.load(path) if key_map is None else import_checkpoint(path, key_map)
