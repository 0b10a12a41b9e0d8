"""MLflow runs as retention sees them: which are open, which hold sampled rollouts that are old."""

from __future__ import annotations

from typing import Any

from components.registry.store import Version
from components.tracking.client import POLICY_TAG, Store, translated

__all__ = ["Runs"]

_ROLLOUTS = "rollouts"
_PARENT = "mlflow.parentRunId"
_PAGE = 1000


class Runs:
    """The active runs of the pipeline's experiment, read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs = {run.info.run_id: run for run in self._all()}

    def is_open(self, run: Any) -> bool:
        """Whether the run or its parent is RUNNING."""
        parent = self._runs.get(run.data.tags.get(_PARENT, ""))
        return any(found is not None and found.info.status == "RUNNING" for found in (run, parent))

    def open_runs_of(self, version: Version) -> list[str]:
        """Ids (shortened) of the open runs that made or evaluate ``version``."""
        return [
            run_id[:8]
            for run_id, run in self._runs.items()
            if (run_id == version.run_id or version.policy == run.data.tags.get(POLICY_TAG)) and self.is_open(run)
        ]

    def open_retrains(self) -> list[Any]:
        """Retrains that are RUNNING."""
        return [run for run in self._kind("retrain") if run.info.status == "RUNNING"]

    def arms_before_last(self, count: int) -> list[Any]:
        """The runs of the arms of all but the last ``count`` retrains."""
        retrains = sorted(self._kind("retrain"), key=lambda run: (run.info.start_time, run.info.run_id))
        newest = {run.info.run_id for run in retrains[-count:]}
        return [run for run in self._kind("arm") if run.data.tags.get(_PARENT) not in newest]

    def rollout_bytes(self, run_id: str) -> int:
        """Size of the rollouts that `sync` uploaded to the run."""
        with translated(self._store.uri):
            return sum(int(file.file_size or 0) for file in self._store.client.list_artifacts(run_id, _ROLLOUTS))

    def remove_rollouts(self, run_id: str) -> None:
        """Remove those rollouts; the run's metrics stay."""
        run = self._runs[run_id]
        self._store.remove_artifacts(run.info.artifact_uri, _ROLLOUTS)
        self._store.set_tags(run_id, {"mlflow.loggedArtifacts": "[]"})

    def _kind(self, kind: str) -> list[Any]:
        return [run for run in self._runs.values() if run.data.tags.get("poly_epo.kind") == kind]

    def _all(self) -> list[Any]:
        found: list[Any] = []
        token: str | None = None
        with translated(self._store.uri):
            while True:
                page = self._store.client.search_runs([self._store.experiment_id], max_results=_PAGE, page_token=token)
                found += page
                token = page.token
                if not token:
                    return found
