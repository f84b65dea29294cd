"""The command ``nas``: one file per command; the only place that prints or exits.

A command is a function in a file of its own and one line below. What it needs is imported inside it, so that
``nas --help`` starts without torch.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

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
from nas.cli.front import front
from nas.cli.measure import measure
from nas.cli.rerun import rerun
from nas.cli.retrain import retrain
from nas.cli.search import search
from nas.cli.simulate import simulate
from nas.cli.space import space
from nas.cli.tabulate import tabulate
from nas.cli.upscale import upscale

app = typer.Typer(
    name="nas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(search, front, board, retrain, rerun, evaluate, cost, space, data),
    calibrate,
    *(compress, measure, export, upscale),
    *(tabulate, simulate, compare_samplers),
    *(export_study, export_results, import_results),
):
    app.command()(command)


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
    """Run the command line: a mistake is one line on standard error and exit status 2."""
    from nas.cli.failures import message_of

    logging.basicConfig(format="nas: %(message)s")
    logging.getLogger("nas").setLevel(logging.INFO)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone; point standard output elsewhere so that closing it is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        sys.stderr.write(f"nas: {message}\n")
        sys.exit(2)
