"""``poly-epo models``: the registry of policies. The work is done by `python -m components.registry`."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

__all__ = ["PASS_ON", "app"]

app = typer.Typer(help="Registered policies: champion, challenger, previous.", no_args_is_help=True)

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
Rest = Annotated[list[str] | None, typer.Argument(help="Further options; --help lists them.")]


def _registry(action: str, rest: list[str] | None) -> None:
    # A process of its own: MLflow logs to standard output and must not be imported by every command of this CLI.
    done = subprocess.run([sys.executable, "-m", "components.registry", action, *(rest or [])], check=False)
    raise typer.Exit(done.returncode)


@app.command("list", context_settings=PASS_ON)
def list_(rest: Rest = None) -> None:
    """List the versions: aliases, pass@k with intervals, data."""
    _registry("list", rest)


@app.command(context_settings=PASS_ON)
def show(rest: Rest = None) -> None:
    """One version: where it is, and why it was promoted or refused."""
    _registry("show", rest)


@app.command(context_settings=PASS_ON)
def card(rest: Rest = None) -> None:
    """The model card of a version."""
    _registry("card", rest)


@app.command(context_settings=PASS_ON)
def lineage(rest: Rest = None) -> None:
    """Where a version comes from, and what it was evaluated on."""
    _registry("lineage", rest)


@app.command(context_settings=PASS_ON)
def promote(rest: Rest = None) -> None:
    """Make a version the champion; the champion before becomes `previous`."""
    _registry("promote", rest)


@app.command(context_settings=PASS_ON)
def rollback(rest: Rest = None) -> None:
    """Make the previous champion the champion again."""
    _registry("rollback", rest)


@app.command(context_settings=PASS_ON)
def fetch(rest: Rest = None) -> None:
    """Copy a version's policy directory out of the registry."""
    _registry("fetch", rest)
