"""GPU slots and automations on the server of PREFECT_API_URL: `python -m flows.setup_server --gpus 4`.

A process of its own, because Prefect reads its settings when it is imported. The webhook's address comes in the
environment variable POLY_EPO_WEBHOOK_URL and is not printed.
"""

from __future__ import annotations

import argparse
import os

from prefect.client.orchestration import get_client

from components.command import run_command
from flows.automations import apply_automations
from flows.deployments import GPU_LIMIT

__all__ = ["main"]


def main() -> None:
    """Make or update them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpus", type=int, default=1)
    gpus = parser.parse_args().gpus
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, limit=gpus)
        apply_automations(client, os.environ.get("POLY_EPO_WEBHOOK_URL", ""))


if __name__ == "__main__":
    run_command(main)
