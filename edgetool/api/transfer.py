"""Checkpoints and people they never saw: finetune, explain, reduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolkit.errors import MissingDependencyError, UsageError
from toolkit.files import write_bytes, write_json
from toolkit.progress import Progress, silent

if TYPE_CHECKING:
    from benchmarks.learning.explain import Explanation
    from benchmarks.learning.reduce import Reduction
    from benchmarks.learning.transfer import OnePerson, Transfer


def finetune(
    checkpoint: str | Path,
    *,
    data: str,
    strides: int = 5,
    person: str | None = None,
    policy: Literal["auto", "all", "fusion-and-head", "head", "normaliser", "none"] = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    curve: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    json: str | Path | None = None,
    html: str | Path | None = None,
    progress: Progress | None = None,
) -> OnePerson | Transfer:
    """Adapt ``checkpoint`` to the first ``strides`` strides of ``person`` in ``data`` (a source as for :func:`edgetool.data`).

    ``person`` may be None if there is only one; people in the checkpoint's training are refused. ``policy`` says what is
    adapted; ``auto`` chooses by cross-validation within the given strides, two or more, and changes nothing unless every
    held-out part gains.
    ``seed`` is that of the order of windows. ``out`` is the checkpoint to write, which converts like any other.

    With ``curve``, a folder, every person is adapted with 1, 2, 5, 10 and 20 strides instead, next to the general model and one
    trained on those strides alone, on ``workers`` processes or the Dask cluster of ``scheduler``; ``checkpoint`` may
    then be the folder of :func:`edgetool.compare`, whose fold without the person is used. ``json`` and ``html`` are files
    to write; ``progress`` is called with how far it is.

    Raises UsageError for too few strides or a person of the training, RecordingError or ContractError for data that do not fit.
    """
    given = dict(locals())
    from toolkit.model import load_checkpoint

    if (out is None) == (curve is None):
        raise UsageError("give either --out FILE, to adapt to one person, or --curve FOLDER, for everyone")
    if curve is not None:
        return _curve(given, Path(curve), progress or silent)
    from benchmarks.learning.transfer import adapt_person

    if html is not None:
        raise UsageError("--html shows a learning curve; give --curve FOLDER with it")
    model = load_checkpoint(checkpoint)
    result = adapt_person(model, data, strides, policy=policy, person=person, seed=seed)
    result.checkpoint.save(str(out))
    if json is not None:
        write_json(Path(json), result.to_json())
    return result


def _curve(given: dict[str, Any], folder: Path, progress: Progress) -> Transfer:
    from benchmarks.learning import transfer_report as report
    from benchmarks.learning.jobs import Pool
    from benchmarks.learning.transfer import transfer
    from edgetool.api.command_line import command_line

    result = transfer(
        given["checkpoint"],
        given["data"],
        folder,
        policy=given["policy"],
        seed=given["seed"],
        pool=Pool(given["workers"], given["scheduler"]),
        progress=progress,
    )
    if given["json"] is not None:
        write_json(Path(given["json"]), report.to_json(result))
    if given["html"] is not None:
        page = report.page(result, command_line(given, finetune))
        write_bytes(Path(given["html"]), page.encode())
    return result


def explain(
    checkpoint: str | Path,
    *,
    data: str,
    seed: int = 0,
    json: str | Path | None = None,
    html: str | Path | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """The share of each sensor in what ``checkpoint`` estimates for the people of ``data`` whom its training never saw.

    Two methods: permutation of a sensor's windows in time, and Shapley values by sampling (captum); with their rank agreement,
    a check of integrated gradients for their known artefact, and attention over the gait cycle. ``checkpoint`` may be the
    folder of :func:`edgetool.compare`. ``seed`` is that of permutations and orders; ``json`` and ``html`` are files to write;
    ``progress`` is called for each person. Raises UsageError if the checkpoint was trained on everyone.
    """
    given = dict(locals())
    _require_captum()
    from benchmarks.learning.explain import explain as work
    from benchmarks.learning.explain import to_json
    from edgetool.api.command_line import command_line

    result = work(checkpoint, data, seed=seed, progress=progress or silent)
    if json is not None:
        write_json(Path(json), to_json(result))
    if html is not None:
        from benchmarks.learning.explain_report import page

        write_bytes(Path(html), page(result, command_line(given, explain)).encode())
    return result


def _require_captum() -> None:
    from importlib.util import find_spec

    if find_spec("captum") is None:
        raise MissingDependencyError(
            "explaining needs captum, which is not installed: pip install 'edgetool[learn]'"
        )


def reduce(
    checkpoint: str | Path,
    *,
    data: str,
    out: str | Path,
    split: Literal["leave-one-person-out", "four-folds", "by-subject", "chronological"] | None = None,
    epochs: int = 16,
    stride: int | None = None,
    core: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    json: str | Path | None = None,
    html: str | Path | None = None,
    progress: Progress | None = None,
) -> Reduction:
    """Retrain a model of ``checkpoint``'s sizes on ``data`` with fewer and fewer sensors, least important first.

    ``out`` is a folder with the data and trainings of each choice; what it already holds is not done again. ``split``,
    ``epochs``, ``stride``, ``workers`` and ``scheduler`` are as for :func:`edgetool.compare`, ``seed`` is that of training.
    With ``core`` each choice is converted and run there, emulated. ``json`` and ``html`` are files to write; ``progress`` is
    called for each training. Raises UsageError, RecordingError or ContractError for what cannot be trained.
    """
    given = dict(locals())
    _require_captum()
    from benchmarks.learning import reduce as work
    from benchmarks.learning.jobs import Pool
    from edgetool.api.command_line import command_line

    options = {name: given[name] for name in ("split", "epochs", "stride", "core", "seed")}
    pool = Pool(workers, scheduler)
    result = work.reduce(checkpoint, data, Path(out), **options, pool=pool, progress=progress or silent)
    if json is not None:
        write_json(Path(json), result.to_json())
    if html is not None:
        from benchmarks.learning.reduce_report import page

        write_bytes(Path(html), page(result, command_line(given, reduce)).encode())
    return result
