"""From sampled completions to numbers: verify, cluster, and estimate every metric for each problem.

A metric is one float64 column of the per-problem table, so that any two evaluations can be compared in pairs;
its value is the mean of the column. The metrics are ``pass@k``, ``maj@k`` and ``majority_share@k`` for the ks
of the params, ``distinct_correct``, ``coverage`` and ``effective_correct``; then, where the rollouts hold tokens,
``branches@t`` for the positions of the params and ``completion_length``, and ``token_entropy`` where they hold
log-probabilities. Rollouts sampled elsewhere may lack these: a metric that cannot be estimated is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.errors import PolyEpoError
from components.evaluation.branching import branching_curve, completion_length, token_entropy
from components.evaluation.estimators import coverage, distinct_correct, effective_correct, majority_at_k, pass_at_k
from components.evaluation.intervals import bootstrap_intervals
from components.evaluation.params import EvaluationParams
from components.records import Problem
from components.scoring.clusterers import get_clusterer
from components.scoring.clusters import number_by_appearance
from components.scoring.groups import Layout
from components.scoring.params import ScoringParams
from components.scoring.scorer import cluster_all
from components.scoring.verification import Verification

__all__ = ["VERIFIED", "Measurement", "measure"]

_SHARES = ("pass@", "maj@", "majority_share@", "coverage")  # metrics between 0 and 1

VERIFIED = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("sample_index", pa.int32(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
        pa.field("parsed_answer", pa.string()),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("correct", pa.bool_(), nullable=False),
        pa.field("cluster_id", pa.int32(), nullable=False),  # -1 = degenerate
        pa.field("strategy", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Measurement:
    """What was measured on P problems with s samples each.

    Attributes:
        verified: one row per completion, VERIFIED schema, rows in the order of the rollouts.
        per_problem: ``problem_id``, ``samples``, ``correct`` and one column per metric, P rows.
        counts: verifications that timed out or failed, and what the clusterer counts about its own work.
    """

    verified: pa.Table
    per_problem: pa.Table
    counts: dict[str, int]

    def values(self, metric: str) -> NDArray[np.float64]:
        """(P,) values of one metric."""
        return np.asarray(self.per_problem.column(metric).to_numpy())

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the table."""
        return [name for name in self.per_problem.column_names if name not in ("problem_id", "samples", "correct")]

    def means(self) -> dict[str, float]:
        """Metric -> mean over problems."""
        return {metric: float(self.values(metric).mean()) for metric in self.metrics}

    def intervals(self, params: EvaluationParams) -> dict[str, dict[str, float]]:
        """Metric -> ``value``, ``low``, ``high``: the mean and its interval by ``params.interval``."""
        intervals = bootstrap_intervals(
            np.stack([self.values(metric) for metric in self.metrics], axis=1),
            draws=params.bootstrap_draws,
            confidence=params.confidence,
            seed=params.seed,
            method=params.interval,
            ends=[(0.0, 1.0) if metric.startswith(_SHARES) else None for metric in self.metrics],
        )
        return {metric: interval.as_dict() for metric, interval in zip(self.metrics, intervals, strict=True)}


def measure(
    rollouts: pa.Table,
    problems: Sequence[Problem],
    verification: Verification,
    scoring: ScoringParams,
    params: EvaluationParams,
) -> Measurement:
    """Verify, cluster and measure a ROLLOUT table that holds ``params.samples`` completions per problem.

    Raises:
        PolyEpoError: a problem has another number of completions, or cannot be verified or clustered.
    """
    layout = Layout.of(rollouts.column("problem_id"))
    _check_samples(layout, problems, params.samples)
    judged = verification.verify_all(rollouts, problems)
    with closing(get_clusterer(scoring)) as clusterer:
        clustered = cluster_all(clusterer, rollouts, problems, layout, judged)
    correct_R = judged.rewards_R >= scoring.correct_reward
    answers_PS = np.array([number_by_appearance(answers) for answers in layout.split(judged.parsed_answers)])
    columns: dict[str, Any] = {
        "problem_id": rollouts.column("problem_id"),
        "sample_index": rollouts.column("sample_index"),
        "completion": rollouts.column("completion"),
        "parsed_answer": judged.parsed_answers,
        "reward": judged.rewards_R,
        "correct": correct_R,
        "cluster_id": pa.array(clustered.ids_R, pa.int32()),
        "strategy": clustered.names,
    }
    clusters_PS = layout.dense(clustered.ids_R, -1)
    metrics = _answer_metrics(answers_PS, layout.dense(correct_R, False), clusters_PS, params)
    per_problem = pa.table(
        {
            "problem_id": layout.problem_ids,
            "samples": pa.array(layout.counts_P, pa.int64()),
            **metrics,
            **_token_metrics(rollouts, layout, params),
        }
    )
    counts = {"verifier_timeouts": judged.timeouts, "verifier_failures": judged.failures}
    counts |= {name: int(count) for name, count in clustered.counts.items()}
    return Measurement(pa.table(columns, schema=VERIFIED), per_problem, counts)


def _answer_metrics(
    answers_PS: NDArray[np.int64],
    correct_PS: NDArray[np.bool_],
    clusters_PS: NDArray[np.int64],
    params: EvaluationParams,
) -> dict[str, NDArray[Any]]:
    """``correct`` and the metrics of verified and clustered answers, (P,) each."""
    correct_P = correct_PS.sum(axis=1)
    columns: dict[str, NDArray[Any]] = {"correct": correct_P}
    for k in params.ks:
        columns[f"pass@{k}"] = pass_at_k(params.samples, correct_P, k)
    for k in params.majority_ks:
        majority = majority_at_k(answers_PS, correct_PS, k, draws=params.majority_draws, seed=params.seed)
        columns[f"maj@{k}"] = majority.accuracy_P
        columns[f"majority_share@{k}"] = majority.share_P
    counted_PS = correct_PS & (clusters_PS >= 0)
    cluster_counts = [
        np.unique(clusters_S[counted_S], return_counts=True)[1]
        for clusters_S, counted_S in zip(clusters_PS, counted_PS, strict=True)
    ]
    columns["distinct_correct"] = distinct_correct(params.samples, cluster_counts, params.distinct_samples)
    columns["coverage"] = coverage(correct_P)
    columns["effective_correct"] = effective_correct(cluster_counts)
    return columns


def _token_metrics(rollouts: pa.Table, layout: Layout, params: EvaluationParams) -> dict[str, NDArray[np.float64]]:
    """The metrics of tokens and log-probabilities that the rollouts allow, (P,) each."""
    token_ids, lengths_R = _flat(rollouts.column("completion_ids"))
    logprobs, scored_R = _flat(rollouts.column("rollout_logprobs"))
    tokens_P = np.bincount(layout.problem_R, weights=lengths_R, minlength=len(layout.problem_ids))
    if not (tokens_P > 0).all():
        return {}
    positions = params.branching_positions
    curve_PT = branching_curve(token_ids, lengths_R, layout.problem_R, positions, draws=params.distinct_samples)
    columns = {f"branches@{position}": curve_PT[:, index] for index, position in enumerate(positions)}
    columns["completion_length"] = completion_length(lengths_R, layout.problem_R)
    if np.array_equal(scored_R, lengths_R) and np.isfinite(logprobs).all():
        columns["token_entropy"] = token_entropy(logprobs, lengths_R, layout.problem_R)
    return columns


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The values of a column of lists, row by row, and the length of each row's list."""
    lengths_R = pc.list_value_length(column).to_numpy().astype(np.int64)
    return pc.list_flatten(column).to_numpy(), lengths_R


def _check_samples(layout: Layout, problems: Sequence[Problem], samples: int) -> None:
    missing = sorted({problem.problem_id for problem in problems} - set(layout.problem_ids))
    uneven = [name for name, count in zip(layout.problem_ids, layout.counts_P, strict=True) if count != samples]
    if not problems or missing or uneven:
        raise PolyEpoError(
            f"every problem needs exactly {samples} samples",
            where="evaluation",
            value=(missing + uneven)[:3],
            remedy="sample all problems anew with evaluation.samples completions each",
        )
