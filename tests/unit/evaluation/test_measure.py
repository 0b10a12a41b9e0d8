from __future__ import annotations

import math

import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.evaluation.measure import VERIFIED, Measurement, measure
from components.evaluation.params import EvaluationParams
from components.scoring.params import ScoringParams
from components.scoring.verification import Verification
from tests.unit.evaluation.reference import polynomial_problems, right_answer, rollout_table, small_params

A, B, WRONG = right_answer(0, 1), right_answer(0, 2), "(1,99)"
PARAMS = small_params(samples=4, ks=[1, 2, 4], majority_ks=[4], distinct_samples=2, branching_positions=[1, 2])


def measured(groups: dict[str, list[str]], params: EvaluationParams = PARAMS, *, problems: int = 2) -> Measurement:
    scoring = ScoringParams()
    with Verification(scoring) as verification:
        return measure(rollout_table(groups), polynomial_problems(problems), verification, scoring, params)


def test_every_metric_of_every_problem() -> None:
    result = measured({"p000": [A, A, B, "("], "p001": [WRONG, WRONG, "(2,99)", "("]})
    assert result.per_problem.to_pydict() == {
        "problem_id": ["p000", "p001"],
        "samples": [4, 4],
        "correct": [3, 0],
        "pass@1": [0.75, 0.0],
        "pass@2": [1.0, 0.0],
        "pass@4": [1.0, 0.0],
        "maj@4": [1.0, 0.0],
        "majority_share@4": [0.5, 0.5],
        "distinct_correct": [pytest.approx(5 / 6 + 1 / 2), 0.0],
        "coverage": [1.0, 0.0],
        # Shares 2/3 and 1/3 of three correct completions.
        "effective_correct": [pytest.approx(math.exp(1 / 3 + 1 / 2)), 0.0],
        "branches@1": [1.0, 1.0],
        "branches@2": [1.0, 1.0],
        "completion_length": [1.0, 1.0],
        "token_entropy": [0.5, 0.5],
    }
    assert result.means()["pass@1"] == 0.375
    assert list(result.means()) == result.metrics == list(result.intervals(PARAMS))
    percentile = PARAMS.model_copy(update={"interval": "percentile"})
    assert result.intervals(percentile)["pass@1"] == {"value": 0.375, "low": 0.0, "high": 0.75}
    assert result.intervals(PARAMS)["pass@4"]["high"] > 0.9  # the prior knows that a share may reach 1
    assert result.intervals(PARAMS)["token_entropy"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert result.counts == {"verifier_timeouts": 0, "verifier_failures": 0}


def test_every_completion_is_in_the_verified_table() -> None:
    verified = measured({"p000": [A, A, B, "("], "p001": [WRONG] * 4}).verified
    assert verified.schema == VERIFIED
    first = verified.slice(0, 4).to_pydict()
    assert first["correct"] == [True, True, True, False]
    assert first["cluster_id"] == [0, 0, 1, -1]
    assert first["parsed_answer"] == [A, A, B, None]
    assert first["strategy"] == [A, A, B, ""]


def test_problems_keep_their_own_numbers_when_rows_are_mixed() -> None:
    groups = {"p000": [A, A, B, "("], "p001": [WRONG] * 4}
    table = rollout_table(groups)
    scoring = ScoringParams()
    with Verification(scoring) as verification:
        mixed = measure(
            table.take(pa.array([0, 4, 1, 5, 2, 6, 3, 7])), polynomial_problems(2), verification, scoring, PARAMS
        )
    assert mixed.per_problem.equals(measured(groups).per_problem)


def without_tokens(table: pa.Table, column: str) -> pa.Table:
    index = table.schema.get_field_index(column)
    return table.set_column(
        index, table.schema.field(column), pa.array([[]] * table.num_rows, table.schema.types[index])
    )


@pytest.mark.parametrize(
    ("column", "left_out"),
    [
        ("rollout_logprobs", {"token_entropy"}),
        ("completion_ids", {"token_entropy", "completion_length", "branches@1", "branches@2"}),
    ],
)
def test_metrics_of_tokens_that_are_not_there_are_left_out(column: str, left_out: set[str]) -> None:
    groups = {"p000": [A, A, B, "("]}
    table, scoring = without_tokens(rollout_table(groups), column), ScoringParams()
    with Verification(scoring) as verification:
        partial = measure(table, polynomial_problems(1), verification, scoring, PARAMS)
    whole = measured(groups, problems=1)
    assert set(whole.metrics) - set(partial.metrics) == left_out


@pytest.mark.parametrize(
    ("groups", "problems", "named"),
    [
        ({"p000": [A] * 4, "p001": [A] * 3}, 2, "p001"),
        ({"p000": [A] * 4}, 2, "p001"),
        ({"p000": [A] * 5}, 1, "p000"),
    ],
)
def test_uneven_samples_are_refused(groups: dict[str, list[str]], problems: int, named: str) -> None:
    with pytest.raises(PolyEpoError, match=f"exactly 4 samples .*{named}"):
        measured(groups, problems=problems)
