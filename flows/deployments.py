"""Everything a Prefect server must know of the project: work pools, deployments, GPU slots, automations; and workers.

poly-epo deploy         # on the server of PREFECT_API_URL; repeat it as you like
poly-epo serve          # on the project's own server, with one process worker, until Ctrl-C
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from components import process_guard
from components.errors import PolyEpoError
from flows.settings import prefect_client_env

__all__ = [
    "DEPLOYMENT",
    "DOCKER_POOL",
    "GPU_LIMIT",
    "MANUAL",
    "POOL",
    "apply_deployments",
    "prefect_command",
    "start_worker",
]

POOL, DOCKER_POOL = "poly-epo", "poly-epo-docker"
DEPLOYMENT = "renew/nightly"
"""The scheduled retrain."""
MANUAL = ("retrain/manual", "evaluate/manual", "promote/manual", "rollback/manual")
"""Deployments without a schedule."""
GPU_LIMIT = "poly-epo-gpus"
"""The concurrency limit whose slots are the team's GPUs; runs wait for them when POLY_EPO_GPU_LIMIT names it."""

_AT_ONCE = 4  # each deployment runs once at a time; a rollback must not wait for hours of training


def prefect_command(*arguments: str) -> list[str]:
    """The command line of Prefect's own CLI in this environment."""
    return [sys.executable, "-m", "prefect", "--no-prompt", *arguments]


def apply_deployments(root: Path, api_url: str, *, gpus: int = 1, webhook: str = "", docker: bool = False) -> None:
    """Make or update all of it on the server; repeat it as you like.

    Args:
        root: the project; its prefect.yaml lists the deployments.
        api_url: the Prefect server.
        gpus: slots of the limit for stages that use a GPU.
        webhook: address that failures and promotions are POSTed to; it goes into an encrypted block on the server
            and nowhere else. Empty: nobody is told.
        docker: also make the work pool whose flow runs are containers.

    Raises:
        PolyEpoError: Prefect refuses, with its last line.
    """
    env = _environment(root, api_url) | {"POLY_EPO_WEBHOOK_URL": webhook}
    _run(prefect_command("work-pool", "create", POOL, "--type", "process", "--overwrite"), root, env)
    if docker:
        _run(prefect_command("work-pool", "create", DOCKER_POOL, "--type", "docker", "--overwrite"), root, env)
    _run(prefect_command("deploy", "--all"), root, env)
    _run([sys.executable, "-m", "flows.setup_server", "--gpus", str(gpus)], root, env)


def start_worker(root: Path, api_url: str, *, run_once: bool = False) -> subprocess.Popen[bytes]:
    """A process worker of the pool; it ends with this process.

    Args:
        root: the project; flow runs work in it.
        api_url: the Prefect server.
        run_once: end when what is due has been run.
    """
    options = ["--run-once"] if run_once else []
    command = prefect_command(
        "worker", "start", "--pool", POOL, "--type", "process", "--limit", str(_AT_ONCE), *options
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), *command],
        cwd=root,
        env=_environment(root, api_url),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _environment(root: Path, api_url: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    settings = {**prefect_client_env(root, api_url), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}
    return {**os.environ, **settings, "PATH": path, "POLY_EPO_ROOT": str(root)}


def _run(command: Sequence[str], root: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PolyEpoError(
            f"Prefect refused: {lines[-1] if lines else 'no output'}",
            where=" ".join(command[2:]),
            remedy="see prefect.yaml",
        )
