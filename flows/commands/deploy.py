"""``poly-epo deploy``: everything a Prefect server must know of the project, made or brought up to date."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from components.errors import PolyEpoError

__all__ = ["deploy"]


def deploy(
    gpus: Annotated[int, typer.Option(min=0, help="GPU slots that the stages of all runs share.")] = 1,
    docker: Annotated[bool, typer.Option("--docker", help="Also make the work pool of containers.")] = False,
) -> None:
    """Apply work pools, prefect.yaml's deployments, GPU slots and automations to the server of PREFECT_API_URL.

    POLY_EPO_WEBHOOK_URL, when it is set, is the address that failures and promotions are POSTed to. Repeating the
    command changes nothing that is as it should be.
    """
    from flows.deployments import DEPLOYMENT, MANUAL, apply_deployments  # noqa: PLC0415
    from flows.server import PrefectServer  # noqa: PLC0415

    api_url = os.environ.get("PREFECT_API_URL", "")
    if not api_url:
        raise PolyEpoError(
            "no server named",
            where="PREFECT_API_URL",
            remedy="set it to the server's address, ending in /api; `poly-epo serve` needs none",
        )
    root = Path(os.environ.get("POLY_EPO_ROOT") or Path.cwd()).resolve()
    server = PrefectServer(root, api_url)
    server.wait()
    webhook = os.environ.get("POLY_EPO_WEBHOOK_URL", "")
    apply_deployments(root, api_url, gpus=gpus, webhook=webhook, docker=docker)
    told = "failures and promotions are told" if webhook else "nobody is told: POLY_EPO_WEBHOOK_URL is not set"
    typer.echo(f"{server.ui_url}: {', '.join((DEPLOYMENT, *MANUAL))}; {gpus} GPU slots; {told}")
