from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from components.errors import PolyEpoError
from components.registry.card import decision_markdown
from components.registry.evidence import Evidence, ProblemResult, evidence_of
from components.registry.gate import Bootstrap, Decision, decide
from components.registry.params import GateMargins, RegistryParams
from tests.unit.tracking import synthetic

BOOTSTRAP = Bootstrap(draws=500, confidence=0.95, seed=0)
GATE = GateMargins(margins={1: 0.0, 8: -0.05}, distinct_floor=0.8, min_problems=10)


def evidence(rate: float, *, distinct: float = 2.0, problems: int = 40, samples: int = 16, name: str = "") -> Evidence:
    rewards = synthetic.rewards_with_rate(rate, problems=problems, samples=samples)
    results = {p: ProblemResult(samples, int(sum(values)), distinct) for p, values in rewards.items()}
    return Evidence(name or f"policy {rate}", "test", 8, results)


def verdict(challenger: Evidence, incumbent: Evidence, gate: GateMargins = GATE) -> Decision:
    return decide(challenger, incumbent, "champion", gate=gate, bootstrap=BOOTSTRAP)


def test_a_clearly_better_policy_is_promoted():
    decision = verdict(evidence(0.6), evidence(0.2))
    assert decision.promoted
    assert decision.pass_at_k["1"].low > 0.2
    assert decision.pass_at_k["1"].difference == pytest.approx(
        decision.pass_at_k["1"].challenger - decision.pass_at_k["1"].incumbent
    )
    assert len(decision.reasons) == 3


def test_the_same_policy_is_not_better_than_itself():
    decision = verdict(evidence(0.5), evidence(0.5))
    assert decision.verdict == "refused"
    assert not decision.pass_at_k["1"].passed  # an interval of exactly 0 does not exceed the margin 0
    assert decision.pass_at_k["8"].passed  # a loss of 0.05 is allowed there


def test_every_k_must_pass():
    better_at_1_worse_at_8 = {
        f"p{n:03d}": ProblemResult(16, 16 if n % 2 else 0, 2.0) for n in range(40)
    }  # half the problems always, the others never
    broad = {f"p{n:03d}": ProblemResult(16, 4, 2.0) for n in range(40)}
    decision = verdict(Evidence("a", "test", 8, better_at_1_worse_at_8), Evidence("b", "test", 8, broad))
    assert decision.pass_at_k["1"].passed
    assert not decision.pass_at_k["8"].passed
    assert not decision.promoted


def test_collapsed_diversity_is_refused_however_good_pass_at_k_is():
    decision = verdict(evidence(0.9, distinct=1.0), evidence(0.2, distinct=2.0))
    assert all(comparison.passed for comparison in decision.pass_at_k.values())
    assert decision.verdict == "refused"
    assert "below the floor 1.60" in decision.reasons[-1]


def test_different_problems_are_refused_with_the_reason():
    other = evidence(0.2)
    renamed = replace(other, problems={f"new {name}": result for name, result in other.problems.items()})
    assert "different problems (40 and 40, 0 ids in common)" in verdict(evidence(0.9), renamed).reasons[0]
    assert "different problems" in verdict(evidence(0.9), replace(other, dataset="changed")).reasons[0]


def test_too_few_problems_and_other_distinct_samples_are_refused():
    few = verdict(evidence(0.9, problems=5), evidence(0.1, problems=5))
    assert few.reasons == ["5 problems are fewer than min_problems = 10"]
    assert few.pass_at_k == {}
    assert "counted among 8 and 64" in verdict(evidence(0.9), replace(evidence(0.1), distinct_samples=64)).reasons[0]


def test_k_above_the_samples_is_an_error():
    with pytest.raises(PolyEpoError, match="k must be between 1 and the 16 samples"):
        verdict(evidence(0.9), evidence(0.1), GateMargins(margins={32: 0.0}))


def test_decision_survives_json_and_is_readable():
    decision = verdict(evidence(0.6), evidence(0.2))
    assert Decision.from_dict(decision.as_dict()) == decision
    text = decision_markdown(decision)
    assert text.startswith("# Promotion: promoted")
    assert "| pass@8 |" in text


@pytest.mark.parametrize(
    "gate", [{"margins": {}}, {"margins": {0: 0.0}}, {"margins": {1: 2.0}}, {"margins": {"1": 0.0}}]
)
def test_impossible_margins_are_refused(gate):
    with pytest.raises(ValidationError):
        RegistryParams.model_validate({"gate": gate})


def test_evidence_is_read_from_an_evaluation_and_survives_json(tmp_path):
    synthetic.make_base(tmp_path)
    synthetic.add_evaluation(tmp_path, "base", {"a": [1, 0, 0, 0, 0, 0, 0, 0], "b": [0] * 8})
    found = evidence_of(tmp_path / "evaluation/base")
    assert found.problems == {"a": ProblemResult(8, 1, 1.0), "b": ProblemResult(8, 0, 0.0)}
    assert Evidence.from_json(found.to_json()) == found
    with pytest.raises(PolyEpoError, match="unreadable evaluation evidence"):
        Evidence.from_json("[]")
    with pytest.raises(PolyEpoError, match="no such evaluation"):
        evidence_of(tmp_path / "evaluation/none")
