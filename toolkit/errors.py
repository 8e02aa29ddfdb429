"""The exceptions that edgetool raises for what a user can mend.

    EdgetoolError                exit code 2: one line, no traceback
    |- UsageError                an option or a combination of options that is not allowed
    |- InputError                something read from outside is not what it must be
    |  |- RecordingError         a sensor recording: missing column, NaN, wrong unit, too short
    |  |- CheckpointError        not a checkpoint, or one that does not fit its config
    |  |- ModelFileError         a .tflite that is truncated or holds an unsupported op
    |  `- BundleError            a bundle that is incomplete or was changed after its manifest
    |     `- SignatureError      a bundle that is not signed by whom it must be
    |- ContractError             two sides disagree on channels, units, rates, filters or normaliser
    |- ConversionError           a converted graph does not compute what its checkpoint does
    |- OutputError               a result cannot be written
    |- LinkError                 a sensor or a target does not answer as the protocol says
    |- MissingDependencyError    an optional package or program is not installed
    `- BudgetError               exit code 1: a bound that the user set is broken

A message says what is wrong, where, what is allowed and what to do, in one line.
Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from toolkit.printable import terminal_text


class EdgetoolError(Exception):
    """Base of all errors that a user can mend. ``exit_code`` is what the command line returns.

    As text it is one line, whatever the names of files, channels or peers in it hold.
    """

    exit_code = 2

    def __str__(self) -> str:
        return terminal_text(super().__str__())


class UsageError(EdgetoolError):
    """An option, or a combination of options, that is not allowed."""


class InputError(EdgetoolError):
    """Something read from outside is not what it must be."""


class RecordingError(InputError):
    """A sensor recording cannot be used: missing column, wrong unit, NaN, too short."""


class CheckpointError(InputError):
    """A file is not an edgetool checkpoint, or its tensors do not fit its config."""


class ModelFileError(InputError):
    """A .tflite file is truncated, not a model, or holds an unsupported op."""


class BundleError(InputError):
    """A bundle is incomplete, or a file in it differs from its manifest."""


class SignatureError(BundleError):
    """A bundle is not signed, or not by a trusted key, or its signature is of something else."""


class ContractError(EdgetoolError):
    """Two sides disagree on channels, units, rates, filters or normaliser."""


class ConversionError(EdgetoolError):
    """An engine cannot convert a checkpoint, or its graph does not compute what the checkpoint does."""


class OutputError(EdgetoolError):
    """A result cannot be written where the user asked for it."""


class LinkError(EdgetoolError):
    """A sensor or a target does not answer as the protocol says."""


class MissingDependencyError(EdgetoolError):
    """An optional package or program is needed and not installed."""


class BudgetError(EdgetoolError):
    """A bound that the user set is broken."""

    exit_code = 1
