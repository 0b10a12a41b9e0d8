"""The faults: what each does to the run and its servers, and how it is mended, as a supervisor or a person would."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.chaos.world import Project, World
from tests.services.process import Server

Fault = Callable[[World, Project, "subprocess.Popen[bytes]", float], None]
"""Strike, and mend before returning; the last argument is how long a network stays cut, seconds.

Raises:
    NothingToStrike: the run ended and what was to be struck had not come (again).
"""


class NothingToStrike(Exception):  # noqa: N818
    """No fault happened: this is no try."""


_DOWN_SECONDS = 3.0  # until a supervisor has a killed server started again


def flow(_world: World, _project: Project, run: subprocess.Popen[bytes], _outage: float) -> None:
    """kill -9 of the flow's process."""
    if run.poll() is not None:
        raise NothingToStrike
    os.kill(run.pid, signal.SIGKILL)


def trainer(_world: World, _project: Project, run: subprocess.Popen[bytes], _outage: float) -> None:
    """kill -9 of the process that samples, scores and trains for one arm; waits for one if none is at work."""
    _kill_below(run, "flows.improve")


def rollout_server(_world: World, _project: Project, run: subprocess.Popen[bytes], _outage: float) -> None:
    """kill -9 of a vLLM server that the run started; waits for one if none is at work."""
    _kill_below(run, "vllm.entrypoints.openai.api_server")


def prefect(world: World, *_: object) -> None:
    """kill -9 of the Prefect server."""
    _restarted(world.stack.prefect)


def mlflow(world: World, *_: object) -> None:
    """kill -9 of the MLflow server."""
    _restarted(world.stack.mlflow)


def postgres(world: World, *_: object) -> None:
    """kill -9 of Postgres, under Prefect and MLflow."""
    world.stack.postgres.kill()
    time.sleep(_DOWN_SECONDS)
    world.stack.postgres.start()


def disk(_world: World, project: Project, run: subprocess.Popen[bytes], _outage: float) -> None:
    """The disk of the project is full until the run has noticed, or for twenty seconds."""
    ballast = project.checkout.root / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):  # "no space left" is the aim
        while True:
            file.write(b"\0" * (1 << 20))
            file.flush()
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(20)
    ballast.unlink()


def network_mlflow(world: World, _project: Project, _run: subprocess.Popen[bytes], outage: float) -> None:
    """No network to MLflow."""
    world.mlflow.cut()
    time.sleep(outage)
    world.mlflow.heal()


def network_s3(world: World, _project: Project, _run: subprocess.Popen[bytes], outage: float) -> None:
    """No network to the S3 store."""
    world.s3.cut()
    time.sleep(outage)
    world.s3.heal()


FAULTS: dict[str, Fault] = {
    "kill -9 flow": flow,
    "kill -9 trainer": trainer,
    "kill -9 rollout server": rollout_server,
    "kill -9 Prefect server": prefect,
    "kill -9 MLflow server": mlflow,
    "kill -9 Postgres": postgres,
    "disk full": disk,
    "network to MLflow lost": network_mlflow,
    "network to S3 lost": network_s3,
}

ON_VLLM = {"kill -9 rollout server"}
"""Faults of runs whose rollouts come from a vLLM server: it draws other completions every time, so neither the final
policy nor which metrics an iteration has can be compared with those of another run."""


@contextlib.contextmanager
def small_disk(directory: Path, mebibytes: int = 512):  # type: ignore[no-untyped-def]
    """A file system of its own at ``directory``; needs root, and the right to mount.

    Raises:
        PermissionError: one cannot be mounted here.
    """
    directory.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        raise PermissionError("mounting a small file system needs root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def _kill_below(run: subprocess.Popen[bytes], module: str) -> None:
    """Kill the first process of ``run`` that runs the Python module, as soon as there is one."""
    while run.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(run.pid).children(recursive=True):
                words = process.cmdline()
                if module in words and not any("process_guard" in word for word in words):
                    process.kill()
                    return
        time.sleep(0.01)
    raise NothingToStrike


def _restarted(server: Server) -> None:
    server.kill()
    time.sleep(_DOWN_SECONDS)
    server.start()
