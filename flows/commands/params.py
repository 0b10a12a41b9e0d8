"""``poly-epo params``: check and show the parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.params import load_params

__all__ = ["app"]

app = typer.Typer(help="Check and show the parameters.", no_args_is_help=True)

File = Annotated[Path, typer.Option("--params", help="The parameters to read.")]


@app.command()
def check(file: File = Path("params.yaml")) -> None:
    """Check every section; the first fault is one line that names the key, the value and what is allowed."""
    load_params(file)
    typer.echo(f"{file}: every section is valid")


@app.command()
def show(file: File = Path("params.yaml")) -> None:
    """Print all parameters, defaults filled in, as YAML."""
    import yaml  # noqa: PLC0415

    typer.echo(yaml.safe_dump(load_params(file).as_dict(), sort_keys=False), nl=False)
