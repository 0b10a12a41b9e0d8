"""Reading MLflow without changing it: the runs that are known there, for pages that show them. Nothing is created."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.tracking.client import POLICY_TAG, Store, translated
from components.tracking.params import TrackingParams

__all__ = ["TrackedRun", "open_reader", "read_runs", "run_address", "sent_runs"]

_SQLITE = "sqlite:///"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_KIND_TAG, _PARENT_TAG = "poly_epo.kind", "mlflow.parentRunId"


@dataclass(frozen=True)
class TrackedRun:
    """One MLflow run of this project.

    Attributes:
        run_id: MLflow's id; parent: that of its retrain, "" for a retrain.
        kind: ``retrain``, ``arm`` or ``evaluation``.
        name: as MLflow shows it.
        status: MLflow's: RUNNING, FINISHED, ...
        started: milliseconds since 1970.
        policy: digest of the policy it evaluated, "" for other kinds.
        metrics: last value of every metric.
        tags: all tags.
    """

    run_id: str
    parent: str
    kind: str
    name: str
    status: str
    started: int
    policy: str
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def model(self) -> str:
        """The arm, or ``base``: what follows the kind in the name."""
        return self.name.removeprefix(f"{self.kind} ")


def open_reader(params: TrackingParams, root: Path = Path()) -> Store | None:
    """The store of ``params`` if its experiment exists; a relative sqlite path is one below ``root``.

    Raises:
        TrackingUnavailable: the server cannot be reached or the database cannot be opened.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = params.address()
    if uri.startswith(_SQLITE):
        file = (root / uri.removeprefix(_SQLITE)).absolute()
        if not file.is_file():
            return None  # opening it would make it
        uri = f"{_SQLITE}{file}"
    from mlflow import MlflowClient  # noqa: PLC0415 - importing MLflow takes seconds

    with translated(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.get_experiment_by_name(params.experiment)
    return Store(client, uri, str(found.experiment_id)) if found is not None else None


def read_runs(store: Store, limit: int = 1000) -> list[TrackedRun]:
    """The newest ``limit`` active runs of the store's experiment.

    Raises:
        TrackingUnavailable: MLflow fails.
    """
    found: list[Any] = []
    token = None
    with translated(store.uri):
        while len(found) < limit:
            page = store.client.search_runs(
                [store.experiment_id],
                order_by=["attributes.start_time DESC"],
                max_results=min(limit - len(found), 200),
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                break
    return [_tracked(run) for run in found if _KIND_TAG in run.data.tags]


def run_address(uri: str, experiment_id: str, run_id: str) -> str:
    """The page of a run at an MLflow server; for a local database at the place where ``poly-epo ui mlflow`` serves."""
    served = uri if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{served}/#/experiments/{experiment_id}/runs/{run_id}"


def sent_runs(state: Path) -> dict[str, str]:
    """``arm/NAME``, ``evaluation/NAME``, ``retrain`` -> MLflow run id, from the newest state that `sync` saved.

    Args:
        state: the directory of the tracking state; may be missing. What is unreadable counts as not sent.
    """
    files = sorted(state.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[:1]:
        try:
            runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
            return {str(name): str(run["run_id"]) for name, run in runs.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
    return {}


def _tracked(run: Any) -> TrackedRun:
    tags = dict(run.data.tags)
    return TrackedRun(
        run_id=str(run.info.run_id),
        parent=tags.get(_PARENT_TAG, ""),
        kind=tags[_KIND_TAG],
        name=str(run.info.run_name),
        status=str(run.info.status),
        started=int(run.info.start_time or 0),
        policy=tags.get(POLICY_TAG, ""),
        metrics=dict(run.data.metrics),
        tags=tags,
    )
