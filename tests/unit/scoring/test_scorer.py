from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.records import ROLLOUT, SCORED_ROLLOUT
from components.scoring.params import ScoringParams
from components.scoring.scorer import ScoredBatch, Scorer
from tests.unit.evaluation.reference import polynomial_problems, right_answer, rollout_table

POLY_EPO = {"name": "poly_epo", "set_size": 2}
PROBLEMS = polynomial_problems(3)
MIXED = {
    "p000": [right_answer(0, 1), right_answer(0, 2), "(1,99)", "no idea"],
    "p001": ["(1,99)", "(1,99)", "(2,99)", "("],
    "p002": [right_answer(2, 0)] * 4,
}


def score(groups: dict[str, list[str]], objective: dict[str, object] = POLY_EPO) -> ScoredBatch:
    with Scorer(ScoringParams(), objective) as scorer:
        return scorer.score(rollout_table(groups), PROBLEMS)


def enumerated(rewards: list[float], clusters: list[int], size: int) -> list[float]:
    """E_i of the polychromic objective by listing every set."""
    totals, counts = np.zeros(len(rewards)), np.zeros(len(rewards))
    for chosen in combinations(range(len(rewards)), size):
        distinct = len({clusters[i] for i in chosen} - {-1})
        value = np.mean([rewards[i] for i in chosen]) * (distinct / size if distinct > 1 else 0.0)
        totals[list(chosen)] += value
        counts[list(chosen)] += 1
    return list(totals / counts)


def test_every_column_of_a_scored_rollout() -> None:
    batch = score(MIXED)
    assert batch.table.schema == SCORED_ROLLOUT
    assert batch.table.select(ROLLOUT.names).equals(rollout_table(MIXED))
    columns = batch.table.to_pydict()
    assert columns["reward"] == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert columns["cluster_id"] == [0, 1, 2, -1, 0, 0, 1, -1, 0, 0, 0, 0]
    assert columns["parsed_answer"][2:4] == ["(1,99)", None]
    assert columns["strategy"][2:4] == ["(1,99)", ""]
    expected = enumerated([1, 1, 0, 0], [0, 1, 2, -1], 2)
    assert columns["set_objective"][:4] == pytest.approx(expected, abs=1e-12)
    assert columns["marginal_advantage"][:4] == pytest.approx(np.array(expected) - np.mean(expected), abs=1e-12)
    assert columns["marginal_advantage"][4:] == pytest.approx([0.0] * 8, abs=1e-12)


def test_metrics_of_a_mixed_batch() -> None:
    metrics = score(MIXED).metrics
    assert metrics == pytest.approx(
        {
            "reward_mean": 0.5,
            "coverage": 2 / 3,
            "distinct_correct": (2 + 0 + 1) / 3,
            "distinct_clusters": (3 + 2 + 1) / 3,
            "degenerate_share": 2 / 12,
            "signal_share": 1 / 3,
            "wrong_positive_share": 0.0,
            "verifier_timeouts": 0.0,
            "verifier_failures": 0.0,
        }
    )


def test_wrong_completions_with_positive_advantage_are_counted() -> None:
    right = right_answer(0, 1)
    metrics = score({"p000": [right] * 6 + ["(1,99)", "("]}).metrics
    assert metrics["wrong_positive_share"] == 0.5  # the only other cluster, though wrong, is worth exploring


def test_all_correct_with_two_clusters_still_has_signal() -> None:
    batch = score({"p000": [right_answer(0, 1)] * 6 + [right_answer(0, 2)] * 2})
    advantages = batch.table.column("marginal_advantage").to_pylist()
    assert advantages[0] < 0 < advantages[7]
    assert sum(advantages) == pytest.approx(0.0, abs=1e-12)
    assert batch.metrics["signal_share"] == 1.0


def test_rows_keep_their_order_and_groups_their_scores_when_shuffled() -> None:
    table = rollout_table(MIXED)
    order = np.random.default_rng(0).permutation(len(table))
    with Scorer(ScoringParams(), POLY_EPO) as scorer:
        straight = scorer.score(table, PROBLEMS)
        shuffled = scorer.score(table.take(pa.array(order)), PROBLEMS)
    for column in ("completion", "reward", "set_objective", "marginal_advantage"):
        expected = np.array(straight.table.column(column).to_pylist(), dtype=object)[order]
        got = shuffled.table.column(column).to_pylist()
        assert got == expected.tolist() if column == "completion" else got == pytest.approx(expected.tolist())
    assert shuffled.metrics == pytest.approx(straight.metrics)


def test_unequal_groups_are_scored_as_if_alone() -> None:
    groups = {"p000": MIXED["p000"], "p001": [right_answer(1, 1), "(1,99)", "(2,99)"]}
    together = score(groups).table.column("marginal_advantage").to_pylist()
    alone = [score({name: texts}).table.column("marginal_advantage").to_pylist() for name, texts in groups.items()]
    assert together == pytest.approx(alone[0] + alone[1], abs=1e-12)


def test_scoring_is_deterministic() -> None:
    assert score(MIXED).table.equals(score(MIXED).table)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"name": "no_such"}, "no_such"),
        ({"set_size": 2}, "name"),
        ({"name": "poly_epo", "set_size": 2, "typo": 1}, "typo"),
    ],
)
def test_a_wrong_objective_is_one_error_line(objective: dict[str, object], message: str) -> None:
    with pytest.raises(PolyEpoError, match=message) as caught:
        Scorer(ScoringParams(), objective)
    assert "\n" not in caught.value.line()


def test_sets_as_large_as_the_group_are_refused() -> None:
    with pytest.raises(PolyEpoError):
        score(MIXED, {"name": "poly_epo", "set_size": 4})


def test_rollouts_of_an_unknown_problem_are_refused() -> None:
    with pytest.raises(PolyEpoError, match="p999"):
        score({"p999": ["(1,1)", "(1,1)", "(1,1)"]})


def test_an_empty_batch_is_refused() -> None:
    with Scorer(ScoringParams(), POLY_EPO) as scorer, pytest.raises(PolyEpoError, match="no rollouts"):
        scorer.score(ROLLOUT.empty_table(), PROBLEMS)
