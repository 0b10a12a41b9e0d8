"""One line per run: a run is one model of one workspace, its id ``WORKSPACE:MODEL``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.dashboard.documents import Documents
from components.dashboard.sources import Source, find_sources
from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME, Manifest

__all__ = ["BASE", "Index", "Run", "Value"]

BASE = "base"
_SHOWN = {"pass@1": "pass_1", "pass@8": "pass_8", "pass@32": "pass_32", "distinct_correct": "distinct"}
_QUIET_SECONDS = 900.0


@dataclass(frozen=True)
class Value:
    """A number with the ends of its interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Run:
    """What the table of runs shows.

    Attributes:
        id: ``WORKSPACE:MODEL``.
        source: where it lies; None for a run that only MLflow knows.
        model: an arm, or ``base``.
        status: waiting, training, stopped, trained, evaluated or damaged.
        iterations: done so far; planned: how many there will be, 0 when not known.
        data: digest of the problems; policy: digest of the last policy.
        pass_1, pass_8, pass_32, distinct: from the evaluation on the test split.
        decision: of the promotion gate about this very policy: promoted, refused, unchanged or "".
        updated: seconds since 1970 of the newest published content; 0 when nothing is published.
        problems: what is wrong with it, one line each.
        mlflow: id of its MLflow run, where it is known.
    """

    id: str
    source: Source | None
    model: str
    status: str
    iterations: int = 0
    planned: int = 0
    data: str = ""
    policy: str = ""
    pass_1: Value | None = None
    pass_8: Value | None = None
    pass_32: Value | None = None
    distinct: Value | None = None
    distinct_samples: int = 0
    decision: str = ""
    updated: float = 0.0
    problems: tuple[str, ...] = field(default=())
    mlflow: str = ""

    @property
    def workspace(self) -> str:
        """Name of its workspace."""
        return self.id.partition(":")[0]

    @property
    def arm_directory(self) -> Path | None:
        """The arm's files; None for the base policy and for runs that only MLflow knows."""
        if self.source is None or self.model == BASE:
            return None
        return self.source.workspace / "improve" / self.model

    @property
    def evaluation_directory(self) -> Path | None:
        """Its evaluation on the test split."""
        return None if self.source is None else self.source.workspace / "evaluation" / self.model


class Index:
    """All runs of a project and of further directories."""

    def __init__(self, project: Path, roots: Sequence[Path], documents: Documents) -> None:
        self._project, self._roots, self._documents = project, list(roots), documents

    def runs(self) -> list[Run]:
        """Every run, newest first."""
        found = [run for source in find_sources(self._project, self._roots) for run in self._of(source)]
        return sorted(found, key=lambda run: (-run.updated, run.id))

    def again(self, run: Run) -> Run:
        """``run`` as its files say now."""
        return run if run.source is None else _Reader(run.source, run.model, self._documents).run()

    def _of(self, source: Source) -> list[Run]:
        models = dict.fromkeys([*_names(source.workspace / "improve"), *_names(source.workspace / "evaluation")])
        has_base = (source.workspace / BASE / MANIFEST_NAME).is_file()
        names = [*([BASE] if has_base or BASE in models else []), *(name for name in models if name != BASE)]
        return [_Reader(source, name, self._documents).run() for name in names]


class _Reader:
    """Gathers one run; what is damaged is noted and the rest still read."""

    def __init__(self, source: Source, model: str, documents: Documents) -> None:
        self._source, self._model, self._documents = source, model, documents
        self._arm = source.workspace / "improve" / model
        self._problems: list[str] = []
        self._updated = 0.0

    def run(self) -> Run:
        data = self._manifest(self._source.workspace / "data")
        policy = self._manifest(self._source.workspace / BASE if self._model == BASE else self._arm / "final")
        evaluation = self._manifest(self._source.workspace / "evaluation" / self._model)
        done = 0 if self._model == BASE else self._done(policy)
        metrics = self._metrics() if evaluation is not None else {}
        digest = policy.digest if policy else ""
        if metrics and digest and metrics.get("policy", digest) != digest:
            self._problems.append("the evaluation is of a former policy: run the stage evaluate again")
            metrics, evaluation = {}, None
        values: dict[str, Any] = {field: _value(metrics.get(name)) for name, field in _SHOWN.items()}
        return Run(
            id=f"{self._source.name}:{self._model}",
            source=self._source,
            model=self._model,
            iterations=done,
            planned=self._planned(),
            data=data.digest if data else "",
            policy=digest,
            distinct_samples=int(metrics.get("distinct_samples", 0)),
            decision=self._decision(digest),
            status=self._status(policy, evaluation),
            updated=self._updated,
            problems=tuple(self._problems),
            **values,
        )

    def _status(self, policy: Manifest | None, evaluation: Manifest | None) -> str:
        if self._problems and policy is None:
            return "damaged"
        if policy is not None:
            return "evaluated" if evaluation is not None else "trained"
        if not self._updated:
            return "waiting"
        return "training" if time.time() - self._updated < _QUIET_SECONDS else "stopped"

    def _done(self, final: Manifest | None) -> int:
        """Iterations whose update is published; the last policy says it without looking at them."""
        if final is not None:
            return int(final.facts.get("version", 0))
        try:
            numbers = self._documents.numbers(self._arm / "iterations")
        except PolyEpoError as error:
            self._problems.append(error.line())
            return 0
        for number in reversed(numbers):
            directory = self._arm / "iterations" / f"{number:06d}"
            for step in ("update", "scored", "rollouts"):
                self._touch(directory / step / MANIFEST_NAME)
            if (directory / "update" / MANIFEST_NAME).is_file():
                return number
        return 0

    def _planned(self) -> int:
        try:
            improve = self._documents.raw_params(self._source.params).get("improve")
        except PolyEpoError as error:
            self._problems.append(error.line())
            return 0
        planned = improve.get("iterations") if isinstance(improve, dict) else None
        return planned if isinstance(planned, int) and self._model != BASE else 0

    def _decision(self, policy: str) -> str:
        try:
            document = self._documents.json(self._source.workspace / "promotion" / "decision.json")
        except PolyEpoError as error:
            self._problems.append(error.line())
            return ""
        return str(document.get("verdict", "")) if policy and document.get("policy") == policy else ""

    def _metrics(self) -> dict[str, Any]:
        try:
            return self._documents.json(self._source.workspace / "evaluation" / self._model / "metrics.json")
        except PolyEpoError as error:
            self._problems.append(error.line())
            return {}

    def _manifest(self, directory: Path) -> Manifest | None:
        try:
            manifest = self._documents.manifest(directory)
        except PolyEpoError as error:
            self._problems.append(error.line())
            return None
        if manifest is not None and directory.name != "data":
            self._touch(directory / MANIFEST_NAME)
        return manifest

    def _touch(self, path: Path) -> None:
        try:
            self._updated = max(self._updated, path.stat().st_mtime)
        except OSError:
            return  # not published yet, or replaced this very moment


def _names(directory: Path) -> list[str]:
    """Sub-directories in name order; those that begin with a dot are being written."""
    try:
        return sorted(path.name for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _value(entry: object) -> Value | None:
    if isinstance(entry, dict) and isinstance(entry.get("value"), int | float):
        return Value(entry["value"], entry.get("low"), entry.get("high"))
    return None
