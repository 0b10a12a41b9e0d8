from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from components.errors import PolyEpoError
from components.registry.document import decision_markdown
from components.registry.evidence import Evidence, ProblemResult, evidence_of
from components.registry.gate import Bootstrap, Decision, OtherSet, decide
from components.registry.params import GateMargins, RegistryParams
from tests.unit.tracking import synthetic

BOOTSTRAP = Bootstrap(draws=500, confidence=0.95, seed=0)
GATE = GateMargins(margins={1: 0.0, 8: -0.05}, distinct_floor=0.8, min_problems=10, min_samples=16)


def evidence(rate: float, *, distinct: float = 2.0, problems: int = 40, samples: int = 16, name: str = "") -> Evidence:
    rewards = synthetic.rewards_with_rate(rate, problems=problems, samples=samples)
    results = {p: ProblemResult(samples, int(sum(values)), distinct) for p, values in rewards.items()}
    return Evidence(name or f"policy {rate}", "test", 8, results)


def verdict(challenger: Evidence, incumbent: Evidence, gate: GateMargins = GATE) -> Decision:
    return decide(challenger, incumbent, "champion", gate=gate, bootstrap=BOOTSTRAP)


def test_a_clearly_better_policy_is_promoted():
    decision = verdict(evidence(0.6), evidence(0.2))
    check = decision.check("pass@1")
    assert decision.promoted
    assert check.low > 0.2
    assert check.difference == pytest.approx(check.challenger - check.incumbent)
    names = ["same problems", "same conditions", "problems", "samples", "unverified"]
    assert [found.name for found in decision.checks] == [*names, "pass@1", "pass@8", "distinct correct"]
    assert decision.why == "all 8 checks passed"


def test_the_same_policy_is_not_better_than_itself():
    decision = verdict(evidence(0.5), evidence(0.5))
    assert decision.verdict == "refused"
    assert not decision.check("pass@1").passed  # an interval of exactly 0 does not exceed the margin 0
    assert decision.check("pass@8").passed  # a loss of 0.05 is allowed there
    assert decision.why == "1 of 8 checks failed: pass@1"


def test_every_k_must_pass():
    better_at_1_worse_at_8 = {
        f"p{n:03d}": ProblemResult(16, 16 if n % 2 else 0, 2.0) for n in range(40)
    }  # half the problems always, the others never
    broad = {f"p{n:03d}": ProblemResult(16, 4, 2.0) for n in range(40)}
    decision = verdict(Evidence("a", "test", 8, better_at_1_worse_at_8), Evidence("b", "test", 8, broad))
    assert [check.name for check in decision.failed] == ["pass@8"]
    assert not decision.promoted


def test_collapsed_diversity_is_refused_however_good_pass_at_k_is():
    decision = verdict(evidence(0.9, distinct=1.0), evidence(0.2, distinct=2.0))
    assert [check.name for check in decision.failed] == ["distinct correct"]
    assert "below the floor 1.60" in decision.failed[0].reason


def test_different_problems_are_refused_with_the_reason_and_without_numbers():
    other = evidence(0.2)
    renamed = replace(other, problems={f"new {name}": result for name, result in other.problems.items()})
    decision = verdict(evidence(0.9), renamed)
    assert "different problems (40 and 40, 0 ids in common)" in decision.failed[0].reason
    assert "pass@1" not in [check.name for check in decision.checks]
    assert "different problems" in verdict(evidence(0.9), replace(other, dataset="changed")).failed[0].reason


def test_other_sampling_or_another_verifier_is_refused_with_what_differs():
    plain = {"temperature": 1.0, "verifier": "domain", "prompts": "a" * 64}
    ours = replace(evidence(0.9), conditions=plain)
    theirs = replace(evidence(0.1), conditions=plain | {"temperature": 0.7, "prompts": "b" * 64})
    (failed,) = verdict(ours, theirs).failed
    assert failed.reason == (
        "sampled or judged differently: prompts aaaaaaaaaaaa and bbbbbbbbbbbb, temperature 1.0 and 0.7"
    )
    assert verdict(ours, replace(theirs, conditions={})).promoted  # what an old evaluation does not say
    (failed,) = verdict(evidence(0.9), replace(evidence(0.1), distinct_samples=64)).failed
    assert "distinct_samples 8 and 64" in failed.reason


def test_too_few_problems_or_samples_are_refused():
    (few,) = verdict(evidence(0.9, problems=5), evidence(0.1, problems=5)).failed
    assert few.reason == "5 problems are fewer than min_problems = 10"
    (few,) = verdict(evidence(0.9), evidence(0.1, samples=15)).failed
    assert few.reason == "16 and 15 samples per problem are not both at least min_samples = 16"


def test_completions_that_could_not_be_verified_are_shown_and_too_many_refuse():
    ours, theirs = evidence(0.9), evidence(0.1)  # 640 completions each
    decision = verdict(replace(ours, unverified=6), theirs)
    assert decision.promoted
    assert "failed or timed out on 6 (0.94%) and 0 (0.00%)" in decision.check("unverified").reason
    assert [check.name for check in verdict(replace(ours, unverified=7), theirs).failed] == ["unverified"]
    assert [check.name for check in verdict(ours, replace(theirs, unverified=7)).failed] == ["unverified"]


def test_a_loss_on_another_set_is_held_against_its_ceiling():
    ours, theirs = evidence(0.6), evidence(0.2)

    def on(other: OtherSet) -> Decision:
        return decide(ours, theirs, "champion", gate=GATE, bootstrap=BOOTSTRAP, other_sets=[other])

    held = OtherSet("champ", {1: 0.1, 8: 0.0}, evidence(0.5), evidence(0.5))
    assert on(held).promoted  # the very same counts: nothing is lost, a ceiling of 0 holds
    lost = on(replace(held, challenger=evidence(0.3)))
    assert [check.name for check in lost.failed] == ["pass@1 on champ", "pass@8 on champ"]
    check = lost.check("pass@1 on champ")
    assert check.low < check.difference < -0.1
    assert f"a loss of up to {-check.low:.3f} is above the ceiling 0.100" in check.reason
    assert on(replace(held, challenger=None, missing="make it")).failed[0].reason == "make it"
    assert [c.name for c in on(replace(held, incumbent=replace(theirs, dataset="x"))).failed] == [
        "same problems on champ"
    ]


def test_k_above_the_samples_is_an_error():
    with pytest.raises(PolyEpoError, match="k must be between 1 and the 16 samples"):
        verdict(evidence(0.9), evidence(0.1), GateMargins(margins={32: 0.0}, min_samples=16))


def test_decision_survives_json_and_says_why():
    decision = verdict(evidence(0.6, distinct=1.0), evidence(0.2))
    assert Decision.from_dict(json.loads(json.dumps(decision.as_dict()))) == decision
    text = decision_markdown(decision)
    assert text.startswith("# Promotion: refused")
    assert "1 of 8 checks failed: distinct correct." in text
    assert "| pass@8 | 0." in text
    assert "## Why not\n\n- 1.00 distinct correct clusters among 8 completions against 2.00, below" in text
    assert "keeps the alias `challenger`" in text


@pytest.mark.parametrize(
    "gate",
    [
        {"margins": {}},
        {"margins": {0: 0.0}},
        {"margins": {1: 2.0}},
        {"margins": {"1": 0.0}},
        {"max_unverified": 1.5},
        {"regressions": {"champ": {}}},
        {"regressions": {"champ": {0: 0.1}}},
        {"regressions": {"champ": {8: -0.1}}},
    ],
)
def test_impossible_gates_are_refused(gate):
    with pytest.raises(ValidationError):
        RegistryParams.model_validate({"gate": gate})


def test_evidence_is_read_from_an_evaluation_and_survives_json(tmp_path):
    synthetic.make_base(tmp_path)
    synthetic.add_evaluation(tmp_path, "base", {"a": [1, 0, 0, 0, 0, 0, 0, 0], "b": [0] * 8})
    found = evidence_of(tmp_path / "evaluation/base")
    assert found.conditions == {"temperature": 1.0, "top_p": 1.0}
    assert found.problems == {"a": ProblemResult(8, 1, 1.0), "b": ProblemResult(8, 0, 0.0)}
    assert Evidence.from_json(found.to_json()) == found
    with pytest.raises(PolyEpoError, match="unreadable evaluation evidence"):
        Evidence.from_json("[]")
    with pytest.raises(PolyEpoError, match="no such evaluation"):
        evidence_of(tmp_path / "evaluation/none")
