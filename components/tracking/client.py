"""The only place that talks to MLflow's tracking API: explicit run ids, short timeouts, one error type.

MLflow's fluent API keeps an active run per thread and environment variables that override it; a background
thread that syncs while a flow runs must not depend on either, so only ``MlflowClient`` is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import PolyEpoError
from components.tracking.database import make_database
from components.tracking.params import TrackingParams

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["POLICY_TAG", "DatasetRecord", "Point", "Store", "TrackingUnavailable", "connect", "translated"]

POLICY_TAG = "poly_epo.policy"  # digest of the policy directory that a run evaluated
_SQLITE = "sqlite:///"
_BATCH = 1000  # MLflow's limit on metrics per log_batch call
_PARAM_BATCH = 100  # MLflow's limit on params per call
_DIGEST_LENGTH = 36  # MLflow's limit on a dataset digest
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


class TrackingUnavailable(PolyEpoError):  # noqa: N818 - a state of the server, not a fault of the caller
    """MLflow cannot be reached or refuses; nothing is lost, the next `sync` replays the workspace."""


@dataclass(frozen=True)
class Point:
    """One metric value: name, value, step and time stamp (milliseconds since 1970)."""

    key: str
    value: float
    step: int
    timestamp: int


@dataclass(frozen=True)
class DatasetRecord:
    """One dataset input of a run: its name, content digest (hex), location and what it was used for."""

    name: str
    digest: str
    location: str
    context: str
    rows: int | None = None


@contextlib.contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn MLflow's and the network's errors into TrackingUnavailable."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - importing MLflow takes seconds
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrackingUnavailable(
            f"MLflow is unavailable: {first_line[:300]}",
            where=uri,
            remedy="the workspace keeps everything; start the server and run `python -m components.tracking sync`",
        ) from error


def connect(params: TrackingParams) -> Store:
    """The store of ``params``, its experiment made if it is missing; cheap when called again.

    Raises:
        TrackingUnavailable: the server cannot be reached or the database cannot be opened.
    """
    uri = params.address()
    if uri.startswith(_SQLITE):
        uri = f"{_SQLITE}{Path(uri.removeprefix(_SQLITE)).absolute()}"
    return _open(uri, params.experiment)


@lru_cache(maxsize=8)
def _open(uri: str, experiment: str) -> Store:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient  # noqa: PLC0415 - importing MLflow takes seconds

    with translated(uri):
        location = None
        if uri.startswith(_SQLITE):
            database = Path(uri.removeprefix(_SQLITE))
            make_database(database)
            location = (database.parent / "mlartifacts").as_uri()
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        identifier = found.experiment_id if found else client.create_experiment(experiment, artifact_location=location)
        return Store(client, uri, str(identifier))


class Store:
    """Runs of one experiment, by explicit id. Every method raises TrackingUnavailable when MLflow fails."""

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str) -> None:
        self.client = client
        self.uri = uri
        self.experiment_id = experiment_id

    def is_active(self, run_id: str) -> bool:
        """Whether the run exists and was not deleted."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        with translated(self.uri):
            try:
                return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise

    def find_run(self, tag: str, value: str) -> str | None:
        """Id of the oldest active run that carries ``tag = value``."""
        with translated(self.uri):
            runs = self.client.search_runs(
                [self.experiment_id],
                f"tags.`{tag}` = '{value}'",
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
        return str(runs[0].info.run_id) if runs else None

    def evaluation_runs(self, policy: str) -> dict[str, str]:
        """Run id -> name of the active runs that evaluated the policy of this digest, oldest first."""
        query = f"tags.`{POLICY_TAG}` = '{policy}'"
        with translated(self.uri):
            runs = self.client.search_runs([self.experiment_id], query, order_by=["attributes.start_time ASC"])
        return {str(run.info.run_id): str(run.info.run_name) for run in runs}

    def create_run(self, name: str, tags: Mapping[str, str], start_time: int) -> str:
        """Make a run and return its id; ``start_time`` in milliseconds since 1970."""
        with translated(self.uri):
            run = self.client.create_run(self.experiment_id, start_time=start_time, tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    def log_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Log metrics in batches; MLflow itself drops rows that are identical to one it holds."""
        from mlflow.entities import Metric  # noqa: PLC0415

        with translated(self.uri):
            for start in range(0, len(points), _BATCH):
                metrics = [Metric(p.key, p.value, p.timestamp, p.step) for p in points[start : start + _BATCH]]
                self.client.log_batch(run_id, metrics=metrics, synchronous=True)

    def logged_steps(self, run_id: str) -> set[tuple[str, int]]:
        """The (key, step) pairs that the run holds: asked only when the local state was lost."""
        with translated(self.uri):
            keys = list(self.client.get_run(run_id).data.metrics)
            return {(key, int(m.step)) for key in keys for m in self.client.get_metric_history(run_id, key)}

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters; repeating the same values is harmless."""
        from mlflow.entities import Param  # noqa: PLC0415

        items = [Param(key, value) for key, value in params.items()]
        with translated(self.uri):
            for start in range(0, len(items), _PARAM_BATCH):
                self.client.log_batch(run_id, params=items[start : start + _PARAM_BATCH], synchronous=True)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing older values."""
        from mlflow.entities import RunTag  # noqa: PLC0415

        with translated(self.uri):
            self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()], synchronous=True)

    def log_datasets(self, run_id: str, datasets: Sequence[DatasetRecord]) -> None:
        """Record dataset inputs by digest, without loading the data."""
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

        inputs = [
            DatasetInput(
                Dataset(
                    name=record.name,
                    digest=record.digest[:_DIGEST_LENGTH],
                    source_type="local",
                    source=f'{{"uri": "{record.location}"}}',
                    profile=None if record.rows is None else f'{{"num_rows": {record.rows}}}',
                ),
                [InputTag("mlflow.data.context", record.context)],
            )
            for record in datasets
        ]
        with translated(self.uri):
            self.client.log_inputs(run_id, inputs)

    def log_directory(self, run_id: str, directory: Path, target: str) -> None:
        """Upload every file below ``directory`` to the artifact folder ``target``."""
        with translated(self.uri):
            self.client.log_artifacts(run_id, str(directory), target)

    def log_file(self, run_id: str, file: Path, target: str) -> None:
        """Upload one file to the artifact folder ``target``."""
        with translated(self.uri):
            self.client.log_artifact(run_id, str(file), target)

    def log_text(self, run_id: str, text: str, target: str) -> None:
        """Upload ``text`` as the artifact file ``target``."""
        with translated(self.uri):
            self.client.log_text(run_id, text, target)

    def remove_artifacts(self, location: str, folder: str | None = None) -> None:
        """Remove the files below ``folder`` of an artifact location, all of them without ``folder``."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

        with translated(self.uri):
            repository: Any = get_artifact_repository(location, tracking_uri=self.uri)
            repository.delete_artifacts(folder)

    def finish(self, run_id: str, end_time: int) -> None:
        """Mark a run FINISHED; ``end_time`` in milliseconds since 1970."""
        with translated(self.uri):
            self.client.set_terminated(run_id, status="FINISHED", end_time=end_time)
