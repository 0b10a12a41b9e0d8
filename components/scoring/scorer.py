"""The scorer: verify, cluster, and turn rewards and clusters into marginal set advantages.

One call scores the rollouts of one iteration. It is deterministic, and vectorised over the batch apart from
the verifier's own text work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.errors import PolyEpoError
from components.objectives import get_objective
from components.records import SCORED_ROLLOUT, Problem
from components.scoring.clusterers import get_clusterer
from components.scoring.clusters import AheadClusterer, Clusterer, Group
from components.scoring.groups import Layout
from components.scoring.metrics import batch_metrics
from components.scoring.params import ScoringParams
from components.scoring.verification import Verification, VerifiedBatch

__all__ = ["ClusteredBatch", "ScoredBatch", "Scorer", "cluster_all"]


@dataclass(frozen=True)
class ScoredBatch:
    """A SCORED_ROLLOUT table, rows in the order of the rollouts, and the batch's metrics (see batch_metrics)."""

    table: pa.Table
    metrics: dict[str, float]


class Scorer:
    """Scores batches with one verifier, one clusterer and one objective; a context manager.

    Args:
        params: section ``scoring``.
        objective: ``name`` and parameters of an objective, as under params ``arms.<arm>.objective``.

    Raises:
        PolyEpoError: no such objective, or a parameter of it is not allowed.
    """

    def __init__(self, params: ScoringParams, objective: Mapping[str, Any]) -> None:
        self._params = params
        try:
            self._objective = get_objective(**objective)
        except (ValueError, TypeError) as error:
            raise PolyEpoError(str(error), where="objective", value=dict(objective)) from error
        self._clusterer = get_clusterer(params)
        self._verification = Verification(params)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the verifier's child processes and the clusterer's connections, if any."""
        self._verification.close()
        self._clusterer.close()

    def beginner(self, problems: Sequence[Problem]) -> Callable[[pa.Table], None] | None:
        """What takes whole groups of ``problems`` (ROLLOUT rows) while others are still sampled, from any thread.

        It begins with what takes long about scoring them (the judge's questions) and returns at once; ``score`` gives
        the same with and without it. None where nothing takes long.
        """
        clusterer = self._clusterer
        if not isinstance(clusterer, AheadClusterer):
            return None
        known = {problem.problem_id: problem for problem in problems}

        def begin(groups: pa.Table) -> None:
            layout = Layout.of(groups.column("problem_id"))
            completions = layout.split(groups.column("completion").to_pylist())
            for problem_id, texts in zip(layout.problem_ids, completions, strict=True):
                clusterer.begin(known[problem_id], texts)

        return begin

    def score(self, rollouts: pa.Table, problems: Sequence[Problem]) -> ScoredBatch:
        """Score a ROLLOUT table; the rows of a problem are its group, in any order and of any size.

        ``set_objective`` is the mean score of the sets that hold the completion, ``marginal_advantage`` its
        marginal set advantage (sections 3 and 4 of arXiv 2604.17654; poly_epo's closed form is exact).

        Raises:
            PolyEpoError: no rows, an unknown problem, a fault of verifier or judge, or groups the objective cannot
                score.
        """
        if rollouts.num_rows == 0:
            raise PolyEpoError("no rollouts to score", where="scoring", remedy="sample at least one group first")
        verified = self._verification.verify_all(rollouts, problems)
        layout = Layout.of(rollouts.column("problem_id"))
        clustered = cluster_all(self._clusterer, rollouts, problems, layout, verified)
        rewards_PN = layout.dense(verified.rewards_R, 0.0)
        clusters_PN = layout.dense(clustered.ids_R, -1)
        mask_PN = layout.mask()
        # Equal groups, the rule, take no mask: the objective's fast path.
        mask = None if mask_PN.all() else mask_PN
        try:
            advantages_PN = self._objective.advantages(rewards_PN, clusters_PN, mask)
            set_scores_PN = self._objective.set_scores(rewards_PN, clusters_PN, mask)
        except ValueError as error:
            raise PolyEpoError(str(error), where="objective") from error
        added = [
            pa.array(verified.parsed_answers, pa.string()),
            pa.array(verified.rewards_R),
            pa.array(clustered.ids_R, pa.int32()),
            pa.array(clustered.names, pa.string()),
            pa.array(layout.flat(set_scores_PN), pa.float64()),
            pa.array(layout.flat(advantages_PN), pa.float64()),
        ]
        table = pa.Table.from_arrays([*rollouts.columns, *added], schema=SCORED_ROLLOUT)
        metrics = batch_metrics(
            rewards_PN, clusters_PN, advantages_PN, mask_PN, correct_reward=self._params.correct_reward
        )
        return ScoredBatch(table, metrics | _verifier_counts(verified) | clustered.counts)


@dataclass(frozen=True)
class ClusteredBatch:
    """Clusters of R rollouts, in the order of the table's rows.

    Attributes:
        ids_R: (R,) cluster ids within each problem, -1 = degenerate.
        names: readable names, "" for a degenerate completion.
        counts: what the clusterer counts about its own work, e.g. ``judge_failures``.
    """

    ids_R: NDArray[np.int64]
    names: list[str]
    counts: dict[str, float]


def cluster_all(
    clusterer: Clusterer, rollouts: pa.Table, problems: Sequence[Problem], layout: Layout, verified: VerifiedBatch
) -> ClusteredBatch:
    """Cluster id and cluster name of every row; each problem's rows are one group."""
    known = {problem.problem_id: problem for problem in problems}
    completions = layout.split(rollouts.column("completion").to_pylist())
    answers = layout.split(verified.parsed_answers)
    strategies = layout.split(verified.strategies)
    groups = [
        Group(known[problem_id], *parts)
        for problem_id, *parts in zip(layout.problem_ids, completions, answers, strategies, strict=True)
    ]
    found = clusterer.cluster(groups)
    places = list(zip(layout.problem_R.tolist(), layout.slot_R.tolist(), strict=True))
    ids = [found.clusters[problem].ids[slot] for problem, slot in places]
    names = [found.clusters[problem].names[slot] for problem, slot in places]
    return ClusteredBatch(np.array(ids, dtype=np.int64), names, found.counts)


def _verifier_counts(verified: VerifiedBatch) -> dict[str, float]:
    return {"verifier_timeouts": float(verified.timeouts), "verifier_failures": float(verified.failures)}
