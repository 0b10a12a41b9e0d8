"""Where and how the flows work: local state directories, retries, parallelism, Prefect's own settings.

Parameters of the method live in params.yaml; what is set here changes no result, only where and when work is done.
Each can be set by an environment variable: POLY_EPO_RETRIES, POLY_EPO_RETRY_DELAY, POLY_EPO_JOBS, POLY_EPO_RUNNER,
POLY_EPO_GPU_LIMIT.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import PolyEpoError

__all__ = ["HEARTBEAT_SECONDS", "STATE", "FlowSettings", "prefect_client_env", "prefect_server_env"]

STATE = Path(".poly-epo")
"""Local state that is not versioned, below the project's root: Prefect's and MLflow's databases, logs, timings."""

HEARTBEAT_SECONDS = 30
"""Between two signs of life of a flow run; the least that Prefect allows."""

# A server that one run needs: no schedules, workers or automations to look after.
_UNUSED_SERVICES = (
    "CANCELLATION_CLEANUP",
    "CLEANUP_RECONCILER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
    "TRIGGERS",
)


@dataclass(frozen=True)
class FlowSettings:
    """How stages are run.

    Attributes:
        retries: further attempts of a stage that was killed from outside (out of memory, lost node); a stage that
            fails by itself fails the same way again and is not retried.
        retry_delay: seconds before such an attempt.
        jobs: stages that may run at the same time; by default one per CPU of this process.
        runner: where a stage's work happens (flows/runners).
        gpu_limit: name of the Prefect concurrency limit whose slots are the GPUs; empty: no stage waits for one.
    """

    retries: int = 1
    retry_delay: float = 5.0
    jobs: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    runner: str = "local"
    gpu_limit: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> FlowSettings:
        """The defaults with POLY_EPO_* variables in their place.

        Raises:
            PolyEpoError: a variable is not a number, or out of range.
        """
        return cls(
            retries=int(_number(environment, "POLY_EPO_RETRIES", cls.retries)),
            retry_delay=_number(environment, "POLY_EPO_RETRY_DELAY", cls.retry_delay),
            jobs=int(_number(environment, "POLY_EPO_JOBS", 0)) or cls().jobs,
            runner=environment.get("POLY_EPO_RUNNER", cls.runner),
            gpu_limit=environment.get("POLY_EPO_GPU_LIMIT", cls.gpu_limit),
        )


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise PolyEpoError("must be a number, 0 or more", where=name, value=text, remedy=f"unset {name}")
    return value


def prefect_client_env(root: Path, api_url: str) -> dict[str, str]:
    """Environment of every process that talks to the Prefect server at ``api_url``; set before prefect is imported."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(root / STATE / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # The console shows our own progress; Prefect's log lines go to its server, where the UI shows them.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "2.0",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        # A server that is away for a minute is waited for: 2, 4, 8, ... 64 seconds.
        "PREFECT_CLIENT_MAX_RETRIES": "6",
        # What finds flow runs whose process has died (flows/automations.py).
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        **_no_telemetry(),
    }


def prefect_server_env(root: Path, port: int, *, schedules: bool = False) -> dict[str, str]:
    """Environment of the Prefect server of this project: loopback, SQLite below .poly-epo/prefect, no telemetry.

    ``schedules``: also run what deployments and workers need (scheduler, late runs and so on).
    """
    home = root / STATE / "prefect"
    services = {} if schedules else {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _UNUSED_SERVICES}
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT__SERVER_FINAL": "1",
        **services,
        **_no_telemetry(),
    }


def _no_telemetry() -> dict[str, str]:
    return {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
