"""The face: the command line, and in Python one function for each command with the same options.

    import edgetool

    bundle = edgetool.convert("pretrained", out="bundle", data="synthetic")
    report = edgetool.bench(bundle, html="bench.html")

Nothing heavy is imported before a function needs it. What each function returns (a Bundle, a Report, a Recording, ...) and
raises (the tree of :mod:`toolkit.errors`) is here too, by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from toolkit import __version__ as __version__

if TYPE_CHECKING:
    from benchmarks.learning.compare import Comparison as Comparison
    from benchmarks.learning.explain import Explanation as Explanation
    from benchmarks.learning.reduce import Reduction as Reduction
    from benchmarks.learning.transfer import OnePerson as OnePerson
    from benchmarks.learning.transfer import Transfer as Transfer
    from benchmarks.records import Report as Report
    from benchmarks.stress.records import StressReport as StressReport
    from benchmarks.validation.verdict import Verdict as Verdict
    from edgetool.api import service as service
    from edgetool.api.calibration import calibrate as calibrate
    from edgetool.api.deploy import bench as bench
    from edgetool.api.deploy import convert as convert
    from edgetool.api.deploy import inspect as inspect
    from edgetool.api.deploy import predict as predict
    from edgetool.api.deploy import validate as validate
    from edgetool.api.learn import check_data as check_data
    from edgetool.api.learn import compare as compare
    from edgetool.api.learn import data as data
    from edgetool.api.learn import suggest_dataset as suggest_dataset
    from edgetool.api.learn import train as train
    from edgetool.api.live import run as run
    from edgetool.api.sensors import Reachable as Reachable
    from edgetool.api.sensors import doctor as doctor
    from edgetool.api.sensors import export as export
    from edgetool.api.sensors import monitor as monitor
    from edgetool.api.sensors import record as record
    from edgetool.api.sensors import recover as recover
    from edgetool.api.sensors import replay as replay
    from edgetool.api.sensors import scan as scan
    from edgetool.api.sensors import simulate as simulate
    from edgetool.api.signing import sign as sign
    from edgetool.api.signing import verify as verify
    from edgetool.api.stress import stress as stress
    from edgetool.api.transfer import explain as explain
    from edgetool.api.transfer import finetune as finetune
    from edgetool.api.transfer import reduce as reduce
    from firmware_bridge.tools.doctor import Diagnosis as Diagnosis
    from firmware_bridge.tools.monitor import Health as Health
    from quantization.analysis.error_records import Attribution as Attribution
    from quantization.bundle import Bundle as Bundle
    from quantization.predict import Predicted as Predicted
    from quantization.signing import Signer as Signer
    from runtime.status.status import DaemonStatus as DaemonStatus
    from toolkit.calibration import Calibration as Calibration
    from toolkit.contract import Channel as Channel
    from toolkit.contract import ModelInput as ModelInput
    from toolkit.contract import SensorContract as SensorContract
    from toolkit.contract import StreamSpec as StreamSpec
    from toolkit.data.check import Finding as Finding
    from toolkit.errors import BudgetError as BudgetError
    from toolkit.errors import BundleError as BundleError
    from toolkit.errors import CheckpointError as CheckpointError
    from toolkit.errors import ContractError as ContractError
    from toolkit.errors import ConversionError as ConversionError
    from toolkit.errors import EdgetoolError as EdgetoolError
    from toolkit.errors import InputError as InputError
    from toolkit.errors import LinkError as LinkError
    from toolkit.errors import MissingDependencyError as MissingDependencyError
    from toolkit.errors import ModelFileError as ModelFileError
    from toolkit.errors import OutputError as OutputError
    from toolkit.errors import RecordingError as RecordingError
    from toolkit.errors import SignatureError as SignatureError
    from toolkit.errors import UsageError as UsageError
    from toolkit.learning.train import Trained as Trained
    from toolkit.model import load_checkpoint as load_checkpoint
    from toolkit.model.checkpoint import Checkpoint as Checkpoint
    from toolkit.records import Recording as Recording
    from toolkit.records import Signal as Signal
    from toolkit.records import Windows as Windows

#: Module -> the public names that it gives; a test holds them against the imports above, which editors and mypy read.
_FROM: dict[str, tuple[str, ...]] = {
    "edgetool.api": ("service",),
    "edgetool.api.deploy": ("convert", "inspect", "bench", "validate", "predict"),
    "edgetool.api.signing": ("sign", "verify"),
    "edgetool.api.stress": ("stress",),
    "edgetool.api.sensors": (
        *("scan", "doctor", "monitor", "simulate", "record", "replay", "recover", "export"),
        "Reachable",
    ),
    "edgetool.api.calibration": ("calibrate",),
    "edgetool.api.live": ("run",),
    "edgetool.api.learn": ("train", "compare", "data", "check_data", "suggest_dataset"),
    "edgetool.api.transfer": ("finetune", "explain", "reduce"),
    "quantization.bundle": ("Bundle",),
    "quantization.predict": ("Predicted",),
    "quantization.signing": ("Signer",),
    "quantization.analysis.error_records": ("Attribution",),
    "benchmarks.records": ("Report",),
    "benchmarks.stress.records": ("StressReport",),
    "benchmarks.learning.compare": ("Comparison",),
    "benchmarks.learning.reduce": ("Reduction",),
    "benchmarks.learning.explain": ("Explanation",),
    "benchmarks.learning.transfer": ("Transfer", "OnePerson"),
    "benchmarks.validation.verdict": ("Verdict",),
    "firmware_bridge.tools.doctor": ("Diagnosis",),
    "firmware_bridge.tools.monitor": ("Health",),
    "runtime.status.status": ("DaemonStatus",),
    "toolkit.calibration": ("Calibration",),
    "toolkit.data.check": ("Finding",),
    "toolkit.contract": ("Channel", "StreamSpec", "ModelInput", "SensorContract"),
    "toolkit.records": ("Recording", "Signal", "Windows"),
    "toolkit.model": ("load_checkpoint",),
    "toolkit.model.checkpoint": ("Checkpoint",),
    "toolkit.learning.train": ("Trained",),
    "toolkit.errors": (
        *("EdgetoolError", "UsageError", "InputError", "RecordingError", "CheckpointError", "ModelFileError"),
        *(
            "BundleError",
            "SignatureError",
            "ContractError",
            "ConversionError",
            "OutputError",
            "LinkError",
            "BudgetError",
        ),
        "MissingDependencyError",
    ),
}
_MODULE = {name: module for module, names in _FROM.items() for name in names}

__all__ = ["__version__", *_MODULE]  # noqa: PLE0604  # names of a table are names


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'edgetool' has no attribute {name!r}; it has {', '.join(__all__)}")
    if name == "service":  # a group of commands is a module of functions
        value: Any = importlib.import_module("edgetool.api.service")
    else:
        value = getattr(importlib.import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
