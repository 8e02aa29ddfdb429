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
        "convert": ("edgetool.commands.convert", "checkpoint to int8 .tflite, in a bundle with a manifest"),
        "inspect": ("edgetool.commands.inspect", "what is in a .tflite, a checkpoint or a bundle"),
        "bench": ("edgetool.commands.bench", "judge a bundle: accuracy, latency, size"),
        "validate": ("edgetool.commands.validate", "pass or fail on a target, with evidence, for CI"),
        "predict": ("edgetool.commands.predict", "the moments of recordings, as CSV, Parquet or .sto"),
        "stress": ("edgetool.commands.stress", "sensors worn wrongly, mistaken, broken: is it noticed"),
        "sign": ("edgetool.commands.sign", "sign a bundle, so that nobody can change it unseen"),
        "verify": ("edgetool.commands.verify", "who signed a bundle, and that it is whole"),
    },
    "Sensors": {
        "scan": ("edgetool.commands.scan", "serial ports and BLE nodes that can be reached"),
        "doctor": ("edgetool.commands.doctor", "is a link good enough for its sensor, and what to do"),
        "monitor": ("edgetool.commands.monitor", "streams, rates, losses and clocks of sensors, live"),
        "simulate": (
            "edgetool.commands.simulate",
            "virtual sensor nodes with seeded faults, as a serial port",
        ),
        "calibrate": (
            "edgetool.commands.calibrate",
            "where today's sensors are on the person who wears them",
        ),
        "record": ("edgetool.commands.record", "what sensors send, byte for byte, to a file"),
        "replay": ("edgetool.commands.replay", "a recording once more through the decoder, with its ledger"),
        "recover": ("edgetool.commands.recover", "what is whole in a cut or damaged recording"),
        "export": ("edgetool.commands.export", "a recording as CSV, Parquet, OpenSim .sto or XDF"),
    },
    "Run": {
        "run": ("edgetool.commands.run", "the daemon: sensors in, joint moments out, live"),
        "service": ("edgetool.commands.service", "the daemon as a systemd service"),
    },
    "Learn": {
        "train": ("edgetool.commands.train", "train a Cross-LSTM on recordings"),
        "compare": ("edgetool.commands.compare", "is it better than other models, on people it never saw"),
        "finetune": ("edgetool.commands.finetune", "adapt a checkpoint to a person with a few strides"),
        "explain": ("edgetool.commands.explain", "the share of each sensor in what a checkpoint estimates"),
        "reduce": ("edgetool.commands.reduce", "what fewer sensors cost: each choice trained anew"),
        "data": ("edgetool.commands.data", "list, export or plot recordings"),
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
    """Leave as after Ctrl-C, so that no emulator, bus or half a file stays behind. Commands may have a handler of their own."""
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
