"""The command line: ``edgetool COMMAND``.

Each command is one file in ``edgetool/commands``, imported only when it runs, so that
``edgetool --help`` loads neither torch nor tensorflow. The table below is the one place
where a command is listed; its help text stands here so that listing needs no import.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence

import click

from toolkit import __version__
from toolkit.errors import EdgetoolError
from toolkit.terminal import never_fail_to_encode, say

#: group -> {command: (module, one-line help)}. Only what works is listed.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Deploy": {
        "convert": ("edgetool.commands.convert", "convert a checkpoint to int8 .tflite, in a bundle"),
        "inspect": ("edgetool.commands.inspect", "show what is in a .tflite, a checkpoint or a bundle"),
        "bench": ("edgetool.commands.bench", "measure a bundle's accuracy, latency and size"),
        "validate": (
            "edgetool.commands.validate",
            "pass or fail a bundle on a target, with evidence, for CI",
        ),
        "predict": ("edgetool.commands.predict", "estimate the moments of recordings: CSV, Parquet or .sto"),
        "stress": ("edgetool.commands.stress", "wear sensors wrongly, break them, and see what is noticed"),
        "sign": ("edgetool.commands.sign", "sign a bundle, so that no change goes unnoticed"),
        "verify": ("edgetool.commands.verify", "check who signed a bundle, and that it is intact"),
    },
    "Sensors": {
        "scan": ("edgetool.commands.scan", "list serial ports, BLE nodes and LSL streams in reach"),
        "doctor": ("edgetool.commands.doctor", "check whether a link is good enough, and say what to do"),
        "monitor": ("edgetool.commands.monitor", "show streams, rates, losses and clocks of sensors, live"),
        "simulate": (
            "edgetool.commands.simulate",
            "play virtual sensor nodes, with seeded faults",
        ),
        "calibrate": (
            "edgetool.commands.calibrate",
            "find where the sensors sit on the wearer today",
        ),
        "record": ("edgetool.commands.record", "record what sensors send, byte for byte"),
        "replay": ("edgetool.commands.replay", "decode a recording again and show its ledger"),
        "recover": ("edgetool.commands.recover", "save what is intact in a cut or damaged recording"),
        "export": ("edgetool.commands.export", "write a recording as CSV, Parquet, .sto, XDF or MCAP"),
    },
    "Run": {
        "run": ("edgetool.commands.run", "run the daemon: sensors in, joint moments out, live"),
        "service": ("edgetool.commands.service", "install the daemon as a systemd service"),
    },
    "Learn": {
        "train": ("edgetool.commands.train", "train a Cross-LSTM on recordings"),
        "compare": (
            "edgetool.commands.compare",
            "compare the Cross-LSTM with other models, on unseen people",
        ),
        "finetune": ("edgetool.commands.finetune", "adapt a checkpoint to a person with a few strides"),
        "explain": ("edgetool.commands.explain", "show how much each sensor contributes to the estimates"),
        "reduce": ("edgetool.commands.reduce", "measure what fewer sensors cost, retraining each time"),
        "data": ("edgetool.commands.data", "list, check, export or plot recordings"),
    },
}


def _table() -> dict[str, tuple[str, str]]:
    return {name: entry for group in COMMANDS.values() for name, entry in group.items()}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, in the order of the table."""
        return list(_table())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None if the table does not list it."""
        entry = _table().get(cmd_name)
        if entry is None:
            return None
        command = importlib.import_module(entry[0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, and name the known commands when there is no such one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = ", ".join(_table())
            raise click.UsageError(f"{error.message} The commands are: {known}.", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their group headings, from the table alone."""
        width = max(len(name) for name in _table())
        for group, commands in COMMANDS.items():
            if commands:
                with formatter.section(group):
                    formatter.write_dl([(name.ljust(width), text) for name, (_, text) in commands.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Example: edgetool convert pretrained --out bundle && edgetool bench bundle",
)
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@click.version_option(__version__, prog_name="edgetool")
def edgetool(quiet: bool) -> None:
    """Put a Cross-LSTM that estimates joint moments on a small device, in int8, and prove that it works."""


def one_blas_thread() -> None:
    """numpy's matrix products take one thread unless the shell says otherwise: these matrices are small, and threads that
    wait for each other took twice the processor time of a conversion on two cores, and more on more. torch has its own.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _terminated(*_: object) -> None:
    """Leave as after Ctrl-C: no emulator, bus or half-written file stays behind. A command may have a handler of its own."""
    sys.exit(128 + signal.SIGTERM)


def _show(error: click.ClickException) -> None:
    """As click does: the usage and where help is, then what is wrong (of an option's choices, a line each)."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        help_at = f"Try '{error.ctx.command_path} --help' for help."
        say(*error.ctx.get_usage().splitlines(), help_at, "", err=True)
    say(*f"Error: {error.format_message()}".expandtabs(4).split("\n"), err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's error becomes one line on stderr and an exit code."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    one_blas_thread()
    never_fail_to_encode()
    try:
        code = edgetool.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except EdgetoolError as error:
        say(f"edgetool: error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _show(error)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        say("edgetool: stopped", err=True)
        sys.exit(130)
