"""What a CHECKPOINT argument means: a file, or a word that stands for a shipped checkpoint."""

from __future__ import annotations

from pathlib import Path

from toolkit.errors import CheckpointError
from toolkit.reading import is_file, is_folder

#: The word that stands for the shipped checkpoint wherever a CHECKPOINT is expected.
PRETRAINED = "pretrained"
#: The one that asks for a calibration of each session, with plausibility and error bars.
CALIBRATED = "pretrained:calibrated"
#: Word -> file of the package.
SHIPPED = {
    PRETRAINED: "cross_lstm_synthetic.safetensors",
    CALIBRATED: "cross_lstm_calibrated.safetensors",
}


def pretrained(word: str = PRETRAINED) -> Path:
    """Path of a checkpoint that ships with the package, trained on synthetic gait only; KeyError for a word not in SHIPPED."""
    return Path(__file__).parent / "pretrained" / SHIPPED[word]


def resolve_checkpoint(text: str | Path) -> Path:
    """The file that a CHECKPOINT argument means: a word of SHIPPED or a path; CheckpointError if it is no file.

    A file of the user's that is called ``pretrained`` is reached as ``./pretrained``.
    """
    path = pretrained(text) if isinstance(text, str) and text in SHIPPED else Path(text)
    words = " or ".join(SHIPPED)
    if is_folder(path):
        raise CheckpointError(f"{path} is a folder; a checkpoint is a .safetensors file, or the word {words}")
    if not is_file(path):
        raise CheckpointError(
            f"{path} does not exist; give a checkpoint file (edgetool train writes one) or the word {words}"
        )
    return path
