"""What MLflow and the registry know, asked for in the background: no page ever waits for a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from components.dashboard.documents import Documents
from components.dashboard.runs import Run, Value
from components.errors import PolyEpoError
from components.registry.params import RegistryParams
from components.registry.reading import VersionPage, read_version, read_versions
from components.tracking.client import Store
from components.tracking.params import TrackingParams
from components.tracking.reading import TrackedRun, open_reader, read_runs, run_address

__all__ = ["Known", "Remote", "mlflow_only_runs", "with_mlflow_ids"]

_EVERY_SECONDS = 15.0
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Known:
    """What was last heard.

    Attributes:
        state: ``asking`` (not heard yet), ``there``, ``empty`` (nothing is tracked yet) or ``down``.
        message: why it is down.
        uri, experiment: where the runs are.
        runs: newest first.
        versions: of the registered model, newest first.
        model: its name.
    """

    state: str
    message: str = ""
    uri: str = ""
    experiment: str = ""
    runs: list[TrackedRun] = field(default_factory=list)
    versions: list[VersionPage] = field(default_factory=list)
    model: str = ""

    def aliases(self, policy: str) -> list[str]:
        """Aliases of the version with this policy."""
        found = (page.version for page in self.versions if policy and page.version.policy == policy)
        return [alias for version in found for alias in version.aliases]

    def retrain_tags(self, run_id: str) -> dict[str, str]:
        """Tags of the retrain that the MLflow run belongs to: code, data and flow run; empty when not known."""
        parents = [run.parent for run in self.runs if run.run_id == run_id]
        return next((run.tags for run in self.runs if run.run_id in parents), {})

    def address(self, run_id: str) -> str:
        """Where MLflow shows a run; "" when it is not known."""
        return run_address(self.uri, self.experiment, run_id) if run_id and self.experiment else ""


class Remote:
    """Asks at most every 15 seconds, in a thread of its own."""

    def __init__(self, project: Path, documents: Documents) -> None:
        self._project, self._documents = project, documents
        self._known, self._asked = Known("asking"), float("-inf")
        self._mutex, self._asking = threading.Lock(), threading.Lock()
        self._pages: dict[int, tuple[object, VersionPage]] = {}

    def known(self) -> Known:
        """What was last heard; starts to ask again when that is old."""
        with self._mutex:
            old = time.monotonic() - self._asked > _EVERY_SECONDS
            if old:
                self._asked = time.monotonic()
        if old:
            threading.Thread(target=self.refresh, name="dashboard-mlflow", daemon=True).start()
        return self._known

    def refresh(self) -> Known:
        """Ask now and wait for the answer."""
        with self._asking:
            try:
                self._known = self._ask()
            except (PolyEpoError, ImportError) as error:
                line = error.line() if isinstance(error, PolyEpoError) else str(error)
                # What was heard before still holds for the pages; only the banner is new.
                old = self._known
                self._known = Known("down", line, old.uri, old.experiment, old.runs, old.versions, old.model)
            self._asked = time.monotonic()
            return self._known

    def _ask(self) -> Known:
        document = self._documents.raw_params(self._project / "params.yaml")
        tracking = _section(document, "tracking", TrackingParams)
        model = _section(document, "registry", RegistryParams).model
        store = open_reader(tracking, self._project)
        if store is None:
            return Known("empty", uri=tracking.address(), model=model)
        pages = [self._page(store, model, version) for version in reversed(read_versions(store, model))]
        return Known("there", "", store.uri, store.experiment_id, read_runs(store), pages, model)

    def _page(self, store: Store, model: str, version: Any) -> VersionPage:
        """A version's documents are fetched again only when its tags have changed."""
        kept = self._pages.get(version.number)
        if kept is not None and kept[0] == version:
            return kept[1]
        page = read_version(store, model, version)
        self._pages[version.number] = (version, page)
        return page


def with_mlflow_ids(runs: list[Run], sent: Mapping[str, Mapping[str, str]], known: Known) -> dict[str, str]:
    """Run id -> id of its MLflow run: as the workspace's own tracking state says, else by the evaluated policy.

    Args:
        runs: those on disk.
        sent: workspace -> what `tracking.sync` noted (see `sent_runs`).
        known: what MLflow says.
    """
    siblings = _arms_by_policy(known)
    found = {}
    for run in runs:
        own = sent.get(run.source.name, {}) if run.source is not None else {}
        run_id = own.get(f"arm/{run.model}") or own.get(f"evaluation/{run.model}") or siblings.get(run.policy, "")
        if run_id:
            found[run.id] = run_id
    return found


def mlflow_only_runs(known: Known, taken: set[str]) -> list[Run]:
    """Arms that MLflow knows and no workspace on this disk holds; ``taken``: MLflow ids of those that are here."""
    evaluations = {(run.parent, run.model): run for run in known.runs if run.kind == "evaluation"}
    runs = []
    for arm in known.runs:
        if arm.kind != "arm" or arm.run_id in taken:
            continue
        measured = evaluations.get((arm.parent, arm.model))
        metrics: Mapping[str, float] = measured.metrics if measured else {}
        runs.append(
            Run(
                id=f"mlflow-{arm.run_id[:12]}:{arm.model}",
                source=None,
                model=arm.model,
                status="evaluated" if measured else "trained" if arm.status == "FINISHED" else "stopped",
                policy=measured.policy if measured else "",
                pass_1=_metric(metrics, "pass_at_1"),
                pass_8=_metric(metrics, "pass_at_8"),
                pass_32=_metric(metrics, "pass_at_32"),
                distinct=_metric(metrics, "distinct_correct"),
                updated=arm.started / 1000,
                mlflow=arm.run_id,
            )
        )
    return runs


def _arms_by_policy(known: Known) -> dict[str, str]:
    arms = {(run.parent, run.model): run.run_id for run in known.runs if run.kind == "arm"}
    return {
        run.policy: arms.get((run.parent, run.model), run.run_id)
        for run in known.runs
        if run.kind == "evaluation" and run.policy
    }


def _metric(metrics: Mapping[str, float], name: str) -> Value | None:
    if name not in metrics:
        return None
    return Value(metrics[name], metrics.get(f"{name}/low"), metrics.get(f"{name}/high"))


def _section(document: Mapping[str, Any], name: str, kind: type[M]) -> M:
    try:
        return kind.model_validate(document.get(name) or {})
    except ValidationError as error:
        raise PolyEpoError(f"section {name} is malformed", where="params.yaml", value=str(error)) from error
