"""From a source string to recordings: ``synthetic``, a dataset TOML, an NPZ, or a folder of them."""

from __future__ import annotations

import math
from pathlib import Path

from toolkit.errors import RecordingError, UsageError
from toolkit.reading import reading
from toolkit.records import Recording

_ALLOWED = "a source is synthetic[:options], a dataset .toml, a recording .npz, or a folder of them"
_OPTIONS = "people=8, seconds=12, tasks=level+incline+decline+stairs-up+stairs-down, seed=0, speeds=N (speeds per task)"


def load(source: str) -> list[Recording]:
    """Recordings of ``source``: ``synthetic``, a dataset TOML, an NPZ, or a folder of TOMLs and NPZs.

    ``synthetic`` may carry options: ``synthetic:people=3,seconds=6,tasks=level+stairs-up,seed=1``; so may a
    TOML: ``walk.toml:root=FOLDER`` reads its files from another folder.
    Raises UsageError for a source or option that is not known, RecordingError for bad data.
    """
    kind, _, options = source.partition(":")
    if kind == "synthetic":
        return _synthetic(options)
    path, root = _path_and_root(source)
    with reading(f"data source {source!r}", "a source that can be read", RecordingError):
        if path.is_dir():
            return _tree(path) if _is_tree(path) else _folder(path)
        if not path.exists():
            raise RecordingError(f"data source {source!r} does not exist; {_ALLOWED}")
        return _file(path, root)
    raise AssertionError("reading() returns or raises")


def _path_and_root(source: str) -> tuple[Path, Path | None]:
    name, marker, root = source.rpartition(".toml:root=")
    return (Path(f"{name}.toml"), Path(root)) if marker else (Path(source), None)


def _file(path: Path, root: Path | None) -> list[Recording]:
    from toolkit.data.dataset import load_dataset
    from toolkit.data.readers.npz import read_recording

    if path.suffix.lower() == ".toml":
        return load_dataset(path, root)
    if path.suffix.lower() == ".npz":
        return [read_recording(path)]
    raise UsageError(
        f"data source {path} is of type {path.suffix or 'none'!r}; {_ALLOWED}. "
        "A dataset TOML says which of its columns is which channel (docs/DATA.md)"
    )


def _is_tree(path: Path) -> bool:
    from toolkit.data.camargo import is_camargo

    return is_camargo(path)


def _tree(path: Path) -> list[Recording]:
    from toolkit.data.camargo import load_camargo

    return load_camargo(path)


def _folder(path: Path) -> list[Recording]:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".toml", ".npz"))
    if not files:
        raise RecordingError(f"folder {path} holds no .toml and no .npz; {_ALLOWED}")
    recordings = [recording for file in files for recording in _stored(file)]
    names = [r.name for r in recordings]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecordingError(f"folder {path} has recording {twice[0]!r} twice; give each its own name")
    return recordings


def _stored(path: Path) -> list[Recording]:
    """A file of a folder: an NPZ stays in its file until its samples are asked for."""
    from toolkit.data.stored import StoredRecording

    if path.suffix.lower() == ".npz":
        return [StoredRecording.open(path)]
    return _file(path, None)


def _synthetic(text: str) -> list[Recording]:
    from toolkit.data.synthetic.generate import Options, generate
    from toolkit.data.synthetic.tasks import TASKS

    values: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in ("people", "seconds", "tasks", "seed", "speeds") or key in values:
            raise UsageError(f"synthetic option {part!r} is not allowed; options, each once: {_OPTIONS}")
        values[key] = value
    tasks = tuple(values.get("tasks", "+".join(TASKS)).split("+"))
    unknown = [name for name in tasks if name not in TASKS]
    if unknown:
        raise UsageError(f"synthetic task {unknown[0]!r} is not known; allowed: {', '.join(TASKS)}")
    try:
        people, seed = int(values.get("people", "8")), int(values.get("seed", "0"))
        seconds = float(values.get("seconds", "12"))
        speeds = int(values["speeds"]) if "speeds" in values else None
    except ValueError:
        raise UsageError(
            f"synthetic options {text!r}: people, seed and speeds are whole numbers and seconds a number; "
            f"options: {_OPTIONS}"
        ) from None
    if not 1 <= people <= 1000 or seed < 0 or not (math.isfinite(seconds) and 1 <= seconds <= 3600):
        raise UsageError(
            f"synthetic options {text!r}: people must be 1 to 1000, seconds 1 to 3600, seed 0 or more"
        )
    if speeds is not None and not 1 <= speeds <= 20:
        raise UsageError(f"synthetic options {text!r}: speeds is the number of speeds per task, 1 to 20")
    return generate(Options(people, seconds, tasks, seed, speeds))
