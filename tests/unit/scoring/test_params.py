from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.scoring.params import ScoringParams, is_import_path


@pytest.mark.parametrize("verifier", ["domain", "exact", "math_verify", "reasoning_gym", "my_pkg.rewards:score"])
def test_known_verifiers_and_import_paths_are_taken(verifier: str) -> None:
    assert ScoringParams(verifier=verifier).verifier == verifier


@pytest.mark.parametrize(
    "verifier", ["", "Domain", "regex", "pkg.module", "pkg:", ":f", "pkg.mod:f()", "a b:c", "a/b:c"]
)
def test_anything_else_is_refused(verifier: str) -> None:
    with pytest.raises(ValidationError, match=r"import path package\.module:function"):
        ScoringParams(verifier=verifier)


@pytest.mark.parametrize("verifier", ["exact", "math_verify", "reasoning_gym"])
def test_strategy_clusters_need_a_verifier_that_names_strategies(verifier: str) -> None:
    with pytest.raises(ValidationError, match="needs a verifier that names strategies"):
        ScoringParams(verifier=verifier, clusterer="strategy")


def test_strategy_clusters_work_with_domain_and_own_verifiers() -> None:
    assert ScoringParams(clusterer="strategy").clusterer == "strategy"
    assert is_import_path(ScoringParams(clusterer="strategy", verifier="a.b:c").verifier)


@pytest.mark.parametrize(
    "change",
    [{"timeout_seconds": 0.0}, {"memory_mib": 10}, {"workers": 0}, {"correct_reward": 0.0}, {"clusterer": "judge"}],
)
def test_values_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ScoringParams.model_validate(change)
