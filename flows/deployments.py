"""The scheduled `retrain`: prefect.yaml applied to a server, and a worker that runs what comes due.

poly-epo serve          # the project's own server, its schedule and one process worker, until Ctrl-C
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

__all__ = ["DEPLOYMENT", "POOL", "apply_deployments", "prefect_command", "start_worker"]

POOL = "poly-epo"
DEPLOYMENT = "retrain/nightly"


def prefect_command(*arguments: str) -> list[str]:
    """The command line of Prefect's own CLI in this environment."""
    return [sys.executable, "-m", "prefect", "--no-prompt", *arguments]


def apply_deployments(root: Path, api_url: str) -> None:
    """Make the work pool and the deployments of ``root``'s prefect.yaml on the server; repeat it as you like.

    Raises:
        PolyEpoError: Prefect refuses, with its last line.
    """
    env = _environment(root, api_url)
    _run(prefect_command("work-pool", "create", POOL, "--type", "process", "--overwrite"), root, env)
    _run(prefect_command("deploy", "--all"), root, env)


def start_worker(root: Path, api_url: str, *, run_once: bool = False) -> subprocess.Popen[bytes]:
    """A process worker of the pool; it ends with this process.

    Args:
        root: the project; flow runs work in it.
        api_url: the Prefect server.
        run_once: end when what is due has been run.
    """
    options = ["--run-once"] if run_once else []
    command = prefect_command("worker", "start", "--pool", POOL, "--type", "process", "--limit", "1", *options)
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
