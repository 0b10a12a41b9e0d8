"""``poly-epo ui``: open the user interfaces of the run, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Open a user interface on loopback; Ctrl-C ends it.", no_args_is_help=True)


@app.command()
def prefect(port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.")] = 4200) -> None:
    """Serve Prefect's UI: flow runs, their stages, every iteration of `improve`."""
    from flows.server import PrefectServer  # noqa: PLC0415

    server = PrefectServer.start(Path.cwd(), port=port)
    try:
        server.wait()
        if not server.is_ours:
            typer.echo(f"Prefect is being served already: {server.ui_url}")
            return
        typer.echo(f"Prefect: {server.ui_url}   (Ctrl-C ends it)")
        server.wait_until_ended()
    except KeyboardInterrupt:
        typer.echo("ended")
    finally:
        server.stop()


@app.command()
def mlflow(port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.")] = 5000) -> None:
    """Serve MLflow's UI on the tracking store of params.yaml: runs, curves, figures, registered models."""
    from components.errors import PolyEpoError  # noqa: PLC0415
    from components.params import load_params  # noqa: PLC0415
    from components.tracking.params import TrackingParams  # noqa: PLC0415

    uri = load_params()[TrackingParams].uri
    if uri.startswith("http"):
        typer.echo(f"MLflow: {uri}")
        return
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.exists():
        raise PolyEpoError("nothing has been tracked yet", where=str(database), remedy="`poly-epo run` first")
    typer.echo(f"MLflow: http://127.0.0.1:{port}   (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    try:
        done = subprocess.run([*command, "--host", "127.0.0.1", "--port", str(port)], check=False, env=environment)
    except KeyboardInterrupt:
        return
    raise typer.Exit(done.returncode)
