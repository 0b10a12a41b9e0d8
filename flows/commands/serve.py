"""``poly-epo serve``: the project's Prefect server with its schedule and a worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.")] = 4200) -> None:
    """Serve Prefect on loopback, apply prefect.yaml and the automations and run what comes due, until Ctrl-C."""
    from flows.deployments import DEPLOYMENT, apply_deployments, start_worker  # noqa: PLC0415
    from flows.server import PrefectServer  # noqa: PLC0415

    root = Path.cwd()
    server = PrefectServer.start(root, port=port, schedules=True)
    worker = None
    try:
        server.wait()
        apply_deployments(root, server.api_url, webhook=os.environ.get("POLY_EPO_WEBHOOK_URL", ""))
        worker = start_worker(root, server.api_url)
        typer.echo(f"Prefect: {server.ui_url}   deployment {DEPLOYMENT} is scheduled   (Ctrl-C ends it)")
        raise typer.Exit(worker.wait())
    except KeyboardInterrupt:
        typer.echo("ended")
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait()
        server.stop()
