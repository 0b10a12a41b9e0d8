"""``poly-epo ui``: the dashboard of runs; ``ui mlflow`` and ``ui prefect``: those tools' own pages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Open a user interface; Ctrl-C ends it. Without a sub-command: the dashboard.")


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    runs: Annotated[list[Path] | None, typer.Option(help="Directory of further runs; repeatable.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; beyond loopback only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 8777,
    root_path: Annotated[str, typer.Option(help="Prefix behind a reverse proxy, e.g. /poly-epo.")] = "",
    allow_host: Annotated[list[str] | None, typer.Option(help="Further Host name to answer to; repeatable.")] = None,
) -> None:
    """Compare runs, read rollouts by strategy, see the registry: a page that only reads."""
    if context.invoked_subcommand is not None:
        return
    from components.dashboard.serve import access_from, serve  # noqa: PLC0415 - the other commands need no server

    access = access_from(host, root_path, allow_host or [])
    serve(Path.cwd(), runs or [], access, port, typer.echo)


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

    uri = load_params()[TrackingParams].address()
    if uri.startswith("http"):
        typer.echo(f"MLflow: {uri}")
        return
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.exists():
        raise PolyEpoError("nothing has been tracked yet", where=str(database), remedy="`poly-epo run` first")
    typer.echo(f"MLflow: http://127.0.0.1:{port}   (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    sys.stdout.flush()
    # This process becomes MLflow's: whatever ends it reaches MLflow, which ends its own workers.
    os.execve(sys.executable, [*command, "--host", "127.0.0.1", "--port", str(port)], environment)  # noqa: S606
