from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.evaluation.comparability import comparability_notes, result_notes
from components.evaluation.results import Evaluation, read_evaluation
from components.evaluation.table import comparison_document, markdown
from tests.unit.evaluation.reference import ReferenceEngine, publish_evaluation, small_params


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return read_evaluation(
        "base", publish_evaluation(tmp_path_factory.mktemp("one"), "base", ReferenceEngine(0.4, 4), problems=6)
    )


def changed(base: Evaluation, **metrics: Any) -> Evaluation:
    return replace(base, name="other", metrics={**base.metrics, **metrics})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("temperature", 0.7, r"temperature differ \(1.0 and 0.7\)"),
        ("top_p", 0.9, r"top_p differ \(1.0 and 0.9\)"),
        ("max_new_tokens", 64, r"max_new_tokens differ \(None and 64\)"),
        ("verifier", "math_verify", r"verifier differ \(domain and math_verify\)"),
        ("samples", 8, r"samples differ \(16 and 8\)"),
        ("dataset", "f" * 64, r"dataset differ \(.{12} and ffffffffffff\)"),
    ],
)
def test_other_conditions_are_refused_or_flagged(base: Evaluation, key: str, value: Any, told: str) -> None:
    other = changed(base, **{key: value})
    with pytest.raises(PolyEpoError, match=rf"evaluation other: not comparable with 'base': {told}"):
        comparability_notes([base, other], allow_differences=False)
    (note,) = comparability_notes([base, other], allow_differences=True)
    assert note.startswith("other is not like for like with base: " + key)


def test_other_prompts_are_refused_even_where_differences_are_allowed(base: Evaluation) -> None:
    with pytest.raises(PolyEpoError, match="the same problem ids were asked with other prompts"):
        comparability_notes([base, changed(base, prompts="f" * 64)], allow_differences=True)


def test_another_order_of_the_same_problems_is_lined_up(base: Evaluation) -> None:
    backwards = base.per_problem.take(pa.array(range(base.per_problem.num_rows - 1, -1, -1)))
    document = comparison_document([base, replace(base, name="other", per_problem=backwards)], small_params())
    difference = document["differences"][0]["metrics"]["pass@1"]
    assert (difference["value"], difference["low"], difference["high"]) == (0.0, 0.0, 0.0)


def test_failed_verifications_and_cut_off_completions_are_told(base: Evaluation) -> None:
    poor = changed(base, verifier_failures=3, verifier_timeouts=1, truncated=40, max_new_tokens=96)
    assert result_notes(poor) == [
        "other: 3 of 96 verifications failed and count as wrong; the true figures may be higher",
        "other: 1 of 96 verifications were killed at the time limit and count as wrong; the true figures may be higher",
        "other: 40 of 96 completions were cut off at 96 tokens",
    ]
    assert result_notes(base) == []
    text = markdown(comparison_document([base, poor], small_params(), allow_differences=True))
    assert "- other: 3 of 96 verifications failed" in text
    assert "- other is not like for like with base: max\\_new" not in text
    assert "- other is not like for like with base: max_new_tokens differ (None and 96)" in text
