"""``poly-epo prune``: remove what nobody uses any more. The work is done by `python -m components.registry.prune`."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

__all__ = ["prune"]

Rest = Annotated[list[str] | None, typer.Argument(help="--keep-last K [--dry-run]; --help lists all options.")]


def prune(rest: Rest = None) -> None:
    """Remove old versions, sampled rollouts and cache objects that nothing refers to."""
    # A process of its own: MLflow logs to standard output and must not be imported by every command of this CLI.
    done = subprocess.run([sys.executable, "-m", "components.registry.prune", *(rest or [])], check=False)
    raise typer.Exit(done.returncode)
