"""What a CHECKPOINT argument means: a file, or the word that stands for the shipped checkpoint."""

from __future__ import annotations

from pathlib import Path

from toolkit.errors import CheckpointError
from toolkit.reading import is_file, is_folder

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
    if is_folder(path):
        raise CheckpointError(
            f"{path} is a folder; a checkpoint is a .safetensors file, or the word pretrained"
        )
    if not is_file(path):
        raise CheckpointError(
            f"{path} does not exist; give a checkpoint file (edgetool train writes one) or the word pretrained"
        )
    return path
