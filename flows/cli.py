"""`poly-epo`: the project's command line. Heavy libraries are imported inside the commands that need them."""

from __future__ import annotations

import gc
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from components.command import EXIT_USER_ERROR
from components.errors import PolyEpoError
from flows.commands import clusters, data, models, objective, params, profile, rollout_server, ui
from flows.commands.compare import compare
from flows.commands.deploy import deploy
from flows.commands.doctor import doctor
from flows.commands.evaluate import evaluate
from flows.commands.plan import plan
from flows.commands.prune import prune
from flows.commands.run import run
from flows.commands.serve import serve
from flows.commands.sweep import sweep

__all__ = ["app", "main"]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"poly-epo {version('poly-epo')}")
        raise typer.Exit


app = typer.Typer(
    help="Retrain a reasoning language model with Poly-EPO, and see whether it explores better than it did.",
    epilog="The same stages run without any server with `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options of every command."""


app.command()(run)
app.command()(serve)
app.command()(deploy)
app.command()(doctor)
app.command()(sweep)
app.command()(plan)
app.command()(evaluate)
app.command()(compare)
app.command(context_settings=models.PASS_ON)(prune)
app.add_typer(data.app, name="data")
app.add_typer(ui.app, name="ui")
app.add_typer(params.app, name="params")
app.add_typer(profile.app, name="profile")
app.add_typer(models.app, name="models")
app.add_typer(objective.app, name="objective")
app.add_typer(rollout_server.app, name="rollout-server")
app.add_typer(clusters.app, name="clusters")


def main() -> None:
    """Entry point: a fault the user can mend is one line on standard error and exit code 2, without a traceback."""
    # Objectives and verifiers of one's own may be modules in the project's root, as they are for `python -m`.
    sys.path.insert(0, str(Path.cwd()))
    try:
        app()
    except PolyEpoError as error:
        sys.stdout.flush()
        sys.stderr.write(f"error: {error.line()}\n")
        sys.exit(EXIT_USER_ERROR)
    finally:
        gc.freeze()  # as in components/command.py: no garbage collection of everything just to end


if __name__ == "__main__":
    main()
