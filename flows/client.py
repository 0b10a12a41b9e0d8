"""The flow `retrain` called from this process, with Prefect's own faults told in one line."""

from __future__ import annotations

from typing import Any

from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectException, TerminationSignal
from prefect.logging.handlers import APILogWorker
from prefect.task_runners import ThreadPoolTaskRunner

from components.errors import PolyEpoError
from flows.retrain import retrain
from flows.runners.process import Interrupted
from flows.settings import FlowSettings

__all__ = ["drain", "run_retrain"]


def run_retrain(*, force: bool, runner: str, jobs: int | None) -> dict[str, str]:
    """`retrain` in this process, at most ``jobs`` stages at a time (None: as FlowSettings says).

    Raises:
        PolyEpoError: a stage failed, or the Prefect server did.
        Interrupted: SIGTERM came.
    """
    task_runner: Any = ThreadPoolTaskRunner(max_workers=jobs or FlowSettings.from_environment().jobs)
    try:
        return retrain.with_options(task_runner=task_runner)(force=force, runner=runner)
    except TerminationSignal:
        raise Interrupted from None
    except PrefectException as error:
        raise PolyEpoError(
            f"Prefect failed: {error}", where="flow retrain", remedy="run again; finished work is not repeated"
        ) from error


def drain() -> None:
    """Hand the last events and log lines to the server: without them the UI shows tasks that never end."""
    EventsWorker.drain_all(timeout=10)
    APILogWorker.drain_all(timeout=10)
