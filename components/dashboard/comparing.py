"""Several runs side by side: paired differences on the same problems, and what was set differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from components.dashboard.cache import Cache, stamp_of
from components.dashboard.documents import Documents
from components.dashboard.runs import Run
from components.errors import PolyEpoError
from components.evaluation.intervals import Difference, paired_bootstrap
from components.evaluation.results import Evaluation, read_evaluation
from components.evaluation.table import shown_metrics
from components.manifest import MANIFEST_NAME

__all__ = ["Comparisons", "DifferenceRow", "ParamRow", "params_that_differ"]

_DRAWS, _CONFIDENCE, _SEED = 2000, 0.95, 0
_ALL_PAIRS = 3  # up to so many runs every pair is compared, beyond that each with the first
_CONDITIONS = (
    *("dataset", "samples", "distinct_samples", "temperature", "top_p", "max_new_tokens"),
    *("prompts", "verifier", "clusterer", "correct_reward"),
)


@dataclass(frozen=True)
class DifferenceRow:
    """``candidate`` minus ``baseline``: metric -> difference, or why they cannot be compared."""

    baseline: Run
    candidate: Run
    differences: dict[str, Difference]
    refused: str = ""


@dataclass(frozen=True)
class ParamRow:
    """One parameter whose value is not the same in all runs; None: not in that run's params.yaml."""

    name: str
    values: list[str | None]


class Comparisons:
    """Paired differences, kept by the digests of the two evaluations."""

    def __init__(self) -> None:
        self._evaluations, self._differences = Cache(256), Cache(4096)

    def rows(self, runs: Sequence[Run]) -> list[DifferenceRow]:
        """Every pair of up to three runs, else each run with the first; runs without an evaluation are left out."""
        known: list[tuple[Run, Evaluation]] = []
        for run in runs:
            try:
                evaluation = self._evaluation(run)
            except PolyEpoError:
                continue  # told by the run itself, among its problems
            if evaluation is not None:
                known.append((run, evaluation))
        pairs = list(combinations(known, 2)) if len(known) <= _ALL_PAIRS else [(known[0], k) for k in known[1:]]
        return [self._row(*baseline, *candidate) for baseline, candidate in pairs]

    def _evaluation(self, run: Run) -> Evaluation | None:
        directory = run.evaluation_directory
        stamp = stamp_of(directory / MANIFEST_NAME) if directory is not None else None
        if directory is None or stamp is None:
            return None
        path: Path = directory
        return self._evaluations.get(path, stamp, lambda: read_evaluation(run.model, path))

    def _row(self, baseline: Run, before: Evaluation, candidate: Run, after: Evaluation) -> DifferenceRow:
        other = [name for name in _CONDITIONS if before.metrics.get(name) != after.metrics.get(name)]
        if before.problem_ids != after.problem_ids or other:
            why = f"not comparable: {', '.join(other) or 'problems'} differ"
            return DifferenceRow(baseline, candidate, {}, why)
        both = [name for name in before.metric_names if name in after.metric_names]
        differences = {name: self._difference(before, after, name) for name in shown_metrics(both)}
        return DifferenceRow(baseline, candidate, differences)

    def _difference(self, before: Evaluation, after: Evaluation, metric: str) -> Difference:
        def compute() -> Difference:
            values = (before.values(metric), after.values(metric))
            return paired_bootstrap(*values, draws=_DRAWS, confidence=_CONFIDENCE, seed=_SEED)

        return self._differences.get((before.digest, after.digest, metric), None, compute)


def params_that_differ(runs: Sequence[Run], documents: Documents) -> list[ParamRow]:
    """The parameters that are not the same in all ``runs``; of section ``arms`` each run's own arm alone counts."""
    tables = [_own_params(run, documents) for run in runs]
    names = sorted({name for table in tables for name in table})
    rows = [ParamRow(name, [table.get(name) for table in tables]) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]


def _own_params(run: Run, documents: Documents) -> dict[str, str]:
    if run.source is None:
        return {}
    try:
        flat = documents.params(run.source.params)
    except PolyEpoError:
        return {}
    own = f"arms.{run.model}."
    shared = {name: value for name, value in flat.items() if not name.startswith("arms.")}
    return shared | {f"arm.{name.removeprefix(own)}": value for name, value in flat.items() if name.startswith(own)}
