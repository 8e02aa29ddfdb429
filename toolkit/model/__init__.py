"""The Cross-LSTM: config, network, checkpoint file, training.

Importing this package is light; torch is imported only by ``network``, ``train`` and the part of
``foreign`` that reads a ``.pt`` file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import CheckpointError

if TYPE_CHECKING:
    from toolkit.model.checkpoint import Checkpoint

#: The word that stands for the shipped checkpoint wherever a CHECKPOINT is expected.
PRETRAINED = "pretrained"


def pretrained() -> Path:
    """Path of the checkpoint that ships with the package, trained on synthetic gait only."""
    return Path(__file__).parent / "pretrained" / "cross_lstm_synthetic.safetensors"


def resolve_checkpoint(text: str | Path) -> Path:
    """The file that a CHECKPOINT argument means: ``pretrained`` or a path; CheckpointError if it is no file.

    A file of the user's that is called ``pretrained`` is reached as ``./pretrained``.
    """
    path = pretrained() if str(text) == PRETRAINED and isinstance(text, str) else Path(text)
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; a checkpoint is a .safetensors file, or the word pretrained"
        )
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist; give a checkpoint file (edgetool train writes one) or the word pretrained"
        )
    return path


def load_checkpoint(text: str | Path, key_map: str | Path | None = None) -> Checkpoint:
    """The checkpoint that ``text`` means: a file, or the word ``pretrained``.

    With the TOML file ``key_map`` it is a foreign one: a PyTorch state_dict or plain safetensors (docs/MODEL.md). Raises
    CheckpointError or ContractError.
    """
    from toolkit.model.checkpoint import Checkpoint
    from toolkit.model.foreign import import_checkpoint

    path = resolve_checkpoint(text)
    return Checkpoint.load(path) if key_map is None else import_checkpoint(path, key_map)
