"""Run the flow `retrain` here and now: a Prefect server for the length of the run, progress, a clean end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType

from flows.runners.process import Interrupted, terminate_children
from flows.server import PrefectServer
from flows.settings import prefect_client_env

__all__ = ["launch"]


def launch(root: Path, *, force: bool = False, runner: str = "", jobs: int | None = None) -> dict[str, str]:
    """Bring the project at ``root``, this process's directory, up to date.

    Uses the server of PREFECT_API_URL, else the project's own (flows/server.py).

    Must be called in the main thread: it handles SIGTERM.

    Returns:
        Stage name -> name of its final state; "Skipped" for a stage that was up to date.

    Raises:
        PolyEpoError: another run is at work here, the server does not start, or a stage failed.
        Interrupted: SIGINT or SIGTERM came; everything that was started has been ended.
    """
    previous = signal.signal(signal.SIGTERM, _interrupt)
    server = PrefectServer.start(root)
    try:
        # Before Prefect is imported: it reads its settings then.
        os.environ.update(prefect_client_env(root, server.api_url))
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
        return _run(server, force=force, runner=runner, jobs=jobs)
    finally:
        server.stop()
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # Prefect ends its flow run on SIGTERM and then sends the signal again, to whoever handled it before: to us.
    raise Interrupted


def _run(server: PrefectServer, *, force: bool, runner: str, jobs: int | None) -> dict[str, str]:
    # Prefect and DVC are imported while the server comes up: each takes seconds.
    from flows.client import drain, run_retrain  # noqa: PLC0415
    from flows.progress import reporting  # noqa: PLC0415

    server.wait()
    try:
        with reporting() as reporter:
            reporter.note(f"Prefect: {server.ui_url}")
            return run_retrain(force=force, runner=runner, jobs=jobs)
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        terminate_children()
        drain()
