"""Registering, promoting and rolling back."""

from __future__ import annotations

import json

import pytest

from components.errors import PolyEpoError
from components.manifest import publish, read_manifest, write_json
from components.registry.aliases import list_versions, promote, rollback
from components.registry.params import RegistryParams
from components.registry.store import CHALLENGER, CHAMPION, PREVIOUS
from tests.integration.registry.desk import ARM
from tests.unit.tracking import synthetic


def test_the_first_candidate_is_judged_against_the_base(desk):
    desk.candidate(0.5, "one")
    decision = desk.register()
    assert (decision.verdict, decision.incumbent_is) == ("promoted", "base")
    assert desk.aliases() == {CHAMPION: 1}
    (version,) = list_versions(desk.params)
    client = desk.models.store.client
    entry = client.get_model_version(desk.models.name, "1")
    assert "| pass@1 | 0." in entry.description
    assert "learning_rate=" in entry.description
    run = client.get_run(version.run_id)
    assert run.info.run_name == f"arm {ARM}"  # lineage: version -> run -> parameters and data
    files = {file.path for file in client.list_logged_model_artifacts(version.tags["poly_epo.model_id"])}
    assert files == {"model.safetensors", "manifest.json", "poly_epo"}
    assert {"evidence.json", "lineage.json", "model_card.md"} <= set(desk.models.kept_names(version))
    document = json.loads(desk.document())
    assert document["policy"] == read_manifest(desk.workspace / "improve" / ARM / "final").digest
    assert not {"run_id", "version", "time"} & set(document)


def test_a_worse_candidate_stays_challenger_and_a_better_one_takes_over(desk):
    desk.candidate(0.5, "one")
    desk.register()
    desk.candidate(0.4, "two")
    assert desk.register().verdict == "refused"
    assert desk.aliases() == {CHAMPION: 1, CHALLENGER: 2}
    desk.candidate(0.8, "three")
    decision = desk.register()
    assert (decision.verdict, decision.incumbent_is) == ("promoted", "champion")
    assert desk.aliases() == {CHAMPION: 3, PREVIOUS: 1}


def test_the_same_policy_is_registered_once(desk):
    desk.candidate(0.5, "one")
    first = desk.register()
    document = desk.document()
    assert desk.register() == first  # published: nothing to do
    desk.forget_decision()
    assert desk.register() == first  # settled: the same decision again
    assert desk.document() == document
    desk.candidate(0.6, "one")  # the same weights, evaluated anew
    assert desk.register().verdict == "unchanged"
    assert [version.number for version in list_versions(desk.params)] == [1]
    assert desk.aliases() == {CHAMPION: 1}


def test_other_problems_are_refused(desk):
    desk.candidate(0.5, "one")
    desk.register()
    desk.candidate(0.9, "two", dataset="another test split")
    decision = desk.register()
    assert decision.verdict == "refused"
    assert "different problems" in decision.check("same problems").reason
    assert desk.aliases() == {CHAMPION: 1, CHALLENGER: 2}


def test_rollback_is_one_move_and_is_not_undone_by_a_repeat(desk):
    desk.candidate(0.5, "one")
    desk.register()
    with pytest.raises(PolyEpoError, match="no earlier champion"):
        rollback(desk.params)
    desk.candidate(0.8, "two")
    desk.register()
    assert rollback(desk.params).number == 1
    assert desk.aliases() == {CHAMPION: 1, PREVIOUS: 1}
    with pytest.raises(PolyEpoError, match="no earlier champion"):
        rollback(desk.params)
    desk.forget_decision()
    desk.register()
    assert desk.aliases()[CHAMPION] == 1
    promote(desk.params, 2)
    assert desk.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    with pytest.raises(PolyEpoError, match=r"no such version \(got 9\) -> versions: 1, 2"):
        promote(desk.params, 9)


def test_a_set_without_its_evaluation_refuses_with_the_command_that_makes_it(desk):
    gate = desk.params[RegistryParams].gate
    desk.set_registry(gate=gate.model_copy(update={"regressions": {"champ": {1: 0.05}}}))
    champ = desk.root / "sets" / "champ"
    equal = synthetic.rewards_with_rate(0.3, seed=7)

    desk.candidate(0.5, "one")
    (failed,) = desk.register().failed
    policy = desk.workspace / "improve" / ARM / "final"
    assert failed.reason == (
        "the challenger has no evaluation on champ: make it with "
        f"`poly-epo evaluate {policy} --set champ --out {champ}/{ARM}`"
    )
    synthetic.add_evaluation(desk.workspace, ARM, equal, directory=champ / ARM)
    (failed,) = desk.register().failed
    assert failed.reason.startswith("the base policy has no evaluation on champ")
    synthetic.add_evaluation(desk.workspace, "base", equal, directory=champ / "base")
    decision = desk.register()
    assert decision.promoted
    assert decision.check("pass@1 on champ").passed

    # The next challenger is better on the test set and worse on champ, where the champion's counts were kept.
    desk.candidate(0.8, "two")
    synthetic.add_evaluation(desk.workspace, ARM, synthetic.rewards_with_rate(0.1, seed=7), directory=champ / ARM)
    decision = desk.register()
    assert decision.incumbent_is == "champion"
    assert [check.name for check in decision.failed] == ["pass@1 on champ"]
    assert desk.aliases() == {CHAMPION: 1, CHALLENGER: 2}


def test_a_champion_evaluated_on_the_new_test_split_is_compared_there(desk):
    """New data bring new test problems: an evaluation of the champion on them counts, not the one it was kept with."""
    desk.candidate(0.5, "one")
    assert desk.register().verdict == "promoted"
    champion = desk.models.get("champion").policy
    desk.candidate(0.9, "two", dataset="new problems")
    assert desk.register().verdict == "refused"
    # The decision is made again when the champion has been evaluated on the same problems.
    measured = desk.root / "sets" / "test" / "champion"
    synthetic.add_evaluation(
        desk.workspace, "base", synthetic.rewards_with_rate(0.5, seed=3), dataset="new problems", directory=measured
    )
    metrics = json.loads((measured / "metrics.json").read_text())
    with publish(measured, fingerprint="champion") as made:
        write_json(made / "metrics.json", metrics | {"policy": champion})
        (made / "per_problem.parquet").write_bytes((measured / "per_problem.parquet").read_bytes())
    synthetic.add_evaluation(desk.workspace, "base", synthetic.rewards_with_rate(0.2), dataset="new problems")
    decision = desk.register()
    assert decision.verdict == "promoted"
    assert (decision.incumbent_is, decision.incumbent) == ("champion", champion)
    assert decision.check("same problems").passed
