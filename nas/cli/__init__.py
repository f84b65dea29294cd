"""The command ``nas``: one file per command; the only place that prints or exits.

A command is a function in a file of its own and one word below. What it needs is imported inside it, and its
options are made when it is called, so that ``nas --help`` starts at once.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nas.cli.board import board
from nas.cli.calibrate import calibrate
from nas.cli.compare_samplers import compare_samplers
from nas.cli.compress import compress
from nas.cli.cost import cost
from nas.cli.data import data
from nas.cli.evaluate import evaluate
from nas.cli.exchange import export_results, import_results
from nas.cli.export import export
from nas.cli.export_study import export_study
from nas.cli.fit import fit
from nas.cli.front import front
from nas.cli.import_weights import import_weights
from nas.cli.measure import measure
from nas.cli.model_options import with_options
from nas.cli.recount import recount
from nas.cli.rerun import rerun
from nas.cli.retrain import retrain
from nas.cli.search import search
from nas.cli.simulate import simulate
from nas.cli.space import space
from nas.cli.tabulate import tabulate
from nas.cli.trust_space import trust_space
from nas.cli.tune import tune
from nas.cli.upscale import upscale

FUNCTIONS: tuple[Callable[..., None], ...] = (
    *(search, front, board, retrain, rerun, evaluate, cost, fit, space, trust_space, data),
    *(calibrate, tune),
    *(compress, measure, export, upscale),
    *(tabulate, simulate, compare_samplers),
    *(export_study, export_results, import_results, import_weights, recount),
)

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class LateCommand(TyperCommand):
    """A command whose options are made when it is called."""

    def __init__(self, function: Callable[..., None]) -> None:
        super().__init__(function.__name__.replace("_", "-"), help=inspect.getdoc(function))
        self._function = function

    def with_options(self) -> Any:
        """The whole command."""
        alone = typer.Typer(**SETTINGS)
        alone.command(self.name)(with_options(self._function))
        return typer.main.get_command(alone)

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """The context of the whole command."""
        return self.with_options().make_context(*arguments, **named)


class Commands(TyperGroup):
    """The commands above."""

    def __init__(self, **settings: Any) -> None:
        commands = [LateCommand(function) for function in FUNCTIONS]
        super().__init__(**settings | {"commands": {command.name: command for command in commands}})


app = typer.Typer(name="nas", cls=Commands, no_args_is_help=True, **SETTINGS)


def _version(wanted: bool) -> None:
    if wanted:
        from nas._version import __version__

        typer.echo(f"nas (ParetoSR) {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Search, compare and re-train lightweight super-resolution networks under a hard budget."""


def main() -> None:
    """Run the command line: a mistake is one line on standard error and exit status 2.

    An unexpected error is one, too, and names the file with its traceback.
    """
    from nas.cli.failures import message_of, unexpected, unreadable_argument

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a stream whose descriptor was replaced by a pipe cannot
                stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode stops nothing
    logging.basicConfig(format="nas: %(message)s")
    logging.getLogger("nas").setLevel(logging.INFO)
    if problem := unreadable_argument():
        sys.stderr.write(f"nas: {problem}\n")
        sys.exit(2)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone; point standard output elsewhere so that closing it is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        sys.stderr.write(f"nas: {message_of(error) or unexpected(error)}\n")
        sys.exit(2)
